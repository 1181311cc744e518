"""Parametric furniture and vessels of trimesh's primitives: shapes of random proportions whose surface is sampled by area.

Axes: x to the side, y to the back, z up; the floor is z = 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from zerosum.domains.points.meshes import Array, sampled, trimesh

Rng = np.random.Generator
Part = tuple[npt.NDArray[np.float64], npt.NDArray[Any]]
"""Vertices (V, 3) and faces (F, 3)."""


@functools.cache
def _primitive(kind: str) -> Part:
    """trimesh's box or cylinder that fills [-1/2, 1/2] along z and has side or radius 1."""
    create = trimesh().creation
    mesh = create.box() if kind == "box" else create.cylinder(radius=1, height=1, sections=24)
    return np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces)


def _box(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> Part:
    """An upright box between the bounds of each axis."""
    vertices, faces = _primitive("box")
    low, high = np.array([x, y, z]).T
    return (low + high) / 2 + vertices * (high - low), faces


def _round(radius: float, z: tuple[float, float], top: float | None = None) -> Part:
    """An upright cylinder about the z axis, its upper radius `top` where that differs from the lower."""
    vertices, faces = _primitive("cylinder")
    upper = vertices[:, 2:] > 0
    across = vertices[:, :2] * np.where(upper, radius if top is None else top, radius)
    return np.concatenate([across, np.where(upper, z[1], z[0])], 1), faces


def _legs(wide: float, deep: float, height: float, thick: float) -> list[Part]:
    """Four legs below the corners of a plate of that width and depth."""
    return [
        _box((x - thick / 2, x + thick / 2), (y - thick / 2, y + thick / 2), (0, height))
        for x in (-(wide - thick) / 2, (wide - thick) / 2)
        for y in (-(deep - thick) / 2, (deep - thick) / 2)
    ]


def chair(rng: Rng) -> list[Part]:
    """Seat, back, four legs; two in five have arms."""
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
        return [_round(radius, (high, high + thick)), _round(column, (0.06, high)), _round(foot, (0, 0.06))]
    plate = _box((-wide / 2, wide / 2), (-deep / 2, deep / 2), (high, high + thick))
    return [plate, *_legs(wide, deep, high, rng.uniform(0.07, 0.13))]


def lamp(rng: Rng) -> list[Part]:
    """A standing lamp: foot, pole, and a shade that narrows upwards."""
    high, shade, radius = rng.uniform(1.4, 2.2), rng.uniform(0.35, 0.6), rng.uniform(0.3, 0.5)
    foot = _round(rng.uniform(0.2, 0.4), (0, 0.06))
    pole = _round(rng.uniform(0.03, 0.05), (0.06, high))
    return [foot, pole, _round(radius, (high - shade, high), top=radius * rng.uniform(0.4, 0.8))]


def bottle(rng: Rng) -> list[Part]:
    """Body, shoulder and neck."""
    radius, body = rng.uniform(0.25, 0.4), rng.uniform(0.7, 1.2)
    shoulder, neck, thin = rng.uniform(0.15, 0.3), rng.uniform(0.2, 0.5), radius * rng.uniform(0.3, 0.45)
    return [
        _round(radius, (0, body)),
        _round(radius, (body, body + shoulder), top=thin),
        _round(thin, (body + shoulder, body + shoulder + neck)),
    ]


KINDS: Mapping[str, Callable[[Rng], list[Part]]] = {"chair": chair, "table": table, "lamp": lamp, "bottle": bottle}


def _joined(parts: list[Part]) -> Any:
    """One mesh of all parts."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in parts[:-1])])
    faces = [own + start for (_, own), start in zip(parts, starts, strict=True)]
    return trimesh().Trimesh(np.concatenate([v for v, _ in parts]), np.concatenate(faces), process=False)


def clouds(kind: str, num: int, points: int, seed: int) -> Array:
    """(num, points, 3) float32: `num` random shapes of a kind. Shape i depends on (seed, kind, i) alone."""
    number = list(KINDS).index(kind)
    made = np.empty((num, points, 3), dtype=np.float32)
    for i in range(num):
        rng = np.random.default_rng([seed, number, i])
        made[i] = sampled(_joined(KINDS[kind](rng)), points, rng)
    return made
