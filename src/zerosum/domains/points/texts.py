"""Clouds in text files: x y z a line, with blanks, commas, semicolons or tabs between them, perhaps below a line of names."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zerosum.data.opening import MAX_FILE_BYTES, decoding, limited, opened
from zerosum.errors import UserError

NAMED = "begin with a line that is no point"
MORE = "have columns beyond x, y and z, which are not read"
COMMAS = "have decimal commas"
HEAD_LINES = 100
"""Lines above the first point that are looked through."""
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?")


def read(path: Path) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
    """(P, 3) float64 and what is to be told of the file, of NAMED, MORE and COMMAS.

    Columns called x, y and z in a line above the points are read wherever they stand, else the first three are. Lines that begin
    with # are passed over. UserError says what is wrong.
    """
    with opened(path) as file:
        # Numbers are ASCII; what else a line of names holds does not matter.
        text = io.TextIOWrapper(limited(file, MAX_FILE_BYTES, path), encoding="utf-8-sig", errors="replace")
        names, first, told = _head(text)
        if not first:
            raise UserError(f"{path}: holds no points.")
        mark, comma = _marks(first)
        places = _places(names, len(_cells(first, mark)), mark)
        told += [MORE] * (len(_cells(first, mark)) > 3) + [COMMAS] * comma
        lines: Iterator[str] = itertools.chain([first], text)
        with decoding(path, "lines of x y z"):
            points = np.loadtxt(
                (line.replace(",", ".") for line in lines) if comma else lines,
                dtype=np.float64, delimiter=mark, ndmin=2, usecols=places,
            )  # fmt: skip
    return points, tuple(told)


def _head(text: io.TextIOWrapper) -> tuple[str, str, list[str]]:
    """The last line that might name the columns, the first line that may be a point, and what is told of the lines above it."""
    names, told = "", list[str]()
    for line in itertools.islice(text, HEAD_LINES):
        bare = line.strip().lstrip("#/").strip()
        if not bare:
            continue
        if line.lstrip().startswith("#"):
            names = bare
        elif line.lstrip().startswith("//") or not _is_point(line):
            if told:
                break  # a second line without numbers: the reader says what is wrong with it
            names, told = bare, [NAMED]
        else:
            return names, line, told
    else:
        return names, "", told
    return names, line, told


def _is_point(line: str) -> bool:
    """Whether a line has two or more cells and begins with a number: shorter ones count what follows, or name it."""
    mark, comma = _marks(line)
    cells = _cells(line.replace(",", ".") if comma else line, mark)
    return len(cells) > 1 and all(map(_is_number, cells[:3]))


def _marks(line: str) -> tuple[str | None, bool]:
    """What separates the cells of a line (None: blanks), and whether commas in it are decimal ones."""
    if ";" in line:
        return ";", "," in line
    if "," in line:
        cells = line.split()
        decimal = len(cells) > 2 and all(map(_DECIMAL_COMMA.fullmatch, cells[:3]))
        return (None, True) if decimal else (",", False)
    return None, False


def _cells(line: str, mark: str | None) -> list[str]:
    return [cell.strip() for cell in line.strip().split(mark)]


def _places(names: str, num_cells: int, mark: str | None) -> Sequence[int]:
    """Where x, y and z stand in a line of so many cells."""
    for separator in (mark, None):
        cells = [cell.strip("\"'").lower() for cell in _cells(names, separator)]
        if len(cells) == num_cells and all(cells.count(axis) == 1 for axis in "xyz"):
            return [cells.index(axis) for axis in "xyz"]
    return 0, 1, 2


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
