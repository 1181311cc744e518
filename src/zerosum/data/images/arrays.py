"""Reads images from .npy and .npz arrays: finds the array of images, its layout and range, and the labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zerosum.data import numpy_files
from zerosum.data.images.loaded import (
    RGBA,
    ImageOptions,
    Labels,
    LoadedImages,
    Part,
    Pixels,
    check_memory,
    no_transparency_error,
)
from zerosum.data.images.pictures import refit
from zerosum.data.numpy_files import Arrays, Header, refuse_objects
from zerosum.errors import UserError

CHUNK_ROWS = 1024
DARK = 64
"""If the largest value of an 8-bit picture is below this, the picture is nearly black and a note says so."""
IMAGE_KEYS = ("images", "image", "x", "data", "arr_0")
LABEL_KEYS = ("labels", "label", "y", "subject", "target", "targets")
HELDOUT = ("test", "val")
CHANNELS = (1, 3, RGBA)
MIN_SIDE = 8
"""A three-dimensional array thinner than this, in pixels, is not read as images unless its name says so."""


def read_npy(path: Path, options: ImageOptions) -> LoadedImages:
    """One array of images, see `_find_layout` for its shapes and `to_bytes` for its ranges. Raises UserError."""
    with numpy_files.open_arrays(path) as arrays:
        _check_images(arrays[path.stem], str(path))
        # Memory-mapped, so that a large float array is converted in chunks.
        values = arrays.read(path.stem, mapped=True)
    images, notes = _convert_images(values, options, str(path))
    return LoadedImages(path.stem, Part(images), notes=(*notes, *options.selection_note(len(values))))


def read_npz(path: Path, options: ImageOptions) -> LoadedImages:
    """The images of an .npz, their labels, and a held-out part when the arrays are named so (x_train, test_images ...)."""
    with numpy_files.open_arrays(path) as arrays:
        parts = _find_parts(arrays)
        train, class_names, notes = _read_part(arrays, *parts["train"], options, None)
        heldout = None
        if "heldout" in parts:
            heldout, _, more_notes = _read_part(arrays, *parts["heldout"], options, class_names)
            notes = (
                *notes,
                *(note for note in more_notes if note not in notes),
                f"{len(heldout.pixels)} images are held out.",
            )
    return LoadedImages(path.stem, train, heldout, class_names, notes)


def looks_like_images(path: Path) -> bool:
    """Whether an .npy or .npz holds an array that could be images; reads headers only. Raises UserError and OSError."""
    with numpy_files.open_arrays(path) as arrays:
        return _could_be_images(arrays[path.stem if path.suffix.lower() == ".npy" else _find_parts(arrays)["train"][0]])


def _find_parts(arrays: Arrays) -> dict[str, tuple[str, str | None]]:
    """The arrays to read: 'train' and perhaps 'heldout', each (images, labels or None)."""
    lower = {name.rpartition("/")[2].lower(): name for name in arrays}

    def find(keys: tuple[str, ...], split: str) -> str | None:
        candidates = [
            spelling for key in keys for spelling in ((f"{split}_{key}", f"{key}_{split}") if split else (key,))
        ]
        return next((lower[name] for name in candidates if name in lower), None)

    for split in ("train", ""):
        images = find(IMAGE_KEYS, split)
        if images is not None:
            parts = {"train": (images, find(LABEL_KEYS, split))}
            heldout_arrays = [
                (name, find(LABEL_KEYS, other)) for other in HELDOUT if (name := find(IMAGE_KEYS, other)) is not None
            ]
            return parts | ({"heldout": heldout_arrays[0]} if heldout_arrays and split else {})
    plausible = [name for name in lower.values() if _could_be_images(arrays[name])]
    if len(plausible) != 1:
        raise UserError(
            f"{arrays.path}: which array holds the images? Found: {', '.join(sorted(arrays)) or 'none'}. "
            "Name it 'images' (and the labels 'labels'), shaped (N, H, W), (N, H, W, C) or (N, C, H, W)."
        )
    return {"train": (plausible[0], find(LABEL_KEYS, ""))}


def _read_part(
    arrays: Arrays, images: str, labels: str | None, options: ImageOptions, known_names: tuple[str, ...] | None
) -> tuple[Part, tuple[str, ...], tuple[str, ...]]:
    where = arrays.place(images)
    _check_images(arrays[images], where)
    values = arrays.read(images)
    pixels, notes = _convert_images(values, options, where)
    notes = (*notes, *options.selection_note(len(values)))
    if labels is None:
        return Part(pixels), (), notes
    classes, class_names, more_notes = _class_indices(
        arrays.read(labels), len(values), arrays.place(labels), known_names
    )
    chosen = None if classes is None else classes[options.rows(len(values))]
    return Part(pixels, chosen), class_names, (*notes, *more_notes)


def _class_indices(
    raw_labels: npt.NDArray[Any], num_images: int, where: str, known_names: tuple[str, ...] | None
) -> tuple[Labels | None, tuple[str, ...], tuple[str, ...]]:
    """Labels 0..K-1 and class names of an array of whole numbers or text, (N,) or (N, 1)."""
    if raw_labels.shape not in ((num_images,), (num_images, 1)):
        raise UserError(
            f"{where}: labels of shape {raw_labels.shape} for {num_images} images; expected ({num_images},)."
        )
    if raw_labels.dtype.kind not in "biuU":
        raise UserError(f"{where}: labels of type {raw_labels.dtype}; expected whole numbers or text.")
    values, inverse = np.unique(raw_labels.reshape(-1), return_inverse=True)
    names = tuple(str(value) for value in values)
    if known_names is not None:
        if unknown := sorted(set(names) - set(known_names)):
            raise UserError(
                f"{where}: held-out label {unknown[0]} has no training images; trained: {', '.join(known_names)}."
            )
        order = np.array([known_names.index(name) for name in names], dtype=np.int64)
        return order[inverse], known_names, ()
    if len(names) < 2 or len(names) > max(2, num_images // 2):
        return None, (), (f"The labels take {len(names)} value(s) in {num_images} images, so they are not used.",)
    return inverse.astype(np.int64), names, ()


def _convert_images(values: npt.NDArray[Any], options: ImageOptions, where: str) -> tuple[Pixels, tuple[str, ...]]:
    """(N, C, H, W) uint8 of an array in one of the layouts."""
    if len(values) < 2:
        raise UserError(f"{where}: {len(values)} image(s); a training set needs at least 2.")
    axes, notes = _find_layout(values.shape, where)
    rows = options.rows(len(values))
    _, channels, height, width = (1 if axis is None else values.shape[axis] for axis in axes)
    check_memory(len(rows), channels, height, width, where)
    pixels, range_notes = to_bytes(values, rows, where)
    if values.ndim == 3:
        pixels = pixels[:, None]
    elif axes[1] == 3:
        pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    if channels == RGBA:
        pixels, range_notes = _resolve_alpha(pixels, options, where, range_notes)
    if options.alpha == "keep" and channels != RGBA:
        raise no_transparency_error(where)
    channels = pixels.shape[1]
    size, new_channels = options.resolution or (height, width), options.channels or channels
    check_memory(len(rows), new_channels, *size, where)
    if size != (height, width):
        range_notes = (*range_notes, f"{len(rows)} images were resized from {height}x{width} to {size[0]}x{size[1]}.")
    if new_channels != channels:
        range_notes = (*range_notes, f"{len(rows)} images were made {'grey' if new_channels == 1 else 'RGB'}.")
    return refit(pixels, size, new_channels, options.crop), (*notes, *range_notes)


def _resolve_alpha(
    pixels: Pixels, options: ImageOptions, where: str, notes: tuple[str, ...]
) -> tuple[Pixels, tuple[str, ...]]:
    """(N, 4, H, W) with the colours of transparent pixels set to 0, or composited on the background; and the extended notes."""
    num, alpha = len(pixels), pixels[:, 3:]
    count = int((alpha.min((1, 2, 3)) < 255).sum())
    if options.alpha == "keep":
        if not count:
            raise no_transparency_error(where)
        return pixels * (alpha > 0), (*notes, f"{count} of {num} images have transparency, which is kept.")
    import torch

    from zerosum.data.images.pictures import pixels_on_background

    composited = pixels_on_background(torch.from_numpy(pixels), options.background).numpy()
    note = (
        f"{count} of {num} images with transparency were laid on {options.background}; data.background=COLOUR chooses "
        "another colour, data.alpha=keep keeps the transparency."
    )
    return composited, (*notes, note) if count else notes


def _find_layout(shape: tuple[int, ...], where: str) -> tuple[tuple[int, int | None, int, int], tuple[str, ...]]:
    """Which axis is rows, channels (None: grey, no axis), height, width."""
    if len(shape) == 3:
        return (0, None, 1, 2), ()
    last, first = shape[3] in CHANNELS, shape[1] in CHANNELS
    if last and first:
        note = f"{where}: shape {shape} fits both layouts; it was read as (N, H, W, C) with {shape[3]} channel(s)."
        return (0, 3, 1, 2), (note,)
    if last:
        return (0, 3, 1, 2), ()
    if first:
        return (0, 1, 2, 3), ()
    raise UserError(f"{where}: shape {shape} has no axis of 1, 3 or 4 channels. {_EXPECTED_SHAPES}")


_EXPECTED_SHAPES = "Expected (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 (grey), 3 (RGB) or 4 (RGBA)."


def _could_be_images(header: Header) -> bool:
    shape = header.shape
    if header.dtype.kind not in "buif" or min(shape, default=0) < 1:
        return False
    if len(shape) == 3:
        return min(shape[1:]) >= MIN_SIDE
    return len(shape) == 4 and (shape[1] in CHANNELS or shape[3] in CHANNELS)


def _check_images(header: Header, where: str) -> None:
    shape = header.shape
    refuse_objects(header, where)
    if len(shape) not in (3, 4) or 0 in shape[1:]:
        raise UserError(f"{where}: an array of shape {shape} is not a set of images. {_EXPECTED_SHAPES}")
    if len(shape) == 3 and shape[2] in CHANNELS:
        raise UserError(f"{where}: shape {shape} looks like one single image. {_EXPECTED_SHAPES}")
    if header.dtype.kind not in "buif":
        raise UserError(
            f"{where}: pixels of type {header.dtype}; expected uint8, or other whole or floating-point numbers."
        )


# --- conversion of any numbers to 8-bit pixels: the range is found from all values, and nothing is clipped


def to_bytes(values: npt.NDArray[Any], rows: npt.NDArray[np.int64], where: str) -> tuple[Pixels, tuple[str, ...]]:
    """The given rows of an array as uint8, and notes on what was done.

    uint8 is kept; bool becomes 0 and 255; whole numbers in 0..255 are kept, in 0..65535 divided by 257; floats in
    [0, 1], [-1, 1] or [0, 255] are scaled to 0..255 and rounded. Raises UserError for other ranges and for values that
    are not finite.
    """
    if values.dtype == np.uint8:
        kept = np.asarray(values)[rows] if len(rows) < len(values) else np.array(values)
        return kept, dark_note(int(kept.max()))
    if values.dtype == np.bool_:
        return values[rows].astype(np.uint8) * np.uint8(255), ()
    if values.dtype.kind == "f":
        _check_finite(values, rows, where)
    low, high = _value_range(values, rows)
    scale, shift, notes = _find_scaling(values.dtype.kind == "f", low, high, where)
    out = np.empty((len(rows), *values.shape[1:]), np.uint8)
    for start, part in _iterate_chunks(values, rows):
        out[start : start + len(part)] = np.rint((part.astype(np.float64) + shift) * scale)
    return out, (*notes, *dark_note(int(out.max())))


def _find_scaling(floating: bool, low: float, high: float, where: str) -> tuple[float, float, tuple[str, ...]]:
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


def dark_note(high: int, top: int = 255, what: str = "images") -> tuple[str, ...]:
    """The note on images whose largest value is `high` of `top`, where that is nearly black (12 bits in a file of 16, say)."""
    if high >= DARK / 255 * top:
        return ()
    return (
        f"The brightest pixel is {high} of {top}, so the {what} are nearly black; scale their values and save them again if "
        "this is not intended.",
    )


def _check_finite(values: npt.NDArray[Any], rows: npt.NDArray[np.int64], where: str) -> None:
    count, first = 0, None
    for start, part in _iterate_chunks(values, rows):
        bad = ~np.isfinite(part)
        if bad.any():
            count += int(bad.sum())
            if first is None:
                at = np.unravel_index(int(bad.argmax()), part.shape)
                first = (int(rows[start + int(at[0])]), *(int(index) for index in at[1:]))
    if first is not None:
        raise UserError(
            f"{where}: {count} value(s) are not finite, the first at {first}. Remove or repair those images."
        )


def _value_range(values: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> tuple[float, float]:
    bounds = [(part.min(), part.max()) for _, part in _iterate_chunks(values, rows)]
    return float(min(low for low, _ in bounds)), float(max(high for _, high in bounds))


def _iterate_chunks(values: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    for start in range(0, len(rows), CHUNK_ROWS):
        yield start, values[rows[start : start + CHUNK_ROWS]]
