"""Images as the readers return them (uint8 arrays, labels, notes), the options of a source, and the held-out split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import ImageColor

from zerosum.errors import UserError

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Crop = Literal["centre", "pad"]
OnBad = Literal["stop", "skip"]
Alpha = Literal["flatten", "keep"]

WHITE = "white"
RGBA = 4
"""Channels of an image with transparency."""
CROPS: tuple[str, ...] = ("centre", "pad")
ON_BAD: tuple[str, ...] = ("stop", "skip")
ALPHA: tuple[str, ...] = ("flatten", "keep")

MIN_SIDE = 8
"""Smallest height and width at which images are read: the networks cannot halve or double a smaller size."""

MAX_BYTES = 4 * 2**30
"""Largest set of decoded pixels that is kept in memory, in bytes."""


@dataclass(frozen=True)
class Shape:
    """Shape of one image: channels is 1, 3 or 4 (with alpha), height and width in pixels; num_classes 0 means unlabelled."""

    channels: int
    height: int
    width: int
    num_classes: int = 0


@dataclass(frozen=True)
class Part:
    """pixels: (N, C, H, W) uint8. labels: (N,) int64, or None. files: the path of each image in its source, or none."""

    pixels: Pixels
    labels: Labels | None = None
    files: tuple[str, ...] = ()

    def rows(self, chosen: npt.NDArray[Any]) -> Part:
        """The rows of a mask (N,) or of indices, copied."""
        indices = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        files = tuple(self.files[i] for i in indices) if self.files else ()
        return Part(self.pixels[indices], None if self.labels is None else self.labels[indices], files)


@dataclass(frozen=True)
class AttributeTable:
    """Attributes of images. rows: file name -> one number for each of `columns`. where: for messages."""

    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]
    where: str


@dataclass(frozen=True)
class LoadedImages:
    """A source as read. heldout is None where the source has no split of its own; notes are one sentence each.

    published: the rows are in the order in which a well-known data set was published. validation: see `split_validation`.
    fingerprint: of a source that is in the prepared cache with its split; else empty, and the split is made after reading.
    mapped: whether the pixels are in a memory-mapped file. table: the attributes of the source.
    measure: the measure that the source was made for, or empty.
    """

    name: str
    train: Part
    heldout: Part | None = None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    published: bool = False
    validation: Part | None = None
    fingerprint: str = ""
    mapped: bool = False
    table: AttributeTable | None = None
    measure: str = ""

    def parts(self) -> tuple[Part | None, ...]:
        """train, heldout, validation."""
        return self.train, self.heldout, self.validation

    def unlabelled(self) -> LoadedImages:
        """The same without its labels."""
        train, heldout, validation = (p if p is None else replace(p, labels=None) for p in self.parts())
        assert train is not None
        return replace(self, train=train, heldout=heldout, validation=validation, class_names=())


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Options of a source of images: those of `data` in an image recipe. None: the value is chosen from the data.

    size: one number, or (height, width), in pixels. channels: 1, 3, or 4 with alpha="keep". labelled: whether labels
    are used. heldout: share of the images that is never trained on, chosen by their content, for sources of at least 20
    images that have no split. validation: share of the other images that is kept apart to choose models: the last ones
    of a named data set, else chosen by content. max_images: largest number of images (of each split). crop: for images
    of another aspect ratio, keep the "centre", or the whole with black bars ("pad"). flip: mirror images are added as
    rows. attributes: the path of a table, see `data.images.attributes`; or whether the table next to the images must
    exist (true), is not used (false), or is used if it exists (None). on_bad: "skip" leaves out unusable images, at
    most 1 %. cache: whether sources above 32 MiB are prepared once and kept. links: whether links in a folder to images
    outside of it are followed. background: the colour on which transparent images are composited; with alpha="keep"
    only for measures. Raises UserError for values out of range.
    """

    size: int | tuple[int, int] | None = None
    channels: int | None = None
    labelled: bool = True
    heldout: float = 0.1
    validation: float = 0.0
    max_images: int | None = None
    crop: Crop = "centre"
    flip: bool = False
    attributes: str | bool | None = None
    on_bad: OnBad = "stop"
    cache: bool = True
    links: bool = False
    background: str = WHITE
    alpha: Alpha = "flatten"

    @property
    def resolution(self) -> tuple[int, int] | None:
        """(height, width) in pixels, or None."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def uses_labels(self) -> bool:
        """Whether labels are used; a table of attributes takes their place."""
        return self.labelled and not isinstance(self.attributes, str)

    def __post_init__(self) -> None:
        for field, share in (("heldout", self.heldout), ("validation", self.validation)):
            if not 0 <= share < 1:
                raise UserError(f"{field} = {share}: give a share from 0 (none) to below 1, such as 0.1.")
        chosen = ("crop", self.crop, CROPS), ("on_bad", self.on_bad, ON_BAD), ("alpha", self.alpha, ALPHA)
        for field, value, choices in chosen:
            if value not in choices:
                raise UserError(f"{field} = {value!r}: choose from {', '.join(choices)}.")
        size = self.resolution
        if size is not None and (len(size) != 2 or min(size) < MIN_SIDE):
            sides = "x".join(str(side) for side in size)
            raise UserError(
                f"size = {sides}: give one number, or height and width, of at least {MIN_SIDE} pixels, such as 32 or [64,48]. "
                "Without it, the images keep their size."
            )
        try:
            parts = len(ImageColor.getrgb(self.background))
        except (ValueError, AttributeError):
            parts = 0
        if parts != 3:
            raise UserError(f"background = {self.background!r}: give a colour such as white, black, grey or '#8090a0'.")
        if self.channels not in (None, 1, 3, RGBA):
            raise UserError(f"channels = {self.channels}: choose 1 (grey) or 3 (RGB), or leave it out.")
        if self.channels is not None and (self.alpha == "keep") != (self.channels == RGBA):
            why = "images with transparency have 4 (RGBA)" if self.alpha == "keep" else "4 (RGBA) needs data.alpha=keep"
            raise UserError(f"channels = {self.channels}, alpha = {self.alpha}: {why}. Leave channels out.")
        if self.max_images is not None and self.max_images < 2:
            raise UserError(f"max_images = {self.max_images}: a training set needs at least 2 images.")

    def rows(self, num_images: int) -> npt.NDArray[np.int64]:
        """Indices to use of num_images: all, or the first max_images of one fixed permutation, in ascending order."""
        if self.max_images is None or self.max_images >= num_images:
            return np.arange(num_images)
        return np.sort(np.random.default_rng(0).permutation(num_images)[: self.max_images])

    def selection_note(self, num_images: int) -> tuple[str, ...]:
        """The note on a selection by max_images; empty if all images are used."""
        if self.max_images is None or self.max_images >= num_images:
            return ()
        return (f"{self.max_images} of {num_images} images are used (max_images), chosen at random with a fixed seed.",)


def no_transparency_error(where: object) -> UserError:
    """The error for alpha = keep when no image has transparency."""
    return UserError(f"{where}: no image has transparency, so alpha = keep has no effect. Leave data.alpha out.")


def check_memory(num_images: int, channels: int, height: int, width: int, where: object) -> None:
    """Raises UserError when the decoded pixels would take more than MAX_BYTES."""
    needed = num_images * channels * height * width
    if needed > MAX_BYTES:
        raise UserError(
            f"{where}: {num_images} images of {height}x{width} with {channels} channel(s) take {needed / 2**30:.1f} GiB, "
            f"more than the {MAX_BYTES / 2**30:.1f} GiB kept in memory. Give a smaller size, or fewer images with max_images."
        )


def fingerprint(num: int, shape: Shape, pixels: Iterable[Pixels], labels: Labels | None) -> str:
    """SHA-256 (hexadecimal) of the shape, the pixels (in contiguous chunks of any size) and the labels of a training part."""
    digest = hashlib.sha256(f"{num} {shape}".encode())
    for piece in pixels:
        digest.update(piece.data)
    if labels is not None:
        digest.update(np.ascontiguousarray(labels, dtype="<i8").data)
    return digest.hexdigest()


MIN_TO_SPLIT = 20
"""Smallest number of images of which some are held out or kept for validation."""
COPIES = "Nearly all images are copies of each other, so none are held out."


Mask = npt.NDArray[np.bool_]


def hold_out(images: LoadedImages, share: float, mirrored: bool = False) -> LoadedImages:
    """Moves `share` of the images to the held-out part: those whose SHA-256, read as a number in [0, 1), is below it.

    The part of an image depends on its content only: it does not change when images are added, and copies are in the same
    part. With `mirrored`, an image and its mirror image are in the same part too.
    """
    if share == 0 or len(images.train.pixels) < MIN_TO_SPLIT:
        return images
    out = heldout_rows(_digests(images.train, mirrored), share)
    if out is None:
        return replace(images, notes=(*images.notes, COPIES))
    return replace(images, train=images.train.rows(~out), heldout=images.train.rows(out))


def split_validation(images: LoadedImages, share: float, mirrored: bool = False) -> LoadedImages:
    """Moves `share` of the training images to the validation part.

    In a published training part these are the last rows, as is usual (MNIST: 50,000 and 10,000); else they are chosen by
    content, as `hold_out` does. Call `hold_out` first.
    """
    num = len(images.train.pixels)
    if share == 0 or num < MIN_TO_SPLIT:
        return images
    if images.published:
        apart: Mask | None = _keep_two(np.arange(num) >= num - round(share * num))
    else:
        apart = validation_rows(_digests(images.train, mirrored), share)
    if apart is None:
        return replace(images, notes=(*images.notes, COPIES))
    train, validation = images.train.rows(~apart), images.train.rows(apart)
    return replace(images, train=train, validation=validation, notes=(*images.notes, validation_note(int(apart.sum()))))


def digest(row: Pixels, mirrored: bool) -> bytes:
    """SHA-256 of an image (C, H, W); with `mirrored`, the smaller of its hash and that of its mirror image."""
    plain = hashlib.sha256(np.ascontiguousarray(row).data).digest()
    if not mirrored:
        return plain
    return min(plain, hashlib.sha256(np.ascontiguousarray(row[..., ::-1]).data).digest())


def heldout_rows(digests: Iterable[bytes], share: float) -> Mask | None:
    """Mask of the held-out images; None if fewer than two would be left to train on."""
    return _by_content(digests, share, slice(-8, None))


def validation_rows(digests: Iterable[bytes], share: float) -> Mask | None:
    """Mask of the validation images; uses other bytes of the digest than `heldout_rows`."""
    return _by_content(digests, share, slice(0, 8))


def validation_note(num: int) -> str:
    """The note on the validation part."""
    return f"{num:,} training images are set apart (data.validation): never trained on, used to choose models."


def _digests(part: Part, mirrored: bool) -> list[bytes]:
    return [digest(row, mirrored) for row in part.pixels]


def _by_content(digests: Iterable[bytes], share: float, eight_bytes: slice) -> Mask | None:
    """Mask of the rows whose `eight_bytes` of the digest, are below the share as a number in [0, 1), or else lowest."""
    values = np.array([int.from_bytes(digest[eight_bytes], "big") / 2**64 for digest in digests])
    below = values < share
    return _keep_two(below if below.any() else values == values.min())


def _keep_two(out: Mask) -> Mask | None:
    return out if len(out) - out.sum() >= 2 else None
