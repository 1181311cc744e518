"""Generated images for the tests of this folder."""

from __future__ import annotations

import gzip
import io
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zerosum.domains.images.data import open_source
from zerosum.errors import UserError


def noise(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, pixels: Any, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def one(path: Path, **options: Any) -> torch.Tensor:
    """Pixels of the first image of a folder, beside a second copy of it."""
    shutil.copy(path, path.with_name("z" + path.name))
    return open_source(str(path.parent), **options).train.pixels[0]


def encoded(kind: str, *shape: int, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(noise(*(shape or (40, 40, 3)))).save(stream, kind, **options)
    return stream.getvalue()


def refused(where: Path | str, *said: str, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        open_source(str(where), **options)
    text = str(caught.value)
    for part in said:
        assert part in text
    return text


def make_zip(path: Path, members: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def write_idx(path: Path, values: Any, shape: tuple[int, ...] | None = None, kind: int = 8) -> None:
    shape = shape or values.shape
    data = bytes((0, 0, kind, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + values.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def make_tar(path: Path, members: dict[str, bytes], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def png(*shape: int, seed: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(noise(*shape, seed=seed)).save(stream, "PNG")
    return stream.getvalue()
