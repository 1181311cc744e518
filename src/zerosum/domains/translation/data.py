"""The sources of translation: named ones that need no files, and folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from zerosum import domain
from zerosum.data.images import pairs
from zerosum.data.opening import path_of
from zerosum.data.sources import SourceInfo
from zerosum.domains.translation import embedded, layouts, textures
from zerosum.domains.translation.image_collection import ImageCollection
from zerosum.domains.translation.layouts import Albums, Labels, Wish
from zerosum.domains.translation.source import PairSource
from zerosum.errors import UserError, nearest
from zerosum.recipe import Component

LARGEST_ROW = 128
"""Longest side of a row in pixels, unless data.crop says: larger images, and those of unequal sizes, are trained on in
pieces."""

LEAST = 8
"""Fewest pixels of a side."""


SOURCES: Mapping[str, SourceInfo] = {
    "textures": SourceInfo(
        "label maps and mosaics of brick, grass and gravel (photographs of scikit-image)", details={"paired": True}
    ),
    "digit-outlines": SourceInfo("the outline of a handwritten digit, and the digit", details={"paired": True}),
    "digit-styles": SourceInfo(
        "white digits on black, and others as outlines in ink on paper", details={"paired": False}
    ),
    "two-photos": SourceInfo("a palace roof and a flower, one photograph each", details={"paired": False}),
}


def sources() -> Mapping[str, SourceInfo]:
    """The named sources."""
    return SOURCES


def can_open(where: str) -> bool:
    """Whether `where` names a source, or a folder of two sides. Looks at names alone, never raises."""
    return where in SOURCES or (bool(where) and pairs.layout_of(path_of(where)) is not None)


def looks_like(path: Path) -> bool:
    """Whether a path that is not recognised has the folders of two sides all the same. Never raises."""
    return any(os.path.isdir(path / a) and os.path.isdir(path / b) for a, b in pairs.LAYOUTS)


def open_source(data: Component, allow_download: bool) -> PairSource:
    """The source of a recipe's data part."""
    kinds: Mapping[str, Callable[..., PairSource]] = {
        "textures": _textures,
        "digit-outlines": _outlines,
        "digit-styles": _styles,
        "two-photos": _photos,
    }
    if data.kind in kinds:
        named: PairSource = domain.make("data", kinds, data)
        return named
    folder: PairSource = domain.make("data", {data.kind: open_path}, data, data.kind)
    return folder


# --- named


def _textures(*, size: int = 64, num: int = 2048, heldout: int = 256, seed: int = 0, flip: bool = False) -> PairSource:
    train, held = textures.mosaics(num, heldout, size, seed)
    note = "The held-out mosaics are made of the right quarter of each photograph, which is never trained on."
    return PairSource("textures", train, held, True, (size, size), flip, notes=(note,))


def _outlines(*, heldout: float = embedded.HELDOUT) -> PairSource:
    return _parted("digit-outlines", embedded.digit_outlines(), True, heldout)


def _styles(*, heldout: float = embedded.HELDOUT) -> PairSource:
    return _parted("digit-styles", embedded.digit_styles(), False, heldout)


def _photos(*, size: int = 256, crop: int = 64, flip: bool = False) -> PairSource:
    _check(size, crop, 0.0)
    note = "One photograph a side: pieces of it are the rows, and none is held out."
    return PairSource("two-photos", embedded.two_photos(size), None, False, (crop, crop), flip, notes=(note,))


def _parted(name: str, albums: Albums, paired: bool, share: float) -> PairSource:
    """The last rows of digits, which lie in a fixed random order, are held out."""
    _check(None, None, share)
    edges = [len(album) - round(share * len(album)) for album in albums]
    train, held = (_cut(albums, edges, part) for part in (slice(0, 1), slice(1, 2)))
    return PairSource(name, train, held if share else None, paired, (embedded.SIDE, embedded.SIDE))


def _cut(albums: Albums, edges: list[int], part: slice) -> Albums:
    one, two = (
        album.picked([range(0, edge), range(edge, len(album))][part.start])
        for album, edge in zip(albums, edges, strict=True)
    )
    return one, two


# --- folders


def open_path(
    where: str,
    *,
    paired: Literal["auto"] | bool = "auto",
    side_by_side: bool = False,
    swap: bool = False,
    make: Literal["", "edges", "grey", "blocks"] = "",
    labels: Labels = "auto",
    size: int | tuple[int, int] | None = None,
    crop: int | tuple[int, int] | None = None,
    flip: bool = False,
    heldout: float = 0.1,
) -> PairSource:
    """A folder with trainA/ and trainB/ (testA/ and testB/), with A/ and B/, or of plain images. UserError for what is wrong.

    paired: whether files of one name belong together; "auto" looks at the names. side_by_side: each file holds both sides,
    the input on the left. swap: exchanges the sides. make: the input is computed from the target: its edges, its brightness,
    or the means of blocks. labels: which side is label maps, "auto" finds inputs of few values. size: the shorter side, or
    [height, width], that all images are brought to. crop: the pieces that are trained on; by default whole images where they
    are alike and small. flip: mirror images are further rows. heldout: share never trained on, where there is no test part.
    """
    folder = path_of(where)
    if not os.path.isdir(folder):
        raise UserError(
            f"{where!r}: no such folder, and no named source of translation. {nearest(where, SOURCES)} Or give a folder."
        )
    _check(size, crop, heldout)
    wanted = () if size is None else (size,) if isinstance(size, int) else size
    wish = Wish(paired, side_by_side, swap, make, labels, wanted, heldout)
    try:
        laid = layouts.read_folder(folder, wish)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror or error}).") from error
    row, notes = _row_size(laid.train, laid.heldout, crop)
    told, name = (*laid.notes, *notes, *_told(laid, labels)), folder.resolve().name
    return PairSource(name, laid.train, laid.heldout, laid.paired, row, flip, make, told)


def _told(laid: layouts.PairedFiles, labels: Labels) -> tuple[str, ...]:
    """What was taken for label maps unasked, what is nearly black, and what is never trained on."""
    given, notes = laid.train[0].side, list[str]()
    if labels == "auto" and given.kind == "labels":
        notes.append(
            f"Inputs of {given.channels} values are taken for label maps; data.labels=none takes them for pictures."
        )
    dark = [note for album, what in zip(laid.train, ("inputs", "targets"), strict=True) for note in album.told(what)]
    return (*notes, *dark, *_held_out(laid.heldout, laid.paired))


def _held_out(heldout: Albums | None, paired: bool) -> tuple[str, ...]:
    """What is never trained on, for a person."""
    if heldout is None:
        return ()
    one, two = (len(album) for album in heldout)
    what = f"{one:,} pairs" if paired else f"{one:,} and {two:,} images"
    return (f"{what} more are held out: never trained on, kept for measuring.",)


def _check(size: int | tuple[int, int] | None, crop: int | tuple[int, int] | None, heldout: float) -> None:
    for name, given in (("size", size), ("crop", crop)):
        sides = (given,) if isinstance(given, int) else given or ()
        if any(side < LEAST for side in sides):
            raise ValueError(f"{name} must be at least {LEAST} pixels, got {given}")
    if not 0 <= heldout < 1:
        raise ValueError(f"heldout must lie in [0, 1), got {heldout}")


def _row_size(
    train: Albums, heldout: Albums | None, crop: int | tuple[int, int] | None
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Height and width of a row, and a note where that was decided here."""
    if crop is not None:
        return (crop, crop) if isinstance(crop, int) else crop, ()
    albums: list[ImageCollection] = [*train, *(heldout or ())]
    sizes = set[tuple[int, int]]().union(*(album.sizes for album in albums))
    height, width = (min(size[axis] for size in sizes) for axis in (0, 1))
    if len(sizes) == 1 and max(height, width) <= LARGEST_ROW:
        return (height, width), ()
    row = min(LARGEST_ROW, min(height, width))
    return (row, row), (f"Training looks at random pieces of {row}x{row} pixels; data.crop changes their size.",)
