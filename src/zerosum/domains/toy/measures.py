"""What is measured of points against the truth. A measure's full name tells the sizes that decide its value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from zerosum.domains.toy.cells import Cells, divergences
from zerosum.domains.toy.densities import Density
from zerosum.domains.toy.modes import LEAST, SIGMAS, found, nearest
from zerosum.metrics.distances import mmd2, wasserstein1_1d, wasserstein2
from zerosum.theory import divergence

PAIRED, COMPARED = 1_000, 3_000
"""Points a side for W2 in the plane, whose time grows with their third power, and for MMD, with their second."""
WIDTHS = (0.1, 0.3, 1.0)
"""Of the Gaussian kernels of MMD, for data of deviation 1."""


class Meaning(NamedTuple):
    """Which way is better, and one plain sentence."""

    better: str
    sentence: str


MEANINGS: Mapping[str, Meaning] = {
    "modes_found": Meaning("higher", f"Modes that hold at least {LEAST:.0%} of their share of the points."),
    "share_near": Meaning("higher", f"Share of the points within {SIGMAS:g} sigma of a mode."),
    "wasserstein_1": Meaning("lower", "Mean distance over which the points must be carried to follow the data."),
    "wasserstein_2": Meaning("lower", "Root mean square distance to real points under the best pairing."),
    "KL": Meaning("lower", "KL(data || generator) in nats: grows where data are that the generator does not make."),
    "KL_reverse": Meaning("lower", "KL(generator || data) in nats: grows where the generator makes what data are not."),
    "JS": Meaning("lower", "Jensen-Shannon divergence in nats, 0 to log 2 = 0.693: what the game of 2014 minimises."),
    "total_variation": Meaning("lower", "The largest difference in the probability of any event, 0 to 1."),
    "MMD2": Meaning("lower", "Squared maximum mean discrepancy, unbiased: around 0 when no kernel sees a difference."),
    "D_distance": Meaning(
        "lower", "Mean |D - D*| over real and generated points, D* = p/(p + q); not for a D that is no probability."
    ),
    "V_gap": Meaning("lower", "How far V(D, G) lies below -log 4 + 2 JSD, its value for the best D, in nats."),
}


@dataclass(frozen=True, eq=False)
class ReferenceData:
    """What samples are held against.

    points: (M, D) real points. density: the exact one, None where only points are known. most: the points a side that
    measures between two samples may use.
    """

    points: Tensor
    cells: Cells
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
        """How many points the probabilities were counted from."""
        return math.inf if self.density is not None else len(self.points)


def of_points(points: Tensor, truth: ReferenceData) -> dict[str, float]:
    """All measures of (N, D) points that need no discriminator, by full name."""
    num, size = len(points), min(COMPARED, truth.most, len(points))
    counted = divergences(truth.probabilities, truth.cells.counts(points), truth.trials)
    return {
        **_modes(points, truth.density),
        **_transport(points, truth),
        **{f"{name}[{truth.cells.tag},n={num}]": value for name, value in counted.items()},
        f"MMD2[n={size}]": mmd2(points[:size], truth.points[:size], WIDTHS),
    }


def _modes(points: Tensor, density: Density | None) -> dict[str, float]:
    if density is None or density.modes is None:
        return {}
    return {
        f"modes_found[n={len(points)}]": float(found(points, density).sum()),
        f"share_near[n={len(points)}]": float((nearest(points, density) >= 0).double().mean()),
    }


def _transport(points: Tensor, truth: ReferenceData) -> dict[str, float]:
    num = len(points)
    if points.shape[1] == 2:
        size = min(PAIRED, truth.most, num)
        return {f"wasserstein_2[n={size}]": wasserstein2(points[:size], truth.points[:size])}
    if truth.density is None:
        return {f"wasserstein_1[n={num}]": wasserstein1_1d(points[:, 0], truth.points[:, 0])}
    ideal = truth.density.quantile((torch.arange(num, dtype=torch.float64) + 0.5) / num)
    return {
        f"wasserstein_1[n={num}]": wasserstein1_1d(points[:, 0], ideal),
        f"wasserstein_2[n={num}]": wasserstein2(points, ideal[:, None]),
    }


def of_discriminator(fakes: Tensor, on_fake: Tensor, on_real: Tensor, truth: ReferenceData) -> dict[str, float]:
    """How far D is from the best one, by full name. on_fake, on_real: logits of the fakes and of truth.points.

    p and q are the probabilities of cells. D_distance is taken under (p + q)/2.
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
