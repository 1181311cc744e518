"""Numbers of any kind to 8-bit pixels: which range they are in is found from all of them, told, and never clipped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from zerosum.data.images.types import Pixels
from zerosum.errors import UserError

CHUNK_ROWS = 1024
DARK = 64
"""A largest value below this makes an 8-bit picture nearly black, which is worth a word."""


def to_bytes(values: npt.NDArray[Any], rows: npt.NDArray[np.int64], where: str) -> tuple[Pixels, tuple[str, ...]]:
    """uint8 of the given rows of an array, and what was done.

    uint8 is kept; bool becomes 0 and 255; whole numbers in 0..255 are kept, in 0..65535 divided by 257; floats in
    [0, 1], [-1, 1] or [0, 255] are scaled to 0..255 and rounded. Raises UserError for other ranges and for values that
    are not finite.
    """
    if values.dtype == np.uint8:
        kept = np.asarray(values)[rows] if len(rows) < len(values) else np.array(values)
        return kept, if_dark(int(kept.max()))
    if values.dtype == np.bool_:
        return values[rows].astype(np.uint8) * np.uint8(255), ()
    if values.dtype.kind == "f":
        _check_finite(values, rows, where)
    low, high = _range(values, rows)
    scale, shift, told = _scaling(values.dtype.kind == "f", low, high, where)
    out = np.empty((len(rows), *values.shape[1:]), np.uint8)
    for start, part in _chunks(values, rows):
        out[start : start + len(part)] = np.rint((part.astype(np.float64) + shift) * scale)
    return out, (*told, *if_dark(int(out.max())))


def _scaling(floating: bool, low: float, high: float, where: str) -> tuple[float, float, tuple[str, ...]]:
    """(scale, shift) of byte = (value + shift) * scale, and the note on it."""
    if floating and low >= -1 and high <= 1:
        if low < 0:
            return 127.5, 1.0, ("Pixels in [-1, 1] were scaled to 0..255.",)
        return 255.0, 0.0, ("Pixels in [0, 1] were scaled to 0..255.",)
    if low >= 0 and high <= 255:
        return 1.0, 0.0, (("Pixels in [0, 255] were rounded to whole numbers.",) if floating else ())
    if not floating and low >= 0 and high <= 65535:
        return 1 / 257, 0.0, ("16-bit pixels were divided by 257.",)
    ranges = "[0, 1], [-1, 1] or [0, 255]" if floating else "0..255 or 0..65535"
    raise UserError(
        f"{where}: pixels from {low:g} to {high:g}; expected {ranges}. Scale them and save the array again."
    )


def if_dark(high: int, top: int = 255, what: str = "images") -> tuple[str, ...]:
    """The note on images whose largest value is `high` of `top`, where that is nearly black (12 bits in a file of 16, say)."""
    if high >= DARK / 255 * top:
        return ()
    return (
        f"The brightest pixel is {high} of {top}, so the {what} are nearly black; scale their values and save them again if "
        "that is not meant.",
    )


def _check_finite(values: npt.NDArray[Any], rows: npt.NDArray[np.int64], where: str) -> None:
    count, first = 0, None
    for start, part in _chunks(values, rows):
        bad = ~np.isfinite(part)
        if bad.any():
            count += int(bad.sum())
            if first is None:
                at = np.unravel_index(int(bad.argmax()), part.shape)
                first = (int(rows[start + int(at[0])]), *(int(index) for index in at[1:]))
    if first is not None:
        raise UserError(
            f"{where}: {count} value(s) are not finite, the first at {first}. Remove those images or mend them."
        )


def _range(values: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> tuple[float, float]:
    bounds = [(part.min(), part.max()) for _, part in _chunks(values, rows)]
    return float(min(low for low, _ in bounds)), float(max(high for _, high in bounds))


def _chunks(values: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    for start in range(0, len(rows), CHUNK_ROWS):
        yield start, values[rows[start : start + CHUNK_ROWS]]
