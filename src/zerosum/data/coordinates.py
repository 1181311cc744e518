"""Coordinates in files: value = offset + scale * x, where x is a float32 of about 1. Values far from the origin need float64."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FAR = 16
"""Distance from the origin, in scales, beyond which float32 has clearly fewer digits for a value than for x."""


def dtype_for(offset: Sequence[float], scale: Sequence[float]) -> str:
    """float64 where an axis lies far from the origin, else float32."""
    return "float64" if _distance_in_scales(offset, scale) > FAR else "float32"


def digits_for(offset: Sequence[float], scale: Sequence[float]) -> int:
    """Significant decimal digits: 9, which distinguish any two float32 numbers, plus those that the offset of the axis needs."""
    distance = _distance_in_scales(offset, scale)
    return min(17, 9 + (math.ceil(math.log10(distance)) if distance > FAR else 0))


def restore_values(
    values: npt.NDArray[np.float32], offset: Sequence[float], scale: Sequence[float]
) -> npt.NDArray[np.float64]:
    """offset + scale * x in float64. values: (..., D); offset and scale: D numbers, or one for all."""
    return values.astype(np.float64) * np.asarray(scale, np.float64) + np.asarray(offset, np.float64)


def _distance_in_scales(offset: Sequence[float], scale: Sequence[float]) -> float:
    return float(np.max(np.abs(np.asarray(offset, np.float64)) / np.asarray(scale, np.float64), initial=0.0))
