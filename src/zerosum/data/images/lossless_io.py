"""Reads an image file without any loss: any number of channels, 8 or 16 bits, palette indices unchanged."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, ImageSequence

from zerosum.data import numpy_files
from zerosum.data.images.files import SUFFIXES, BadImageError, open_image
from zerosum.data.opening import read_bytes
from zerosum.errors import UserError

READABLE = SUFFIXES | {".npy"}
"""Suffixes of the files that `read` supports."""

Values = npt.NDArray[Any]
"""uint8 or uint16."""

_PNG = b"\x89PNG\r\n\x1a\n"
BITS_PER_SAMPLE = 258  # a tag of TIFF
MAX_PAGES, MAX_VALUES = 1024, 256_000_000
"""Limits of the pages of a TIFF that are read as channels, and of all their pixels: a small file could fill the memory."""
_SIXTEEN_BIT_CHANNELS = {
    2: 3,
    4: 2,
    6: 4,
}  # colour type of a PNG -> channels, of the types that Pillow would reduce to 8 bits


@dataclass(frozen=True)
class LosslessImage:
    """values: (H, W, C), uint8 or uint16. palette: (K, 3) uint8 if the values are indices of its colours. alpha: (H, W)
    of the same type, 0 transparent, or None."""

    values: Values
    palette: npt.NDArray[np.uint8] | None = None
    alpha: Values | None = None

    def to_colours(self) -> Values:
        """(H, W, C) with the palette applied and transparent parts composited on white."""
        values = self.values if self.palette is None else self.palette[self.values[..., 0]]
        if self.alpha is None:
            return values
        top = float(np.iinfo(values.dtype).max)
        share = self.alpha[..., None] / float(np.iinfo(self.alpha.dtype).max)
        blended: Values = np.rint(values * share + top * (1 - share)).astype(values.dtype)
        return blended


def read(path: Path) -> LosslessImage:
    """The first picture of a file, upright; the pages of a TIFF of grey pages are its channels, the last axis of a .npy array
    too. Raises BadImageError for files that are not images, and for floating-point values, whose range is unknown."""
    if path.suffix.lower() == ".npy":
        return _read_array(path)
    try:
        data = read_bytes(path)
    except UserError as error:
        raise BadImageError(str(error).removeprefix(f"{path}: ").rstrip(".")) from error
    with open_image(io.BytesIO(data)) as image:
        if (deep := _read_sixteen_bit_png(data)) is not None:
            return deep
        _check_depth(image)
        pages = _pages(image) if image.format == "TIFF" else []
        return _stack_pages(pages) if len(pages) > 1 else _read_page(ImageOps.exif_transpose(image))


def _check_depth(image: Image.Image) -> None:
    """Raises BadImageError for colour TIFFs of 16 bits, of which Pillow keeps only the upper 8 bits."""
    bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, ())
    if image.format == "TIFF" and image.mode in ("RGB", "RGBA", "CMYK") and max(bits, default=8) > 8:
        raise BadImageError(
            f"a colour TIFF of {max(bits)} bits a channel, of which 8 would be lost; save it as a PNG of 16 bits or as .npy"
        )


def _pages(image: Image.Image) -> list[Image.Image]:
    """The upright pages. They are counted before any is decoded."""
    pages, pixels = 0, 0
    for page in ImageSequence.Iterator(image):
        pages, pixels = pages + 1, pixels + page.width * page.height
        if pages > MAX_PAGES or pixels > MAX_VALUES:
            raise BadImageError(
                f"more than {MAX_PAGES:,} pages or {MAX_VALUES // 10**6} million pixels in them; pages are read as the "
                "channels of one image, so save the pages of a volume as single files"
            )
    image.seek(0)
    if pages == 1:
        return [image]
    return [ImageOps.exif_transpose(page) for page in ImageSequence.Iterator(image)]


def _stack_pages(pages: list[Image.Image]) -> LosslessImage:
    parts = [_read_page(page).values for page in pages]
    if len({(part.shape[:2], part.dtype) for part in parts}) > 1:
        raise BadImageError("its pages differ in size or depth, so they are not the channels of one image")
    return LosslessImage(np.concatenate(parts, axis=2))


def _read_page(image: Image.Image) -> LosslessImage:
    if image.mode == "F":
        raise BadImageError("a floating-point image, whose range is unknown; save 8- or 16-bit integers")
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        alpha = np.asarray(image.convert("RGBA"))[..., 3] if image.has_transparency_data else None
        return LosslessImage(np.asarray(image)[..., None], palette, alpha)
    if image.mode.startswith("I"):
        return LosslessImage(_to_sixteen_bits(np.asarray(image).astype(np.int64))[..., None])
    if image.mode == "1":
        image = image.convert("L")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.has_transparency_data and image.mode in ("L", "RGB"):  # one colour stands for "transparent"
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    values = np.asarray(image)
    values = values[..., None] if values.ndim == 2 else values
    return LosslessImage(values[..., :-1], alpha=values[..., -1]) if image.mode.endswith("A") else LosslessImage(values)


def _to_sixteen_bits(values: npt.NDArray[np.int64]) -> Values:
    if values.min() < 0 or values.max() > 65535:
        raise BadImageError(f"integers from {values.min()} to {values.max()}, outside the 16-bit range 0..65535")
    return values.astype(np.uint16)


def _read_array(path: Path) -> LosslessImage:
    try:
        with numpy_files.open_arrays(path) as arrays:
            values = arrays.read(path.stem)
    except UserError as error:
        raise BadImageError(str(error).removeprefix(f"{path}: ").rstrip(".")) from error
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or values.dtype not in (np.uint8, np.uint16) or 0 in values.shape:
        raise BadImageError(
            f"an array {values.shape} of {values.dtype}; expected (H, W) or (H, W, C) of uint8 or uint16"
        )
    return LosslessImage(values)


# --- PNG of 16 bits and more than one channel


def _read_sixteen_bit_png(data: bytes) -> LosslessImage | None:
    """The image of a PNG with 16 bits and several channels; None for files that Pillow reads without loss."""
    if data[:8] != _PNG:
        return None
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if depth != 16 or kind not in _SIXTEEN_BIT_CHANNELS:
        return None
    if interlaced:
        raise BadImageError("an interlaced PNG of 16 bits; save it without interlacing")
    body = b"".join(part for name, part in _read_chunks(data[33:]) if name == b"IDAT")
    channels = _SIXTEEN_BIT_CHANNELS[kind]
    rows = _unfilter_rows(body, height, width * channels * 2, channels * 2)
    deep: Values = rows.view(">u2").reshape(height, width, channels).astype(np.uint16)
    return LosslessImage(deep[..., :-1], alpha=deep[..., -1]) if kind in (4, 6) else LosslessImage(deep)


def _read_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and body of each chunk."""
    chunks, offset = [], 0
    while offset + 12 <= len(data):
        length, name = struct.unpack(">I4s", data[offset : offset + 8])
        chunks.append((name, data[offset + 8 : offset + 8 + length]))
        offset += length + 12
    return chunks


def _unfilter_rows(data: bytes, height: int, row_bytes: int, step: int) -> npt.NDArray[np.uint8]:
    """The bytes of the rows, with PNG's line filters reversed (specification, section 9)."""
    try:
        raw = zlib.decompressobj().decompress(data, height * (row_bytes + 1))
    except zlib.error as error:
        raise BadImageError(f"damaged ({error})") from error
    if len(raw) != height * (row_bytes + 1):
        raise BadImageError("damaged or truncated (too few pixels)")
    lines = np.frombuffer(raw, np.uint8).reshape(height, row_bytes + 1)
    out = np.zeros((height + 1, row_bytes + step), np.uint8)  # a border of zeros above and to the left
    for y in range(height):
        _unfilter_row(int(lines[y, 0]), lines[y, 1:], out[y], out[y + 1], step)
    return np.ascontiguousarray(out[1:, step:])


def _unfilter_row(
    kind: int, line: npt.NDArray[np.uint8], above: npt.NDArray[np.uint8], target: npt.NDArray[np.uint8], step: int
) -> None:
    """Reverses the filter of one line into target[step:]; `above` is the previous line, already unfiltered."""
    if kind == 0:
        target[step:] = line
    elif kind == 1:
        sums = line.reshape(-1, step).cumsum(0, dtype=np.int64)
        target[step:] = sums.astype(np.uint8).reshape(-1)
    elif kind == 2:
        target[step:] = line + above[step:]
    elif kind in (3, 4):
        for start in range(step, len(target), step):  # each pixel depends on its left neighbour
            here = slice(start, start + step)
            left, up, corner = (
                part.astype(np.int64)
                for part in (target[start - step : start], above[here], above[start - step : start])
            )
            predicted = (left + up) // 2 if kind == 3 else _paeth(left, up, corner)
            target[here] = (line[start - step : start] + predicted).astype(np.uint8)
    else:
        raise BadImageError(f"damaged (an unknown line filter {kind})")


def _paeth(
    left: npt.NDArray[np.int64], up: npt.NDArray[np.int64], corner: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Of the three, the one nearest to left + up - corner."""
    predicted = left + up - corner
    a, b, c = abs(predicted - left), abs(predicted - up), abs(predicted - corner)
    return np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))
