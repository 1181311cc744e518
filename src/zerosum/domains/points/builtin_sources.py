"""The named sources of shapes: parametric ones that need nothing but trimesh, and published sets in the data root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from zerosum.data.sources import SourceInfo
from zerosum.domains.points import files, shapes
from zerosum.domains.points.files import Shapes
from zerosum.errors import UserError


def _made(summary: str, kinds: tuple[str, ...]) -> SourceInfo:
    """Parametric shapes of some kinds."""
    return SourceInfo(summary, "made here of trimesh's primitives", "none needed", class_names=kinds)


SOURCES: Mapping[str, SourceInfo] = {
    "chairs": _made("Chairs of boxes: seat, back, four legs, some with arms.", ("chair",)),
    "shapes": _made("Chairs, tables, lamps and bottles, with labels.", tuple(shapes.KINDS)),
    "modelnet10-chairs": SourceInfo(
        "889 chairs of ModelNet10, 1,024 points each from a 32^3 voxel shell.",
        "Z. Wu et al., 3D ShapeNets: A Deep Representation for Volumetric Shapes, 2015 (Princeton ModelNet)",
        "free for academic research",
        folders=("modelnet10_voxels",),
        details={"file": "chair_points1024_derived.npz"},
    ),
}
NUM_TRAIN, NUM_HELDOUT = 2_000, 200
"""Parametric shapes of a source, over all its kinds."""


def load(name: str, num: int, num_points: int, seed: int) -> Shapes:
    """A named source. num: parametric training shapes (a tenth as many are held out); 0 for NUM_TRAIN."""
    info = SOURCES[name]
    if info.class_names:
        return _parametric(name, info.class_names, num or NUM_TRAIN, num_points, seed)
    if num:
        raise UserError(f"data.num: {name} is a fixed set; only the parametric sources are made in any number.")
    places = [folder / info.details["file"] for folder in info.searched_folders()]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        looked = "\n".join(f"  {path}" for path in places)
        raise UserError(
            f"the file of {name!r} was not found. Looked for:\n{looked}\nPut it there, or name another folder with ZEROSUM_DATA."
        )
    return replace(files.load(found, num_points, seed), name=name)


def _parametric(name: str, kinds: tuple[str, ...], num: int, num_points: int, seed: int) -> Shapes:
    """As many of each kind, in turn; the held-out rows come last."""
    held = max(1, num * NUM_HELDOUT // NUM_TRAIN)
    each = -(-(num + held) // len(kinds))
    made = np.stack([shapes.clouds(kind, each, num_points, seed) for kind in kinds], 1)
    clouds = made.reshape(-1, num_points, 3)[: num + held]
    labels = np.tile(np.arange(len(kinds)), each)[: num + held] if len(kinds) > 1 else None
    return Shapes(name, clouds, labels, kinds if len(kinds) > 1 else (), held)
