"""The Dirac-GAN on the engine: one real point at 0, a generator of one point theta, the discriminator bias + psi x.

Two ways to ask the engine: its losses and penalties differentiated at the equilibrium (the flow), and its Match playing.
States are (theta, psi), as in zerosum.theory.dirac.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zerosum.engine import Duel, OptimizerConfig, Penalty, Settings, TrainingLoop, UpdateRules, losses, penalties
from zerosum.engine.game import DiscriminatorOutput, LossContext, Turn
from zerosum.engine.seeds import SeededNoise
from zerosum.lessons.toy_games import Rows
from zerosum.theory.dirac import LOSSES, Slopes

_DRAWS = SeededNoise(seed=0, step=0, turn=0, start=0, stop=4, total=4, device=torch.device("cpu"))


def slopes(loss: str) -> Slopes:
    """The slopes of one of the engine's losses: the closed form where theory.dirac states one, else derived from the loss."""
    pair = losses.table()[loss]
    return LOSSES.get(loss) or Slopes.of(pair.discriminator, pair.generator, pair.neutral or 0.0)


class Point(nn.Module):
    """The generator: theta, whatever the noise."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta, dtype=torch.float64))

    def forward(self, noise: Tensor) -> Tensor:
        """(N, 1) -> (N, 1)."""
        return self.theta.expand(len(noise), 1)


class Slope(nn.Module):
    """The discriminator: bias + psi x, where only psi learns."""

    def __init__(self, psi: float, bias: float) -> None:
        super().__init__()
        self.psi, self.bias = nn.Parameter(torch.tensor(psi, dtype=torch.float64)), bias

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1) -> (N,)."""
        return self.bias + self.psi * x.squeeze(1)


def penalty_terms(penalty: str, weight: float) -> list[Penalty]:
    """The engine's penalties of a name of theory.dirac.PENALTIES: none, one, or both of "r1+r2"."""
    names = [] if penalty == "none" else penalty.split("+")
    return [penalties.table()[name](weight) for name in names]


def match(
    loss: str,
    penalty: str = "none",
    weight: float = 0.0,
    step_size: float = 0.1,
    simultaneous: bool = False,
    start: tuple[float, float] = (1.0, 1.0),
) -> TrainingLoop:
    """A match from `start` = (theta, psi), by gradient descent of that step size."""
    theta, psi = start
    game = Duel(
        Point(theta),
        Slope(psi, slopes(loss).bias),
        loss=losses.table()[loss],
        penalties=penalty_terms(penalty, weight),
        prior=1,
        rules=UpdateRules(simultaneous=simultaneous),
    )
    settings = Settings(batch=1, default=OptimizerConfig("sgd", lr=step_size), average=None)
    return TrainingLoop(game, Rows(torch.zeros(1, 1, dtype=torch.float64)), settings)


def state(game: TrainingLoop) -> Tensor:
    """(2,) float64: where the match stands."""
    players = game.game.players
    return torch.stack([players["generator"].theta, players["discriminator"].psi]).detach()  # type: ignore[list-item]


def path(game: TrainingLoop, steps: int, turns: list[Turn] | None = None) -> Tensor:
    """(steps + 1, 2): the states of that many further steps, the present one first."""
    states = [state(game)]
    for _ in range(steps):
        game.train_step(turns)
        states.append(state(game))
    return torch.stack(states)


def step_matrix(loss: str, penalty: str, weight: float, step_size: float, simultaneous: bool) -> Tensor:
    """(2, 2): what one played step does near the equilibrium, from one start on each axis, 1/1000 away from it."""
    near = 1e-3
    starts = [(near, 0.0), (0.0, near)]
    columns = [path(match(loss, penalty, weight, step_size, simultaneous, start), 1)[1] / near for start in starts]
    return torch.stack(columns, 1)


def field(
    at: Tensor, loss: str, penalty: str = "none", weight: float = 0.0, noise: float = 0.0, bias: float | None = None
) -> Tensor:
    """(2,): (theta', psi') of gradient flow at the state `at`, by autograd on the engine's loss and penalties.

    noise: reals and fakes are moved by +-noise, independently, each of the four ways once. Noise of any other shape with
    this deviation has the same derivative at the equilibrium. bias: of the discriminator; None is the theory's.
    """
    theta, psi = at
    pair = losses.table()[loss]
    constant = slopes(loss).bias if bias is None else bias
    real = noise * torch.tensor([1, 1, -1, -1], dtype=torch.float64)
    fake = theta + noise * torch.tensor([1, -1, 1, -1], dtype=torch.float64)

    def judge(points: Tensor, side: str = "") -> DiscriminatorOutput:
        return DiscriminatorOutput((constant + psi * points.flatten(),))

    on_real, on_fake = judge(real), judge(fake)
    play = LossContext(real[:, None], fake[:, None], on_real, on_fake, judge, _DRAWS, step=0)
    d_loss = pair.discriminator(on_real.logits[0], on_fake.logits[0]).mean()
    for term in penalty_terms(penalty, weight):
        d_loss = d_loss + term.term(play).mean()
    g_loss = pair.generator(on_real.logits[0], on_fake.logits[0]).mean()
    (by_psi,) = torch.autograd.grad(d_loss, psi, create_graph=True)
    (by_theta,) = torch.autograd.grad(g_loss, theta, create_graph=True)
    return -torch.stack([by_theta, by_psi])


def jacobian(
    loss: str, penalty: str = "none", weight: float = 0.0, noise: float = 0.0, bias: float | None = None
) -> Tensor:
    """(2, 2): the derivative of `field` at the equilibrium (0, 0), by autograd."""
    origin = torch.zeros(2, dtype=torch.float64)
    found: Tensor = torch.autograd.functional.jacobian(  # type: ignore[no-untyped-call]
        lambda at: field(at, loss, penalty, weight, noise, bias), origin
    )
    return found


def eigenvalues(matrix: Tensor) -> Tensor:
    """(2,) complex128, ordered as in theory.dirac: the larger imaginary (else real) part first."""
    found: Tensor = torch.linalg.eigvals(matrix)
    order = sorted(range(2), key=lambda i: (float(found[i].imag), float(found[i].real)), reverse=True)
    return found[order]


def rate(states: Tensor, first: int, last: int) -> float:
    """The mean growth of log |state| a step between two steps: the logarithm of the spectral radius, for a linear game."""
    distance = states.norm(dim=1)
    return math.log(float(distance[last] / distance[first])) / (last - first)
