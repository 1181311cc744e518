"""Sources of images: stored as uint8, returned in batches of float32 in [-1, 1]; opened by name or by path."""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum.data.images import attributes as tables
from zerosum.data.images import named_datasets
from zerosum.data.images.attributes import StandardisedAttributes
from zerosum.data.images.files import BadImageError, decode
from zerosum.data.images.loaded import (
    RGBA,
    WHITE,
    Crop,
    ImageOptions,
    LoadedImages,
    Part,
    Shape,
    fingerprint,
    hold_out,
    no_transparency_error,
    split_validation,
)
from zerosum.data.images.paths import can_open, open_path
from zerosum.data.images.pictures import (
    pixels_on_background,
    to_network_input,
    to_pixels,
    to_premultiplied_bytes,
    to_saved_pixels,
    to_unit,
)
from zerosum.data.opening import expand_path, open_regular
from zerosum.data.sources import SourceInfo
from zerosum.engine.game import Batch
from zerosum.errors import UserError

__all__ = [
    "ImageOptions",
    "ImageSource",
    "Images",
    "Shape",
    "can_open",
    "open_images",
    "open_source",
    "sources",
    "to_network_input",
    "to_pixels",
    "to_premultiplied_bytes",
    "to_saved_pixels",
    "to_unit",
]


@dataclass(frozen=True, eq=False)
class Images:
    """Rows of images. pixels: (N, C, H, W) uint8, RGBA with straight colours; labels: (N,) int64, or None; attributes: (N, K)
    float32, or None."""

    pixels: Tensor
    labels: Tensor | None = None
    attributes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def condition(self) -> Tensor | None:
        """The condition of each row in a conditional game: its attributes, else its label, else None."""
        return self.labels if self.attributes is None else self.attributes

    def class_counts(self, num_classes: int) -> list[int]:
        """Number of rows of each class; only where there are labels."""
        assert self.labels is not None, "these images have no labels"
        counts: list[int] = self.labels.cpu().bincount(minlength=num_classes).tolist()
        return counts

    def on_background(self, background: str) -> Images:
        """RGBA images as RGB ones, on a background."""
        return replace(self, pixels=pixels_on_background(self.pixels, background))

    def to(self, device: torch.device | str) -> Images:
        """The same rows on another device."""
        labels, attributes = (None if x is None else x.to(device) for x in (self.labels, self.attributes))
        return Images(self.pixels.to(device), labels, attributes)


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Real images for training and evaluation.

    heldout: images that are never trained on, or None; validation: others, to choose models. class_names: one for each label.
    notes: one sentence each, for the user to read before training. fingerprint: SHA-256 (hexadecimal) of the shape, the
    pixels and the labels (or attributes) of `train`. attribute_names, attribute_scales: of each attribute, the latter its mean
    and standard deviation before it was standardised. flip: whether the mirror image of row i is row i + len(train).
    crop: the rule by which images of another aspect ratio were cropped.
    background: the colour that transparent images were composited on, or are composited on when measured. measure: the name of a
    measure made for this source, or empty.
    device: of the batches, if the pixels are in a memory-mapped file.
    """

    name: str
    shape: Shape
    train: Images
    heldout: Images | None
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    fingerprint: str
    validation: Images | None = None
    attribute_names: tuple[str, ...] = ()
    attribute_scales: tuple[tuple[float, float], ...] = ()
    flip: bool = False
    crop: Crop = "centre"
    background: str = WHITE
    measure: str = ""
    mapped: bool = False
    device: torch.device | None = None

    @property
    def num_rows(self) -> int:
        """Number of training rows: images, and with `flip` their mirror images."""
        return len(self.train) * (2 if self.flip else 1)

    def batch(self, indices: Tensor) -> Batch:
        """Training rows `indices` (B,) int64: data (B, C, H, W) float32 in [-1, 1], RGBA premultiplied; condition (B,)
        int64 labels, (B, K) float32 attributes, or None."""
        num, condition = len(self.train), self.train.condition
        positions = indices.to(self.train.pixels.device)
        rows = positions % num if self.flip else positions
        data = to_network_input(self.train.pixels.index_select(0, rows).to(self.device))
        if self.flip:
            data = torch.where((positions >= num).to(data.device).view(-1, 1, 1, 1), data.flip(3), data)
        return Batch(data, None if condition is None else condition.index_select(0, rows).to(self.device))

    @property
    def num_heldout(self) -> int:
        """Number of held-out images."""
        return 0 if self.heldout is None else len(self.heldout)

    def heldout_batch(self, indices: Tensor) -> Batch:
        """Held-out images, as `batch` gives training images; never mirrored."""
        assert self.heldout is not None, f"{self.name} has no held-out images"
        return replace(self, train=self.heldout, flip=False).batch(indices)

    @functools.cached_property
    def seen(self) -> ImageSource:
        """The source as the measures use it: RGBA images composited on the background, in memory; others unchanged."""
        if self.shape.channels != RGBA:
            return self
        held, apart = (None if x is None else x.on_background(self.background) for x in (self.heldout, self.validation))
        source_fingerprint = hashlib.sha256(f"{self.fingerprint} on {self.background}".encode()).hexdigest()
        shape, train = replace(self.shape, channels=3), self.train.on_background(self.background)
        return replace(
            self, shape=shape, train=train, heldout=held, validation=apart, fingerprint=source_fingerprint, mapped=False
        )

    def to(self, device: torch.device | str) -> ImageSource:
        """The same source with its pixels on another device; with memory-mapped pixels, only its batches are moved there."""
        if self.mapped:
            return replace(self, device=torch.device(device))
        held, apart = (None if part is None else part.to(device) for part in (self.heldout, self.validation))
        return replace(self, train=self.train.to(device), heldout=held, validation=apart)


def sources() -> Mapping[str, SourceInfo]:
    """The named sources and their descriptions."""
    return named_datasets.SOURCES


def open_images(
    where: str, options: ImageOptions, *, allow_download: bool = False, data_root: str | None = None
) -> ImageSource:
    """Opens a named source or a folder, .zip, .tar, .npy or .npz of images. Raises UserError if it cannot be read.

    A name takes precedence over a folder of the same name; './name' is the folder. allow_download: whether missing files of a
    named source may be downloaded. data_root: the folder in which they are searched and stored.
    """
    name = named_datasets.canonical_name(where)
    if name is None:
        images = open_path(where, options)
    else:
        images = named_datasets.load_named(name, options, allow_download=allow_download, data_root=data_root)
    return _finish(_split(images, options), options)


def open_source(
    where: str, *, allow_download: bool = False, data_root: str | None = None, **options: Any
) -> ImageSource:
    """`open_images` with the fields of `ImageOptions` as keywords."""
    return open_images(where, ImageOptions(**options), allow_download=allow_download, data_root=data_root)


def read_images(paths: Sequence[Path], shape: Shape, crop: Crop = "centre", background: str = WHITE) -> Tensor:
    """(N, C, H, W) in [-1, 1]: image files cropped and resized as training images are; UserError names a bad one."""
    rows = []
    for path in paths:
        try:
            with open_regular(path) as stream:
                rows.append(decode(stream, shape.channels, (shape.height, shape.width), crop, background).pixels)
        except BadImageError as error:
            raise UserError(f"{path}: {error}") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from None
    return to_network_input(torch.stack([torch.tensor(row) for row in rows]))


def _split(images: LoadedImages, options: ImageOptions) -> LoadedImages:
    """The source with its split; a source from the cache is already split."""
    if images.fingerprint:
        return images
    if not options.uses_labels:
        images = images.unlabelled()
    if images.heldout is None:
        images = hold_out(images, options.heldout, options.flip)
    return split_validation(images, options.validation, options.flip)


def _finish(images: LoadedImages, options: ImageOptions) -> ImageSource:
    if options.alpha == "keep" and images.train.pixels.shape[1] != RGBA:
        raise no_transparency_error(images.name)
    attributes = _attributes(images, options)
    labels = images.train.labels
    channels, height, width = images.train.pixels.shape[1:]
    shape = Shape(channels, height, width, 0 if labels is None else len(images.class_names))
    pixels = np.ascontiguousarray(images.train.pixels)
    source_fingerprint = images.fingerprint or fingerprint(len(pixels), shape, [pixels], labels)
    return ImageSource(
        images.name,
        shape,
        _images(replace(images.train, pixels=pixels), None if attributes is None else attributes.train),
        None if images.heldout is None else _images(images.heldout, None if attributes is None else attributes.heldout),
        images.class_names,
        (*images.notes, *(() if attributes is None else attributes.notes)),
        source_fingerprint
        if attributes is None
        else hashlib.sha256(source_fingerprint.encode() + attributes.train.tobytes()).hexdigest(),
        None
        if images.validation is None
        else _images(images.validation, None if attributes is None else attributes.validation),
        attribute_names=() if attributes is None else attributes.names,
        attribute_scales=() if attributes is None else attributes.scales,
        flip=options.flip,
        crop=options.crop,
        background=options.background,
        measure=images.measure,
        mapped=images.mapped,
    )


def _attributes(images: LoadedImages, options: ImageOptions) -> StandardisedAttributes | None:
    table = tables.read(expand_path(options.attributes)) if isinstance(options.attributes, str) else images.table
    if table is None and options.attributes is True:
        raise UserError(f"{images.name}: attributes = true, but there is no {tables.FILE} next to the images.")
    return None if table is None else tables.standardise(images, table)


def _images(part: Part, attributes: tables.Values | None) -> Images:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # a memory-mapped file is only read
        pixels = torch.from_numpy(np.ascontiguousarray(part.pixels))
    labels = None if part.labels is None else torch.from_numpy(np.ascontiguousarray(part.labels))
    return Images(pixels, labels, None if attributes is None else torch.from_numpy(attributes))
