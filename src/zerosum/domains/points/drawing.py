"""Clouds as pictures: every point a small shaded ball, nearer ones in front and darker, on white."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

TURN, TILT = 35.0, 22.0
"""Degrees from which a shape is seen: about its upright axis, and from above."""
REAL, FAKE = (23, 115, 90), (185, 77, 18)
"""The colours of real and of made shapes."""
BALL = 0.042
"""Radius of the ball of a point where a shape has 512 of them, in units of the unit ball."""
FINE = 2
"""Pictures are drawn so many times larger and then averaged, for smooth edges."""
AXES = {"x": (1, 2, 0), "y": (2, 0, 1), "z": (0, 1, 2)}
"""For the axis that points up: which columns are the side, the depth and the height."""

Picture = npt.NDArray[np.uint8]


def sheet(clouds: Tensor, columns: int, up: str, made: bool, tile: int = 128, turn: float = TURN) -> Picture:
    """(N, P, 3) in the unit ball -> (H, W, 3): a grid of tiles, row by row; a last row that is not full stays white."""
    columns = max(1, min(columns, len(clouds)))
    rows = -(-len(clouds) // columns)
    whole = np.full((rows * tile, columns * tile, 3), 255, dtype=np.uint8)
    for index, cloud in enumerate(clouds):
        top, left = index // columns * tile, index % columns * tile
        whole[top : top + tile, left : left + tile] = view(cloud, up, made, tile, turn)
    return whole


def view(cloud: Tensor, up: str, made: bool, size: int, turn: float = TURN) -> Picture:
    """(P, 3) -> (size, size, 3): one shape, orthographic, seen from `turn` degrees about its upright axis."""
    fine = size * FINE
    points = _seen_from(cloud.detach().cpu().double().clamp(-1.5, 1.5)[:, list(AXES[up])].numpy(), turn)
    radius = BALL * math.sqrt(512 / max(len(points), 64))
    scale = 0.5 * fine / (1 + radius)
    stamp, height = _ball(max(2, round(radius * scale)))
    centre = np.stack([fine / 2 - points[:, 2] * scale, fine / 2 + points[:, 0] * scale], 1).round().astype(np.int64)
    places = centre[:, None] + stamp[None]  # (P, S, 2): row and column of every pixel of every ball
    near = -points[:, 1, None] + height[None] * radius
    # A pale far side and a dark near side; the ball's own slope to the light gives it a body.
    fog = np.clip(0.62 * (points[:, 1, None] + 1) / 2, 0, 0.62)
    light = (0.62 + 0.38 * np.clip(height * 0.8 - stamp[None, :, 0] * 0.45 / max(2, round(radius * scale)), 0, 1)) * 1.05
    base = np.array(FAKE if made else REAL, dtype=np.float64)
    colour = base * light[..., None] * (1 - fog[..., None]) + 255 * fog[..., None]
    inside = ((places >= 0) & (places < fine)).all(2)
    order = np.argsort(near[inside], kind="stable")  # the nearest is written last
    flat = (places[..., 0] * fine + places[..., 1])[inside][order]
    image = np.full((fine * fine, 3), 255.0)
    image[flat] = np.broadcast_to(colour, (*inside.shape, 3))[inside][order]
    averaged = image.reshape(size, FINE, size, FINE, 3).mean((1, 3))
    return np.clip(averaged.round(), 0, 255).astype(np.uint8)


def frames(clouds: Tensor, columns: int, up: str, made: bool, num: int, tile: int) -> Tensor:
    """(F, 3, H, W) in [-1, 1]: a whole turn of all shapes about their upright axes."""
    turns = [sheet(clouds, columns, up, made, tile, TURN + 360 * i / num) for i in range(num)]
    return as_frames(turns)


def as_frames(pictures: list[Picture]) -> Tensor:
    """Pictures (H, W, 3) of one size -> (F, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _seen_from(points: npt.NDArray[np.float64], turn: float) -> npt.NDArray[np.float64]:
    """(P, 3) side, depth, height -> the same as the eye has them; depth grows away from it."""
    a, b = math.radians(turn), math.radians(TILT)
    side, depth, height = points.T
    side, depth = side * math.cos(a) + depth * math.sin(a), -side * math.sin(a) + depth * math.cos(a)
    depth, height = depth * math.cos(b) - height * math.sin(b), depth * math.sin(b) + height * math.cos(b)
    return np.stack([side, depth, height], 1)


def _ball(radius: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """(S, 2) rows and columns of the pixels of a disc, and (S,) the height of the ball above each, 0 to 1."""
    line = np.arange(-radius, radius + 1)
    rows, columns = (grid.ravel() for grid in np.meshgrid(line, line, indexing="ij"))
    squared = (rows**2 + columns**2) / (radius + 0.5) ** 2
    inside = squared < 1
    return np.stack([rows, columns], 1)[inside], np.sqrt(1 - squared[inside])
