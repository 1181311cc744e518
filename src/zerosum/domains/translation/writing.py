"""Writes images to files without loss of bits: 8 or 16 bits, transparency, any number of channels, metadata of another
file.

Legend: H height, W width, C channels.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from zerosum.data.opening import decoding
from zerosum.domains.translation.sides import Values
from zerosum.store import write_durably

LOSSLESS_DEEP = (".png", ".tif", ".tiff", ".npy")
"""Suffixes of files that can store 16 bits."""
WITH_ALPHA = (".png", ".tif", ".tiff", ".webp")
WITH_EXIF = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
STORAGE_TAGS = {*range(254, 260), 262, 266, 273, 274, 277, 278, 279, 284, 317, *range(320, 326), 338, 339, 347}
"""EXIF tags that describe how the pixels of the old file are stored; they are not copied. Images are written upright."""
QUALITY = 95


@dataclass(frozen=True)
class Metadata:
    """Metadata of a file that are kept: EXIF block, colour profile, pixels per inch. channels: of the image that they belong
    to."""

    exif: Image.Exif | None = None
    profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    channels: int = 0


def metadata_of(path: Path) -> Metadata:
    """The metadata of an image file; empty for an array. UserError if they are damaged."""
    if path.suffix.lower() == ".npy":
        return Metadata()
    with decoding(path, "an image whose metadata can be kept"), Image.open(path) as image:
        exif = image.getexif()
        for tag in STORAGE_TAGS & set(exif):
            del exif[tag]
        dpi = image.info.get("dpi")
        channels = 1 if image.mode in ("1", "L", "LA") or image.mode.startswith("I") else 3
        return Metadata(
            exif if len(exif) else None,
            image.info.get("icc_profile"),
            (float(dpi[0]), float(dpi[1])) if dpi else None,
            channels,
        )


def suitable_path(path: Path, values: Values, alpha: Values | None) -> Path:
    """The path with a suffix that can store the image: its own, or .png, or .npy for other than 1 or 3 channels."""
    suffix, channels, deep = path.suffix.lower(), values.shape[2], values.dtype == np.uint16
    if channels not in (1, 3):
        return path if suffix == ".npy" else path.with_suffix(".npy")
    unsuitable = (deep and suffix not in LOSSLESS_DEEP) or (alpha is not None and suffix not in WITH_ALPHA)
    # Pillow cannot write 16-bit colour; `write` supports it for PNG only.
    unsuitable = unsuitable or (deep and (channels == 3 or alpha is not None) and suffix in (".tif", ".tiff"))
    known = suffix in (*LOSSLESS_DEEP, *WITH_ALPHA, ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm")
    return path.with_suffix(".png") if unsuitable or not known else path


def write(path: Path, values: Values, alpha: Values | None = None, metadata: Metadata = Metadata()) -> None:
    """Writes (H, W, C) uint8 or uint16, with alpha (H, W) of the same type or None. path: as returned by
    `suitable_path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".npy":
        body = io.BytesIO()
        np.save(body, values)
        write_durably(path, body.getvalue())
        return
    whole = values if alpha is None else np.concatenate([values, alpha[..., None]], axis=2)
    profile = metadata.profile if metadata.channels == values.shape[2] else None
    if whole.dtype == np.uint16 and (whole.shape[2] > 1):
        write_durably(path, deep_png(whole, metadata, profile))
        return
    modes = {1: None, 2: "LA", 3: "RGB", 4: "RGBA"}
    image = Image.fromarray(whole[..., 0] if whole.shape[2] == 1 else whole, modes[whole.shape[2]])
    more: dict[str, Any] = {"quality": QUALITY} if path.suffix.lower() in (".jpg", ".jpeg", ".webp") else {}
    if metadata.exif is not None and path.suffix.lower() in WITH_EXIF:
        more["exif"] = metadata.exif
    if profile is not None:
        more["icc_profile"] = profile
    if metadata.dpi is not None:
        more["dpi"] = metadata.dpi
    body = io.BytesIO()
    image.save(body, Image.registered_extensions()[path.suffix.lower()], **more)
    write_durably(path, body.getvalue())


def deep_png(values: npt.NDArray[np.uint16], metadata: Metadata, profile: bytes | None) -> bytes:
    """A PNG of 16 bits and two to four channels, which Pillow does not write (PNG specification, sections 11 and
    12)."""
    height, width, channels = values.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = np.zeros((height, 1 + width * channels * 2), np.uint8)
    body = values.astype(">u2").reshape(height, -1).view(np.uint8)
    step = channels * 2
    lines[:, 0], lines[:, 1:] = 1, body
    lines[:, 1 + step :] -= body[:, :-step]  # line filter 1: differences to the left compress better
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))]
    if profile is not None:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    if metadata.dpi is not None:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(dpi / 0.0254) for dpi in metadata.dpi), 1)))
    if metadata.exif is not None:
        chunks.append((b"eXIf", metadata.exif.tobytes().removeprefix(b"Exif\0\0")))
    chunks += [(b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
