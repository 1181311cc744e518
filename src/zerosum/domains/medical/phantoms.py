"""Head-like phantoms made by code: volumes of ellipsoids with a random pose, and the map of their regions.

Phantom i of a seed is a function of the seed and i alone. Axes: x to the right, y to the front, z upwards (RAS).
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from zerosum.engine.seeds import derive

REGIONS = ("background", "skin", "skull", "grey matter", "white matter", "ventricle left", "ventricle right", "lesion")
"""The regions, in the order of their numbers in a label map."""
SPACING = 5.5
"""Millimetres of a voxel, along each axis."""
SHAPE = (32, 32, 24)
VALUES = (0.0, 430.0, 90.0, 500.0, 800.0, 170.0, 170.0, 980.0)
"""The mean value of each region, in the arbitrary units of a magnetic resonance image."""

Array = NDArray[np.float32]
Labels = NDArray[np.uint8]


def phantom(index: int, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> tuple[Array, Labels, bool]:
    """(volume, label map, whether it has a lesion) of one phantom; the extent in millimetres is that of SHAPE for any shape.

    Every second phantom has a lesion. Edges are soft: they are about a voxel wide.
    """
    draw = np.random.default_rng(derive(seed, f"phantom {index}"))
    extent = np.array(SHAPE) * SPACING
    axes = [(np.arange(side) + 0.5) / side * whole - whole / 2 for side, whole in zip(shape, extent, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    places = (places - draw.normal(0, 2.5, 3)) @ _rotation(draw.normal(0, (0.10, 0.05, 0.12)))
    values = np.array(VALUES) * np.append(1.0, draw.normal(1, 0.04, len(VALUES) - 1))
    drawn = _Drawn(places, values, float((extent / shape).mean()))
    head = np.array((67.0, 80.0, 62.0)) * draw.normal(1, 0.03, 3) * draw.normal(1, 0.03)  # half axes in millimetres
    folds = 1 + 0.045 * _folds(places, draw)
    for number, less in enumerate((0.0, 6.0, 12.5, 24.0), start=1):
        drawn.ellipsoid(number, np.zeros(3), head - less, folds if number == 4 else 1.0)
    for number, side in ((5, -1.0), (6, 1.0)):
        centre = np.array((side * draw.normal(9.5, 1.2), draw.normal(2, 2), draw.normal(4, 1.5)))
        drawn.ellipsoid(number, centre, np.array((5.5, 21.0, 8.5)) * draw.normal(1, 0.12, 3))
    has_lesion = index % 2 == 1
    if has_lesion:
        centre = draw.choice((-1.0, 1.0)) * np.array((draw.normal(30, 4), 0, 0)) + np.array((0, *draw.normal(0, 12, 2)))
        drawn.ellipsoid(7, centre, draw.uniform(7, 13, 3))
    shade = 1 + 0.06 * (places @ draw.normal(0, 1, 3)) / 70
    volume = np.clip((drawn.volume + draw.normal(0, 12, len(places)) * (drawn.labels > 0)) * shade, 0, None)
    return volume.reshape(shape).astype(np.float32), drawn.labels.reshape(shape), has_lesion


class _Drawn:
    """A volume and its label map, into which regions are drawn one after the other. places: (V, 3) in millimetres. voxel: its
    width, which is that of the soft edges."""

    def __init__(self, places: NDArray[np.float64], values: NDArray[np.float64], voxel: float) -> None:
        self.places, self.values, self.voxel = places, values, voxel
        self.volume, self.labels = np.full(len(places), values[0]), np.zeros(len(places), np.uint8)

    def ellipsoid(
        self,
        number: int,
        centre: NDArray[np.float64],
        half: NDArray[np.float64],
        scale: NDArray[np.float64] | float = 1.0,
    ) -> None:
        """Region `number`: an ellipsoid with these half axes, times `scale`."""
        radius = np.sqrt((((self.places - centre) / half) ** 2).sum(1))
        share = np.clip(0.5 + (scale - radius) * half.mean() / self.voxel, 0, 1)
        self.volume = self.volume * (1 - share) + self.values[number] * share
        self.labels[share > 0.5] = number


def _folds(places: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.float64]:
    """A smooth random field of about unit size, which folds the surface of the cortex."""
    waves = draw.normal(0, 1, (3, 12))
    waves = waves / np.linalg.norm(waves, axis=0) * (2 * np.pi / draw.uniform(18, 32, 12))
    field: NDArray[np.float64] = np.cos(places @ waves + draw.uniform(0, 2 * np.pi, 12)).sum(1) / 12**0.5 * 2**0.5
    return field


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation about x, then y, then z, by these angles."""
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        turn, (a, b) = np.eye(3), [each for each in range(3) if each != axis]
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        result = result @ turn
    return result


@functools.lru_cache(1)
def phantoms(
    num: int, seed: int = 0, first: int = 0, shape: tuple[int, ...] = SHAPE
) -> tuple[Array, Labels, NDArray[np.int64]]:
    """(volumes (N, *shape), label maps, 0 or 1 for a lesion) of phantoms first .. first + num - 1."""
    made = [phantom(index, seed, shape) for index in range(first, first + num)]
    return (
        np.stack([one[0] for one in made]),
        np.stack([one[1] for one in made]),
        np.array([int(one[2]) for one in made]),
    )
