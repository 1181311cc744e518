"""Reads folders of images: two folders, files with both sides next to each other, or targets whose inputs are
computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from zerosum.data.images import pairs
from zerosum.data.images.listing import find_split
from zerosum.data.images.loaded import COPIES, MIN_TO_SPLIT, heldout_rows
from zerosum.data.images.lossless_io import READABLE
from zerosum.domains.translation.degradations import DEGRADATIONS
from zerosum.domains.translation.derived_inputs import MAX_VARIANTS, derive_inputs, enlarged
from zerosum.domains.translation.image_collection import ImageCollection, Kind, read_collection
from zerosum.domains.translation.sides import SCALES, SMALL, Side, scale_of
from zerosum.errors import UserError

Labels = Literal["auto", "none", "input", "target", "both"]
CollectionPair = tuple[ImageCollection, ImageCollection]
TEST_PREFIXES = ("test", "val", "valid")
"""Prefixes of the folders with held-out images, as in testA and testB; the first that exists is used."""


@dataclass(frozen=True)
class FolderOptions:
    """How a folder is read; the options of `data.open_path`."""

    paired: Literal["auto"] | bool = "auto"
    side_by_side: bool = False
    swap: bool = False
    make: str = ""
    degradation: str = "bicubic"
    labels: Labels = "auto"
    size: tuple[int, ...] = ()
    heldout: float = 0.1

    def kind(self, side: int) -> Kind:
        """How the files of the input (0) or the target (1) are read."""
        if self.labels == "both" or self.labels == ("input", "target")[side]:
            return "labels"
        return "auto" if self.labels == "auto" and side == 0 else "image"


@dataclass(frozen=True)
class LoadedFolder:
    """The images of a folder. heldout: None where the folder has no test part, or too few images to hold some out. make: how
    inputs are made from targets; of given small images, how they were enlarged."""

    train: CollectionPair
    heldout: CollectionPair | None
    paired: bool
    notes: tuple[str, ...] = ()
    make: str = ""


def read_folder(folder: Path, options: FolderOptions) -> LoadedFolder:
    """Reads both sides of a folder and splits them into training and held-out images. UserError if the folder cannot be
    used."""
    if options.make and options.side_by_side:
        raise UserError(
            "data.make and data.side_by_side cannot be combined: inputs are either computed or read from the files."
        )
    if options.make:
        return _with_inputs(_split(_read_targets(folder, options), options), options)
    if options.side_by_side:
        return _split(_read_side_by_side(folder, options), options)
    layout = pairs.layout_of(folder) or next((both for both in pairs.LAYOUTS if _has_folders(folder, both)), None)
    if layout is None:
        raise UserError(_LAYOUTS_HELP.format(folder=folder))
    if layout == pairs.RESOLUTIONS:
        return _split(_read_resolutions(folder, options), options)
    return _split(_read_two_folders(folder, layout, options), options)


_LAYOUTS_HELP = (
    "{folder}: found no two sides for a translation. Use trainA/ and trainB/ (and testA/, testB/), or A/ and B/ with "
    "pairs of equal names, or lr/ and hr/ with small and large images, or images that hold both sides "
    "(--set data.side_by_side=true), or plain images whose inputs are computed (--set data.make=edges)."
)


def _has_folders(folder: Path, names: tuple[str, str]) -> bool:
    return all((folder / name).is_dir() for name in names)


# --- two folders


def _read_two_folders(folder: Path, names: tuple[str, str], options: FolderOptions) -> LoadedFolder:
    a, b = (folder / name for name in (names[::-1] if options.swap else names))
    for side in (a, b):
        if not pairs.list_images(side):
            raise UserError(f"{side}: no images in this folder. Images end in {', '.join(sorted(READABLE))}.")
    paired, notes = _are_pairs(a, b, options)
    train = _read_sides(a, b, paired, options)
    words = [word for word in TEST_PREFIXES if any((folder / f"{word}{side}").is_dir() for side in "AB")]
    test_a, test_b = (folder / f"{[*words, TEST_PREFIXES[0]][0]}{side.name[-1]}" for side in (a, b))
    used = [a, b, test_a, test_b] if names[0] == "trainA" or names[1] == "trainA" else [a, b]
    notes = (*notes, *pairs.folder_notes(folder, used))
    if any(pairs.list_images(side) for side in (test_a, test_b)) and names[0] == "trainA":
        missing = next((side for side in (test_a, test_b) if not pairs.list_images(side)), None)
        if missing is not None:
            raise UserError(
                f"{missing}: no images, while the other side has test images. Give both sides some, or none."
            )
        return LoadedFolder(
            train, _read_sides(test_a, test_b, paired, options, like=(train[0].side, train[1].side)), paired, notes
        )
    return LoadedFolder(train, None, paired, notes)


def _are_pairs(a: Path, b: Path, options: FolderOptions) -> tuple[bool, tuple[str, ...]]:
    """Whether files are pairs, and a note: the value of data.paired, or for "auto" by the names: A/ and B/ always contain
    pairs, trainA/ and trainB/ if all names are equal."""
    if options.paired != "auto":
        return options.paired, ()
    one, two = (sorted(pairs.stem(path, side) for path in pairs.list_images(side)) for side in (a, b))
    if a.name in ("A", "B") or one == two:
        return True, (
            f"Files of {a.name}/ and {b.name}/ with equal names are pairs; use --set data.paired=false to read them as unpaired.",
        )
    shared = len({*one} & {*two})
    some = f" {shared:,} names are equal; if the files are meant as pairs, rename the others." if shared else ""
    return False, (
        f"Names in {a.name}/ and {b.name}/ differ, so the images are not paired and are combined at random.{some}",
    )


def _read_sides(
    a: Path, b: Path, paired: bool, options: FolderOptions, like: tuple[Side, Side] | None = None
) -> CollectionPair:
    if not paired:
        one, two = (
            read_collection(pairs.list_images(path), options.kind(side), like[side] if like else None, options.size)
            for side, path in enumerate((a, b))
        )
        return one, two
    both = pairs.match_by_name(a, b)
    one, two = (
        read_collection([pair[side] for pair in both], options.kind(side), like[side] if like else None, options.size)
        for side in (0, 1)
    )
    _check_same_sizes(one, two, both)
    return one, two


def _check_same_sizes(one: ImageCollection, two: ImageCollection, files: Sequence[tuple[Path, Path]]) -> None:
    wrong = [
        f"{path.name} {_format_size(a.shape)} and {other.name} {_format_size(b.shape)}"
        for a, b, (path, other) in zip(one.images, two.images, files, strict=True)
        if a.shape[1:] != b.shape[1:]
    ]
    if wrong:
        raise UserError(
            f"{files[0][0].parent.parent}: pairs of different sizes (width x height): {pairs.shorten(wrong)}. Both images of a "
            "pair must have the same size; --set data.size=[256,256] resizes all images to one."
        )


def _format_size(shape: Sequence[int]) -> str:
    return f"{shape[2]}x{shape[1]}"


# --- one file for each pair


def _split_files(folder: Path) -> tuple[list[Path], list[Path], tuple[str, ...]]:
    """Training and held-out files according to the names of their folders, and notes."""
    files = pairs.list_images(folder)
    split = find_split([path.relative_to(folder).as_posix() for path in files])
    train = sorted((*split.train, *split.unlabelled))
    notes = (*split.notes, *pairs.folder_notes(folder, [folder]))
    return [files[i] for i in train], [files[i] for i in split.heldout], notes


def _read_files(
    folder: Path, read: Callable[[list[Path], CollectionPair | None], CollectionPair], notes: tuple[str, ...]
) -> LoadedFolder:
    files, held, more = _split_files(folder)
    if not files:
        raise UserError(f"{folder}: no images in this folder. Images end in {', '.join(sorted(READABLE))}.")
    train = read(files, None)
    return LoadedFolder(train, read(held, train) if held else None, True, (*notes, *more))


def _read_side_by_side(folder: Path, options: FolderOptions) -> LoadedFolder:
    def read(files: list[Path], like: CollectionPair | None) -> CollectionPair:
        whole = read_collection(files, like=None if like is None else like[0].side, size=_double_width(options.size))
        for image, path in zip(whole.images, files, strict=True):
            if image.shape[2] % 2:
                raise UserError(f"{path}: {image.shape[2]} pixels wide; two halves of equal size need an even width.")
        left = replace(whole, images=tuple(image[:, :, : image.shape[2] // 2].contiguous() for image in whole.images))
        right = replace(whole, images=tuple(image[:, :, image.shape[2] // 2 :].contiguous() for image in whole.images))
        return (right, left) if options.swap else (left, right)

    if options.labels in ("input", "target", "both"):
        raise UserError(
            "data.labels needs each side in its own folder; the halves of side-by-side images are of the same kind."
        )
    side = "right" if options.swap else "left"
    return _read_files(folder, read, (f"The {side} half of each image is the input; data.swap exchanges them.",))


def _double_width(size: tuple[int, ...]) -> tuple[int, ...]:
    return (size[0], 2 * size[1]) if len(size) == 2 else size


def _read_targets(folder: Path, options: FolderOptions) -> LoadedFolder:
    """The targets on both sides; `_with_inputs` computes the inputs once held-out images are chosen."""

    def read(files: list[Path], like: CollectionPair | None) -> CollectionPair:
        targets = read_collection(files, like=None if like is None else like[1].side, size=options.size)
        return targets, targets

    return _read_files(folder, read, (_note_on(options.make, options.degradation),))


def _note_on(make: str, degradation: str) -> str:
    if scale_of(make) == 1:
        return f"Inputs are computed from the targets: {make}."
    way = DEGRADATIONS[degradation]
    several = f" There are up to {MAX_VARIANTS} small images of each." if way.random else ""
    return f"Images are made {scale_of(make)} times smaller by {degradation}: for {way.why}.{several}"


def _with_inputs(loaded: LoadedFolder, options: FolderOptions) -> LoadedFolder:
    train = derive_inputs(loaded.train[1], options.make, options.degradation), loaded.train[1]
    held = loaded.heldout
    if held is not None:
        held = derive_inputs(held[1], options.make, options.degradation, varied=False), held[1]
    return replace(loaded, train=train, heldout=held, make=options.make)


# --- small and large images


def _read_resolutions(folder: Path, options: FolderOptions) -> LoadedFolder:
    """Small images in lr/ and the same ones in hr/, all larger by one scale."""
    if options.swap or options.size or options.paired is False:
        raise UserError(
            f"{folder}: lr/ and hr/ are pairs of one scale, so data.swap, data.size and data.paired=false cannot be used."
        )
    files = pairs.match_by_name(*(folder / name for name in pairs.RESOLUTIONS))
    small, large = (read_collection([pair[side] for pair in files]) for side in (0, 1))
    scale = _scale_between(small, large, files)
    if small.side.channels != large.side.channels:
        raise UserError(f"{folder}: images of lr/ are {small.side.describe()}, those of hr/ {large.side.describe()}.")
    top = 2**small.side.bits - 1
    inputs = tuple(
        (enlarged(image.float() / top, scale).clamp(0, 1) * top).round().to(image.dtype) for image in small.images
    )
    note = f"Images of lr/ and hr/ with equal names are pairs; the scale is {scale}."
    notes = (note, *pairs.folder_notes(folder, [folder / name for name in pairs.RESOLUTIONS]))
    return LoadedFolder((replace(small, images=inputs), large), None, True, notes, f"{SMALL}{scale}")


def _scale_between(small: ImageCollection, large: ImageCollection, files: Sequence[tuple[Path, Path]]) -> int:
    """How many times larger all large images are; UserError if there is no such number in SCALES."""
    scale = round(large.images[0].shape[1] / small.images[0].shape[1])
    wrong = [
        f"{path.name} {_format_size(a.shape)} and {other.name} {_format_size(b.shape)}"
        for a, b, (path, other) in zip(small.images, large.images, files, strict=True)
        if (b.shape[1], b.shape[2]) != (scale * a.shape[1], scale * a.shape[2])
    ]
    if wrong or scale not in SCALES:
        first = f"{files[0][0].name} {_format_size(small.images[0].shape)} and {_format_size(large.images[0].shape)}"
        scales = f"{', '.join(map(str, SCALES[:-1]))} or {SCALES[-1]}"
        raise UserError(
            f"{files[0][0].parent.parent}: each image of hr/ must be {scales} times larger than its partner in lr/, by one "
            f"number for all (width x height): {pairs.shorten(wrong or [first])}."
        )
    return scale


# --- the split


def _split(loaded: LoadedFolder, options: FolderOptions) -> LoadedFolder:
    """Holds out images, chosen by content, if the folder has no test part. Copies of an image and pairs are not separated."""
    if loaded.heldout is not None:
        return loaded
    targets = heldout_of(loaded.train[1], options.heldout)
    inputs = targets if loaded.paired else heldout_of(loaded.train[0], options.heldout)
    if inputs is None or targets is None:
        few = f"No images are held out: there are fewer than {MIN_TO_SPLIT}."
        small = min(map(len, loaded.train)) < MIN_TO_SPLIT
        return replace(loaded, notes=(*loaded.notes, few if small else COPIES)) if options.heldout else loaded
    kept = loaded.train[0].select(np.flatnonzero(~inputs)), loaded.train[1].select(np.flatnonzero(~targets))
    held = loaded.train[0].select(np.flatnonzero(inputs)), loaded.train[1].select(np.flatnonzero(targets))
    return replace(loaded, train=kept, heldout=held)


def heldout_of(collection: ImageCollection, share: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]] | None:
    """(N,) bool: which images are held out; None for none."""
    if not share or len(collection) < MIN_TO_SPLIT:
        return None
    return heldout_rows(collection.digests(), share)
