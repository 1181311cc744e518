"""Scans in canonical orientation, and the grids to which they are resampled.

Arrays are (X, Y, Z): x to the right, y to the front, z upwards (RAS). An affine (4, 4) maps indices to millimetres.
Two-dimensional images are scans of one voxel along z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FOREGROUND = 0.05
"""Share of the window above which a voxel counts as foreground."""
Values = NDArray[np.generic]
Affine = NDArray[np.float64]


@dataclass(frozen=True)
class Stored:
    """How a file stores a scan: what is needed to write another one alike.

    dtype: of the stored numbers. slope, inter: value = slope * number + inter. orientation: the directions of the axes of the
    file, "RAS" or "PSR" for example. qform_code, sform_code, xyzt_units: of a NIfTI header. units: of the values, "HU" or "".
    qform: the 12 numbers of the change from the sform to a qform that differs from it; () where both are equal.
    """

    dtype: str = "float32"
    slope: float = 1.0
    inter: float = 0.0
    orientation: str = "RAS"
    qform_code: int = 1
    sform_code: int = 1
    xyzt_units: int = 2
    units: str = ""
    qform: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan in canonical orientation.

    numbers: (X, Y, Z) as stored; values are slope * numbers + inter. person: what rows are split by, never shown. row_class: the
    class, -1 without. labels: (X, Y, Z) of the same shape, None without. partner: a second scan of the same shape, None without.
    """

    numbers: Values
    affine: Affine
    stored: Stored = field(default_factory=Stored)
    person: str = ""
    row_class: int = -1
    labels: Values | None = None
    partner: Values | None = None

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxels along each axis."""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(0)).tolist()
        return x, y, z

    def values(self) -> NDArray[np.float32]:
        """(X, Y, Z) in the units of the data."""
        if self.stored.slope == 1 and self.stored.inter == 0:
            return self.numbers.astype(np.float32)
        scaled: NDArray[np.float32] = (self.numbers.astype(np.float64) * self.stored.slope + self.stored.inter).astype(
            np.float32
        )
        return scaled


WINDOWS = {"brain": (80.0, 40.0), "lung": (1500.0, -600.0), "bone": (1800.0, 400.0), "soft-tissue": (400.0, 40.0)}
"""Windows of computed tomography by name: width and centre in Hounsfield units."""


def window_range(name: str) -> tuple[float, float]:
    """Lowest and highest value of a named window."""
    width, centre = WINDOWS[name]
    return centre - width / 2, centre + width / 2


def percentile_range(scans: Sequence[Scan], partner: bool = False) -> tuple[float, float]:
    """The 0.5 and 99.5 percentiles of the values of some scans, each with at most 100,000 values."""
    parts = []
    for scan in scans:
        values = (scan if not partner else replace(scan, numbers=_partner(scan), stored=Stored())).values().ravel()
        parts.append(values[:: max(1, values.size // 100_000)])
    low, high = np.percentile(np.concatenate(parts), (0.5, 99.5)).tolist()
    return (low, high) if high > low else (low, low + 1.0)


def _partner(scan: Scan) -> Values:
    assert scan.partner is not None
    return scan.partner


def to_unit(values: NDArray[np.float32], window: tuple[float, float]) -> Tensor:
    """Values -> float32 in [-1, 1]; values outside of the window are clamped to its ends."""
    low, high = window
    unit = (values.astype(np.float64) - low) * (2 / (high - low)) - 1
    return torch.from_numpy(np.clip(unit, -1, 1).astype(np.float32))


def from_unit(unit: Tensor, window: tuple[float, float]) -> NDArray[np.float64]:
    """The inverse of `to_unit`, in float64, not rounded; the input is clamped to [-1, 1]."""
    low, high = window
    values: NDArray[np.float64] = (unit.detach().double().clamp(-1, 1).cpu().numpy() + 1) * ((high - low) / 2) + low
    return values


def foreground_box(unit: Tensor) -> list[tuple[int, int]]:
    """The first voxel and the one after the last of the foreground of (X, Y, Z) along each axis; the whole axis where there is
    none. Slices with less than a thousandth of foreground are left out."""
    inside = unit > 2 * FOREGROUND - 1
    found = []
    for axis in range(3):
        share = inside.movedim(axis, 0).flatten(1).float().mean(1)
        places = (share > 0.001).nonzero().flatten()
        found.append((int(places[0]), int(places[-1]) + 1) if len(places) else (0, unit.shape[axis]))
    return found


def resample(
    x: Tensor, starts: Sequence[float], steps: Sequence[float], sizes: Sequence[int], nearest: bool = False
) -> Tensor:
    """(X, Y, Z) -> `sizes`: output voxel i of an axis lies at `start + i * step` in input voxels.

    Linear interpolation, with a filter as wide as the step where voxels become larger. Beyond the edges the value at the corner
    (0, 0, 0) is assumed. nearest: the nearest voxel instead, for label maps; beyond the edges 0.
    """
    outside = 0 if nearest else x.reshape(-1)[0].item()
    for axis, (start, step, size) in enumerate(zip(starts, steps, sizes, strict=True)):
        length = x.shape[axis]
        if start == 0 and step == 1 and size == length:
            continue
        places = start + step * torch.arange(size, dtype=torch.float64)
        moved = x.movedim(axis, 0)
        if nearest:
            index = places.round().long()
            valid = (index >= 0) & (index < length)
            taken = moved[index.clamp(0, length - 1)]
            taken[~valid] = 0
        else:
            wide = max(1.0, step)
            weights = (1 - (torch.arange(length) - places[:, None]).abs() / wide).clamp_min(0) / wide
            if step > 1:  # a triangle at whole voxels does not sum to 1 exactly
                inside = (places >= 0) & (places <= length - 1)
                weights = torch.where(inside[:, None], weights / weights.sum(1, keepdim=True).clamp_min(1e-9), weights)
            rest = (1 - weights.sum(1)).clamp_min(0).float()
            shape = [size, *[1] * (x.dim() - 1)]
            taken = torch.tensordot(weights.to(moved.dtype), moved, 1) + rest.view(shape) * outside
        x = taken.movedim(0, axis)
    return x.contiguous()
