"""The mixture transform of a numeric column: which normal a value belongs to, and how far from its mean it lies.

Mode-specific normalisation (Xu et al. 2019, arXiv:1907.00503, section 4.2): a Bayesian mixture of at most MODES normals is
fitted; a cell is encoded as a mode drawn by the posterior and the offset (v - mean) / (4 deviation). Missing cells are a mode of
their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerosum.domains.tables.rounding import Grid

Floats = NDArray[np.float64]
MODES, LEAST_WEIGHT, MOST_ROWS, SPREAD = 10, 0.005, 5_000, 4.0
"""Normals at most, the least weight of one that is kept, rows that they are fitted to, deviations of an offset of 1."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """weights, means, deviations: (M,). missing: share of missing cells. low, high: of the values. grid: that they are rounded
    to."""

    weights: Floats
    means: Floats
    deviations: Floats
    missing: float
    low: float
    high: float
    grid: Grid

    @property
    def width(self) -> int:
        """Places of the encoded cell: offset, modes, and one for missing where that occurs."""
        return 1 + len(self.weights) + (self.missing > 0)

    def encoded(self, numbers: Tensor, draw: Tensor) -> Tensor:
        """(N,) float64 numbers, NaN where missing, and (N,) uniforms that choose the modes -> (N, width) float32."""
        weights, means, deviations = (
            torch.as_tensor(part, device=numbers.device) for part in (self.weights, self.means, self.deviations)
        )
        known = ~numbers.isnan()
        values = torch.where(known, numbers, means[0])
        far = (values[:, None] - means) / deviations
        posterior = (weights.log() - deviations.log() - far.square() / 2).softmax(1)
        mode = (posterior.cumsum(1) < draw[:, None]).sum(1).clamp(max=len(weights) - 1)
        offset = far.gather(1, mode[:, None])[:, 0] / SPREAD
        out = torch.zeros(len(numbers), self.width, device=numbers.device)
        out[:, 0] = torch.where(known, offset, 0.0).float()
        place = torch.where(known, mode, len(weights)).clamp(max=self.width - 2)
        return out.scatter_(1, 1 + place[:, None], 1.0)

    def decoded(self, block: Floats) -> Floats:
        """(N, width) -> numbers, NaN for missing; the mode is the largest place."""
        mode = block[:, 1:].argmax(1)
        missing = mode >= len(self.means)
        mode = np.where(missing, 0, mode)
        numbers = np.clip(self.means[mode] + SPREAD * self.deviations[mode] * block[:, 0], self.low, self.high)
        return np.where(missing, np.nan, self.grid.rounded(numbers))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        lists = {name: getattr(self, name).tolist() for name in ("weights", "means", "deviations")}
        return lists | {name: getattr(self, name) for name in ("missing", "low", "high")} | {"grid": asdict(self.grid)}


def fitted(numbers: Floats, grid: Grid, seed: int) -> Mixture:
    """The transform of a column; numbers: of the training rows, NaN where missing."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture

    known = numbers[~np.isnan(numbers)]
    middle, deviation = float(known.mean()), float(known.std()) or 1.0
    picked = np.random.default_rng(seed).permutation(len(known))[:MOST_ROWS]
    rows = (known[picked, None] - middle) / deviation
    model = BayesianGaussianMixture(
        n_components=min(MODES, len(np.unique(rows))),
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=1e-3,
        random_state=seed,
    )
    with warnings.catch_warnings():  # a mixture that still moves a little is good enough for an encoding
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows)
    kept = model.weights_ >= LEAST_WEIGHT
    weights, spread = model.weights_[kept], np.sqrt(model.covariances_[kept, 0, 0])
    return Mixture(
        weights / weights.sum(),
        model.means_[kept, 0] * deviation + middle,
        spread * deviation,
        float(np.isnan(numbers).mean()),
        float(known.min()),
        float(known.max()),
        grid,
    )


def of_json(plain: Mapping[str, Any]) -> Mixture:
    """The inverse of Mixture.to_json."""
    lists: dict[str, Any] = {
        name: np.array(plain[name], dtype=np.float64) for name in ("weights", "means", "deviations")
    }
    return Mixture(**lists, **{name: plain[name] for name in ("missing", "low", "high")}, grid=Grid(**plain["grid"]))
