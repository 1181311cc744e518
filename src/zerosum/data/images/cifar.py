"""CIFAR-10 from its binary version (tarball or unpacked) or from lossless WebP sheets. The pickled version is not supported.

Binary record: one label byte, then 3,072 bytes: a red, a green and a blue plane of 32x32.
Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
Sheets: train_batch_1..5.webp of 100x100 tiles and test_first1000.webp of 25x40 tiles, row by row; labels.npz holds 'train' and
'test_first1000'.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from zerosum.data import numpy_files
from zerosum.data.images.files import MAX_PIXELS
from zerosum.data.images.loaded import Part, Pixels
from zerosum.data.opening import decoding, open_regular, read_bytes
from zerosum.errors import UserError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TARBALL = "cifar-10-binary.tar.gz"
SUBFOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = "test_batch.bin"
SHEETS = tuple(f"train_batch_{i}.webp" for i in range(1, 6))
TEST_SHEET = "test_first1000.webp"
RECORD_BYTES = 1 + 3 * 32 * 32
MAX_BATCH_BYTES = 10_000 * RECORD_BYTES
SIDE = 32


def holds_cifar(folder: Path) -> bool:
    """Whether a folder holds CIFAR-10 in one of the layouts that are read."""
    return any((folder / name).is_file() for name in (TARBALL, TRAIN[0], f"{SUBFOLDER}/{TRAIN[0]}")) or (
        (folder / SHEETS[0]).is_file() and (folder / "labels.npz").is_file()
    )


def find_pickles(folder: Path) -> list[Path]:
    """The pickled (Python) version of CIFAR-10 in a folder, which is not read."""
    candidates = [folder / name for name in ("cifar-10-python.tar.gz", "cifar-10-batches-py", "data_batch_1")]
    return [path for path in candidates if path.exists()]


def load(folder: Path) -> tuple[Part, Part]:
    """(train, heldout) of a folder for which `holds_cifar` is true. Raises UserError for missing or damaged files."""
    for inner in (folder, folder / SUBFOLDER):
        if (inner / TRAIN[0]).is_file():
            batches = [path for path in inner.glob("*_batch*.bin") if path.name in (*TRAIN, TEST)]
            return _from_batches({path.name: read_bytes(path, MAX_BATCH_BYTES) for path in batches}, inner)
    if (folder / TARBALL).is_file():
        return load_tarball(folder / TARBALL)
    return _from_sheets(folder)


def load_tarball(path: Path) -> tuple[Part, Part]:
    """(train, heldout) of the official tarball, read in place."""
    batches: dict[str, bytes] = {}
    with decoding(path, "a tar archive packed with gzip"), tarfile.open(path, "r:gz") as archive:
        for member in archive:
            name = Path(member.name).name
            if member.isfile() and name in (*TRAIN, TEST) and member.size <= MAX_BATCH_BYTES:
                stream = archive.extractfile(member)
                batches[name] = stream.read() if stream is not None else b""
    return _from_batches(batches, path)


def _from_batches(batches: dict[str, bytes], where: Path) -> tuple[Part, Part]:
    missing = [name for name in (*TRAIN, TEST) if name not in batches]
    if missing:
        raise UserError(f"{where}: {missing[0]} is missing; {', '.join((*TRAIN, TEST))} are needed.")
    for name, data in batches.items():
        if not data or len(data) % RECORD_BYTES or len(data) > MAX_BATCH_BYTES:
            raise UserError(
                f"{where}/{name}: {len(data)} bytes are not a whole number of records of {RECORD_BYTES} bytes."
            )
    return _from_records(b"".join(batches[name] for name in TRAIN), where), _from_records(batches[TEST], where)


def _from_records(data: bytes, where: Path) -> Part:
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD_BYTES)
    return _labelled_part(records[:, 1:].reshape(-1, 3, SIDE, SIDE).copy(), records[:, 0], where)


def _from_sheets(folder: Path) -> tuple[Part, Part]:
    with ThreadPoolExecutor(max_workers=2) as pool:
        *train, test = pool.map(_read_sheet, [folder / name for name in (*SHEETS, TEST_SHEET)])
    labels = _sheet_labels(folder / "labels.npz")
    return _labelled_part(np.concatenate(train), labels[0], folder), _labelled_part(test, labels[1], folder)


def _sheet_labels(path: Path) -> Sequence[Pixels]:
    with numpy_files.open_arrays(path) as arrays:
        if missing := [name for name in ("train", "test_first1000") if name not in arrays or not arrays[name].numeric]:
            raise UserError(f"{path}: there is no array {missing[0]!r} of whole numbers.")
        return [np.asarray(arrays.read(name), np.uint8).reshape(-1) for name in ("train", "test_first1000")]


def _read_sheet(path: Path) -> Pixels:
    """(N, 3, 32, 32) uint8 tiles of a mosaic, row by row."""
    with open_regular(path) as stream, decoding(path, "a WebP image"), Image.open(stream, formats=("WEBP",)) as image:
        width, height = image.size
        if width * height > MAX_PIXELS or width % SIDE or height % SIDE:
            raise UserError(f"{path}: {width}x{height} pixels are not a sheet of {SIDE}x{SIDE} tiles.")
        pixels = np.asarray(image.convert("RGB"))
    tiles = pixels.reshape(height // SIDE, SIDE, width // SIDE, SIDE, 3).transpose(0, 2, 4, 1, 3)
    return tiles.reshape(-1, 3, SIDE, SIDE)


def _labelled_part(pixels: Pixels, labels: Pixels, where: Path) -> Part:
    if len(pixels) != len(labels) or labels.max() >= len(CLASSES):
        raise UserError(f"{where}: {len(labels)} labels up to {labels.max()} for {len(pixels)} images of 10 classes.")
    return Part(pixels, labels.astype(np.int64))
