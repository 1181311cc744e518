"""The game of two numbers on the real engine: data at 0, a generator that makes theta, a discriminator D(x) = bias + psi x.

Mescheder, Geiger and Nowozin 2018, arXiv:1801.04406. States are (theta, psi); the equilibrium is (0, 0).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zerosum.engine import losses, penalties
from zerosum.engine.duel import DISCRIMINATOR, GENERATOR, Duel, Prior
from zerosum.engine.game import Batch, DiscriminatorOutput, LossContext
from zerosum.engine.loop import Settings as EngineSettings
from zerosum.engine.loop import TrainingLoop
from zerosum.engine.penalties import Penalty
from zerosum.engine.seeds import SeededNoise
from zerosum.lab.settings import Settings
from zerosum.report import spread
from zerosum.theory import dirac as theory

FIELD_SIDE = 13
"""Arrows of the field along each axis."""
MOST_DRAWN = 800
"""Points of a path or spiral that reach the page."""
REACHES = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Half widths of the picture: the first that holds the path."""
STEP_FROM = 1e-2
"""Distance from the equilibrium at which one step of the engine is measured: on the axes the game is linear, to rounding."""


class Point(nn.Module):
    """A generator that always makes theta."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta))

    def forward(self, noise: Tensor) -> Tensor:
        """(N, L) -> (N, 1)."""
        return self.theta.expand(len(noise), 1)


class Line(nn.Module):
    """D(x) = bias + psi x; the bias is the loss's logit of "cannot tell" and does not learn."""

    def __init__(self, psi: float, bias: float) -> None:
        super().__init__()
        self.psi, self.bias = nn.Parameter(torch.tensor(psi)), bias

    def forward(self, points: Tensor) -> Tensor:
        """(N, 1) -> (N,)."""
        return self.bias + self.psi * points[:, 0]


@dataclass(frozen=True)
class Zero:
    """The data: one point, 0."""

    num_rows: int = 1

    def batch(self, indices: Tensor) -> Batch:
        """Zeros, (N, 1)."""
        return Batch(torch.zeros(len(indices), 1))


@dataclass(frozen=True)
class DiracTable:
    """The game of these settings."""

    settings: Settings

    def match(self) -> TrainingLoop:
        """At step 0, from (theta, psi) of the settings."""
        chosen = self.settings
        game = Duel(
            Point(chosen.theta),
            Line(chosen.psi, _bias(chosen.loss)),
            loss=losses.table()[chosen.loss],
            penalties=_penalties(chosen),
            prior=Prior(1),
            rules=chosen.rules(),
        )
        learning = {name: chosen.learning(name) for name in (GENERATOR, DISCRIMINATOR)}
        return TrainingLoop(game, Zero(), EngineSettings(batch=1, seed=chosen.seed, learning=learning, average=None))

    def place(self, match: TrainingLoop) -> tuple[float, ...]:
        """(theta, psi)."""
        generator, discriminator = match.game.players[GENERATOR], match.game.players[DISCRIMINATOR]
        assert isinstance(generator, Point)
        assert isinstance(discriminator, Line)
        return float(generator.theta.detach()), float(discriminator.psi.detach())


def _bias(loss: str) -> float:
    return _slopes(loss).bias


def _slopes(loss: str) -> theory.Slopes:
    pair = losses.table()[loss]
    return theory.LOSSES.get(loss) or theory.Slopes.of(pair.discriminator, pair.generator, pair.neutral or 0.0)


def _penalties(settings: Settings) -> list[Penalty]:
    return [penalties.table()[name](weight=settings.weight) for name in settings.penalty_names]


# --- what the engine's own losses say


def flow(settings: Settings, state: Tensor) -> Tensor:
    """(2,) -> (2,): minus the gradient of each player's loss by its own number, by autograd on the engine's functions."""
    pair, bias = losses.table()[settings.loss], _bias(settings.loss)
    theta, psi = state.unbind()
    real, fake = torch.zeros(1, 1, dtype=state.dtype), theta.reshape(1, 1)

    def judge(points: Tensor, side: str) -> DiscriminatorOutput:
        return DiscriminatorOutput((bias + psi * points[:, 0],))

    on_real, on_fake = judge(real, "real"), judge(fake, "fake")
    play = LossContext(real, fake, on_real, on_fake, judge, SeededNoise(settings.seed, 0, 0, 0, 1, 1, state.device), 0)
    loss = losses.apply(pair.discriminator, on_real.logits, on_fake.logits).mean()
    for penalty in _penalties(settings):
        loss = loss + penalty.term(play).mean()
    by_g = losses.apply(pair.generator, on_real.logits, on_fake.logits).mean()
    (d_psi,) = torch.autograd.grad(loss, psi, create_graph=True)
    (d_theta,) = torch.autograd.grad(by_g, theta, create_graph=True, allow_unused=True)
    return -torch.stack([torch.zeros_like(d_psi) if d_theta is None else d_theta, d_psi])


def engine_eigenvalues(settings: Settings) -> list[list[float]]:
    """[[re, im], [re, im]] of the flow's Jacobian at (0, 0), the one with the larger imaginary part first."""
    origin = torch.zeros(2, dtype=torch.float64)
    jacobian: Tensor = torch.autograd.functional.jacobian(lambda state: flow(settings, state), origin)  # type: ignore[no-untyped-call]
    found = torch.linalg.eigvals(jacobian).tolist()
    return [[value.real, value.imag] for value in sorted(found, key=lambda value: (-value.imag, -value.real))]


def engine_radius(settings: Settings) -> float:
    """The spectral radius of one step near (0, 0), measured by playing one from each axis."""
    columns = []
    for start in ((STEP_FROM, 0.0), (0.0, STEP_FROM)):
        table = DiracTable(settings.model_copy(update={"theta": start[0], "psi": start[1]}))
        match = table.match()
        match.train_step()
        columns.append(table.place(match))
    return theory.radius(torch.tensor(columns, dtype=torch.float64).T / STEP_FROM)


@functools.lru_cache(maxsize=32)
def numbers(settings: Settings) -> dict[str, Any]:
    """Eigenvalues of the flow and radius of a step, by the theory and by the engine; None without a linear theory."""
    if not theory.is_linear(_slopes(settings.loss), settings.penalty):
        return {key: {"theory": None, "engine": None} for key in ("eigenvalues", "radius")}
    values = theory.eigenvalues(_slopes(settings.loss), settings.penalty, settings.weight)
    matrix = theory.step_matrix(
        _slopes(settings.loss), settings.penalty, settings.weight, settings.lr_g, settings.simultaneous, settings.k
    )
    plain = [[float(value.real), float(value.imag)] for value in values]
    return {
        "eigenvalues": {"theory": plain, "engine": engine_eigenvalues(settings)},
        "radius": {"theory": theory.radius(matrix), "engine": engine_radius(settings)},
    }


@functools.lru_cache(maxsize=32)
def field(settings: Settings, reach: float) -> list[list[float]]:
    """[[theta, psi, dtheta, dpsi] ...] on a grid over [-reach, reach]^2."""
    ticks = torch.linspace(-reach, reach, FIELD_SIDE, dtype=torch.float64).tolist()
    rows = []
    for theta in ticks:
        for psi in ticks:
            state = torch.tensor([theta, psi], dtype=torch.float64, requires_grad=True)
            rows.append([round(number, 5) for number in (theta, psi, *flow(settings, state).tolist())])
    return rows


@functools.lru_cache(maxsize=32)
def spiral(settings: Settings, theta: float, psi: float, steps: int) -> list[list[float]]:
    """What the linear theory says from (theta, psi), [[theta, psi] ...]; empty without a linear theory."""
    if not theory.is_linear(_slopes(settings.loss), settings.penalty):
        return []
    step = (settings.weight, settings.lr_g, steps, settings.simultaneous, settings.k)
    found: list[list[float]] = theory.spiral(theta, psi, _slopes(settings.loss), settings.penalty, *step).tolist()
    return found


def portrait(settings: Settings, path: Sequence[tuple[float, ...]], since: int) -> dict[str, Any]:
    """The picture of a game: its path so far (the start first), the theory's spiral from the step `since` on, the field.

    since: where the settings that hold now began to hold.
    """
    seen = thinned(path)
    furthest = max(max(map(abs, place)) for place in seen)
    reach = next((size for size in REACHES if size > 1.05 * furthest), REACHES[-1])
    steps = min(2_000, max(250, len(path) - since))
    return {
        "theta": path[-1][0],
        "psi": path[-1][1],
        "path": seen,
        "spiral": thinned(spiral(settings, *path[since], steps)),
        "field": field(settings, reach),
        **numbers(settings),
    }


def thinned(path: Sequence[Sequence[float]]) -> list[list[float]]:
    """At most 800 of the points, evenly chosen, the first and the last among them."""
    return [[round(number, 5) for number in point] for point in spread(path, MOST_DRAWN)]
