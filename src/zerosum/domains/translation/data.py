"""Opens the sources of translation: the built-in ones by name, and folders of images."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from zerosum import domain
from zerosum.data.images import pairs
from zerosum.data.opening import expand_path
from zerosum.data.sources import SourceInfo
from zerosum.domains.translation import builtin_sources, layouts
from zerosum.domains.translation.derived_inputs import derive_inputs
from zerosum.domains.translation.image_collection import ImageCollection
from zerosum.domains.translation.layouts import CollectionPair, FolderOptions, Labels
from zerosum.domains.translation.sides import SCALES, SMALL, scale_of
from zerosum.domains.translation.source import PairSource
from zerosum.errors import UserError, nearest
from zerosum.recipe import Component

LARGEST_ROW = 128
"""Longest side of a training row in pixels unless data.crop is given: training uses crops of larger images, and of
images of different sizes."""

Way = Literal["bicubic", "photo"]
"""The names of `degradations.DEGRADATIONS`."""
MIN_SIDE = 8
"""The least value of data.size and data.crop, in pixels."""


SOURCES: Mapping[str, SourceInfo] = {
    "textures": SourceInfo(
        "label maps and mosaics of brick, grass and gravel (photographs of scikit-image)", details={"paired": True}
    ),
    "digit-outlines": SourceInfo("the outline of a handwritten digit, and the digit", details={"paired": True}),
    "digit-styles": SourceInfo(
        "white digits on black, and others as outlines in ink on paper", details={"paired": False}
    ),
    "photographs": SourceInfo(
        "the photographs of scikit-image and scikit-learn, for super-resolution: each is made smaller and enlarged again",
        details={"paired": True},
    ),
    "two-photos": SourceInfo("a palace roof and a flower, one photograph each", details={"paired": False}),
}


def sources() -> Mapping[str, SourceInfo]:
    """The named sources."""
    return SOURCES


def can_open(where: str) -> bool:
    """Whether `where` is the name of a source, or a folder with two sides. Reads only names; never raises."""
    return where in SOURCES or (bool(where) and pairs.layout_of(expand_path(where)) is not None)


def looks_like(path: Path) -> bool:
    """Whether a path for which `can_open` is false has the folders of two sides. Never raises."""
    return any(os.path.isdir(path / a) and os.path.isdir(path / b) for a, b in pairs.LAYOUTS)


def open_source(data: Component, allow_download: bool) -> PairSource:
    """The source of a recipe's data part."""
    kinds: Mapping[str, Callable[..., PairSource]] = {
        "textures": _textures,
        "digit-outlines": _digit_outlines,
        "digit-styles": _digit_styles,
        "photographs": _photographs,
        "two-photos": _two_photos,
    }
    if data.kind in kinds:
        named: PairSource = domain.make("data", kinds, data)
        return named
    folder: PairSource = domain.make("data", {data.kind: open_path}, data, data.kind)
    return folder


# --- named


def _textures(*, size: int = 64, num: int = 2048, heldout: int = 256, seed: int = 0, flip: bool = False) -> PairSource:
    train, held = builtin_sources.mosaics(num, heldout, size, seed)
    note = "The held-out mosaics are made from the right quarter of each photograph, which is not used for training."
    return PairSource("textures", train, held, True, (size, size), flip, notes=(note,))


def _digit_outlines(*, heldout: float = builtin_sources.HELDOUT) -> PairSource:
    return _digits("digit-outlines", builtin_sources.digit_outlines(), True, heldout)


def _digit_styles(*, heldout: float = builtin_sources.HELDOUT) -> PairSource:
    return _digits("digit-styles", builtin_sources.digit_styles(), False, heldout)


def _photographs(
    *, scale: int = 4, degradation: Way = "bicubic", crop: int = 96, flip: bool = True, num: int = 0
) -> PairSource:
    """num: of photographs, 0 for all."""
    make = _checked_scale(scale)
    _check_options(None, crop, 0.0)
    _on_grid((crop, crop), scale, True)
    targets = builtin_sources.photographs_in_colour(num)
    held = [len(targets) - 1 - row for row in range(len(targets) // 4)]
    kept = [row for row in range(len(targets)) if row not in held]
    parts = [
        (derive_inputs(part, make, degradation, varied), part)
        for part, varied in ((targets.select(kept), True), (targets.select(held), False))
        if len(part)
    ]
    note = f"{len(held)} of {len(targets)} photographs are held out; rows are crops of {crop}x{crop} pixels."
    return PairSource("photographs", parts[0], parts[1] if held else None, True, (crop, crop), flip, make, (note,))


def _two_photos(*, size: int = 256, crop: int = 64, flip: bool = False) -> PairSource:
    _check_options(size, crop, 0.0)
    note = "One photograph on each side: rows are crops of it, and none is held out."
    return PairSource("two-photos", builtin_sources.two_photos(size), None, False, (crop, crop), flip, notes=(note,))


def _digits(name: str, collections: CollectionPair, paired: bool, share: float) -> PairSource:
    """The digits in a fixed random order, with the last `share` of each side held out."""
    _check_options(None, None, share)
    edges = [len(collection) - round(share * len(collection)) for collection in collections]
    train, held = (_slice(collections, edges, part) for part in (slice(0, 1), slice(1, 2)))
    return PairSource(
        name, train, held if share else None, paired, (builtin_sources.DIGIT_SIDE, builtin_sources.DIGIT_SIDE)
    )


def _slice(collections: CollectionPair, edges: list[int], part: slice) -> CollectionPair:
    one, two = (
        collection.select([range(0, edge), range(edge, len(collection))][part.start])
        for collection, edge in zip(collections, edges, strict=True)
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
    scale: int = 0,
    degradation: Way = "bicubic",
    labels: Labels = "auto",
    size: int | tuple[int, int] | None = None,
    crop: int | tuple[int, int] | None = None,
    flip: bool = False,
    heldout: float = 0.1,
) -> PairSource:
    """A folder with trainA/ and trainB/ (testA/ and testB/), with A/ and B/, with lr/ and hr/, or of plain images. UserError if
    it cannot be used.

    paired: whether files of one name are a pair; "auto" compares the names. side_by_side: each file contains both
    sides, the input on the left. swap: exchanges the sides. make: computes the inputs from the targets: their edges,
    their brightness, or the means of blocks. scale: for super-resolution: the inputs are the targets, made so many times smaller
    and enlarged again; lr/ and hr/ have their own scale, whatever is given. degradation: how they are made smaller: "bicubic", or
    "photo" with blur, noise and JPEG. labels: which side holds label maps; "auto" recognises inputs with few
    distinct values. size: the length of the shorter side, or [height, width], to which all images are resized. crop:
    size of the crops used for training; by default whole images if they are small and of one size. flip: adds mirror
    images as rows. heldout: share of the images that is held out if the folder has no test part.
    """
    folder = expand_path(where)
    if not os.path.isdir(folder):
        raise UserError(
            f"{where!r}: no such folder, and no named source of translation. {nearest(where, SOURCES)} Or give a folder."
        )
    _check_options(size, crop, heldout)
    target_size = () if size is None else (size,) if isinstance(size, int) else size
    if scale and make:
        raise ValueError("make and scale both say how inputs are computed; set one of them")
    how = _checked_scale(scale) if scale else make
    given = pairs.layout_of(folder) == pairs.RESOLUTIONS
    if degradation != "bicubic" and (given or not scale):
        raise ValueError(
            "degradation says how small images are made, and these are given in lr/"
            if given
            else "degradation needs data.scale, the number of times that images are made smaller"
        )
    options = FolderOptions(paired, side_by_side, swap, "" if given else how, degradation, labels, target_size, heldout)
    try:
        loaded = layouts.read_folder(folder, options)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror or error}).") from error
    row, notes = _row_size(loaded.train, loaded.heldout, crop)
    row = _on_grid(row, scale_of(loaded.make), crop is not None)
    notes, name = (*loaded.notes, *notes, *_notes(loaded, labels)), folder.resolve().name
    return PairSource(name, loaded.train, loaded.heldout, loaded.paired, row, flip, loaded.make, notes)


def _on_grid(row: tuple[int, int], scale: int, given: bool) -> tuple[int, int]:
    """The size of rows whose sides are multiples of the scale, as mirrored crops need it; ValueError for other given ones."""
    height, width = (side // scale * scale for side in row)
    if given and (height, width) != row:
        raise ValueError(f"crop must be a multiple of scale = {scale}, got {row[0]}x{row[1]}")
    return height, width


def _checked_scale(scale: int) -> str:
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(map(str, SCALES))}, got {scale}")
    return f"{SMALL}{scale}"


def _notes(loaded: layouts.LoadedFolder, labels: Labels) -> tuple[str, ...]:
    """Notes: inputs recognised as label maps, images that are nearly black, and the held-out part."""
    given, notes = loaded.train[0].side, list[str]()
    if labels == "auto" and given.kind == "labels":
        notes.append(
            f"Inputs with {given.channels} distinct values are read as label maps; use data.labels=none to read them as images."
        )
    dark = [
        note
        for collection, what in zip(loaded.train, ("inputs", "targets"), strict=True)
        for note in collection.dark_notes(what)
    ]
    return (*notes, *dark, *_held_out(loaded.heldout, loaded.paired))


def _held_out(heldout: CollectionPair | None, paired: bool) -> tuple[str, ...]:
    """The note on the held-out part."""
    if heldout is None:
        return ()
    one, two = (len(collection) for collection in heldout)
    what = f"{one:,} pairs" if paired else f"{one:,} and {two:,} images"
    return (f"{what} more are held out: not used for training, kept for evaluation.",)


def _check_options(size: int | tuple[int, int] | None, crop: int | tuple[int, int] | None, heldout: float) -> None:
    for name, given in (("size", size), ("crop", crop)):
        sides = (given,) if isinstance(given, int) else given or ()
        if any(side < MIN_SIDE for side in sides):
            raise ValueError(f"{name} must be at least {MIN_SIDE} pixels, got {given}")
    if not 0 <= heldout < 1:
        raise ValueError(f"heldout must lie in [0, 1), got {heldout}")


def _row_size(
    train: CollectionPair, heldout: CollectionPair | None, crop: int | tuple[int, int] | None
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """(height, width) of a row, and a note if it was chosen here."""
    if crop is not None:
        return (crop, crop) if isinstance(crop, int) else crop, ()
    collections: list[ImageCollection] = [*train, *(heldout or ())]
    sizes = set[tuple[int, int]]().union(*(collection.sizes for collection in collections))
    height, width = (min(size[axis] for size in sizes) for axis in (0, 1))
    if len(sizes) == 1 and max(height, width) <= LARGEST_ROW:
        return (height, width), ()
    row = min(LARGEST_ROW, min(height, width))
    return (row, row), (f"Training uses random crops of {row}x{row} pixels; data.crop sets their size.",)
