"""Clips made by code: digits and shapes that move with constant velocity and bounce off the borders.

The motion of each clip is known, so that measures of motion have exact references.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zerosum.data.sources import SourceInfo

NUM_TRAIN, NUM_HELDOUT = 2_000, 400
SIZE, FRAMES, RATE = 32, 12, 10.0
SLOWEST, FASTEST = 1.0, 2.5
"""Speeds in pixels a frame on a picture of 32 pixels; in proportion on others."""
DIGIT, SHAPE = 14 / 32, 12 / 32
"""The side of a digit and of a shape, as a share of the picture's."""
SHAPES = ("disc", "square", "triangle", "ring")
COLOURS = ((230, 60, 50), (60, 160, 75), (70, 110, 235), (235, 185, 50), (190, 80, 200), (70, 190, 200))
VERSION = 1

Pixels = npt.NDArray[np.uint8]

SOURCES: Mapping[str, SourceInfo] = {
    "moving-digits": SourceInfo(
        "Digits of scikit-learn that move with constant velocity on 32x32 pixels and bounce off the borders, with labels.",
        "made by code from E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (UCI), as in scikit-learn",
        "CC BY 4.0",
        class_names=tuple(map(str, range(10))),
    ),
    "moving-shapes": SourceInfo(
        "Coloured discs, squares, triangles and rings that move with constant velocity on plain grounds, with labels.",
        "made by code",
        "none needed",
        class_names=SHAPES,
    ),
}


@dataclass(frozen=True, eq=False)
class Moving:
    """clips: (N, F, C, H, W) uint8, the last `heldout` of them never trained on. labels: (N,). centres: (N, F, 2), the exact
    place of each object in pixels, row and column."""

    clips: Pixels
    labels: npt.NDArray[np.int64]
    centres: npt.NDArray[np.float64]
    heldout: int


def load(name: str, num: int, frames: int, size: int, seed: int) -> Moving:
    """`num` training clips (0: NUM_TRAIN) and a fifth as many held-out ones, in which no digit of the training part occurs."""
    num = num or NUM_TRAIN
    held = max(1, num * NUM_HELDOUT // NUM_TRAIN)
    maker = {"moving-digits": _digits, "moving-shapes": _shapes}[name]
    return maker(num, held, frames, size, seed)


def bounced(start: npt.NDArray[np.float64], velocity: npt.NDArray[np.float64], frames: int) -> npt.NDArray[np.float64]:
    """(N, F, 2) places in [0, 1] of start and velocity (N, 2), mirrored at 0 and 1."""
    places = start[:, None] + velocity[:, None] * np.arange(frames)[:, None]
    folded = np.mod(places, 2)
    return np.where(folded > 1, 2 - folded, folded)


def _motion(num: int, frames: int, size: int, side: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(N, F, 2) upper left corners, in pixels, of squares of `side` pixels that stay within the picture."""
    room = size - side
    angle, speed = rng.uniform(0, 2 * np.pi, num), rng.uniform(SLOWEST, FASTEST, num) * size / SIZE
    velocity = np.stack([np.sin(angle), np.cos(angle)], 1) * speed[:, None] / room
    return bounced(rng.uniform(0, 1, (num, 2)), velocity, frames) * room


def _paste(stamps: npt.NDArray[np.float32], corners: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float32]:
    """(N, F, H, W) in [0, 1]: stamps (N, h, w) with their upper left corner at corners (N, F, 2), bilinear between pixels."""
    places = np.arange(size)
    rows, columns = (
        np.maximum(0, 1 - np.abs(places[:, None] - np.arange(stamps.shape[1]) - corners[..., axis, None, None])).astype(
            np.float32
        )
        for axis in (0, 1)
    )
    found: npt.NDArray[np.float32] = rows @ stamps[:, None] @ columns.swapaxes(2, 3)
    return found


def _digits(num: int, held: int, frames: int, size: int, seed: int) -> Moving:
    from PIL import Image
    from sklearn.datasets import load_digits

    rng = np.random.default_rng([VERSION, seed])
    found = load_digits()
    side = max(4, round(DIGIT * size))
    kept = np.random.default_rng(0).permutation(len(found.images))
    border = len(kept) * 4 // 5
    which = np.concatenate([rng.choice(kept[:border], num), rng.choice(kept[border:], held)])
    scaled = [
        np.asarray(Image.fromarray(np.float32(image / 16)).resize((side, side), Image.Resampling.BILINEAR))
        for image in found.images
    ]
    corners = _motion(num + held, frames, size, side, rng)
    return _made(np.stack(scaled)[which], corners, found.target[which], held, size)


def _made(
    stamps: npt.NDArray[np.float32],
    corners: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    held: int,
    size: int,
) -> Moving:
    clips = np.empty((len(stamps), corners.shape[1], 1, size, size), np.uint8)
    for start in range(0, len(stamps), 256):
        rows = slice(start, start + 256)
        clips[rows, :, 0] = np.rint(_paste(stamps[rows], corners[rows], size).clip(0, 1) * 255)
    return Moving(clips, labels.astype(np.int64), corners + (stamps.shape[1] - 1) / 2, held)


def _stamp(kind: str, side: int) -> npt.NDArray[np.float32]:
    """(side, side) in [0, 1]: one shape with soft borders."""
    fine = 8
    y, x = (np.indices((side * fine, side * fine)) + 0.5) / (side * fine) * 2 - 1
    radius = np.hypot(x, y)
    inside = {
        "disc": radius < 0.95,
        "square": np.maximum(abs(x), abs(y)) < 0.8,
        "triangle": (y < 0.75) & (y > 2.0 * abs(x) - 0.95),
        "ring": (radius < 0.95) & (radius > 0.55),
    }[kind]
    small: npt.NDArray[np.float32] = inside.reshape(side, fine, side, fine).mean((1, 3)).astype(np.float32)
    return small


def _shapes(num: int, held: int, frames: int, size: int, seed: int) -> Moving:
    rng = np.random.default_rng([VERSION, seed, 1])
    total, side = num + held, max(4, round(SHAPE * size))
    labels = np.arange(total, dtype=np.int64) % len(SHAPES)
    stamps = np.stack([_stamp(kind, side) for kind in SHAPES])[labels]
    corners = _motion(total, frames, size, side, rng)
    colours = np.array(COLOURS, np.float32)[rng.integers(len(COLOURS), size=total)]
    grounds = np.repeat(rng.uniform(15, 70, (total, 1)), 3, 1).astype(np.float32)
    clips = np.empty((total, frames, 3, size, size), np.uint8)
    for start in range(0, total, 256):
        rows = slice(start, start + 256)
        mask = _paste(stamps[rows], corners[rows], size).clip(0, 1)[:, :, None]
        ground = grounds[rows, None, :, None, None]
        clips[rows] = np.rint(ground + mask * (colours[rows, None, :, None, None] - ground))
    return Moving(clips, labels, corners + (side - 1) / 2, held)
