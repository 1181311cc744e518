"""Animations: GIF and APNG with Pillow, MP4 with an installed ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from PIL import Image
from torch import Tensor

from zerosum.data.images.pictures import composite_on_checkerboard, enlarge, to_saved_pixels
from zerosum.errors import UserError, within

KINDS = (".gif", ".apng", ".mp4")
MIN_SPEED = 0.02
TILE = 256
"""Frames are enlarged to about TILE rows by a whole factor, as grids are."""


def check_speed(frames_per_second: float) -> None:
    """UserError unless every file format can store the duration of a frame: an APNG at most 65,535 ms, a GIF at least 10 ms."""
    within("--fps", frames_per_second, MIN_SPEED, 100)


def save_film(samples: Tensor, path: Path, frames_per_second: float) -> None:
    """Writes (F, C, H, W) in [-1, 1] as an endless GIF or APNG, or as an MP4, by the path's ending.

    A GIF has durations of whole hundredths of a second and 256 colours a frame. An APNG keeps every pixel and transparency;
    the other formats show transparency on a checkerboard. MP4 (H.264) plays everywhere.
    """
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        raise UserError(
            f"--out {path}: cannot write moving pictures as {suffix or 'a folder'}. Use {', '.join(KINDS)}."
        )
    check_speed(frames_per_second)
    frames = [enlarge(row, TILE) for row in to_saved_pixels(samples)]
    if suffix != ".apng":
        frames = [composite_on_checkerboard(frame) for frame in frames]
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".mp4":
        _save_mp4(frames, path, frames_per_second)
        return
    kind = {".gif": "GIF", ".apng": "PNG"}[suffix]
    options = {"save_all": True, "append_images": frames[1:], "duration": 1000 / frames_per_second, "loop": 0}
    frames[0].save(path, format=kind, **options)


def _save_mp4(frames: list[Image.Image], path: Path, frames_per_second: float) -> None:
    """Writes H.264 with ffmpeg, which reads raw frames from its input. Odd sizes are padded to even ones, as H.264 needs them."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise UserError(
            f"--out {path}: MP4 needs the program ffmpeg, which is not installed. Install it, or write .apng or .gif."
        )
    size = f"{frames[0].width}x{frames[0].height}"
    input_options = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", f"{frames_per_second:g}", "-i", "-"]
    output_options = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:0:0", "-pix_fmt", "yuv420p"]
    command = [
        program,
        "-y",
        "-loglevel",
        "error",
        *input_options,
        *output_options,
        "-crf",
        "14",
        "-movflags",
        "+faststart",
        str(path),
    ]
    body = b"".join(frame.convert("RGB").tobytes() for frame in frames)
    result = subprocess.run(command, input=body, capture_output=True, check=False)
    if result.returncode:
        reason = result.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(f"--out {path}: ffmpeg failed: {reason[-1] if reason else 'no reason given'}.")
