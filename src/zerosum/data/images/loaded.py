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

SMALLEST = 8
"""Least height and width to read images at: below it nothing is left for a network to double or halve."""

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
        at = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        files = tuple(self.files[i] for i in at) if self.files else ()
        return Part(self.pixels[at], None if self.labels is None else self.labels[at], files)


@dataclass(frozen=True)
class AttributeTable:
    """Attributes of images. rows: file name -> one number for each of `columns`. where: for messages."""

    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]
    where: str


@dataclass(frozen=True)
class LoadedImages:
    """A source as read. heldout is None where the source has no split of its own; notes are one sentence each.

    published: the rows stand in the order in which a well-known data set was published. validation: see `split`.
    fingerprint: of a source that is ready, with its split, in the prepared cache; else empty, and both are still to be made.
    mapped: whether the pixels lie in a file that is mapped into memory. table: attributes that the source brings.
    measure: the measure that the source was made for, or none.
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
    """Options of a source of images: those of `data` in an image recipe. None leaves the choice to the data.

    size: one number, or (height, width), in pixels. channels: 1, 3, or 4 with alpha="keep". labelled: whether labels are used.
    heldout: share of the images that is never trained on, chosen by their content, for sources of at least 20 images without a
    split of their own. validation: share of the other images that is set apart for choosing: the last ones of a named data set,
    else chosen by content. max_images: at most so many (of each split). crop: of images of another aspect the "centre", or the
    whole with black bars ("pad"). flip: mirror images are further rows. attributes: the path of a table, see
    `data.images.attributes`; whether the table beside the images must exist (true), is not used (false), or is used where there
    is one (None). on_bad: "skip" leaves out unusable images, at most 1 %. cache: whether sources above 32 MiB are prepared once
    and kept. links: whether, in a folder, links to images outside of it are followed. background: the colour on which
    transparent images are laid; with alpha="keep" only for measures. UserError for values out of range.
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
        for field, value, known in chosen:
            if value not in known:
                raise UserError(f"{field} = {value!r}: choose from {', '.join(known)}.")
        size = self.resolution
        if size is not None and (len(size) != 2 or min(size) < SMALLEST):
            given = "x".join(str(side) for side in size)
            raise UserError(
                f"size = {given}: give one number, or height and width, from {SMALLEST} pixels on: 32, say, or [64,48]. "
                "Left out, the images keep their own."
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
        """The note on a selection by max_images; none where all images are used."""
        if self.max_images is None or self.max_images >= num_images:
            return ()
        return (f"{self.max_images} of {num_images} images are used (max_images), chosen at random with a fixed seed.",)


def opaque(where: object) -> UserError:
    """The error for a transparency that is to be kept and that no image has."""
    return UserError(f"{where}: no image has transparency, so alpha = keep has no use. Leave data.alpha out.")


def check_memory(num_images: int, channels: int, height: int, width: int, where: object) -> None:
    """Raises UserError when the decoded pixels would take more than MAX_BYTES."""
    needed = num_images * channels * height * width
    if needed > MAX_BYTES:
        raise UserError(
            f"{where}: {num_images} images of {height}x{width} with {channels} channel(s) take {needed / 2**30:.1f} GiB, "
            f"more than the {MAX_BYTES / 2**30:.1f} GiB kept in memory. Give a smaller size, or fewer images with max_images."
        )


def fingerprint(num: int, shape: Shape, pixels: Iterable[Pixels], labels: Labels | None) -> str:
    """SHA-256 (hexadecimal) of the shape, the pixels (in contiguous pieces of any size) and the labels of a training part."""
    digest = hashlib.sha256(f"{num} {shape}".encode())
    for piece in pixels:
        digest.update(piece.data)
    if labels is not None:
        digest.update(np.ascontiguousarray(labels, dtype="<i8").data)
    return digest.hexdigest()


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
