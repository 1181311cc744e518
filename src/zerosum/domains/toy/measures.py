"""The metrics of points. The full name of a metric contains the sizes that its value depends on.

Legend: N, M points, D dimensions (1 or 2), K modes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from zerosum.domains.toy.densities import MIN_MODE_SHARE, MODE_SIGMAS, Box, Density, modes_found, nearest_mode
from zerosum.metrics.distances import mmd2, wasserstein1_1d, wasserstein2
from zerosum.metrics.record import MetricInfo
from zerosum.theory import divergence

SMOOTHING = 0.5
"""Added to the count of each cell of both distributions before a KL divergence is computed, which an empty cell would
make infinite (Krichevsky and Trofimov 1981)."""


@dataclass(frozen=True, eq=False)
class DensityCells:
    """A grid of `side` equal cells along each dimension of a box; the outermost extend to infinity, so every point is
    in a cell."""

    box: Box
    side: int

    @property
    def edges(self) -> list[Tensor]:
        """For each dimension the side - 1 inner edges, float64."""
        return [torch.linspace(low, high, self.side + 1, dtype=torch.float64)[1:-1] for low, high in self.box]

    @property
    def num(self) -> int:
        """The number of cells."""
        return int(self.side ** len(self.box))

    @property
    def tag(self) -> str:
        """As in the name of a metric: cells=40x40."""
        return "cells=" + "x".join([str(self.side)] * len(self.box))

    def index(self, points: Tensor) -> Tensor:
        """(N, D) -> (N,) int64: the cell of each point, row by row."""
        places = [torch.bucketize(points[:, d].double().contiguous(), inner) for d, inner in enumerate(self.edges)]
        return places[0] if len(places) == 1 else places[0] * self.side + places[1]

    def counts(self, points: Tensor) -> Tensor:
        """(cells,) float64: points in each cell."""
        return torch.bincount(self.index(points), minlength=self.num).double()

    def probabilities(self, density: Density) -> Tensor:
        """(cells,) float64: the exact probability of each cell."""
        return density.cells(self.edges).flatten()


def divergences(p: Tensor, counts: Tensor, trials: float = math.inf) -> dict[str, float]:
    """KL both ways, JS and total variation between cell probabilities p and counts of fakes, in nats.

    trials: the number of reals that p was counted from; inf if p is exact. Both KL are computed with SMOOTHING added to
    the count of each cell (for p, to the expected count); JS and total variation are not smoothed.
    """
    num = counts.sum()
    q = counts / num
    smooth_p = _smoothed(p * min(trials, float(num)))
    smooth_q = _smoothed(counts)
    return {
        "KL": float(divergence.kl(smooth_p, smooth_q)),
        "KL_reverse": float(divergence.kl(smooth_q, smooth_p)),
        "JS": float(divergence.js(p, q)),
        "total_variation": float(divergence.total_variation(p, q)),
    }


def _smoothed(counts: Tensor) -> Tensor:
    return (counts + SMOOTHING) / (counts + SMOOTHING).sum()


W2_POINTS, MMD_POINTS = 1_000, 3_000
"""Points of each sample for W2 in the plane, whose time is cubic in their number, and for MMD, whose time is
quadratic."""
WIDTHS = (0.1, 0.3, 1.0)
"""Widths of the Gaussian kernels of MMD, for data with standard deviation 1."""


MEANINGS: Mapping[str, MetricInfo] = {
    "modes_found": MetricInfo("higher", f"Modes that have at least {MIN_MODE_SHARE:.0%} of their share of the points."),
    "share_near": MetricInfo("higher", f"Share of the points within {MODE_SIGMAS:g} sigma of a mode."),
    "wasserstein_1": MetricInfo("lower", "Mean distance over which the points must be moved to follow the data."),
    "wasserstein_2": MetricInfo("lower", "Root mean square distance to real points under the best pairing."),
    "KL": MetricInfo(
        "lower", "KL(data || generator) in nats: large where there are data that the generator does not produce."
    ),
    "KL_reverse": MetricInfo(
        "lower", "KL(generator || data) in nats: large where the generator produces points unlike the data."
    ),
    "JS": MetricInfo(
        "lower", "Jensen-Shannon divergence in nats, 0 to log 2 = 0.693: minimised by the original GAN of 2014."
    ),
    "total_variation": MetricInfo("lower", "The largest difference in the probability of any event, 0 to 1."),
    "MMD2": MetricInfo("lower", "Squared maximum mean discrepancy, unbiased: around 0 for equal distributions."),
    "D_distance": MetricInfo(
        "lower", "Mean |D - D*| over real and generated points, D* = p/(p + q); only if D is a probability."
    ),
    "V_gap": MetricInfo("lower", "How far V(D, G) lies below -log 4 + 2 JSD, its value for the best D, in nats."),
}


@dataclass(frozen=True, eq=False)
class ReferencePoints:
    """The real data that samples are compared with.

    points: (M, D) real points. density: the exact density, None if only points are known. most: the greatest number of
    points of each sample in metrics that compare two samples.
    """

    points: Tensor
    cells: DensityCells
    density: Density | None
    most: int

    @property
    def probabilities(self) -> Tensor:
        """(cells,) float64: exact, or the shares of the points."""
        if self.density is not None:
            return self.cells.probabilities(self.density)
        return self.cells.counts(self.points) / len(self.points)

    @property
    def trials(self) -> float:
        """The number of points that the probabilities were counted from; inf if they are exact."""
        return math.inf if self.density is not None else len(self.points)


def sizes() -> tuple[int, ...]:
    """The largest samples of which transport and MMD are computed."""
    return W2_POINTS, MMD_POINTS


def of_points(points: Tensor, truth: ReferencePoints) -> dict[str, float]:
    """All metrics of (N, D) points that need no discriminator, by full name."""
    num, size = len(points), min(MMD_POINTS, truth.most, len(points))
    counted = divergences(truth.probabilities, truth.cells.counts(points), truth.trials)
    return {
        **_mode_metrics(points, truth.density),
        **_transport(points, truth),
        **{f"{name}[{truth.cells.tag},n={num}]": value for name, value in counted.items()},
        f"MMD2[n={size}]": mmd2(points[:size], truth.points[:size], WIDTHS),
    }


def _mode_metrics(points: Tensor, density: Density | None) -> dict[str, float]:
    if density is None or density.modes is None:
        return {}
    return {
        f"modes_found[n={len(points)}]": float(modes_found(points, density).sum()),
        f"share_near[n={len(points)}]": float((nearest_mode(points, density) >= 0).double().mean()),
    }


def _transport(points: Tensor, truth: ReferencePoints) -> dict[str, float]:
    num = len(points)
    if points.shape[1] == 2:
        size = min(W2_POINTS, truth.most, num)
        return {f"wasserstein_2[n={size}]": wasserstein2(points[:size], truth.points[:size])}
    if truth.density is None:
        return {f"wasserstein_1[n={num}]": wasserstein1_1d(points[:, 0], truth.points[:, 0])}
    ideal = truth.density.quantile((torch.arange(num, dtype=torch.float64) + 0.5) / num)
    return {
        f"wasserstein_1[n={num}]": wasserstein1_1d(points[:, 0], ideal),
        f"wasserstein_2[n={num}]": wasserstein2(points, ideal[:, None]),
    }


def of_discriminator(fakes: Tensor, on_fake: Tensor, on_real: Tensor, truth: ReferencePoints) -> dict[str, float]:
    """The distance of D from the optimal discriminator, by full name. on_fake, on_real: logits of the fakes and of
    truth.points.

    p and q are the probabilities of cells. D_distance is the mean under (p + q)/2.
    """
    p, q = truth.probabilities, truth.cells.counts(fakes) / len(fakes)
    best, tag = divergence.optimal_discriminator(p, q), f"[{truth.cells.tag},n={len(fakes)}]"
    distances = [
        (logits.double().sigmoid() - best[truth.cells.index(points)]).abs().mean()
        for points, logits in ((truth.points, on_real), (fakes, on_fake))
    ]
    value = logsigmoid(on_real.double()).mean() + logsigmoid(-on_fake.double()).mean()
    return {
        f"D_distance{tag}": float(distances[0] + distances[1]) / 2,
        f"V_gap{tag}": float(divergence.optimal_value(p, q) - value),
    }
