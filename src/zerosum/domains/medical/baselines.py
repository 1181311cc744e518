"""Simple models of scans: without inputs those of rows of numbers, with inputs maps of single voxels.

Legend: N rows, * spatial sizes, L labels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zerosum.domain import Baseline, PairedBaseline
from zerosum.engine.game import Batch
from zerosum.metrics.baselines import Model, Shaped, classical, sample_fit_rows

if TYPE_CHECKING:
    from zerosum.domains.medical.data import ScanSource


@dataclass(frozen=True)
class LabelValues:
    """Draws the value of each voxel from the normal distribution of its label, or takes the mean. means, deviations: (L,)."""

    means: Tensor = field(repr=False)
    deviations: Tensor = field(repr=False)
    total: int

    @property
    def summary(self) -> str:
        """What was fitted."""
        what = "normal distribution of each label" if bool(self.deviations.any()) else "mean value of each label"
        return f"{what}: {len(self.means):,} labels, fitted to {self.total:,} rows"

    def outputs(self, conditions: Tensor, seed: int) -> Tensor:
        """(N, 1, *) label numbers -> (N, 1, *) float32 in [-1, 1]."""
        labels = conditions.long()
        noise = torch.randn(labels.shape, generator=torch.Generator().manual_seed(seed))
        return (self.means[labels] + self.deviations[labels] * noise).clamp(-1, 1)


@dataclass(frozen=True)
class LinearMap:
    """slope * input + intercept, the same for all voxels; for thick slices slope 1: linear interpolation between them."""

    slope: float
    intercept: float
    what: str

    @property
    def summary(self) -> str:
        """What was fitted."""
        return f"{self.what}: {self.slope:.3f} x input {self.intercept:+.3f}, values from -1 to 1"

    def outputs(self, conditions: Tensor, seed: int) -> Tensor:
        """(N, 1, *) images -> (N, 1, *) float32 in [-1, 1]."""
        return (self.slope * conditions.float() + self.intercept).clamp(-1, 1)


def baselines(source: ScanSource) -> dict[str, Callable[[], Baseline | PairedBaseline]]:
    """Models of the training rows: of all, or of a random choice of at most 2**24 numbers. Classes are not used."""
    kind = source.payload.input

    def batch() -> Batch:
        return source.batch(sample_fit_rows(source.num_rows, math.prod(source.size)))

    if kind == "labels":
        return {
            "label-means": lambda: _label_values(batch(), len(source.payload.codes), False),
            "label-normals": lambda: _label_values(batch(), len(source.payload.codes), True),
        }
    if kind == "image":
        return {"linear": lambda: _linear(batch())}
    if kind == "thick":
        return {"interpolation": lambda: LinearMap(1.0, 0.0, "linear interpolation between thick slices")}
    rows = batch().data.detach().cpu().float().flatten(1)
    shape = (1, *source.size)
    return {name: functools.partial(_shaped, fit, shape) for name, fit in classical(rows, source.num_rows).items()}


def _shaped(fit: Callable[[], Model], shape: tuple[int, ...]) -> Shaped:
    return Shaped(fit(), shape)


def _label_values(batch: Batch, num_labels: int, spread: bool) -> LabelValues:
    """Labels that no row shows get the mean of all voxels."""
    assert batch.condition is not None
    labels, values = batch.condition.cpu().flatten().long(), batch.data.cpu().flatten().double()
    counts = torch.bincount(labels, minlength=num_labels).double()
    means = torch.bincount(labels, values, num_labels) / counts.clamp_min(1)
    squares = torch.bincount(labels, (values - means[labels]).square(), num_labels) / counts.clamp_min(1)
    means = means.where(counts > 0, values.mean())
    deviations = squares.sqrt() if spread else torch.zeros_like(squares)
    return LabelValues(means.float(), deviations.float(), len(batch.data))


def _linear(batch: Batch) -> LinearMap:
    """By least squares."""
    assert batch.condition is not None
    given, wanted = batch.condition.cpu().flatten().double(), batch.data.cpu().flatten().double()
    spread = given.var(correction=0)
    slope = ((given - given.mean()) * (wanted - wanted.mean())).mean() / spread if bool(spread > 0) else torch.zeros(())
    intercept = wanted.mean() - slope * given.mean()
    return LinearMap(float(slope), float(intercept), f"linear map of values: fitted to {len(batch.data):,} rows")
