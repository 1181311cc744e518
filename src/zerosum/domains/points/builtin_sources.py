"""The built-in sources of shapes: parametric furniture and vessels, made with trimesh, and a published set in the data
folder.

Parametric shapes have random proportions, and their surface is sampled by area. Axes: x to the side, y to the back, z
up; the floor is z = 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from zerosum.data.sources import SourceInfo
from zerosum.domains.points import files
from zerosum.domains.points.files import Shapes
from zerosum.domains.points.formats import Array, sample_surface, trimesh
from zerosum.errors import UserError

Rng = np.random.Generator
Part = tuple[npt.NDArray[np.float64], npt.NDArray[Any]]
"""Vertices (V, 3) and faces (F, 3)."""


@functools.cache
def _primitive(kind: str) -> Part:
    """trimesh's box with side 1, or cylinder with radius 1 and height 1, centred at the origin."""
    create = trimesh().creation
    mesh = create.box() if kind == "box" else create.cylinder(radius=1, height=1, sections=24)
    return np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces)


def _box(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> Part:
    """An upright box between the bounds of each axis."""
    vertices, faces = _primitive("box")
    low, high = np.array([x, y, z]).T
    return (low + high) / 2 + vertices * (high - low), faces


def _cylinder(radius: float, z: tuple[float, float], top: float | None = None) -> Part:
    """An upright cylinder about the z axis, its upper radius `top` where that differs from the lower."""
    vertices, faces = _primitive("cylinder")
    upper = vertices[:, 2:] > 0
    across = vertices[:, :2] * np.where(upper, radius if top is None else top, radius)
    return np.concatenate([across, np.where(upper, z[1], z[0])], 1), faces


def _legs(wide: float, deep: float, height: float, thick: float) -> list[Part]:
    """Four legs below the corners of a plate of this width and depth."""
    return [
        _box((x - thick / 2, x + thick / 2), (y - thick / 2, y + thick / 2), (0, height))
        for x in (-(wide - thick) / 2, (wide - thick) / 2)
        for y in (-(deep - thick) / 2, (deep - thick) / 2)
    ]


def chair(rng: Rng) -> list[Part]:
    """Seat, back and four legs; with probability 0.4 also arms."""
    wide, deep, seat = rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.1), rng.uniform(0.75, 1.05)
    thick, leg, back = rng.uniform(0.06, 0.14), rng.uniform(0.07, 0.13), rng.uniform(0.7, 1.3)
    plate = _box((-wide / 2, wide / 2), (-deep / 2, deep / 2), (seat, seat + thick))
    rest_thick = rng.uniform(0.06, 0.12)
    rest = _box((-wide / 2, wide / 2), (deep / 2 - rest_thick, deep / 2), (seat + thick, seat + thick + back))
    parts = [plate, rest, *_legs(wide, deep, seat, leg)]
    if rng.uniform() < 0.4:
        arm, high = rng.uniform(0.06, 0.1), seat + thick + rng.uniform(0.3, 0.45)
        for side in (-1, 1):
            outer, inner = side * wide / 2, side * (wide / 2 - arm)
            x = min(outer, inner), max(outer, inner)
            parts.append(_box(x, (-deep / 2, deep / 2 - rest_thick), (high, high + arm)))
            parts.append(_box(x, (-deep / 2, -deep / 2 + arm), (seat + thick, high)))
    return parts


def table(rng: Rng) -> list[Part]:
    """A plate on four legs, or a round one on a column with a foot."""
    wide, deep, high = rng.uniform(1.2, 2.0), rng.uniform(0.8, 1.3), rng.uniform(0.7, 1.1)
    thick = rng.uniform(0.06, 0.12)
    if rng.uniform() < 0.3:
        radius = deep * rng.uniform(0.6, 0.75)
        column, foot = rng.uniform(0.05, 0.1), radius * rng.uniform(0.45, 0.7)
        return [_cylinder(radius, (high, high + thick)), _cylinder(column, (0.06, high)), _cylinder(foot, (0, 0.06))]
    plate = _box((-wide / 2, wide / 2), (-deep / 2, deep / 2), (high, high + thick))
    return [plate, *_legs(wide, deep, high, rng.uniform(0.07, 0.13))]


def lamp(rng: Rng) -> list[Part]:
    """A standing lamp: foot, pole, and a shade that narrows upwards."""
    high, shade, radius = rng.uniform(1.4, 2.2), rng.uniform(0.35, 0.6), rng.uniform(0.3, 0.5)
    foot = _cylinder(rng.uniform(0.2, 0.4), (0, 0.06))
    pole = _cylinder(rng.uniform(0.03, 0.05), (0.06, high))
    return [foot, pole, _cylinder(radius, (high - shade, high), top=radius * rng.uniform(0.4, 0.8))]


def bottle(rng: Rng) -> list[Part]:
    """Body, shoulder and neck."""
    radius, body = rng.uniform(0.25, 0.4), rng.uniform(0.7, 1.2)
    shoulder, neck, thin = rng.uniform(0.15, 0.3), rng.uniform(0.2, 0.5), radius * rng.uniform(0.3, 0.45)
    return [
        _cylinder(radius, (0, body)),
        _cylinder(radius, (body, body + shoulder), top=thin),
        _cylinder(thin, (body + shoulder, body + shoulder + neck)),
    ]


KINDS: Mapping[str, Callable[[Rng], list[Part]]] = {"chair": chair, "table": table, "lamp": lamp, "bottle": bottle}


def _join(parts: list[Part]) -> Any:
    """Joins all parts to one mesh."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in parts[:-1])])
    faces = [part_faces + start for (_, part_faces), start in zip(parts, starts, strict=True)]
    return trimesh().Trimesh(np.concatenate([v for v, _ in parts]), np.concatenate(faces), process=False)


def parametric_clouds(kind: str, num: int, points: int, seed: int) -> Array:
    """(num, points, 3) float32: `num` random shapes of a kind. Shape i depends only on (seed, kind, i)."""
    number = list(KINDS).index(kind)
    clouds = np.empty((num, points, 3), dtype=np.float32)
    for i in range(num):
        rng = np.random.default_rng([seed, number, i])
        clouds[i] = sample_surface(_join(KINDS[kind](rng)), points, rng)
    return clouds


def _parametric_info(summary: str, kinds: tuple[str, ...]) -> SourceInfo:
    """A source of parametric shapes of these kinds."""
    return SourceInfo(summary, "made with trimesh's primitives", "none needed", class_names=kinds)


SOURCES: Mapping[str, SourceInfo] = {
    "chairs": _parametric_info("Chairs of boxes: seat, back, four legs, some with arms.", ("chair",)),
    "shapes": _parametric_info("Chairs, tables, lamps and bottles, with labels.", tuple(KINDS)),
    "modelnet10-chairs": SourceInfo(
        "889 chairs of ModelNet10, 1,024 points each from a 32^3 voxel shell.",
        "Z. Wu et al., 3D ShapeNets: A Deep Representation for Volumetric Shapes, 2015 (Princeton ModelNet)",
        "free for academic research",
        folders=("modelnet10_voxels",),
        details={"file": "chair_points1024_derived.npz"},
    ),
}
NUM_TRAIN, NUM_HELDOUT = 2_000, 200
"""Default numbers of parametric training and held-out shapes of a source."""


def load(name: str, num: int, num_points: int, seed: int) -> Shapes:
    """A named source. num: parametric training shapes (a tenth as many are held out); 0 for NUM_TRAIN."""
    info = SOURCES[name]
    if info.class_names:
        return _parametric(name, info.class_names, num or NUM_TRAIN, num_points, seed)
    if num:
        raise UserError(f"data.num: {name} is a fixed set; only parametric sources have a variable number of shapes.")
    places = [folder / info.details["file"] for folder in info.searched_folders()]
    file = next((path for path in places if path.is_file()), None)
    if file is None:
        looked = "\n".join(f"  {path}" for path in places)
        raise UserError(
            f"the file of {name!r} was not found. Looked for:\n{looked}\nPut it there, or name another folder with ZEROSUM_DATA."
        )
    return replace(files.load(file, num_points, seed), name=name)


def _parametric(name: str, kinds: tuple[str, ...], num: int, num_points: int, seed: int) -> Shapes:
    """Equally many shapes of each kind, alternating; the last rows are held out."""
    held = max(1, num * NUM_HELDOUT // NUM_TRAIN)
    each = -(-(num + held) // len(kinds))
    by_kind = np.stack([parametric_clouds(kind, each, num_points, seed) for kind in kinds], 1)
    clouds = by_kind.reshape(-1, num_points, 3)[: num + held]
    labels = np.tile(np.arange(len(kinds)), each)[: num + held] if len(kinds) > 1 else None
    return Shapes(name, clouds, labels, kinds if len(kinds) > 1 else (), held)
