"""Fixed points at which the lab looks at a game: evenly spread over noise and data, so that few of them say much."""

from __future__ import annotations

import torch
from torch import Tensor

from zerosum.domains.toy.densities import Density
from zerosum.engine.duel import Prior


def sobol(num: int, dims: int, seed: int) -> Tensor:
    """(num, dims) float64 in [0, 1): a scrambled Sobol sequence (Owen 1998)."""
    engine = torch.quasirandom.SobolEngine(dims, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    points: Tensor = engine.draw(num, dtype=torch.float64)
    return points


def even_noise(prior: Prior, num: int) -> Tensor:
    """(num, L) float32: a Sobol sequence (scrambled, seed 0) carried to the prior by its quantile function.

    Histograms of what a generator makes of it are far less noisy than those of independent draws.
    """
    return from_shares(prior, sobol(num, prior.size, 0))


def from_shares(prior: Prior, shares: Tensor) -> Tensor:
    """Numbers in [0, 1] -> noise with those cumulative probabilities, float32; the outermost are held at +-5.5 sigma."""
    if prior.kind == "uniform":
        return (shares * 2 - 1).float()
    noise: Tensor = torch.special.ndtri(shares.clamp(1.9e-8, 1 - 1.9e-8))
    return noise.float()


def even_points(density: Density, num: int, seed: int = 0) -> Tensor:
    """(num, D) float32 of a density: as its own samples are made, from a Sobol sequence instead of independent numbers."""
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
