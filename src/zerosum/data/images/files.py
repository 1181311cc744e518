"""Decodes an image file of any mode and bit depth that Pillow reads to upright 8-bit pixels of a given size on a background."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from zerosum.data.images.loaded import RGBA, WHITE, Crop, Pixels
from zerosum.data.images.pictures import MODES, fit, to_array
from zerosum.data.opening import short_reason

KINDS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "PPM": (".pgm", ".ppm", ".pbm", ".pnm", ".pfm"),
    "TGA": (".tga",),
    "QOI": (".qoi",),
    "PCX": (".pcx",),
    "SGI": (".sgi", ".rgb"),
}
"""Pillow's formats that are read, and the endings of their files. AVIF needs Pillow 11.3 or newer."""
SUFFIXES = frozenset(ending for endings in KINDS.values() for ending in endings)
LOSSY = frozenset(ending for kind in ("JPEG", "WEBP", "AVIF", "JPEG2000") for ending in KINDS[kind])
_UNSUPPORTED = """.heic .heif .hif .jxl .jxr .wdp .svg .svgz .psd .psb .xcf .ai .eps .ico .icns .cur .dds .exr .hdr .dng .cr2 .cr3
.nef .arw .orf .rw2 .raf .raw .dcm .fits .fit .wmf .emf .xpm .xbm .djvu .pict .pct"""
VIDEOS = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ogv", ".ts", ".wmv", ".flv")
"""Endings of videos that are no images."""
UNREAD = frozenset(_UNSUPPORTED.split())
"""Suffixes of image formats that are not supported; notes name them."""
MAX_PIXELS = 64_000_000
"""Largest image that is decoded, in pixels: a small file with a larger image could fill the memory."""

_GREY = frozenset(("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"))
_ORIENTATION_TAG = 0x0112


class BadImageError(Exception):
    """An image that cannot be used; the text says why, without naming the file."""


@dataclass(frozen=True, slots=True)
class ImageProbe:
    """From the header: upright size in pixels, and whether the file is stored as grey."""

    height: int
    width: int
    grey: bool


@dataclass(frozen=True)
class Decoded:
    """pixels: (C, H, W) uint8; the flags say how the image was changed. transparent: a pixel's alpha was below 255.
    deep: it had 16 bits."""

    pixels: Pixels
    resized: bool
    recoloured: bool
    transparent: bool
    rotated: bool
    deep: bool

    @property
    def flags(self) -> tuple[bool, ...]:
        """resized, recoloured, transparent, rotated, deep."""
        return self.resized, self.recoloured, self.transparent, self.rotated, self.deep


def probe(stream: BinaryIO) -> ImageProbe:
    """Reads the header only. Raises BadImageError."""
    with open_image(stream) as image:
        width, height = image.size
        # A PNG may have its EXIF block after the pixels; reading it there would decode the whole image.
        has_exif = image.format != "PNG" or "exif" in image.info
        if has_exif and image.getexif().get(_ORIENTATION_TAG, 1) in (5, 6, 7, 8):
            width, height = height, width
        return ImageProbe(height, width, image.mode in _GREY)


def decode(
    stream: BinaryIO, channels: int, size: tuple[int, int], crop: Crop = "centre", background: str = WHITE
) -> Decoded:
    """Decodes the first frame to `channels` (1, 3 or 4) at `size` = (height, width). Raises BadImageError.

    EXIF rotation is applied; transparency is laid on the background unless there are 4 channels, in which the colour of a
    transparent pixel is black; 16-bit grey is divided by 257; then `fit`. A truncated file is an error and is never
    filled up.
    """
    with open_image(stream) as stored:
        stored.load()
        image = ImageOps.exif_transpose(stored)
        rotated = stored.getexif().get(_ORIENTATION_TAG, 1) in range(2, 9)
        grey, transparent, deep = _is_grey(image), _is_transparent(image), image.mode.startswith("I")
        image = _to_eight_bits(image)
        if transparent and channels != RGBA:
            image = _composite(image, background)
        image = image.convert(MODES[channels])
        resized = image.size != (size[1], size[0])
        pixels = to_array(fit(image, size, crop))
        return Decoded(pixels, resized, grey != (channels == 1), transparent, rotated, deep)


@functools.cache
def _formats() -> tuple[str, ...]:
    """The formats of KINDS that this Pillow has."""
    Image.init()
    return tuple(kind for kind in KINDS if kind in Image.OPEN)


@contextmanager
def open_image(stream: BinaryIO) -> Iterator[Image.Image]:
    """Opens the image of a stream; any error in the with block becomes a BadImageError."""
    try:
        with Image.open(stream, formats=_formats()) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise BadImageError(
                    f"{width}x{height} pixels, more than the {MAX_PIXELS // 10**6} million that are decoded "
                    "(a decompression bomb?)"
                )
            yield image
    except UnidentifiedImageError as error:
        raise BadImageError(f"not an image of a known format ({', '.join(_formats())})") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImageError(f"more than {MAX_PIXELS // 10**6} million pixels (a decompression bomb?)") from error
    except BadImageError:
        raise
    except Exception as error:  # decoders of damaged images raise nearly anything
        raise BadImageError(f"damaged or truncated ({short_reason(error)})") from error


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in _GREY


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Deeper images scaled to 8 bits; Pillow's conversion would clip them at 255."""
    if image.mode == "F":
        raise BadImageError("a floating-point image, whose range is unknown; save the images as one .npy array instead")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise BadImageError(f"integers from {values.min()} to {values.max()}, outside the 16-bit range 0..65535")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))


def _is_transparent(image: Image.Image) -> bool:
    """Whether a pixel's alpha is below 255."""
    if not image.has_transparency_data or image.mode.startswith("I"):
        return False
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


def _composite(image: Image.Image, background: str) -> Image.Image:
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, background), rgba).convert("RGB")
