"""The Dirac-GAN on the engine: one real point at 0, a generator of one point theta, the discriminator bias + psi x.

`field`, `jacobian` and `eigenvalues` differentiate the engine's losses and penalties (gradient flow); `training_loop`,
`run_steps` and `step_matrix` run steps of the engine. States are (theta, psi), as in zerosum.theory.dirac; the equilibrium
is (0, 0).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zerosum.engine import Duel, OptimizerConfig, Penalty, Settings, TrainingLoop, UpdateRules, losses, penalties
from zerosum.engine.game import DiscriminatorOutput, LossContext, Turn
from zerosum.engine.seeds import SeededNoise
from zerosum.lessons.toy_games import RowSource
from zerosum.theory.dirac import LOSSES, Slopes

_NOISE = SeededNoise(seed=0, step=0, turn=0, start=0, stop=4, total=4, device=torch.device("cpu"))
ALTERNATING = UpdateRules()


class PointGenerator(nn.Module):
    """Returns theta for any noise."""

    def __init__(self, theta: float, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta, dtype=dtype))

    def forward(self, noise: Tensor) -> Tensor:
        """(N, 1) -> (N, 1)."""
        return self.theta.expand(len(noise), 1)


class LineDiscriminator(nn.Module):
    """D(x) = bias + psi x, where only psi is trained."""

    def __init__(self, psi: float, bias: float, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.psi, self.bias = nn.Parameter(torch.tensor(psi, dtype=dtype)), bias

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1) -> (N,)."""
        return self.bias + self.psi * x.squeeze(1)


def penalty_terms(penalty: str, weight: float) -> list[Penalty]:
    """The engine's penalties for "none", one name, or "r1+r2"."""
    names = [] if penalty == "none" else penalty.split("+")
    return [penalties.table()[name](weight=weight) for name in names]


def slopes(loss: str) -> Slopes:
    """The slopes of one of the engine's losses: the closed form where theory.dirac states one, else derived from the loss."""
    pair = losses.table()[loss]
    return LOSSES.get(loss) or Slopes.of(pair.discriminator, pair.generator, pair.neutral or 0.0)


def training_loop(
    loss: str,
    penalty: str = "none",
    weight: float = 0.0,
    step_size: float = 0.1,
    rules: UpdateRules = ALTERNATING,
    start: tuple[float, float] = (1.0, 1.0),
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> TrainingLoop:
    """A game at step 0 in the state `start` = (theta, psi), trained by gradient descent of that step size."""
    game = Duel(
        PointGenerator(start[0], dtype),
        LineDiscriminator(start[1], slopes(loss).bias, dtype),
        loss=losses.table()[loss],
        penalties=penalty_terms(penalty, weight),
        prior=1,
        rules=rules,
    )
    settings = Settings(batch=1, seed=seed, default=OptimizerConfig("sgd", lr=step_size), average=None)
    return TrainingLoop(game, RowSource(torch.zeros(1, 1, dtype=dtype)), settings)


def state(loop: TrainingLoop) -> Tensor:
    """(2,): the current (theta, psi)."""
    players = loop.game.players
    return torch.stack([players["generator"].theta, players["discriminator"].psi]).detach()  # type: ignore[list-item]


def run_steps(loop: TrainingLoop, steps: int, turns: list[Turn] | None = None) -> Tensor:
    """(steps + 1, 2): runs further steps and returns their states, the current one first."""
    states = [state(loop)]
    for _ in range(steps):
        loop.train_step(turns)
        states.append(state(loop))
    return torch.stack(states)


def step_matrix(
    loss: str, penalty: str = "none", weight: float = 0.0, step_size: float = 0.1, rules: UpdateRules = ALTERNATING
) -> Tensor:
    """(2, 2): the linear map of one step near the equilibrium, measured from a start 1/1000 away on each axis."""
    near = 1e-3
    starts = [(near, 0.0), (0.0, near)]
    loops = [training_loop(loss, penalty, weight, step_size, rules, start) for start in starts]
    return torch.stack([run_steps(loop, 1)[1] / near for loop in loops], 1)


def field(
    at: Tensor, loss: str, penalty: str = "none", weight: float = 0.0, noise: float = 0.0, bias: float | None = None
) -> Tensor:
    """(2,): (theta', psi') of gradient flow at the state `at`, by autograd on the engine's loss and penalties.

    noise: reals and fakes are shifted by +-noise independently, in all four combinations. Noise of another distribution with
    this deviation has the same derivative at the equilibrium. bias: of the discriminator; None for the one of
    zerosum.theory.dirac.
    """
    theta, psi = at
    pair = losses.table()[loss]
    constant = slopes(loss).bias if bias is None else bias
    real = noise * torch.tensor([1, 1, -1, -1], dtype=torch.float64)
    fake = theta + noise * torch.tensor([1, -1, 1, -1], dtype=torch.float64)

    def discriminate(points: Tensor, side: str = "") -> DiscriminatorOutput:
        return DiscriminatorOutput((constant + psi * points.flatten(),))

    on_real, on_fake = discriminate(real), discriminate(fake)
    context = LossContext(real[:, None], fake[:, None], on_real, on_fake, discriminate, _NOISE, step=0)
    d_loss = pair.discriminator(on_real.logits[0], on_fake.logits[0]).mean()
    for term in penalty_terms(penalty, weight):
        d_loss = d_loss + term.term(context).mean()
    g_loss = pair.generator(on_real.logits[0], on_fake.logits[0]).mean()
    (by_psi,) = torch.autograd.grad(d_loss, psi, create_graph=True)
    (by_theta,) = torch.autograd.grad(g_loss, theta, create_graph=True, allow_unused=True)
    return -torch.stack([torch.zeros_like(by_psi) if by_theta is None else by_theta, by_psi])


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
    """The mean growth of log |state| per step between two steps: for a linear game the logarithm of the spectral radius."""
    distance = states.norm(dim=1)
    return math.log(float(distance[last] / distance[first])) / (last - first)
