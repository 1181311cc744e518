"""Small videos as frames and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zerosum.domains.video import formats


def square(
    num: int = 12, height: int = 16, width: int = 16, start: int = 0, colour: tuple[int, ...] = (255, 255, 255)
) -> np.ndarray:
    """(F, H, W, 3) uint8: a square of 5 pixels that moves to the right, a pixel a frame; the ground is dark."""
    frames = np.full((num, height, width, 3), 20, np.uint8)
    for index in range(num):
        left = (start + index) % (width - 5)
        frames[index, 4:9, left : left + 5] = colour
    return frames


def save(path: Path, frames: np.ndarray, rate: float = 10.0) -> Path:
    """Writes frames as a video by the ending of the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(formats.encode(iter(frames), path.suffix, rate))
    return path
