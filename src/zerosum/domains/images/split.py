"""Which images are never trained on: held out for looking at the result, or set apart for choosing (a width, say)."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from zerosum.domains.images.raw import Part, Raw

MIN_TO_SPLIT = 20
"""Smallest number of images of which some are held out or set apart."""
_COPIES = "Nearly all images are copies of each other, so none are held out."


def hold_out(raw: Raw, share: float) -> Raw:
    """Moves `share` of the images to the held-out part: those whose SHA-256, read as a number in [0, 1), is below it.

    An image's side depends on its content alone, so it stays when images are added, and copies stay together.
    """
    if share == 0 or len(raw.train.pixels) < MIN_TO_SPLIT:
        return raw
    out = _by_content(raw.train.pixels, share, slice(-8, None))
    if len(out) - out.sum() < 2:
        return replace(raw, notes=(*raw.notes, _COPIES))
    return replace(raw, train=_rows(raw.train, ~out), heldout=_rows(raw.train, out))


def set_apart(raw: Raw, share: float) -> Raw:
    """Moves `share` of the training images to the validation part.

    Of a published training part these are the last rows, as is the custom (MNIST: 50,000 and 10,000); else they are chosen
    by content, as `hold_out` does, which must come first.
    """
    num = len(raw.train.pixels)
    if share == 0 or num < MIN_TO_SPLIT:
        return raw
    if raw.published:
        apart = np.arange(num) >= num - round(share * num)
    else:
        apart = _by_content(raw.train.pixels, share, slice(0, 8))
    if len(apart) - apart.sum() < 2:
        return replace(raw, notes=(*raw.notes, _COPIES))
    told = f"{apart.sum():,} training images are set apart (data.validation): never trained on, used to choose by."
    train, validation = _rows(raw.train, ~apart), _rows(raw.train, apart)
    return replace(raw, train=train, validation=validation, notes=(*raw.notes, told))


def _by_content(pixels: npt.NDArray[np.uint8], share: float, eight: slice) -> npt.NDArray[np.bool_]:
    """The rows whose SHA-256, eight bytes of it read as a number in [0, 1), is below the share; the lowest where none is."""
    digests = [hashlib.sha256(np.ascontiguousarray(row).data).digest()[eight] for row in pixels]
    place = np.array([int.from_bytes(digest, "big") / 2**64 for digest in digests])
    below = place < share
    return below if below.any() else place == place.min()


def _rows(part: Part, mask: npt.NDArray[np.bool_]) -> Part:
    return Part(part.pixels[mask], None if part.labels is None else part.labels[mask])
