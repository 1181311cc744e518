"""Writes shapes as pictures, rotating pictures and files in the data's own units, and reads files for the
discriminator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zerosum.data import coordinates
from zerosum.data.images import film as films
from zerosum.data.images.pictures import grid_metadata
from zerosum.domain import DatasetInfo, PreviewContext, WriteOptions
from zerosum.domains.points import drawing, files, formats
from zerosum.domains.points.data import normalise_clouds
from zerosum.errors import UserError
from zerosum.store import numbered_names

FRAMES, PER_SECOND = 36, 18.0
"""Frames of one rotation about the upright axis, and frames per second."""
MOST_TURNING, TURNING = 12, 176
"""The greatest number of shapes of a rotating picture, and the side of each in pixels."""
TILE, LARGE_TILE = 128, 256
"""The side of each shape in a picture, in pixels; the second is used for at most MOST_TURNING shapes."""
SUFFIXES = (".png", ".ply", ".xyz", ".npy", *films.KINDS)


def picture(samples: Tensor, path: Path, context: PreviewContext) -> None:
    """One PNG of samples (N, P, 3), generated ones in another colour than real ones."""
    _save(samples, path, context.columns, context.info, generated=context.noise is not None)


def _save(samples: Tensor, path: Path, columns: int, info: DatasetInfo, generated: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tile = TILE if len(samples) > MOST_TURNING else LARGE_TILE
    sheet = Image.fromarray(drawing.sheet(samples, columns, info.payload["up"], generated, tile))
    sheet.save(path, format="PNG", pnginfo=grid_metadata(columns, -(-len(samples) // columns)))


def film(samples: Tensor, path: Path, frames_per_second: float) -> None:
    """A film of the shapes one after the other, seen from a viewpoint that moves once around them."""
    turns = drawing.TURN + 360 * np.arange(len(samples)) / len(samples)
    seen = [drawing.view(cloud, "z", True, 256, float(turn)) for cloud, turn in zip(samples, turns, strict=True)]
    films.save_film(drawing.to_frames(seen), path, frames_per_second)


def write(samples: Tensor, path: Path, info: DatasetInfo, options: WriteOptions = WriteOptions()) -> list[Path]:
    """Writes samples as a picture (.png), a rotating one (.gif, .apng, .mp4: the first 12), an array (.npy), or one
    file for each (.ply, .xyz: numbered if there are several); without a suffix as a folder of .ply files. Coordinates
    are in the data's units."""
    suffix = path.suffix.lower()
    if suffix and suffix not in SUFFIXES:
        raise UserError(f"--out {path}: cannot write {suffix}. Use {', '.join(SUFFIXES)}, or a folder for .ply files.")
    (path if not suffix else path.parent).mkdir(parents=True, exist_ok=True)
    if suffix == ".png":
        _save(samples, path, max(1, round(len(samples) ** 0.5)), info, generated=True)
        return [path]
    if suffix in films.KINDS:
        first = samples[:MOST_TURNING]
        columns = max(1, round(len(first) ** 0.5))
        films.save_film(drawing.frames(first, columns, info.payload["up"], True, FRAMES, TURNING), path, PER_SECOND)
        return [path]
    frame = info.payload["centre"], [info.payload["radius"]]
    clouds = coordinates.restore_values(samples.numpy(), *frame).astype(info.payload["dtype"])
    if suffix == ".npy":
        np.save(path, clouds)
        return [path]
    digits = coordinates.digits_for(*frame)
    targets = _names(path, len(clouds), options.names)
    return [_write_cloud(cloud, target, digits) for cloud, target in zip(clouds, targets, strict=True)]


def _names(path: Path, num: int, classes: Sequence[str]) -> list[Path]:
    if not path.suffix:
        return [path / name for name in numbered_names(num, ".ply", classes)]
    names = numbered_names(num, path.suffix, classes, f"{path.stem}-")
    return [path] if num == 1 else [path.with_name(name) for name in names]


def _write_cloud(cloud: formats.Array, path: Path, digits: int) -> Path:
    if path.suffix.lower() == ".xyz":
        np.savetxt(path, cloud, fmt=f"%.{digits}g")
        return path
    # trimesh writes only float32.
    kind = "double" if cloud.dtype == np.float64 else "float"
    axes = "".join(f"property {kind} {axis}\n" for axis in "xyz")
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(cloud)}\n{axes}end_header\n"
    path.write_bytes(head.encode() + cloud.astype(cloud.dtype.newbyteorder("<")).tobytes())
    return path


def read(paths: Sequence[Path], info: DatasetInfo) -> Tensor:
    """(N, P, 3) of files, normalised as the training data."""
    parts = []
    for path in paths:
        if path.suffix.lower() not in (*files.SINGLE, *files.ARRAYS):
            raise UserError(f"{path}: not a file of shapes. Use {', '.join((*files.SINGLE, *files.ARRAYS))}.")
        parts.append(torch.from_numpy(files.read_clouds(path, info.sample.axes["points"], 0)))
    clouds = torch.cat(parts)
    if info.payload["normalise"] == "shape":
        return normalise_clouds(clouds, "shape", "judge")[0]
    restored: Tensor = (clouds - torch.tensor(info.payload["centre"], dtype=clouds.dtype)) / info.payload["radius"]
    return restored.float()
