"""Measurements of a game over points: divergences, transport, the value of the game and its bound, the distance of D from D*.

Measured in a side thread, on copies of the networks, about once a second, on 32,768 evenly spread points of the noise and as
many of the data. Divergences compare the shares of cells (100 on the line, 40 x 40 in the plane): exact shares of the data,
counted shares of the generator.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zerosum.domains.toy.densities import Density
from zerosum.domains.toy.measures import DensityCells, divergences
from zerosum.engine import losses
from zerosum.engine.game import DISCRIMINATOR, GENERATOR, DiscriminatorOutput
from zerosum.engine.loop import TrainingLoop
from zerosum.engine.losses import GANLoss
from zerosum.engine.seeds import Prior
from zerosum.lab.lab_game import ToySetup
from zerosum.metrics import distances
from zerosum.theory import divergence

NUM = 32_768
NUM_TRANSPORT = 512
CELLS = {1: 100, 2: 40}  # as in the evaluation of a run
CHUNK = 8_192
LARGEST = 30.0
"""The largest logit considered: 1 - sigmoid(30) = 1e-13."""


# --- fixed points: evenly spread over noise and data


def sobol(num: int, dims: int, seed: int) -> Tensor:
    """(num, dims) float64 in [0, 1): a scrambled Sobol sequence (Owen 1998)."""
    engine = torch.quasirandom.SobolEngine(dims, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    points: Tensor = engine.draw(num, dtype=torch.float64)
    return points


def even_noise(prior: Prior, num: int) -> Tensor:
    """(num, L) float32: a Sobol sequence (scrambled, seed 0) mapped to the prior by its quantile function.

    Histograms of samples from this noise are far less noisy than those from independent draws.
    """
    return from_shares(prior, sobol(num, prior.size, 0))


def from_shares(prior: Prior, shares: Tensor) -> Tensor:
    """Numbers in [0, 1] -> noise with those cumulative probabilities, float32; the outermost are held at +-5.5 sigma."""
    if prior.kind == "uniform":
        return (shares * 2 - 1).float()
    noise: Tensor = torch.special.ndtri(shares.clamp(1.9e-8, 1 - 1.9e-8))
    return noise.float()


def even_points(density: Density, num: int, seed: int = 0) -> Tensor:
    """(num, D) float32 of a density: sampled with a Sobol sequence instead of independent numbers."""
    shares = sobol(num, 1 + density.num_dims, seed)
    which = torch.searchsorted(density.weights.cumsum(0), shares[:, 0].contiguous()).clamp(max=len(density.weights) - 1)
    inside = density.kernel.quantile(shares[:, 1:].clamp(1e-12, 1 - 1e-12))
    return (density.centres[which] + density.scales[which, None] * inside).float()


def lattice(prior: Prior, side: int) -> Tensor:
    """(side^2, L) noise: the first two coordinates at evenly spaced probabilities, row by row from the lowest second one;
    the others 0. With one coordinate, (side, 1)."""
    ticks = from_shares(prior, (torch.arange(side, dtype=torch.float64) + 0.5) / side)
    if prior.size == 1:
        return ticks[:, None]
    noise = torch.zeros(side * side, prior.size)
    noise[:, 0], noise[:, 1] = ticks.repeat(side), ticks.repeat_interleave(side)
    return noise


# --- the discriminator as a probability, and the best discriminator


class OptimalD:
    """The logits of a loss as probabilities, and the best D for that loss. D in [0, 1] is always sigmoid(logit - middle)."""

    def __init__(self, pair: GANLoss) -> None:
        self.pair = pair
        self._best = _best_by_ratio(pair)

    def middle(self, real: Tensor, fake: Tensor) -> float:
        """The logit at which D is 1/2: that of the loss; or, where only differences of logits have a meaning, the constant
        that maximises V over these logits of reals and fakes."""
        if self.pair.neutral is not None:
            return self.pair.neutral
        low, high = float(min(real.min(), fake.min())) - 1, float(max(real.max(), fake.max())) + 1
        for _ in range(30):  # V is concave in the constant, so its slope has one zero
            middle = (low + high) / 2
            slope = float((fake - middle).sigmoid().mean() - (middle - real).sigmoid().mean())
            low, high = (middle, high) if slope > 0 else (low, middle)
        return (low + high) / 2

    def best(self, p: Tensor, q: Tensor) -> Tensor | None:
        """The best D for this loss where the data have density p and the fakes q, elementwise.

        p / (p + q) for losses whose logit is a log-odds (proposition 1 of the 2014 paper), up to their free constant for
        relativistic ones; for others the minimum of their own function; None for a critic that would grow without bound.
        """
        if self._best is None:
            return None
        place = divergence.optimal_discriminator(p, q).double() * (len(self._best) - 1)
        below = place.floor().long().clamp(max=len(self._best) - 2)
        return torch.lerp(self._best[below], self._best[below + 1], place - below)

    def value(self, real: Tensor, fake: Tensor, middle: float) -> float | None:
        """V(D, G), a mean over logits of reals and fakes; None where D estimates no probability."""
        if not self.pair.probabilistic and _separable(self.pair):
            return None
        return float((losses.value(real - middle, fake - middle)).mean())


def _best_by_ratio(pair: GANLoss) -> Tensor | None:
    """(1001,) float64: the best D where p / (p + q) = 0, 0.001 ... 1; None where there is none."""
    ratios = torch.linspace(0, 1, 1001, dtype=torch.float64)
    if pair.probabilistic or not _separable(pair):
        return ratios
    logits = torch.linspace(-LARGEST, LARGEST, 3001, dtype=torch.float64)
    zero = torch.zeros_like(logits)
    on_real, on_fake = pair.discriminator(logits, zero), pair.discriminator(zero, logits)
    cost = ratios[:, None] * on_real + (1 - ratios[:, None]) * on_fake
    lowest = (cost <= cost.min(1, keepdim=True).values + 1e-12).double()
    found = (lowest @ logits) / lowest.sum(1)  # if an interval of logits is equally good: its middle
    # A loss that decreases without bound has no best D; one that converges has a best D that is certain.
    for ratio in (0.25, 0.75):
        cost = ratio * on_real + (1 - ratio) * on_fake
        if float(torch.minimum(cost[0] - cost[750], cost[-1] - cost[-751])) < -1:
            return None
    return (found - (pair.neutral or 0.0)).sigmoid()


def _separable(pair: GANLoss) -> bool:
    """Whether D's loss is a function of the real logit plus one of the fake logit."""
    real, fake = torch.tensor([0.7, -1.3]).double(), torch.tensor([0.4, 2.1]).double()
    zero, f = torch.zeros_like(real), pair.discriminator
    return bool(torch.allclose(f(real, fake) + f(zero, zero), f(real, zero) + f(zero, fake)))


# --- the measurements


@dataclass(frozen=True)
class NetworkCopies:
    """Copies of the networks at a step, so that the game can continue."""

    step: int
    generator: nn.Module
    discriminator: nn.Module

    @classmethod
    def of(cls, loop: TrainingLoop) -> NetworkCopies:
        """The networks as they are now."""
        return cls(
            loop.step, copy.deepcopy(loop.game.players[GENERATOR]), copy.deepcopy(loop.game.players[DISCRIMINATOR])
        )


class Measure:
    """Measures networks against the density of a setup. floor: the distance w between two samples of the data."""

    def __init__(self, setup: ToySetup) -> None:
        self.density, self.optimal_d = setup.density, OptimalD(setup.pair)
        self.on_line = self.density.num_dims == 1
        self.noise = even_noise(setup.settings.recipe().prior, NUM)
        self.real = even_points(self.density, NUM)
        self.cells = DensityCells(self.density.box, CELLS[self.density.num_dims])
        self.p = self.cells.probabilities(self.density)
        self.of_real = self.cells.index(self.real)
        shares = (torch.arange(NUM, dtype=torch.float64) + 0.5) / NUM
        self.quantiles = self.density.quantile(shares) if self.on_line else shares
        self.floor = self._distance(even_points(self.density, NUM, seed=1))

    @torch.no_grad()
    def __call__(self, networks: NetworkCopies) -> dict[str, float]:
        """Every number by its key; V and bound where D estimates a probability, gap (in per cent) where there is a best D."""
        fakes = torch.nan_to_num(torch.cat([networks.generator(rows) for rows in torch.split(self.noise, CHUNK)]))
        of_fake = self.cells.index(fakes)
        counts = torch.bincount(of_fake, minlength=self.cells.num).double()
        apart = divergences(self.p, counts)
        found = {"kl": apart["KL"], "kl_reverse": apart["KL_reverse"], "js": apart["JS"], "w": self._distance(fakes)}
        on_real, on_fake = (self._scores(networks.discriminator, rows) for rows in (self.real, fakes))
        middle = self.optimal_d.middle(on_real, on_fake)
        value = self.optimal_d.value(on_real, on_fake, middle)
        if value is not None:
            found |= {"V": value, "bound": float(divergence.optimal_value(self.p, counts / counts.sum()))}
        best = self.optimal_d.best(self.p, counts / counts.sum())
        if best is not None:
            both = ((on_real, self.of_real), (on_fake, of_fake))
            distances = [((logits - middle).sigmoid() - best[cells]).abs().mean() for logits, cells in both]
            found["gap"] = 50 * float(distances[0] + distances[1])
        return found

    def _scores(self, discriminator: nn.Module, points: Tensor) -> Tensor:
        return torch.cat([DiscriminatorOutput.of(discriminator(rows)).score() for rows in torch.split(points, CHUNK)])

    def _distance(self, points: Tensor) -> float:
        """W1 to the exact quantiles on the line; W2 between 512 points of each in the plane."""
        if self.on_line:
            return distances.wasserstein1_1d(points[:, 0], self.quantiles)
        return distances.wasserstein2(points[:NUM_TRANSPORT], self.real[:NUM_TRANSPORT])
