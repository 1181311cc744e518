"""Reads and samples single files of shapes: meshes and clouds by trimesh, and text files with x, y and z on each
line."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zerosum.data.opening import MAX_FILE_BYTES, decoding, limit_size, open_regular, read_bytes
from zerosum.errors import UserError

Array = npt.NDArray[Any]
"""float32 or float64."""
SUFFIXES = (".ply", ".off", ".obj", ".stl")
MAX_BYTES = 2**30
"""The size of the largest mesh file that is read."""


def trimesh() -> Any:
    """The package; UserError where it is not installed."""
    try:
        import trimesh as package
    except ImportError:
        raise UserError(
            "Meshes and parametric shapes need trimesh. Install it with: pip install 'zerosum[points]'"
        ) from None
    return package


def sample_surface(mesh: Any, num: int, rng: np.random.Generator) -> Array:
    """(num, 3) float64 points of a mesh's surface, sampled uniformly by area."""
    points, _ = trimesh().sample.sample_surface(mesh, num, seed=rng)
    return np.asarray(points, dtype=np.float64)


def read_mesh(path: Path, num: int, rng: np.random.Generator) -> Array:
    """(num, 3) float64 points of a mesh's surface, or (P, 3) all points of a file without faces."""
    package, data = trimesh(), read_bytes(path, MAX_BYTES)
    with decoding(path, "a mesh or a point cloud"):
        # From memory, so that files that the mesh refers to (materials, textures) are not opened.
        found = package.load(io.BytesIO(data), file_type=path.suffix[1:].lower(), process=False, skip_materials=True)
        if isinstance(found, package.Scene):
            found = found.to_geometry()
        vertices = np.asarray(getattr(found, "vertices", np.empty((0, 3))), dtype=np.float64)
        if not len(vertices):
            raise UserError(f"{path}: contains neither faces nor points.")
        if not np.isfinite(vertices).all():
            raise UserError(f"{path}: some coordinates are not finite. Correct or remove the file.")
        if not isinstance(found, package.Trimesh) or not len(found.faces):
            return vertices
        if not found.area > 0:
            raise UserError(f"{path}: the faces of this mesh have no area, so no points can be sampled from them.")
        return sample_surface(found, num, rng)


# --- text files

NAMED = "begin with a line that is not a point"
MORE = "have columns beyond x, y and z, which are not read"
COMMAS = "have decimal commas"
HEAD_LINES = 100
"""The greatest number of lines above the first point."""
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?")


def read_text(path: Path) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
    """(P, 3) float64 and remarks on the file, of NAMED, MORE and COMMAS.

    The columns are those that a line above the points names x, y and z, else the first three. Lines that begin with #
    are skipped. UserError if the file cannot be read.
    """
    with open_regular(path) as file:
        # Numbers are ASCII; what else a line of names holds does not matter.
        text = io.TextIOWrapper(limit_size(file, MAX_FILE_BYTES, path), encoding="utf-8-sig", errors="replace")
        names, first, remarks = _read_header(text)
        if not first:
            raise UserError(f"{path}: contains no points.")
        separator, comma = _separator(first)
        columns = _axis_columns(names, len(_cells(first, separator)), separator)
        remarks += [MORE] * (len(_cells(first, separator)) > 3) + [COMMAS] * comma
        lines: Iterator[str] = itertools.chain([first], text)
        with decoding(path, "lines of x y z"):
            points = np.loadtxt(
                (line.replace(",", ".") for line in lines) if comma else lines,
                dtype=np.float64, delimiter=separator, ndmin=2, usecols=columns,
            )  # fmt: skip
    return points, tuple(remarks)


def _read_header(text: io.TextIOWrapper) -> tuple[str, str, list[str]]:
    """The last line that may name the columns, the first line that may be a point, and remarks on the lines above
    it."""
    names, remarks = "", list[str]()
    for line in itertools.islice(text, HEAD_LINES):
        bare = line.strip().lstrip("#/").strip()
        if not bare:
            continue
        if line.lstrip().startswith("#"):
            names = bare
        elif line.lstrip().startswith("//") or not _is_point(line):
            if remarks:
                break  # a second line without numbers: np.loadtxt reports the error
            names, remarks = bare, [NAMED]
        else:
            return names, line, remarks
    else:
        return names, "", remarks
    return names, line, remarks


def _is_point(line: str) -> bool:
    """Whether a line has at least two cells and begins with numbers; a line with one cell is a header, such as the
    number of points."""
    separator, comma = _separator(line)
    cells = _cells(line.replace(",", ".") if comma else line, separator)
    return len(cells) > 1 and all(map(_is_number, cells[:3]))


def _separator(line: str) -> tuple[str | None, bool]:
    """The separator of the cells of a line (None: blanks), and whether its commas are decimal commas."""
    if ";" in line:
        return ";", "," in line
    if "," in line:
        cells = line.split()
        decimal = len(cells) > 2 and all(map(_DECIMAL_COMMA.fullmatch, cells[:3]))
        return (None, True) if decimal else (",", False)
    return None, False


def _cells(line: str, separator: str | None) -> list[str]:
    return [cell.strip() for cell in line.strip().split(separator)]


def _axis_columns(names: str, num_cells: int, separator: str | None) -> Sequence[int]:
    """The columns of x, y and z in a line with this many cells."""
    for candidate in (separator, None):
        cells = [cell.strip("\"'").lower() for cell in _cells(names, candidate)]
        if len(cells) == num_cells and all(cells.count(axis) == 1 for axis in "xyz"):
            return [cells.index(axis) for axis in "xyz"]
    return 0, 1, 2


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
