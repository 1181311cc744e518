"""Which images are for training and which are held out, and their classes: found in the paths alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from zerosum.data.images.types import Labels
from zerosum.errors import UserError

TRAIN = frozenset(("train", "training"))
HELDOUT = frozenset(("test", "testing", "val", "valid", "validation", "eval", "dev", "holdout", "heldout"))
UNLABELLED = frozenset(("unlabeled", "unlabelled", "unsup", "unsupervised"))
"""Names of folders, in any case, that say what their images are for."""
_WORDS = {"train": TRAIN, "heldout": HELDOUT, "unlabelled": UNLABELLED}
MOST_STRAY = 0.05
"""Images that lie beside class folders, as a share of all (and one in any case), that are left out for the classes' sake."""
_SHOWN = 3


@dataclass(frozen=True)
class Arrangement:
    """Positions in a listing: train and heldout (empty: no split), their classes by position, sorted class names."""

    train: tuple[int, ...]
    heldout: tuple[int, ...]
    classes: dict[int, int]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]

    def labels(self, positions: Iterable[int]) -> Labels | None:
        """(N,) int64 classes of these images; None when one has none."""
        found = [self.classes.get(int(position), -1) for position in positions]
        return None if -1 in found or not self.classes else np.array(found, dtype=np.int64)


def natural(name: str) -> tuple[tuple[list[str | int], str], ...]:
    """Sorting key under which numbers in a path count as numbers; the text itself breaks ties."""
    parts = PurePosixPath(name).parts
    return tuple(([int(bit) if bit.isdecimal() else bit for bit in re.split(r"(\d+)", part)], part) for part in parts)


@dataclass(frozen=True)
class Split:
    """Positions for training, held out, and in folders for images without labels. depth, held_depth: so many folders of a
    training and of a held-out path lie above the classes."""

    train: tuple[int, ...]
    heldout: tuple[int, ...] = ()
    unlabelled: tuple[int, ...] = ()
    depth: int = 0
    held_depth: int = 0
    notes: tuple[str, ...] = ()


def split_of(names: Sequence[str]) -> Split:
    """The split that the first folders say; folders that wrap everything are passed through.

    A folder of TRAIN beside one of HELDOUT, or beside no folder that says nothing, is the training part; images elsewhere are
    left out and told. A folder of HELDOUT alone belongs to the loose images beside it, or to the folders beside it where it
    holds folders of the same names. A folder of UNLABELLED is never a class. Else such a folder is one like the others, and told.
    """
    cut = wrapping(names)
    depth = len(PurePosixPath(names[0][:cut]).parts) if cut else 0
    parts = [PurePosixPath(name[cut:]).parts for name in names]
    kinds = [_kind(part[0]) if len(part) > 1 else "loose" for part in parts]
    rows = {kind: tuple(i for i, one in enumerate(kinds) if one == kind) for kind in (*_WORDS, "other", "loose")}
    tops = {kind: {parts[i][0] for i in found} for kind, found in rows.items()}
    train, held, other, loose = (rows[kind] for kind in ("train", "heldout", "other", "loose"))
    few = len(loose) <= max(1, MOST_STRAY * len(names))
    if train and (held or (not other and few)):
        notes = [f"{len(held):,} images of {_listed(tops['heldout'])} are held out."] if held else []
        if left := tuple(sorted((*other, *loose))):
            notes.append(f"{len(left):,} image(s) lie in no part of the split and are left out: {_some(names, left)}.")
        return Split(train, held, rows["unlabelled"], depth + 1, depth + 1, tuple(notes))
    inner = {parts[i][1] for i in held if len(parts[i]) > 2}
    if held and not train and (inner <= tops["other"] if other else loose and not inner) and (inner or not other):
        told = f"{len(held):,} images of {_listed(tops['heldout'])} are held out; those beside it are for training."
        return Split(tuple(sorted((*other, *loose))), held, rows["unlabelled"], depth, depth + 1, (told,))
    if not (other or loose):
        named = tops["heldout"] | tops["unlabelled"]
        told = f"There is no train/ beside {_listed(named)}: all images are trained on."
        return Split(tuple(range(len(names))), depth=depth + 1, notes=(told,) if len(named) > 1 else ())
    notes = [
        f"{_listed([word])} is not taken for a part of a split, because folders or images of other names lie beside it. If it is "
        "one, give the path of that part, or move the others away."
        for word in sorted(tops["train"] | tops["heldout"])
    ]
    return Split(tuple(sorted((*train, *held, *other, *loose))), (), rows["unlabelled"], depth, depth, tuple(notes))


def _kind(top: str) -> str:
    return next((kind for kind, known in _WORDS.items() if top.lower() in known), "other")


def arrange(names: Sequence[str], where: Path, labelled: bool = True) -> Arrangement:
    """Finds the split and, where `labelled`, the labels in the paths of the images.

    Split: see `split_of`. Labels: the images of the training part lie in at least two sub-folders. Few images beside these
    folders are left out and told; with many of them there are no labels. Raises UserError for a held-out class that is never
    trained.
    """
    split = split_of(names)
    inner = {i: PurePosixPath(names[i]).parts[split.depth :] for i in split.train}
    inner |= {i: PurePosixPath(names[i]).parts[split.held_depth :] for i in split.heldout}
    class_names, stray, notes = _classes(names, split.train, inner) if labelled else ((), (), ())
    train, notes = tuple(sorted({*split.train} - {*stray})), (*split.notes, *notes)
    heldout, classes = split.heldout, {i: class_names.index(inner[i][0]) for i in train} if class_names else {}
    if class_names and heldout:
        heldout, found, more = _held_classes(names, heldout, inner, class_names, where)
        classes, notes = classes | found, (*notes, *more)
    if split.unlabelled and class_names:
        num = f"{len(split.unlabelled):,} image(s) of a folder for images without labels"
        notes = (*notes, f"{num} are left out; data.labelled=false trains on them too.")
    elif split.unlabelled:
        train = tuple(sorted((*train, *split.unlabelled)))
    return Arrangement(train, heldout, classes, class_names, notes)


Inner = dict[int, tuple[str, ...]]


def _classes(
    names: Sequence[str], rows: Sequence[int], inner: Inner
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[str, ...]]:
    """(class names, images that lie beside them and are left out, notes)."""
    stray = tuple(i for i in rows if len(inner[i]) < 2)
    found = sorted({inner[i][0] for i in rows if len(inner[i]) > 1})
    if len(found) < 2:
        return (), (), ()
    if len(stray) > max(1, MOST_STRAY * len(rows)):
        lie = (
            f"{len(stray):,} of {len(rows):,} images lie beside the {len(found)} folders, as {_some(names, stray)} does"
        )
        return (
            (),
            (),
            (f"{lie}, so the folders are not used as labels. Move these images into folders of their classes.",),
        )
    told = f"{len(stray)} image(s) beside the class folders have no label and are left out: {_some(names, stray)}."
    return tuple(found), stray, (told,) if stray else ()


def _held_classes(
    names: Sequence[str], heldout: tuple[int, ...], inner: Inner, class_names: tuple[str, ...], where: Path
) -> tuple[tuple[int, ...], dict[int, int], tuple[str, ...]]:
    """(held-out images, their classes, notes)."""
    stray = tuple(i for i in heldout if len(inner[i]) < 2)
    if len(stray) > max(1, MOST_STRAY * len(heldout)) or len(stray) == len(heldout):
        return heldout, {}, ("The held-out images have no class folders, so they are unlabelled.",)
    kept = tuple(sorted({*heldout} - {*stray}))
    unknown = sorted({inner[i][0] for i in kept} - {*class_names})
    if unknown:
        raise UserError(
            f"{where}: the held-out class {unknown[0]!r} has no training images. Training classes: "
            f"{', '.join(class_names)}. Rename or remove the folder."
        )
    told = f"{len(stray)} held-out image(s) beside the class folders are left out: {_some(names, stray)}."
    return kept, {i: class_names.index(inner[i][0]) for i in kept}, (told,) if stray else ()


def by_label(plan: Arrangement, labels: Sequence[str], where: Path) -> Arrangement:
    """The arrangement with the classes of these texts, one for each image; whole numbers are sorted as numbers."""
    names = sorted({labels[i] for i in plan.train}, key=natural)
    unknown = sorted({labels[i] for i in plan.heldout} - set(names), key=natural)
    if unknown:
        raise UserError(f"{where}: the held-out class {unknown[0]!r} has no training images.")
    if len(names) < 2:
        return replace(
            plan,
            classes={},
            class_names=(),
            notes=(*plan.notes, f"All images have the label {names[0]!r}, which is not used."),
        )
    at = {name: place for place, name in enumerate(names)}
    classes = {i: at[labels[i]] for i in (*plan.train, *plan.heldout)}
    return replace(plan, classes=classes, class_names=tuple(names))


def wrapping(names: Sequence[str]) -> int:
    """Length of the folder prefix that all names share, up to a folder that says what its images are for."""
    length = 0
    while names:
        heads = {name[length:].partition("/")[0] for name in names if "/" in name[length:]}
        flat = any("/" not in name[length:] for name in names)
        if flat or len(heads) != 1 or _kind(next(iter(heads))) != "other":
            break
        length += len(heads.pop()) + 1
    return length


def _listed(tops: Iterable[str]) -> str:
    return ", ".join(f"{top}/" for top in sorted(tops))


def _some(names: Sequence[str], rows: Sequence[int]) -> str:
    more = f" and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
    return ", ".join(names[i] for i in rows[:_SHOWN]) + more
