"""Shapes in files: one cloud or mesh a file, folders of them (sub-folders are classes), arrays of many clouds."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zerosum.domains.points import meshes
from zerosum.domains.points.meshes import Array
from zerosum.errors import UserError

SINGLE = (*meshes.SUFFIXES, ".xyz")
ARRAYS = (".npy", ".npz")
KEYS, LABELS = ("points", "clouds", "data", "x", "points_u8"), ("labels", "label", "y")
GLANCE = 2000
"""Directory entries that are looked at to see whether a folder is ours."""


@dataclass(frozen=True, eq=False)
class Shapes:
    """Clouds as they lie in the files: (N, P, 3) float32, training rows first.

    labels: (N,) int64, or None. heldout: the last so many rows are a published test part; None where there is none.
    """

    name: str
    clouds: Array
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    heldout: int | None = None
    notes: tuple[str, ...] = field(default=())


def recognise(where: str) -> bool:
    """Whether a path holds meshes or clouds. Reads names and headers only, never raises."""
    path = Path(where).expanduser()
    try:
        if path.is_dir():
            return bool(where) and _holds_shapes(path)
        suffix = path.suffix.lower()
        if suffix in ARRAYS and path.is_file():
            return any(_is_clouds(shape) for shape in _headers(path).values())
        return suffix in SINGLE and path.is_file()
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return False


def claims(path: Path) -> bool:
    """Whether a path that is not recognised is a single cloud, an array (P, 3). Never raises."""
    try:
        return path.suffix.lower() in ARRAYS and path.is_file() and any(map(_is_cloud, _headers(path).values()))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return False


def _holds_shapes(folder: Path) -> bool:
    seen = 0
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if any(Path(name).suffix.lower() in SINGLE for name in names):
            return True
        for name in names[:3]:  # clouds as single arrays: a few tell
            file = Path(base, name)
            if file.suffix.lower() in ARRAYS and any(_is_cloud(shape) for shape in _headers(file).values()):
                return True
        seen += len(names) + 1
        if seen > GLANCE:
            return False
    return False


def _is_cloud(shape: Sequence[int]) -> bool:
    return len(shape) == 2 and shape[1] == 3 and shape[0] > 3


def _is_clouds(shape: Sequence[int]) -> bool:
    return len(shape) == 3 and shape[2] == 3 and shape[1] > 3 and shape[0] > 0


def _headers(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the number arrays in an .npy or .npz file, by name; their contents are not read."""
    if path.suffix.lower() == ".npy":
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return {path.stem: mapped.shape} if mapped.dtype.kind in "uif" else {}
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as stream:
                version = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(stream)
            if dtype.kind in "uif":
                found[name.removesuffix(".npy")] = shape
    return found


def load(path: Path, num_points: int, seed: int) -> Shapes:
    """All shapes at a path, num_points points each. UserError names the file and what is wrong with it."""
    if path.is_dir():
        return _folder(path, num_points, seed)
    if not path.is_file():
        raise UserError(f"{str(path)!r}: no such file or folder, and no named source of shapes.")
    if path.suffix.lower() in ARRAYS:
        arrays = _arrays(path)
        if any(_is_clouds(array.shape) for array in arrays.values()):
            return _many(path, arrays, num_points, seed)
    if path.suffix.lower() in (*SINGLE, *ARRAYS):
        raise UserError(f"{path}: only one shape; a training set needs at least 2. Give the folder they lie in.")
    raise UserError(f"{path}: not a kind of file that holds shapes. Use {', '.join((*SINGLE, *ARRAYS))}, or a folder.")


def cloud(path: Path, num_points: int, seed: int) -> Array:
    """(num_points, 3) of one file: a mesh's surface by area, or so many points of a cloud, the same ones for the same seed."""
    digest = hashlib.sha256(path.name.encode()).digest()
    rng = np.random.default_rng([seed, int.from_bytes(digest[:4], "little")])
    if path.suffix.lower() == ".xyz":
        points = _xyz(path)
    elif path.suffix.lower() in ARRAYS:
        arrays = {name: array for name, array in _arrays(path).items() if _is_cloud(array.shape)}
        if len(arrays) != 1:
            raise UserError(f"{path}: {len(arrays)} arrays of shape (P, 3); a file of one cloud holds exactly one.")
        points = next(iter(arrays.values()))
    else:
        points = meshes.read(path, num_points, rng)
    return _chosen(points, num_points, rng, str(path))


def clouds(path: Path, num_points: int, seed: int) -> Array:
    """(N, num_points, 3) of one file, which may hold one shape or an array of many."""
    if path.suffix.lower() in ARRAYS:
        arrays = _arrays(path)
        if any(_is_clouds(array.shape) for array in arrays.values()):
            return _many(path, arrays, num_points, seed).clouds
    return cloud(path, num_points, seed)[None]


def _chosen(points: Array, num: int, rng: np.random.Generator, where: str) -> Array:
    """`num` of the points, or UserError."""
    if not np.isfinite(points).all():
        raise UserError(f"{where}: some coordinates are not finite. Mend or remove it.")
    if len(points) < num:
        raise UserError(
            f"{where}: {len(points)} points, fewer than the {num} asked for. Use --set data.points={len(points)} or less."
        )
    return points[rng.permutation(len(points))[:num]].astype(np.float32)


def _xyz(path: Path) -> Array:
    try:
        table = np.loadtxt(path, dtype=np.float32, ndmin=2, usecols=(0, 1, 2))
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not lines of x y z ({str(error).splitlines()[0][:100]}).") from None
    if not len(table):
        raise UserError(f"{path}: holds no points.")
    return table


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of an .npy or .npz file; pickled ones (clouds of mixed sizes) are refused."""
    try:
        if path.suffix.lower() == ".npy":
            return {path.stem: np.load(path, allow_pickle=False)}
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except ValueError as error:
        if "pickle" not in str(error).lower():
            raise UserError(f"{path}: not a readable array file ({error}).") from None
        raise UserError(
            f"{path}: holds Python objects, which are never loaded; that is what NumPy writes for clouds of mixed sizes. "
            "Save every cloud as a file of its own (.npy of shape (P, 3)) in one folder."
        ) from None
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable array file ({error}).") from None


def _many(path: Path, arrays: dict[str, np.ndarray], num_points: int, seed: int) -> Shapes:
    """An array (N, P, 3), with labels (N,) beside it in an .npz."""
    fitting = {name: array for name, array in arrays.items() if _is_clouds(array.shape)}
    named = [name for name in KEYS if name in fitting] or list(fitting)
    if len(named) > 1 and named[0] not in KEYS:
        raise UserError(f"{path}: which array holds the clouds? Found: {', '.join(named)}. Name it {KEYS[0]!r}.")
    clouds, notes = fitting[named[0]], []
    if clouds.dtype == np.uint8:
        clouds = clouds.astype(np.float32) / 127.5 - 1
        notes.append("Coordinates are bytes; they are read as value / 127.5 - 1.")
    labels = next((arrays[name] for name in LABELS if name in arrays), None)
    if labels is not None and (labels.shape != (len(clouds),) or labels.dtype.kind not in "ui"):
        raise UserError(f"{path}: labels of shape {labels.shape} and type {labels.dtype} for {len(clouds)} clouds.")
    names: tuple[str, ...] = ()
    if labels is not None:
        values, labels = np.unique(labels, return_inverse=True)
        names = tuple(str(value) for value in values)
    rng = np.random.default_rng(seed)
    chosen = [_chosen(one, num_points, rng, f"{path}, cloud {i}") for i, one in enumerate(clouds)]
    return Shapes(path.stem, np.stack(chosen), labels, names, notes=tuple(notes))


def _folder(folder: Path, num_points: int, seed: int) -> Shapes:
    """Every shape below a folder. Its sub-folders are classes; folders `train` and `test` within them are split so."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in (*SINGLE, *ARRAYS)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if len(files) < 2:
        raise UserError(f"{folder}: {len(files)} files of shapes; a training set needs at least 2.")
    places = [path.relative_to(folder).parts[:-1] for path in files]
    tested = ["test" in place for place in places]
    published = any(tested) and not all(tested)
    if published:
        order = sorted(range(len(files)), key=lambda i: tested[i])
        files, places = [files[i] for i in order], [places[i] for i in order]
    own = [next((part for part in place if part not in ("train", "test")), "") for place in places]
    names = tuple(sorted(set(own)))
    labels = np.array([names.index(name) for name in own]) if len(names) > 1 and "" not in names else None
    clouds = np.stack([cloud(path, num_points, seed) for path in files])
    return Shapes(
        folder.resolve().name, clouds, labels, names if labels is not None else (), sum(tested) if published else None
    )
