"""Files of every kind that is read, and damaged copies of them: the same for the same seed."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import signal
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

SECONDS = 20.0
"""Longest time that one file may take."""


class Hang(BaseException):
    """Reading took too long; no Exception, so that no reader takes it for damage."""


@contextmanager
def limited(seconds: float = SECONDS) -> Iterator[None]:
    """Raises Hang after so many seconds."""

    def stop(*_: object) -> None:
        raise Hang(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- damage

NUMBERS = (b"-1", b"0", b"4294967295", b"99999999999999999999", b"1e309", b"nan", b"0.5", b"-9223372036854775809")
WORDS = (
    b"\0",
    b"\xff\xfe",
    b'"',
    b"'",
    b",",
    b";",
    b"\t",
    b"\r",
    b"\n\n",
    b"#",
    b"{",
    b"[",
    b"(",
    b"\xe9",
    b"None",
    b"\x1a",
)


def mutants(data: bytes, num: int, seed: int) -> Iterator[bytes]:
    """`num` damaged copies: bits flipped, pieces cut or repeated, other numbers, nesting, damage at the beginning and end."""
    for index in range(num):
        rng = np.random.default_rng([seed, index])
        one = data
        for _ in range(int(rng.integers(1, 4))):
            one = DAMAGES[int(rng.integers(len(DAMAGES)))](one or b"\0", rng)
        yield one[: 2**22]


def _flip(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    for place in rng.integers(0, len(out), int(rng.integers(1, 9))):
        out[place] ^= 1 << int(rng.integers(8))
    return bytes(out)


def _flip_head(data: bytes, rng: np.random.Generator) -> bytes:
    return _flip(data[:128], rng) + data[128:]


def _flip_tail(data: bytes, rng: np.random.Generator) -> bytes:
    return data[:-128] + _flip(data[-128:], rng)


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(0, len(data)))]


def _without(data: bytes, rng: np.random.Generator) -> bytes:
    first, last = sorted(rng.integers(0, len(data) + 1, 2))
    return data[:first] + data[last:]


def _twice(data: bytes, rng: np.random.Generator) -> bytes:
    first, last = sorted(rng.integers(0, len(data) + 1, 2))
    return data[:last] + data[first:]


def _huge(data: bytes, rng: np.random.Generator) -> bytes:
    place, width = int(rng.integers(0, min(len(data), 512))), int(rng.choice([1, 2, 4, 8]))
    value = rng.choice(np.array([b"\xff", b"\x00", b"\x7f", b"\x80"]))
    return data[:place] + bytes(value or b"\0") * width + data[place + width :]


def _number(data: bytes, rng: np.random.Generator) -> bytes:
    found = [match.span() for match in re.finditer(rb"\d+(\.\d+)?", data[:4096])]
    if not found:
        return _huge(data, rng)
    first, last = found[int(rng.integers(len(found)))]
    return data[:first] + NUMBERS[int(rng.integers(len(NUMBERS)))] + data[last:]


def _word(data: bytes, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(0, len(data) + 1))
    return data[:place] + WORDS[int(rng.integers(len(WORDS)))] + data[place:]


def _nested(data: bytes, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(0, min(len(data), 256) + 1))
    sign = (b"[", b"(", b"{", b'{"a":', b"-", b"a")[int(rng.integers(6))]
    return data[:place] + sign * int(rng.choice([200, 20_000, 200_000])) + data[place:]


DAMAGES = (_flip, _flip_head, _flip_tail, _cut, _without, _twice, _huge, _number, _word, _nested)


# --- whole files


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    """uint8 noise."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def points(num: int = 40, seed: int = 0) -> np.ndarray:
    """(num, 3) float64."""
    return np.random.default_rng(seed).normal(size=(num, 3))


def npy(values: np.ndarray) -> bytes:
    """A .npy file."""
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def npz(**values: np.ndarray) -> bytes:
    """An .npz file, compressed."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **values)
    return stream.getvalue()


def image(kind: str, *shape: int, mode: str | None = None, seed: int = 0) -> bytes:
    """An image file of noise."""
    stream = io.BytesIO()
    made = Image.fromarray(pixels(*(shape or (12, 10, 3)), seed=seed))
    (made.convert(mode) if mode else made).save(stream, kind)
    return stream.getvalue()


def deep_png() -> bytes:
    """A PNG of 16 bits and three channels."""
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = b"".join(bytes([y % 5]) + pixels(60, seed=y).tobytes() for y in range(8))
    head = struct.pack(">IIBBBBB", 10, 8, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def tarred(members: dict[str, bytes], kind: int = tarfile.USTAR_FORMAT) -> bytes:
    """A plain tar."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if kind == tarfile.PAX_FORMAT:
                info.pax_headers = {"comment": "x" * 200, "mtime": "1.5"}
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def idx(values: np.ndarray) -> bytes:
    """An IDX file of bytes."""
    head = bytes((0, 0, 8, values.ndim)) + b"".join(struct.pack(">I", length) for length in values.shape)
    return head + values.astype(np.uint8).tobytes()


def table(num: int = 60, mark: str = ",") -> bytes:
    """A CSV file of numbers, categories, dates, missing cells and quoted text."""
    rng = np.random.default_rng(0)
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=mark, lineterminator="\n")
    writer.writerow(["id", "kind", "amount", "when", "note"])
    for row in range(num):
        amount = "" if row % 9 == 0 else f"{rng.normal():.3f}"
        writer.writerow(
            [row, "abc"[row % 3], amount, f"2021-{1 + row % 12:02d}-{1 + row % 28:02d}", f'say "{row % 4}", so']
        )
    return stream.getvalue().encode()


def parquet() -> bytes:
    """A Parquet file."""
    import pandas

    stream = io.BytesIO()
    pandas.read_csv(io.BytesIO(table())).to_parquet(stream)
    return stream.getvalue()


def with_metadata(words: bytes) -> bytes:
    """A Parquet file whose notes for pandas are these words."""
    from pyarrow import parquet as files

    held = files.read_table(io.BytesIO(parquet()))
    stream = io.BytesIO()
    files.write_table(held.replace_schema_metadata({b"pandas": words}), stream)
    return stream.getvalue()


def pandas_notes() -> bytes:
    """What pandas writes of a frame beside it."""
    from pyarrow import parquet as files

    return bytes(files.read_schema(io.BytesIO(parquet())).metadata[b"pandas"])


def mesh(suffix: str, binary: bool = False) -> bytes:
    """A box as a mesh file."""
    import trimesh

    box = trimesh.creation.box((1, 2, 3))
    if suffix == "ply":
        return bytes(box.export(file_type="ply", encoding="binary" if binary else "ascii"))
    found = box.export(file_type="stl" if binary else "stl_ascii") if suffix == "stl" else box.export(file_type=suffix)
    return found if isinstance(found, bytes) else found.encode()


def xyz(mark: str = " ", head: str = "") -> bytes:
    """A cloud as text."""
    return (head + "".join(mark.join(f"{value:.5f}" for value in row) + "\n" for row in points())).encode()


def attributes() -> bytes:
    """A table of attributes beside images 0.png to 5.png."""
    return b"file,age,smile\n" + b"".join(b"%d.png,%d,%d\n" % (i, 20 + i, i % 2) for i in range(6))


def folder(place: Path, members: dict[str, bytes]) -> Path:
    """A folder with these files."""
    for name, data in members.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def shard_json(index: int) -> bytes:
    """What lies beside an image of a shard."""
    return json.dumps({"label": f"c{index % 2}", "attributes": {"age": index}}).encode()
