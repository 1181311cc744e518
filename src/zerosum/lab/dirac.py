"""The Dirac-GAN in the lab: data at 0, a generator of one point theta, a discriminator D(x) = bias + psi x, on the real engine.

Mescheder, Geiger and Nowozin 2018, arXiv:1801.04406. States are (theta, psi); the equilibrium is (0, 0).
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from zerosum.engine.loop import TrainingLoop
from zerosum.lab.settings import LabSettings
from zerosum.lessons import dirac_game
from zerosum.report import spread
from zerosum.theory import dirac as theory
from zerosum.training.diagnostics import Finding

FIELD_SIDE = 13
"""Arrows of the field along each axis."""
MOST_DRAWN = 800
"""Points of a path or spiral that are sent to the page."""
REACHES = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Half widths of the picture: the first that contains the path is used."""
ARRIVED = 0.01
"""Distance from the equilibrium below which the game has converged."""
TREND = 0.001
"""Relative change of the distance per step below which the game circles."""


@dataclass(frozen=True)
class DiracSetup:
    """Makes the Dirac-GAN of these settings."""

    settings: LabSettings

    def loop(self) -> TrainingLoop:
        """At step 0, from (theta, psi) of the settings."""
        chosen = self.settings
        setup = (chosen.loss, chosen.penalty, chosen.weight, chosen.lr_g, chosen.rules(), (chosen.theta, chosen.psi))
        return dirac_game.training_loop(*setup, chosen.seed, torch.float32)

    def position(self, loop: TrainingLoop) -> tuple[float, ...]:
        """(theta, psi)."""
        return tuple(dirac_game.state(loop).tolist())


@functools.lru_cache(maxsize=32)
def numbers(settings: LabSettings) -> dict[str, Any]:
    """Eigenvalues of the flow as [re, im] and radius of a step, by theory and by the engine; None without a linear theory."""
    loss, penalty, weight, slopes = settings.loss, settings.penalty, settings.weight, dirac_game.slopes(settings.loss)
    if not theory.is_linear(slopes, penalty):
        return {key: {"theory": None, "engine": None} for key in ("eigenvalues", "radius")}
    eigenvalues = {
        "theory": theory.eigenvalues(slopes, penalty, weight),
        "engine": dirac_game.eigenvalues(dirac_game.jacobian(loss, penalty, weight)),
    }
    predicted = theory.step_matrix(slopes, penalty, weight, settings.lr_g, settings.simultaneous, settings.k)
    played = dirac_game.step_matrix(loss, penalty, weight, settings.lr_g, settings.rules())
    return {
        "eigenvalues": {side: torch.view_as_real(values).tolist() for side, values in eigenvalues.items()},
        "radius": {"theory": theory.radius(predicted), "engine": theory.radius(played)},
    }


@functools.lru_cache(maxsize=32)
def field(settings: LabSettings, reach: float) -> list[list[float]]:
    """[[theta, psi, dtheta, dpsi] ...] on a grid over [-reach, reach]^2."""
    ticks = torch.linspace(-reach, reach, FIELD_SIDE, dtype=torch.float64)
    rows = []
    for state in torch.cartesian_prod(ticks, ticks):
        flow = dirac_game.field(state.requires_grad_(True), settings.loss, settings.penalty, settings.weight)
        rows.append([round(number, 5) for number in (*state.tolist(), *flow.tolist())])
    return rows


@functools.lru_cache(maxsize=32)
def spiral(settings: LabSettings, theta: float, psi: float, steps: int) -> list[list[float]]:
    """The path from (theta, psi) by the linear theory, [[theta, psi] ...]; empty without a linear theory."""
    slopes = dirac_game.slopes(settings.loss)
    if not theory.is_linear(slopes, settings.penalty):
        return []
    step = (settings.weight, settings.lr_g, steps, settings.simultaneous, settings.k)
    found: list[list[float]] = theory.spiral(theta, psi, slopes, settings.penalty, *step).tolist()
    return found


def portrait(settings: LabSettings, path: Sequence[tuple[float, ...]], since: int) -> dict[str, Any]:
    """The picture of a game: its path (the start first), the theoretical spiral from step `since` on, and the field.

    since: the step since which the current settings apply.
    """
    seen = thin_path(path)
    furthest = max(max(map(abs, place)) for place in seen)
    reach = next((size for size in REACHES if size > 1.05 * furthest), REACHES[-1])
    steps = min(2_000, max(250, len(path) - since))
    return {
        "theta": path[-1][0],
        "psi": path[-1][1],
        "path": seen,
        "spiral": thin_path(spiral(settings, *path[since], steps)),
        "field": field(settings, reach),
        **numbers(settings),
    }


def thin_path(path: Sequence[Sequence[float]]) -> list[list[float]]:
    """At most 800 of the points, evenly selected, including the first and the last."""
    return [[round(number, 5) for number in point] for point in spread(path, MOST_DRAWN)]


# --- findings


def examine(path: Sequence[Sequence[float]], settings: LabSettings, portrait: Mapping[str, Any]) -> list[Finding]:
    """Findings about a path of (theta, psi), the start first; none before the first step."""
    return [] if len(path) < 2 else [_motion(path, settings), *_theory(settings, portrait)]


def growth_rate(path: Sequence[Sequence[float]], looks: int = 120) -> float:
    """The mean relative growth per step of the distance from (0, 0) over the last steps: the slope of its logarithm."""
    logs = [math.log(math.hypot(*place) + 1e-30) for place in path[-looks:]]
    return statistics.linear_regression(range(len(logs)), logs).slope


def _motion(path: Sequence[Sequence[float]], settings: LabSettings) -> Finding:
    distance, rate = math.hypot(*path[-1]), growth_rate(path)
    evidence = f"distance from (0, 0): {math.hypot(*path[0]):.3g} at the start, {distance:.3g} now"
    if distance < ARRIVED:
        text = "The game has converged to the equilibrium: the fake equals the data point."
        return Finding("ok", "Converged", text, evidence)
    evidence += f"; {rate:+.2%} per step"
    damp = "Give D a penalty: R1 pulls psi towards 0 and damps the rotation."
    if rate > TREND:
        other = " Or use alternating steps, which do not spiral outwards." if settings.simultaneous else ""
        text = "The game spirals outwards: each player reacts to the previous position of the other."
        return Finding("alarm", "Divergence", text, evidence, damp + other)
    if rate < -TREND:
        half = math.log(0.5) / rate
        return Finding("ok", "Convergence", "The game spirals in.", f"{evidence}, halved in {half:.0f} steps")
    if settings.penalty == "none":
        return Finding("warning", "Rotation", "The game circles and does not converge.", evidence, damp)
    advice = "Change its weight: a small one does not damp, a large one makes psi slow."
    return Finding("info", "Slow", "The game hardly comes closer.", evidence, advice)


def _theory(settings: LabSettings, portrait: Mapping[str, Any]) -> Iterator[Finding]:
    radius = portrait["radius"]
    if radius["theory"] is None:
        text = "For this penalty there is no linear theory: it pulls the slope of D to 1, away from the equilibrium."
        yield Finding("info", "Theory", text, f"penalty {settings.penalty}", "Try r1, r2 or zero_centred.")
        return
    conclusion = "below 1: the game converges" if radius["theory"] < 1 - 1e-9 else "above 1: the game diverges"
    if abs(radius["theory"] - 1) <= 1e-9:
        conclusion = "exactly 1: near the equilibrium the game circles"
    evidence = f"theory {radius['theory']:.5f}, measured on the engine {radius['engine']:.5f}"
    yield Finding("info", "Theory", f"By the linear theory the spectral radius of a step is {conclusion}.", evidence)
