"""Images as the game wants them: resident as uint8, handed out as float32 in [-1, 1]; opened by name or by path."""

from __future__ import annotations

import difflib
import hashlib
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zerosum.domains.images import arrays, cifar, known
from zerosum.domains.images.files import SUFFIXES
from zerosum.domains.images.gather import gather
from zerosum.domains.images.known import SourceInfo
from zerosum.domains.images.listing import is_image_name, list_folder, list_zip
from zerosum.domains.images.raw import Part, Raw, Shape, Wanted
from zerosum.domains.images.split import hold_out, set_apart
from zerosum.engine.game import Batch
from zerosum.errors import UserError, nearest

__all__ = [
    "ImageSource",
    "Images",
    "Shape",
    "SourceInfo",
    "open_source",
    "recognise",
    "sources",
    "to_pixels",
    "to_unit",
]

_GLANCE = 5000
_HOW = "Give a named source, or the path of a folder, .zip, .npy or .npz of images (./name for a path in this folder)."


@dataclass(frozen=True, eq=False)
class Images:
    """Rows of images. pixels: (N, C, H, W) uint8; labels: (N,) int64, or None."""

    pixels: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def to(self, device: torch.device | str) -> Images:
        """The same rows on another device."""
        return Images(self.pixels.to(device), None if self.labels is None else self.labels.to(device))


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Real images to play with.

    heldout: images that are never trained on, or None; validation: others, to choose by. class_names: one for each label.
    notes: one sentence each, for the user to read before training. fingerprint: SHA-256 (hexadecimal) of the shape, the
    pixels and the labels of `train`.
    """

    name: str
    shape: Shape
    train: Images
    heldout: Images | None
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    fingerprint: str
    validation: Images | None = None

    @property
    def num_rows(self) -> int:
        """Number of training images."""
        return len(self.train)

    def batch(self, indices: Tensor) -> Batch:
        """Training images `indices` (B,) int64: data (B, C, H, W) float32 in [-1, 1], condition (B,) int64 or None."""
        rows = indices.to(self.train.pixels.device)
        labels = self.train.labels
        data = to_unit(self.train.pixels.index_select(0, rows))
        return Batch(data, None if labels is None else labels.index_select(0, rows))

    @property
    def num_heldout(self) -> int:
        """Number of held-out images."""
        return 0 if self.heldout is None else len(self.heldout)

    def heldout_batch(self, indices: Tensor) -> Batch:
        """Held-out images, as `batch` gives training images."""
        assert self.heldout is not None, f"{self.name} has no held-out images"
        return replace(self, train=self.heldout).batch(indices)

    def to(self, device: torch.device | str) -> ImageSource:
        """The same source with its pixels on another device."""
        held, apart = (None if part is None else part.to(device) for part in (self.heldout, self.validation))
        return replace(self, train=self.train.to(device), heldout=held, validation=apart)


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 0..255 to float32 in [-1, 1]: x / 127.5 - 1."""
    return pixels.to(torch.float32).div_(127.5).sub_(1.0)


def to_pixels(unit: Tensor) -> Tensor:
    """Finite floats to uint8: clamped to [-1, 1], then (x + 1) * 127.5, rounded. Exact inverse of `to_unit`."""
    return unit.detach().to(torch.float32).clamp(-1.0, 1.0).add(1.0).mul_(127.5).round_().to(torch.uint8)


def sources() -> Mapping[str, SourceInfo]:
    """The named sources, and what is known of each."""
    return known.SOURCES


def open_source(
    where: str,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    labelled: bool = True,
    heldout: float = 0.1,
    validation: float = 0.0,
    max_images: int | None = None,
    allow_download: bool = False,
    data_root: str | None = None,
) -> ImageSource:
    """Opens a named source or a folder, .zip, .npy or .npz of images. Raises UserError for whatever is wrong with it.

    A name wins over a folder of the same name; './name' is the folder. size: (height, width) in pixels; channels: 1 or 3;
    both found from the data when left out. labelled: whether labels are used. heldout: share of the images that is never
    trained on, chosen by their content, for sources of at least 20 images without a split of their own. validation: share of
    the other images that is set apart to choose by: the last ones of a named data set, else by content. max_images: at
    most so many (of each split). allow_download: whether missing files of a named source may be fetched. data_root:
    where these files lie, instead of $ZEROSUM_DATA.
    """
    for field, share in (("heldout", heldout), ("validation", validation)):
        if not 0 <= share < 1:
            raise UserError(f"{field} = {share}: give a share from 0 (none) to below 1, such as 0.1.")
    wanted = Wanted(size, channels, max_images)
    name = known.canonical(where)
    if name is not None:
        raw = known.load_named(name, wanted, allow_download=allow_download, data_root=data_root)
    else:
        raw = _open_path(where, wanted)
    if not labelled:
        raw = _unlabelled(raw)
    if raw.heldout is None:
        raw = hold_out(raw, heldout)
    return _finish(set_apart(raw, validation))


def recognise(where: str) -> bool:
    """Whether `where` names an image source, or a path that holds images or arrays of them. Looks briefly, never raises."""
    if known.canonical(where) is not None:
        return True
    path = Path(os.path.expanduser(where))
    try:
        if path.is_dir():
            return bool(where) and (known.layout_of(path) is not None or _glance(path))
        suffix = path.suffix.lower()
        if suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                return any(is_image_name(name) for name in archive.namelist())
        if suffix in (".npy", ".npz"):
            return arrays.looks_like_images(path)
        return path.is_file() and (suffix in SUFFIXES or path.name == cifar.TARBALL)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return False


def _glance(folder: Path) -> bool:
    seen = 0
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(is_image_name(file) for file in files):
            return True
        seen += len(files) + 1
        if seen > _GLANCE:
            return False
    return False


def _open_path(where: str, wanted: Wanted) -> Raw:
    path = Path(os.path.expanduser(where))
    try:
        if not where or not path.exists():
            raise _missing(where, path)
        if path.is_dir():
            return _open_folder(path, wanted)
        return _open_file(path, wanted)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _open_folder(path: Path, wanted: Wanted) -> Raw:
    if known.layout_of(path) is not None:
        return known.load_layout(path, wanted)
    listing = list_folder(path)
    if not listing.members:
        held = sorted(file.name for file in path.iterdir() if file.suffix.lower() in (".npy", ".npz", ".zip"))
        hint = f" It holds {held[0]}: give the path of that file." if held else known.pickle_hint([path])
        raise UserError(
            f"{path}: no images in this folder ({listing.num_others} other files).{hint} "
            f"Images are files that end in {', '.join(sorted(SUFFIXES))}."
        )
    return gather(path.resolve().name, listing, wanted, path)


def _open_file(path: Path, wanted: Wanted) -> Raw:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return arrays.read_npy(path, wanted)
    if suffix == ".npz":
        return arrays.read_npz(path, wanted)
    if path.name == cifar.TARBALL:
        return known.load_layout(path, wanted)
    if suffix in SUFFIXES:
        raise UserError(f"{path}: only one image; a training set needs at least 2. Give the folder they lie in.")
    if suffix != ".zip":
        raise UserError(f"{path}: not a kind of file that holds images. {_HOW}")
    try:
        with zipfile.ZipFile(path) as archive:
            listing = list_zip(archive, path)
            if not listing.members:
                raise UserError(f"{path}: no images in this archive ({listing.num_others} other files).")
            return gather(path.stem, listing, wanted, path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"{path}: not a zip archive, or a damaged one ({error}).") from error


def _missing(where: str, path: Path) -> UserError:
    if "://" in where:
        return UserError(f"{where!r}: addresses are not fetched. Download the images and give their path. {_HOW}")
    if _is_path(where):
        there = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, there, n=1)
        return UserError(
            f"{where!r}: no such file or folder. {f'Did you mean {path.parent / close[0]}? ' if close else ''}{_HOW}"
        )
    return UserError(f"{where!r}: no image source and no path of this name. {nearest(where, known.SOURCES)} {_HOW}")


def _is_path(where: str) -> bool:
    return "/" in where or os.sep in where or Path(where).suffix.lower() in (".zip", ".npy", ".npz")


def _unlabelled(raw: Raw) -> Raw:
    heldout = None if raw.heldout is None else Part(raw.heldout.pixels)
    return replace(raw, train=Part(raw.train.pixels), heldout=heldout, class_names=())


def _finish(raw: Raw) -> ImageSource:
    num_classes = 0 if raw.train.labels is None else len(raw.class_names)
    channels, height, width = raw.train.pixels.shape[1:]
    shape = Shape(channels, height, width, num_classes)
    pixels = np.ascontiguousarray(raw.train.pixels)
    digest = hashlib.sha256(f"{len(pixels)} {shape}".encode())
    digest.update(pixels.data)
    if raw.train.labels is not None:
        digest.update(np.ascontiguousarray(raw.train.labels, dtype="<i8").data)
    train = replace(raw.train, pixels=pixels)
    heldout, validation = (None if part is None else _images(part) for part in (raw.heldout, raw.validation))
    told = raw.class_names, raw.notes, digest.hexdigest()
    return ImageSource(raw.name, shape, _images(train), heldout, *told, validation)


def _images(part: Part) -> Images:
    labels = None if part.labels is None else torch.from_numpy(np.ascontiguousarray(part.labels))
    return Images(torch.from_numpy(np.ascontiguousarray(part.pixels)), labels)
