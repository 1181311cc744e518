"""Which images are never trained on: held out to evaluate the result, or set apart for choosing (a width, say)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from zerosum.data.images.types import LoadedImages, Part, Pixels

MIN_TO_SPLIT = 20
"""Smallest number of images of which some are held out or set apart."""
COPIES = "Nearly all images are copies of each other, so none are held out."


Mask = npt.NDArray[np.bool_]


def hold_out(raw: LoadedImages, share: float, mirrored: bool = False) -> LoadedImages:
    """Moves `share` of the images to the held-out part: those whose SHA-256, read as a number in [0, 1), is below it.

    The part of an image depends on its content only, so it does not change when images are added, and copies are in the same
    part; with `mirrored`, an image and its mirror image too.
    """
    if share == 0 or len(raw.train.pixels) < MIN_TO_SPLIT:
        return raw
    out = heldout_rows(_digests(raw.train, mirrored), share)
    if out is None:
        return replace(raw, notes=(*raw.notes, COPIES))
    return replace(raw, train=raw.train.rows(~out), heldout=raw.train.rows(out))


def set_apart(raw: LoadedImages, share: float, mirrored: bool = False) -> LoadedImages:
    """Moves `share` of the training images to the validation part.

    Of a published training part these are the last rows, as usual (MNIST: 50,000 and 10,000); else they are chosen by content,
    as `hold_out` does. Call `hold_out` first.
    """
    num = len(raw.train.pixels)
    if share == 0 or num < MIN_TO_SPLIT:
        return raw
    if raw.published:
        apart: Mask | None = _unless_all(np.arange(num) >= num - round(share * num))
    else:
        apart = validation_rows(_digests(raw.train, mirrored), share)
    if apart is None:
        return replace(raw, notes=(*raw.notes, COPIES))
    train, validation = raw.train.rows(~apart), raw.train.rows(apart)
    return replace(raw, train=train, validation=validation, notes=(*raw.notes, validation_note(int(apart.sum()))))


def digest(row: Pixels, mirrored: bool) -> bytes:
    """SHA-256 of an image (C, H, W); with `mirrored`, the smaller of its own and that of its mirror image."""
    own = hashlib.sha256(np.ascontiguousarray(row).data).digest()
    if not mirrored:
        return own
    return min(own, hashlib.sha256(np.ascontiguousarray(row[..., ::-1]).data).digest())


def heldout_rows(digests: Iterable[bytes], share: float) -> Mask | None:
    """Mask of the held-out images; None where fewer than two would be left to train on."""
    return _by_content(digests, share, slice(-8, None))


def validation_rows(digests: Iterable[bytes], share: float) -> Mask | None:
    """Mask of the images that are set apart, by other bytes of the digest than `heldout_rows` uses."""
    return _by_content(digests, share, slice(0, 8))


def validation_note(num: int) -> str:
    """The note on the validation part."""
    return f"{num:,} training images are set apart (data.validation): never trained on, used to choose by."


def _digests(part: Part, mirrored: bool) -> list[bytes]:
    return [digest(row, mirrored) for row in part.pixels]


def _by_content(digests: Iterable[bytes], share: float, eight: slice) -> Mask | None:
    """The rows of which eight bytes of the digest, read as a number in [0, 1), are below the share; the lowest where none is."""
    place = np.array([int.from_bytes(one[eight], "big") / 2**64 for one in digests])
    below = place < share
    return _unless_all(below if below.any() else place == place.min())


def _unless_all(out: Mask) -> Mask | None:
    return out if len(out) - out.sum() >= 2 else None
