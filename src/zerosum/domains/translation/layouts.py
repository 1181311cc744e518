"""Folders of images as albums: two folders, files that hold both sides, or targets whose inputs are computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from zerosum.data.images import pairs
from zerosum.data.images.arrangement import split_of
from zerosum.data.images.lossless_io import READABLE
from zerosum.data.images.split import COPIES, MIN_TO_SPLIT, heldout_rows
from zerosum.domains.translation.derived_inputs import inputs_of
from zerosum.domains.translation.image_collection import ImageCollection, Kind, read_album
from zerosum.domains.translation.sides import Side
from zerosum.errors import UserError

Labels = Literal["auto", "none", "input", "target", "both"]
Albums = tuple[ImageCollection, ImageCollection]
TESTS = ("test", "val", "valid")
"""What the names of folders with held-out sides begin with, as in testA and testB; the first that is there counts."""


@dataclass(frozen=True)
class Wish:
    """What was asked of a folder: see `data.open_path`."""

    paired: Literal["auto"] | bool = "auto"
    side_by_side: bool = False
    swap: bool = False
    make: str = ""
    labels: Labels = "auto"
    size: tuple[int, ...] = ()
    heldout: float = 0.1

    def kind(self, side: int) -> Kind:
        """What the files of the input (0) or the target (1) are taken for."""
        if self.labels == "both" or self.labels == ("input", "target")[side]:
            return "labels"
        return "auto" if self.labels == "auto" and side == 0 else "image"


@dataclass(frozen=True)
class PairedFiles:
    """What a folder holds."""

    train: Albums
    heldout: Albums | None
    paired: bool
    notes: tuple[str, ...] = ()


def read_folder(folder: Path, wish: Wish) -> PairedFiles:
    """Both sides of a folder, split. UserError for whatever is wrong with it."""
    if wish.make and wish.side_by_side:
        raise UserError(
            "data.make and data.side_by_side exclude one another: inputs are computed, or lie in the files."
        )
    if wish.make:
        return _split(_made(folder, wish), wish)
    if wish.side_by_side:
        return _split(_halves(folder, wish), wish)
    layout = pairs.layout_of(folder) or next((both for both in pairs.LAYOUTS if _both(folder, both)), None)
    if layout is None:
        raise UserError(_HOW.format(folder=folder))
    return _split(_folders(folder, layout, wish), wish)


_HOW = (
    "{folder}: no sides to translate between. Wanted: trainA/ and trainB/ (and testA/, testB/), or A/ and B/ with pairs of one "
    "name, or images that hold both sides (--set data.side_by_side=true), or plain images whose inputs are computed "
    "(--set data.make=edges)."
)


def _both(folder: Path, names: tuple[str, str]) -> bool:
    return all((folder / name).is_dir() for name in names)


# --- two folders


def _folders(folder: Path, names: tuple[str, str], wish: Wish) -> PairedFiles:
    a, b = (folder / name for name in (names[::-1] if wish.swap else names))
    for side in (a, b):
        if not pairs.images_in(side):
            raise UserError(f"{side}: no images in this folder. Images end in {', '.join(sorted(READABLE))}.")
    paired, notes = _are_pairs(a, b, wish)
    train = _albums(a, b, paired, wish)
    words = [word for word in TESTS if any((folder / f"{word}{side}").is_dir() for side in "AB")]
    test_a, test_b = (folder / f"{[*words, TESTS[0]][0]}{side.name[-1]}" for side in (a, b))
    used = [a, b, test_a, test_b] if names[0] == "trainA" or names[1] == "trainA" else [a, b]
    notes = (*notes, *pairs.told_beside(folder, used))
    if any(pairs.images_in(side) for side in (test_a, test_b)) and names[0] == "trainA":
        missing = next((side for side in (test_a, test_b) if not pairs.images_in(side)), None)
        if missing is not None:
            raise UserError(
                f"{missing}: no images, while the other side has test images. Give both sides some, or none."
            )
        return PairedFiles(
            train, _albums(test_a, test_b, paired, wish, like=(train[0].side, train[1].side)), paired, notes
        )
    return PairedFiles(train, None, paired, notes)


def _are_pairs(a: Path, b: Path, wish: Wish) -> tuple[bool, tuple[str, ...]]:
    """Pairs are told, or found by name: A/ and B/ are for pairs, trainA/ and trainB/ for either."""
    if wish.paired != "auto":
        return wish.paired, ()
    one, two = (sorted(pairs.stem(path, side) for path in pairs.images_in(side)) for side in (a, b))
    if a.name in ("A", "B") or one == two:
        return True, (
            f"Files of {a.name}/ and {b.name}/ with one name are pairs; --set data.paired=false takes them apart.",
        )
    shared = len({*one} & {*two})
    some = f" {shared:,} names are the same; if the files are meant as pairs, mend the others." if shared else ""
    return False, (
        f"Names in {a.name}/ and {b.name}/ differ, so there are no pairs: any input meets any target.{some}",
    )


def _albums(a: Path, b: Path, paired: bool, wish: Wish, like: tuple[Side, Side] | None = None) -> Albums:
    if not paired:
        one, two = (
            read_album(pairs.images_in(path), wish.kind(side), like[side] if like else None, wish.size)
            for side, path in enumerate((a, b))
        )
        return one, two
    both = pairs.matched(a, b)
    one, two = (
        read_album([pair[side] for pair in both], wish.kind(side), like[side] if like else None, wish.size)
        for side in (0, 1)
    )
    _same_sizes(one, two, both)
    return one, two


def _same_sizes(one: ImageCollection, two: ImageCollection, files: Sequence[tuple[Path, Path]]) -> None:
    wrong = [
        f"{path.name} {_size(a.shape)} and {other.name} {_size(b.shape)}"
        for a, b, (path, other) in zip(one.images, two.images, files, strict=True)
        if a.shape[1:] != b.shape[1:]
    ]
    if wrong:
        raise UserError(
            f"{files[0][0].parent.parent}: pairs of unequal sizes (width x height): {pairs.listed(wrong)}. Both images of a "
            "pair must have one size; --set data.size=[256,256] brings all to one."
        )


def _size(shape: Sequence[int]) -> str:
    return f"{shape[2]}x{shape[1]}"


# --- one file a pair


def _parts(folder: Path) -> tuple[list[Path], list[Path], tuple[str, ...]]:
    """Training and held-out files, as the names of folders say, and what is to be told of them."""
    files = pairs.images_in(folder)
    split = split_of([path.relative_to(folder).as_posix() for path in files])
    train = sorted((*split.train, *split.unlabelled))
    notes = (*split.notes, *pairs.told_beside(folder, [folder]))
    return [files[i] for i in train], [files[i] for i in split.heldout], notes


def _read_parts(
    folder: Path, read: Callable[[list[Path], Albums | None], Albums], notes: tuple[str, ...]
) -> PairedFiles:
    files, held, more = _parts(folder)
    if not files:
        raise UserError(f"{folder}: no images in this folder. Images end in {', '.join(sorted(READABLE))}.")
    train = read(files, None)
    return PairedFiles(train, read(held, train) if held else None, True, (*notes, *more))


def _halves(folder: Path, wish: Wish) -> PairedFiles:
    def read(files: list[Path], like: Albums | None) -> Albums:
        whole = read_album(files, like=None if like is None else like[0].side, size=_doubled(wish.size))
        for image, path in zip(whole.images, files, strict=True):
            if image.shape[2] % 2:
                raise UserError(f"{path}: {image.shape[2]} pixels wide; two sides of one size need an even width.")
        left = replace(whole, images=tuple(image[:, :, : image.shape[2] // 2].contiguous() for image in whole.images))
        right = replace(whole, images=tuple(image[:, :, image.shape[2] // 2 :].contiguous() for image in whole.images))
        return (right, left) if wish.swap else (left, right)

    if wish.labels in ("input", "target", "both"):
        raise UserError(
            "data.labels needs both sides in folders of their own; side by side they are one kind of image."
        )
    side = "right" if wish.swap else "left"
    return _read_parts(folder, read, (f"The {side} half of each image is the input; data.swap exchanges them.",))


def _doubled(size: tuple[int, ...]) -> tuple[int, ...]:
    return (size[0], 2 * size[1]) if len(size) == 2 else size


def _made(folder: Path, wish: Wish) -> PairedFiles:
    def read(files: list[Path], like: Albums | None) -> Albums:
        targets = read_album(files, like=None if like is None else like[1].side, size=wish.size)
        return inputs_of(targets, wish.make), targets

    return _read_parts(folder, read, (f"Inputs are computed from the targets: {wish.make}.",))


# --- the split


def _split(laid: PairedFiles, wish: Wish) -> PairedFiles:
    """Held-out images by content where the folder has no split: copies stay together, pairs too."""
    if laid.heldout is not None:
        return laid
    targets = heldout_of(laid.train[1], wish.heldout)
    inputs = targets if laid.paired else heldout_of(laid.train[0], wish.heldout)
    if inputs is None or targets is None:
        few = f"No images are held out: there are fewer than {MIN_TO_SPLIT}."
        small = min(map(len, laid.train)) < MIN_TO_SPLIT
        return replace(laid, notes=(*laid.notes, few if small else COPIES)) if wish.heldout else laid
    kept = laid.train[0].picked(np.flatnonzero(~inputs)), laid.train[1].picked(np.flatnonzero(~targets))
    held = laid.train[0].picked(np.flatnonzero(inputs)), laid.train[1].picked(np.flatnonzero(targets))
    return replace(laid, train=kept, heldout=held)


def heldout_of(album: ImageCollection, share: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]] | None:
    """(N,) which images of an album are held out; None for none."""
    if not share or len(album) < MIN_TO_SPLIT:
        return None
    return heldout_rows(album.digests(), share)
