"""Pairs of files in two folders, and recognition of folders for translation."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from zerosum.data.images.listing import ending_of, natural_key, skipped_notes
from zerosum.data.images.lossless_io import READABLE
from zerosum.data.opening import is_regular
from zerosum.errors import UserError

RESOLUTIONS = ("lr", "hr")
LAYOUTS = (("trainA", "trainB"), ("A", "B"), RESOLUTIONS)
"""Folders of inputs and targets; those of RESOLUTIONS hold each image twice, small and large."""
_SCALE = re.compile(r"(_?x[2348]|_(lr|hr))$", re.IGNORECASE)
_NUM_SHOWN = 6


def layout_of(folder: Path) -> tuple[str, str] | None:
    """The first of LAYOUTS whose two folders exist in this one. A and B count only if some of their files have the same
    name, since such folders may be classes too. Reads names only, never raises."""
    try:
        names = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
        for a, b in LAYOUTS:
            if {a, b} <= names and (a != "A" or _stems(folder / a) & _stems(folder / b)):
                return a, b
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return None
    return None


def list_images(folder: Path) -> list[Path]:
    """The readable files of a folder and of its sub-folders, without hidden ones, in natural order of their paths."""
    found = []
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(base, file) for file in files if _readable(file) and is_regular(Path(base, file))]
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def folder_notes(folder: Path, used: Sequence[Path]) -> tuple[str, ...]:
    """One sentence for each kind of file in a folder that is not used: files next to the folders in use, and files in them that
    are not read."""
    others = Counter[str]()
    for side in used:
        for _, folders, files in os.walk(side):
            folders[:] = [name for name in folders if not name.startswith(".")]
            others.update(ending_of(file) for file in files if not file.startswith(".") and not _readable(file))
    used_names = {side.name for side in used}
    left = [] if folder in used else sorted(path.name for path in folder.iterdir() if path.name not in used_names)
    left = [name for name in left if not name.startswith(".")]
    outside = (f"Skipped next to {', '.join(sorted(side.name for side in used if side.is_dir()))}: {shorten(left)}.",)
    return (*skipped_notes(others, 0), *(outside if left else ()))


def stem(path: Path, folder: Path) -> str:
    """The key by which files are paired: the path in the folder, without the suffix and, in a folder of RESOLUTIONS, without a
    scale or the name of the folder at its end, as in 0001x4.png and 0001_HR.png."""
    name = path.relative_to(folder).with_suffix("").as_posix()
    return _SCALE.sub("", name) if folder.name in RESOLUTIONS else name


def match_by_name(a: Path, b: Path) -> list[tuple[Path, Path]]:
    """The pairs of two folders by name. Raises UserError that lists the names without a partner, or that appear twice."""
    first, second = (_by_stem(folder) for folder in (a, b))
    if unmatched := _unmatched(first, second, a.name) + _unmatched(second, first, b.name):
        unpaired = "" if a.name in RESOLUTIONS else ", or train without pairs: --set data.paired=false"
        raise UserError(
            f"{a.parent}: the files of {a.name}/ and {b.name}/ do not pair by name. {' '.join(unmatched)} Rename or remove "
            f"them{unpaired}"
        )
    return [(path, second[name]) for name, path in first.items()]


def same_names(a: Path, b: Path) -> bool:
    """Whether every file of one folder has a partner in the other."""
    return sorted(stem(path, a) for path in list_images(a)) == sorted(stem(path, b) for path in list_images(b))


def _unmatched(names: dict[str, Path], others: dict[str, Path], name: str) -> list[str]:
    missing = [stem for stem in names if stem not in others]
    return [f"Only in {name}/: {shorten(missing)}."] if missing else []


def shorten(names: Sequence[str]) -> str:
    """A few names, and how many more there are."""
    more = f" and {len(names) - _NUM_SHOWN} more" if len(names) > _NUM_SHOWN else ""
    return ", ".join(names[:_NUM_SHOWN]) + more


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in list_images(folder):
        name = stem(path, folder)
        if name in found:
            raise UserError(
                f"{folder}: {found[name].name} and {path.name} have the same name, so the pairs are ambiguous."
            )
        found[name] = path
    return found


def _stems(folder: Path) -> set[str]:
    return {stem(Path(entry.path), folder) for entry in os.scandir(folder) if _readable(entry.name)}


def _readable(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in READABLE
