"""What trimesh is used for: reading meshes and clouds, and points spread evenly over a surface."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zerosum.data.opening import contents, decoding
from zerosum.errors import UserError

Array = npt.NDArray[Any]
"""float32 or float64."""
SUFFIXES = (".ply", ".off", ".obj", ".stl")
MAX_BYTES = 2**30
"""Largest file of a mesh that is read, in bytes."""


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
    """(num, 3) float64 points of a mesh's surface, each part of it by its area."""
    points, _ = trimesh().sample.sample_surface(mesh, num, seed=rng)
    return np.asarray(points, dtype=np.float64)


def read(path: Path, num: int, rng: np.random.Generator) -> Array:
    """(num, 3) float64 points of a mesh's surface, or (P, 3) all the points of a file without faces."""
    package, data = trimesh(), contents(path, MAX_BYTES)
    with decoding(path, "a mesh or a point cloud"):
        # From memory, so that no file is opened that the mesh names: materials, textures.
        found = package.load(io.BytesIO(data), file_type=path.suffix[1:].lower(), process=False, skip_materials=True)
        if isinstance(found, package.Scene):
            found = found.to_geometry()
        vertices = np.asarray(getattr(found, "vertices", np.empty((0, 3))), dtype=np.float64)
        if not len(vertices):
            raise UserError(f"{path}: holds neither faces nor points.")
        if not np.isfinite(vertices).all():
            raise UserError(f"{path}: some coordinates are not finite. Mend or remove the file.")
        if not isinstance(found, package.Trimesh) or not len(found.faces):
            return vertices
        if not found.area > 0:
            raise UserError(f"{path}: the faces of this mesh have no area, so no points can be spread over them.")
        return sampled(found, num, rng)
