"""The engine's losses and games on data whose distributions are known exactly: tables and normal distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zerosum.engine import Batch, Duel, OptimizerConfig, Schedule, Settings, TrainingLoop, Turn
from zerosum.engine.losses import GANLoss, LossFunction
from zerosum.engine.penalties import Penalty
from zerosum.engine.seeds import derive, generator

P = torch.tensor([0.1, 0.4, 0.3, 0.2], dtype=torch.float64)
Q = torch.full((4,), 0.25, dtype=torch.float64)
"""The tables of the lessons: P of the data, Q of the generator."""


# --- tables: distributions over K symbols; a discriminator has one logit for each symbol


def expected_loss(function: LossFunction, logits: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """The exact mean of a loss of the engine when the real symbol is drawn from p and the fake one from q."""
    real, fake = torch.meshgrid(logits, logits, indexing="ij")
    return (torch.outer(p, q) * function(real, fake)).sum()


def optimal_logits(pair: GANLoss, p: Tensor, q: Tensor) -> Tensor:
    """(K,) float64: the logits of the optimal discriminator, found by L-BFGS on the engine's loss."""
    logits = torch.full_like(p, pair.neutral or 0.0).requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=500, tolerance_grad=1e-13, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = expected_loss(pair.discriminator, logits, p, q)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return logits.detach()


# --- normal distributions in one dimension, and a small network as discriminator


@dataclass(frozen=True)
class RowSource:
    """A source of rows in memory, (N, ...)."""

    data: Tensor

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.data)

    def batch(self, indices: Tensor) -> Batch:
        """The rows with these indices."""
        return Batch(self.data[indices])


class NormalGenerator(nn.Module):
    """A generator of N(mean, deviation^2) from one normal number; both are parameters."""

    def __init__(self, mean: float, deviation: float = 1.0) -> None:
        super().__init__()
        self.mean, self.deviation = nn.Parameter(torch.tensor(mean)), nn.Parameter(torch.tensor(deviation))

    def forward(self, noise: Tensor) -> Tensor:
        """(N, 1) -> (N, 1)."""
        return self.mean + self.deviation * noise


def critic(seed: int, width: int = 64, activation: type[nn.Module] = nn.Softplus) -> nn.Sequential:
    """An MLP, 1 -> width -> width -> 1, float32, with weights initialised from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "critic"))
        return nn.Sequential(
            nn.Linear(1, width), activation(), nn.Linear(width, width), activation(), nn.Linear(width, 1)
        )


def train_critic(
    pair: GANLoss,
    net_g: NormalGenerator,
    seed: int,
    steps: int,
    penalties: tuple[Penalty, ...] = (),
    activation: type[nn.Module] = nn.Softplus,
) -> nn.Sequential:
    """A critic trained for `steps` turns of D against a fixed generator; the data are N(0, 1)."""
    network = critic(seed, activation=activation)
    data = RowSource(torch.randn(2**17, 1, generator=generator(seed, "data")))
    learning = OptimizerConfig(lr=Schedule(4e-3, 0.0, "cosine", over_steps=steps), betas=(0.9, 0.999))
    settings = Settings(batch=1024, seed=seed, default=learning, average=None)
    loop = TrainingLoop(Duel(net_g, network, loss=pair, penalties=penalties, prior=1), data, settings)
    for _ in range(steps):
        loop.train_step(turns=[Turn(("discriminator",))])
    return network.eval()


def evaluate_critic(network: nn.Module, x: Tensor) -> Tensor:
    """(N,) float64 logits at x (N,)."""
    with torch.no_grad():
        return network(x.float()[:, None]).squeeze(1).double()  # type: ignore[no-any-return]


def density(x: Tensor, mean: float = 0.0, deviation: float = 1.0) -> Tensor:
    """The normal density at x."""
    return (-0.5 * ((x - mean) / deviation).square()).exp() / (deviation * math.sqrt(2 * math.pi))
