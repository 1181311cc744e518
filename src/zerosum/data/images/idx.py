"""Reads the IDX files of MNIST and similar data sets. Every header field is checked before memory is allocated.

Format: two zero bytes, a type byte (8 = unsigned byte), the number of dimensions, that many big-endian 32-bit sizes, data.
Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import IO, cast

import numpy as np

from zerosum.data.images.loaded import MAX_BYTES, Part, Pixels
from zerosum.data.opening import decoding, open_regular
from zerosum.errors import UserError

STEMS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
MAX_DEFLATE_RATIO = 1032
"""No gzip stream unpacks to more than this many times its size."""
CHUNK_BYTES = 1 << 20


def find(folder: Path) -> dict[str, Path]:
    """The IDX files in a folder, by stem: gzipped or raw, 'idx3' written with a dash or a dot."""
    found = {}
    for stem in STEMS:
        spellings = (stem, stem.replace("-idx", ".idx"))
        paths = [folder / f"{name}{suffix}" for name in spellings for suffix in (".gz", "")]
        existing = [path for path in paths if path.is_file()]
        if existing:
            found[stem] = existing[0]
    return found


def load(folder: Path) -> tuple[Part, Part]:
    """(train, heldout) of a folder with the four files. Raises UserError for a missing, damaged or unmatched file."""
    files = find(folder)
    missing = [stem for stem in STEMS if stem not in files]
    if missing:
        raise UserError(f"{folder}: {missing[0]}(.gz) is missing; all of {', '.join(STEMS)} are needed.")
    return _read_part(files[STEMS[0]], files[STEMS[1]]), _read_part(files[STEMS[2]], files[STEMS[3]])


def read_idx(path: Path, num_dims: int) -> Pixels:
    """uint8 array of an IDX file with `num_dims` dimensions, gzipped when its name ends in .gz. Raises UserError."""
    with open_regular(path) as file, decoding(path, "an IDX file"):
        stream = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file
        shape = _read_shape(stream, path, num_dims)
        values = np.empty(math.prod(shape), np.uint8)
        room = values.data
        while room and (count := stream.readinto(room[:CHUNK_BYTES])):  # type: ignore[attr-defined]
            room = room[count:]
        if room or stream.read(1):
            raise UserError(
                f"{path}: the header states shape {shape}, but the file holds {'less' if room else 'more'}. "
                "It is damaged: get it again."
            )
    return values.reshape(shape)


def _read_shape(stream: IO[bytes], path: Path, num_dims: int) -> tuple[int, ...]:
    length = 4 + 4 * num_dims
    header = stream.read(length)
    expected = bytes((0, 0, 8, num_dims))
    if len(header) != length or header[:4] != expected:
        raise UserError(
            f"{path}: not an IDX file of bytes with {num_dims} dimension(s): it begins with {header[:4].hex(' ')}, "
            f"expected {expected.hex(' ')}."
        )
    shape = tuple(int(size) for size in np.frombuffer(header[4:], ">u4"))
    size = path.stat().st_size
    most = size * MAX_DEFLATE_RATIO if path.suffix == ".gz" else size - length
    if 0 in shape or math.prod(shape) > min(most, MAX_BYTES):
        raise UserError(f"{path}: the header states shape {shape}, which a file of {size} bytes cannot hold.")
    return shape


def _read_part(images: Path, labels: Path) -> Part:
    pixels, classes = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(classes):
        raise UserError(f"{labels}: {len(classes)} labels for the {len(pixels)} images of {images.name}.")
    return Part(pixels[:, None], classes.astype(np.int64))
