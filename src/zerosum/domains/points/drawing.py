"""Draws clouds on white: each point is a small shaded ball; nearer balls are in front and darker."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

TURN, TILT = 35.0, 22.0
"""The viewpoint in degrees: around the upright axis, and from above."""
REAL, FAKE = (23, 115, 90), (185, 77, 18)
"""The colours of real and of generated shapes."""
BALL = 0.042
"""The radius of the ball of a point for shapes of 512 points, in units of the unit ball."""
MARGIN = 1.12
"""The side of a tile in diameters of the unit ball; generated shapes may extend a little beyond the ball."""
FOG = 0.62
"""Paleness of the most distant points, from 0 to 1."""
FINE = 2
"""Supersampling: pictures are drawn larger by this factor and averaged."""
AXES = {"x": (1, 2, 0), "y": (2, 0, 1), "z": (0, 1, 2)}
"""For each upright axis the columns of side, depth and height."""

Picture = npt.NDArray[np.uint8]


def sheet(clouds: Tensor, columns: int, up: str, generated: bool, tile: int = 128, turn: float = TURN) -> Picture:
    """(N, P, 3) in the unit ball -> (H, W, 3): a grid of tiles, row by row; a last row that is not full stays white."""
    columns = max(1, min(columns, len(clouds)))
    rows = -(-len(clouds) // columns)
    whole = np.full((rows * tile, columns * tile, 3), 255, dtype=np.uint8)
    for index, cloud in enumerate(clouds):
        top, left = index // columns * tile, index % columns * tile
        whole[top : top + tile, left : left + tile] = view(cloud, up, generated, tile, turn)
    return whole


def view(cloud: Tensor, up: str, generated: bool, size: int, turn: float = TURN) -> Picture:
    """(P, 3) -> (size, size, 3): one shape, orthographic, seen from `turn` degrees about its upright axis."""
    fine = size * FINE
    points = _rotate_to_view(cloud.detach().cpu().double().clamp(-1.5, 1.5)[:, list(AXES[up])].numpy(), turn)
    points = points[np.argsort(-points[:, 1], kind="stable")]  # the nearest is drawn last
    radius = BALL * math.sqrt(512 / max(len(points), 64))
    scale = 0.5 * fine / (MARGIN + radius)
    stamp, colours = _ball(max(2, round(radius * scale)), REAL if not generated else FAKE)
    centre = np.stack([fine / 2 - points[:, 2] * scale, fine / 2 + points[:, 0] * scale], 1).round().astype(np.int32)
    places = np.clip(
        centre[:, None] + stamp[None], 0, fine - 1
    )  # (P, S, 2): row and column of every pixel of every ball
    painted = np.full(fine * fine, -1, dtype=np.int32)
    painted[(places[..., 0] * fine + places[..., 1]).ravel()] = np.arange(len(points) * len(stamp), dtype=np.int32)
    (covered,) = np.nonzero(painted >= 0)
    ball, pixel = np.divmod(painted[covered], len(stamp))
    # Distant points are pale, near points dark.
    fog = (FOG * np.clip((points[ball, 1, None] + 1) / 2, 0, 1)).astype(np.float32)
    image = np.full((fine * fine, 3), 255, dtype=np.float32)
    image[covered] = colours[pixel] * (1 - fog) + 255 * fog
    averaged = image.reshape(size, FINE, size, FINE, 3).mean((1, 3))
    whole: Picture = np.clip(averaged.round(), 0, 255).astype(np.uint8)
    return whole


def frames(clouds: Tensor, columns: int, up: str, generated: bool, num: int, tile: int) -> Tensor:
    """(F, 3, H, W) in [-1, 1]: one rotation of all shapes about their upright axes."""
    turns = [sheet(clouds, columns, up, generated, tile, TURN + 360 * i / num) for i in range(num)]
    return to_frames(turns)


def to_frames(pictures: list[Picture]) -> Tensor:
    """Pictures (H, W, 3) of one size -> (F, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _rotate_to_view(points: npt.NDArray[np.float64], turn: float) -> npt.NDArray[np.float64]:
    """(P, 3) side, depth, height -> the same, seen from the viewpoint; depth increases away from it."""
    a, b = math.radians(turn), math.radians(TILT)
    side, depth, height = points.T
    side, depth = side * math.cos(a) + depth * math.sin(a), -side * math.sin(a) + depth * math.cos(a)
    depth, height = depth * math.cos(b) - height * math.sin(b), depth * math.sin(b) + height * math.cos(b)
    return np.stack([side, depth, height], 1)


def _ball(radius: int, colour: tuple[int, int, int]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """(S, 2) rows and columns of the pixels of a disc, and (S, 3) the colour of each, lit from above and from the
    viewpoint."""
    line = np.arange(-radius, radius + 1, dtype=np.int32)
    rows, columns = (grid.ravel() for grid in np.meshgrid(line, line, indexing="ij"))
    squared = (rows**2 + columns**2) / (radius + 0.5) ** 2
    inside = squared < 1
    rows, columns = rows[inside], columns[inside]
    slope = np.clip(0.8 * np.sqrt(1 - squared[inside]) - 0.45 * rows / radius, 0, 1)
    light = 0.65 + 0.4 * slope
    return np.stack([rows, columns], 1), (light[:, None] * np.array(colour)).astype(np.float32)
