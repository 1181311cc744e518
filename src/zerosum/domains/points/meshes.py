"""What trimesh is used for: reading meshes and clouds, and points spread evenly over a surface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zerosum.errors import UserError

Array = npt.NDArray[np.float32]
SUFFIXES = (".ply", ".off", ".obj", ".stl")


def trimesh() -> Any:
    """The package; UserError where it is not installed."""
    try:
        import trimesh as package
    except ImportError:
        raise UserError(
            "Meshes and parametric shapes need trimesh. Install it with: pip install 'zerosum[points]'"
        ) from None
    return package


def sampled(mesh: Any, num: int, rng: np.random.Generator) -> Array:
    """(num, 3) points of a mesh's surface, each part of it by its area."""
    points, _ = trimesh().sample.sample_surface(mesh, num, seed=rng)
    return np.asarray(points, dtype=np.float32)


def read(path: Path, num: int, rng: np.random.Generator) -> Array:
    """(num, 3) points of a mesh's surface, or (P, 3) all the points of a file without faces."""
    package = trimesh()
    try:
        found = package.load(path, process=False)
        if isinstance(found, package.Scene):
            found = found.to_geometry()
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, NotImplementedError, OSError) as error:
        raise UserError(f"{path}: cannot be read as a mesh or a point cloud ({_first(error)}).") from None
    vertices = np.asarray(getattr(found, "vertices", np.empty((0, 3))))
    if not len(vertices):
        raise UserError(f"{path}: holds neither faces nor points.")
    if not np.isfinite(vertices).all():
        raise UserError(f"{path}: some coordinates are not finite. Mend or remove the file.")
    if not isinstance(found, package.Trimesh) or not len(found.faces):
        return vertices.astype(np.float32)
    if not found.area > 0:
        raise UserError(f"{path}: the faces of this mesh have no area, so no points can be spread over them.")
    return sampled(found, num, rng)


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
