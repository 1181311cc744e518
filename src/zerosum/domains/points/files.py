"""Reads shapes: files of one cloud or mesh, folders of them (sub-folders are classes), arrays of many clouds."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from zerosum.data import numpy_files
from zerosum.data.images.listing import HELDOUT, MAX_STRAY, TRAIN
from zerosum.data.numpy_files import Arrays, Header
from zerosum.data.opening import FileNotes, expand_path, is_regular
from zerosum.domains.points import formats
from zerosum.domains.points.formats import Array
from zerosum.errors import UserError

TEXTS, ARRAYS = (".xyz",), numpy_files.SUFFIXES
SINGLE = (*formats.SUFFIXES, *TEXTS)
UNSUPPORTED = (
    ".pcd",
    ".las",
    ".laz",
    ".e57",
    ".pts",
    ".ptx",
    ".glb",
    ".gltf",
    ".dae",
    ".3ds",
    ".3mf",
    ".fbx",
    ".step",
    ".stp",
)
"""Suffixes of clouds and meshes that cannot be read."""
KEYS, LABELS = ("points", "clouds", "data", "x", "points_u8"), ("labels", "label", "y")
MAX_VALUES = 10
"""The greatest number of values of a point: x, y, z, a normal, a colour, an intensity."""
ENTRIES_TO_RECOGNISE = 2000
"""The number of directory entries that are read to recognise a folder."""
NUM_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Shapes:
    """Clouds as read from files: (N, P, 3), training rows first; float64 if the numbers of the files do not fit into
    float32.

    labels: (N,) int64, or None. heldout: number of the last rows, which are a published test part; None if there is
    none.
    """

    name: str
    clouds: Array
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    heldout: int | None = None
    notes: tuple[str, ...] = field(default=())


def can_open(where: str) -> bool:
    """Whether a path holds meshes or clouds. Reads names and headers only, never raises."""
    path = expand_path(where)
    try:
        if path.is_dir():
            return bool(where) and _holds_shapes(path)
        suffix = path.suffix.lower()
        if suffix in ARRAYS and is_regular(path):
            return any(map(_is_clouds, numpy_files.read_headers(path).values()))
        return suffix in SINGLE and is_regular(path)
    except (OSError, UserError):
        return False


def looks_like(path: Path) -> bool:
    """Whether a path for which `can_open` is false is a single cloud, an array (P, 3), or has a suffix of UNSUPPORTED. Never
    raises."""
    try:
        if path.is_dir():
            return any(file.suffix.lower() in UNSUPPORTED for file in path.iterdir())
        suffix = path.suffix.lower()
        return suffix in UNSUPPORTED or (
            suffix in ARRAYS and any(map(_is_cloud, numpy_files.read_headers(path).values()))
        )
    except (OSError, UserError):
        return False


def _holds_shapes(folder: Path) -> bool:
    seen = 0
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if any(Path(name).suffix.lower() in SINGLE for name in names):
            return True
        arrays = [name for name in names if Path(name).suffix.lower() in ARRAYS]
        if any(_holds_cloud(Path(base, name)) for name in arrays[:3]):  # a few suffice
            return True
        seen += len(names) + 1
        if seen > ENTRIES_TO_RECOGNISE:
            return False
    return False


def _holds_cloud(path: Path) -> bool:
    try:
        return any(map(_is_cloud, numpy_files.read_headers(path).values()))
    except UserError:
        return False


def _is_cloud(header: Header) -> bool:
    shape = header.shape
    return header.numeric and len(shape) == 2 and 3 <= shape[1] <= MAX_VALUES and shape[0] > 3


def _is_clouds(header: Header) -> bool:
    shape = header.shape
    return header.numeric and len(shape) == 3 and 3 <= shape[2] <= MAX_VALUES and shape[1] > 3 and shape[0] > 0


def load(path: Path, num_points: int, seed: int) -> Shapes:
    """All shapes at a path, num_points points each. UserError names the file and what is wrong with it."""
    if path.is_dir():
        return _read_folder(path, num_points, seed)
    suffix = path.suffix.lower()
    if suffix in ARRAYS:
        with numpy_files.open_arrays(path) as arrays:
            if any(map(_is_clouds, _check_dtypes(arrays).values())):
                return _read_array(arrays, num_points, seed)
    if suffix in (*SINGLE, *ARRAYS):
        raise UserError(f"{path}: only one shape; a training set needs at least 2. Give the folder that contains them.")
    if suffix in UNSUPPORTED:
        raise UserError(f"{path}: {suffix} files are not read. {_CONVERT_HELP}")
    raise UserError(f"{path}: not a kind of file that holds shapes. Use {', '.join((*SINGLE, *ARRAYS))}, or a folder.")


_CONVERT_HELP = f"Convert them to one of {', '.join((*SINGLE, *ARRAYS))}; MeshLab and CloudCompare can."


def read_cloud(path: Path, num_points: int, seed: int, notes_of_files: FileNotes | None = None) -> Array:
    """(num_points, 3) of one file: points of a mesh's surface sampled by area, or points of a cloud, the same for the
    same seed."""
    notes_of_files = FileNotes() if notes_of_files is None else notes_of_files
    digest = hashlib.sha256(path.name.encode(errors="surrogateescape")).digest()
    rng = np.random.default_rng([seed, int.from_bytes(digest[:4], "little")])
    suffix = path.suffix.lower()
    if suffix in TEXTS:
        points, found = formats.read_text(path)
        for what in found:
            notes_of_files.add(what, path.name)
    elif suffix in ARRAYS:
        with numpy_files.open_arrays(path) as arrays:
            fitting = [name for name, header in _check_dtypes(arrays).items() if _is_cloud(header)]
            if len(fitting) != 1:
                raise UserError(
                    f"{path}: {len(fitting)} arrays of shape (P, 3); a file of one cloud holds exactly one. "
                    f"Found: {_format_arrays(arrays)}."
                )
            points = arrays.read(fitting[0], mapped=True)
        if points.shape[1] > 3:
            notes_of_files.add(formats.MORE, path.name)
    else:
        points = formats.read_mesh(path, num_points, rng)
    return _sample_points(points, num_points, rng, str(path))


def read_clouds(path: Path, num_points: int, seed: int) -> Array:
    """(N, num_points, 3) of one file, with one shape or an array of many."""
    if path.suffix.lower() in ARRAYS:
        with numpy_files.open_arrays(path) as arrays:
            if any(map(_is_clouds, _check_dtypes(arrays).values())):
                return _read_array(arrays, num_points, seed).clouds
    return read_cloud(path, num_points, seed)[None]


def _sample_points(points: Array, num: int, rng: np.random.Generator, where: str) -> Array:
    """x, y, z of `num` of the points, in float32 where the points' type fits into it and else in float64; or
    UserError."""
    points = points[:, :3]
    if not np.isfinite(points).all():
        raise UserError(f"{where}: some coordinates are not finite. Correct or remove it.")
    if len(points) < num:
        raise UserError(
            f"{where}: {len(points)} points, fewer than the requested {num}. Use --set data.points={len(points)} or less."
        )
    fits = np.result_type(points.dtype, np.float32) == np.float32
    return points[rng.permutation(len(points))[:num]].astype(np.float32 if fits else np.float64)


def _check_dtypes(arrays: Arrays) -> Mapping[str, Header]:
    """The headers; UserError for Python objects, which NumPy writes for clouds of mixed sizes."""
    for name, header in arrays.items():
        if header.dtype.hasobject:
            raise UserError(
                f"{arrays.place(name)}: contains Python objects, which are never loaded; NumPy writes them for clouds of "
                "different sizes. Save each cloud in its own file (.npy of shape (P, 3)) in one folder."
            )
    return arrays


def _format_arrays(arrays: Arrays) -> str:
    return ", ".join(f"{name} {header.shape}" for name, header in arrays.items()) or "no arrays"


def _read_array(arrays: Arrays, num_points: int, seed: int) -> Shapes:
    """An array (N, P, 3), and labels (N,) if an .npz file contains them."""
    path, notes = arrays.path, list[str]()
    fitting = [name for name, header in arrays.items() if _is_clouds(header)]
    named = [name for name in KEYS if name in fitting] or fitting
    if len(named) > 1 and named[0] not in KEYS:
        raise UserError(f"{path}: which array contains the clouds? Found: {', '.join(named)}. Name it {KEYS[0]!r}.")
    clouds = arrays.read(named[0], mapped=True)
    if clouds.shape[2] > 3:
        notes.append(f"The first three of the {clouds.shape[2]} numbers of each point are read as x, y and z.")
    if clouds.dtype == np.uint8:
        clouds = clouds.astype(np.float32) / 127.5 - 1
        notes.append("Coordinates are bytes; they are read as value / 127.5 - 1.")
    if len(others := [name for name in arrays if name not in (named[0], *LABELS)]):
        notes.append(f"Not read: the array(s) {', '.join(others)}.")
    labels, names = _read_labels(arrays, len(clouds))
    rng = np.random.default_rng(seed)
    sampled = [_sample_points(points, num_points, rng, f"{path}, cloud {i}") for i, points in enumerate(clouds)]
    return Shapes(path.stem, np.stack(sampled), labels, names, notes=tuple(notes))


def _read_labels(arrays: Arrays, num: int) -> tuple[np.ndarray | None, tuple[str, ...]]:
    name = next((name for name in LABELS if name in arrays), None)
    if name is None:
        return None, ()
    header = arrays[name]
    if header.shape not in ((num,), (num, 1)) or header.dtype.kind not in "ui":
        raise UserError(f"{arrays.path}: labels of shape {header.shape} and type {header.dtype} for {num} clouds.")
    values, labels = np.unique(arrays.read(name).reshape(-1), return_inverse=True)
    return labels, tuple(str(value) for value in values)


# --- folders


def _read_folder(folder: Path, num_points: int, seed: int) -> Shapes:
    """Every shape below a folder. Its sub-folders are classes; folders such as `train` and `test` in them define the
    split."""
    files, skipped = _list_files(folder)
    if len(files) < 2:
        hint = f" {skipped} {_CONVERT_HELP}" if skipped else ""
        raise UserError(f"{folder}: {len(files)} files of shapes; a training set needs at least 2.{hint}")
    places = {file: file.relative_to(folder).parts[:-1] for file in files}
    tested = {file: any(part.lower() in HELDOUT for part in place) for file, place in places.items()}
    own = {file: next((p for p in place if p.lower() not in TRAIN | HELDOUT), "") for file, place in places.items()}
    names, left, notes = _classes(own)
    kept = sorted((file for file in files if file not in left), key=lambda file: (tested[file], file))
    held = sum(tested[file] for file in kept)
    notes_of_files = FileNotes()
    clouds = np.stack([read_cloud(file, num_points, seed, notes_of_files) for file in kept])
    labels = np.array([names.index(own[file]) for file in kept]) if names else None
    notes = (*notes, *([skipped] if skipped else []), *notes_of_files.notes())
    return Shapes(folder.resolve().name, clouds, labels, names, held if 0 < held < len(kept) else None, notes)


def _list_files(folder: Path) -> tuple[list[Path], str]:
    """The files of shapes below a folder, without hidden ones, sorted by path; and a sentence on other files."""
    found, others, links = list[Path](), defaultdict[str, list[str]](list), 0
    for base, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links += sum(os.path.islink(os.path.join(base, name)) for name in folders)
        for name in names:
            if not name.startswith("."):
                path = Path(base, name)
                suffix = path.suffix.lower()
                if suffix in (*SINGLE, *ARRAYS):
                    found.append(path)
                else:
                    others[suffix or "without a suffix"].append(name)
    kinds = [
        f"{len(names)} {suffix} ({min(names)}{', ...' if len(names) > 1 else ''})" for suffix, names in others.items()
    ]
    kinds += [f"{links} link(s) to folders"] if links else []
    return sorted(found), f"Skipped: {', '.join(sorted(kinds))}." if kinds else ""


def _raise(error: OSError) -> NoReturn:
    raise error


def _classes(own: Mapping[Path, str]) -> tuple[tuple[str, ...], set[Path], tuple[str, ...]]:
    """The names of the classes, the files that are left out, and notes. own: the folder of each file, "" for none.

    Two or more folders are classes; files outside them, at most a share of MOST_STRAY, are left out.
    """
    classes = sorted({place for place in own.values() if place})
    stray = [file for file, place in own.items() if not place]
    if len(classes) < 2 or len(stray) > max(1, MAX_STRAY * len(own)):
        some = (f"There are no labels: {len(stray)} of {len(own)} files are in no sub-folder.",)
        return (), set(), some if classes and stray else ()
    shown = ", ".join(file.name for file in stray[:NUM_SHOWN]) + (", ..." if len(stray) > NUM_SHOWN else "")
    left = (f"Left out: {len(stray)} file(s) outside the folders of the classes ({shown}).",)
    return tuple(classes), set(stray), left if stray else ()
