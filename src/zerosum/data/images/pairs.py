"""Two folders side by side: which files belong together, and whether a folder is made for translation."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from zerosum.data.images.listing import ending_of, natural, passed_over
from zerosum.data.images.lossless_io import READABLE
from zerosum.data.opening import is_regular
from zerosum.errors import UserError

LAYOUTS = (("trainA", "trainB"), ("A", "B"))
"""Folders of inputs and targets."""
_NAMED = 6


def layout_of(folder: Path) -> tuple[str, str] | None:
    """The first of LAYOUTS whose two folders lie in this one; for A and B only when some of their files have one name, since
    folders may be classes too. Looks at names alone, never raises."""
    try:
        names = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
        for a, b in LAYOUTS:
            if {a, b} <= names and (a != "A" or set(_stems(folder / a)) & set(_stems(folder / b))):
                return a, b
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return None
    return None


def images_in(folder: Path) -> list[Path]:
    """The readable files of a folder and of the folders in it, in natural order of their paths; hidden ones left out."""
    found = []
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(base, file) for file in files if _readable(file) and is_regular(Path(base, file))]
    return sorted(found, key=lambda path: natural(path.relative_to(folder).as_posix()))


def told_beside(folder: Path, used: Sequence[Path]) -> tuple[str, ...]:
    """One sentence for each kind of thing in a folder that is no image of the folders in use: what lies beside them, what lies in
    them and is not read."""
    others = Counter[str]()
    for side in used:
        for _, folders, files in os.walk(side):
            folders[:] = [name for name in folders if not name.startswith(".")]
            others.update(ending_of(file) for file in files if not file.startswith(".") and not _readable(file))
    taken = {side.name for side in used}
    left = [] if folder in used else sorted(path.name for path in folder.iterdir() if path.name not in taken)
    left = [name for name in left if not name.startswith(".")]
    beside = (f"Passed over beside {', '.join(sorted(side.name for side in used if side.is_dir()))}: {listed(left)}.",)
    return (*passed_over(others, 0), *(beside if left else ()))


def stem(path: Path, folder: Path) -> str:
    """What pairs a file with another: its path in the folder, without the ending."""
    return path.relative_to(folder).with_suffix("").as_posix()


def matched(a: Path, b: Path) -> list[tuple[Path, Path]]:
    """The pairs of two folders by name. UserError lists the names that have no partner, or appear twice."""
    first, second = (_by_stem(folder) for folder in (a, b))
    if lonely := _lonely(first, second, a.name) + _lonely(second, first, b.name):
        raise UserError(
            f"{a.parent}: the files of {a.name}/ and {b.name}/ do not pair by name. {' '.join(lonely)} Rename or remove "
            "them, or train without pairs: --set data.paired=false"
        )
    return [(path, second[name]) for name, path in first.items()]


def same_names(a: Path, b: Path) -> bool:
    """Whether every file of one folder has a partner in the other."""
    return sorted(stem(path, a) for path in images_in(a)) == sorted(stem(path, b) for path in images_in(b))


def _lonely(here: dict[str, Path], there: dict[str, Path], name: str) -> list[str]:
    missing = [stem for stem in here if stem not in there]
    return [f"Only in {name}/: {listed(missing)}."] if missing else []


def listed(names: Sequence[str]) -> str:
    """A few names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in images_in(folder):
        name = stem(path, folder)
        if name in found:
            raise UserError(f"{folder}: {found[name].name} and {path.name} have one name, so pairs are not clear.")
        found[name] = path
    return found


def _stems(folder: Path) -> list[str]:
    return [Path(entry.name).stem for entry in os.scandir(folder) if _readable(entry.name)]


def _readable(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in READABLE
