"""Arrays in .npy and .npz files: headers are read first and checked against the file; pickles are never loaded.

An .npz is a zip of .npy files. Only the requested arrays are unpacked, and none beyond the stated sizes.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from zerosum.data.opening import MAX_FILE_BYTES, check_regular, decoding, format_size, open_regular, short_reason
from zerosum.errors import UserError

SUFFIXES = (".npy", ".npz")
MAX_BYTES = MAX_FILE_BYTES
"""Largest array that is unpacked from an .npz, in bytes."""
MAX_HEADER_BYTES = 2**16
MAX_RATIO = 200
RATIO_MATTERS_BYTES = 512 * 2**20
"""An array larger than this that unpacks to more than MAX_RATIO times its size in the file is refused."""
NO_PICKLES = "Pickles are never loaded, for they can run code. Save plain arrays: np.savez(path, images=uint8_array)."
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Header:
    """The contents of an array's header."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def num_bytes(self) -> int:
        """Size of the data, in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def numeric(self) -> bool:
        """Whether it holds whole or floating-point numbers."""
        return self.dtype.kind in "uif"


class Arrays(Mapping[str, Header]):
    """The headers of the arrays in a file, by name (of an .npy: the file's own); `read` gives an array itself.

    Members of an .npz that are not .npy files are skipped. An array of Python objects has a header but cannot be read.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile | None) -> None:
        self.path, self._archive = path, archive
        self._members: dict[str, zipfile.ZipInfo] = {}
        if archive is not None:
            for info in archive.infolist():
                if info.filename.endswith(".npy"):
                    self._members[info.filename.removesuffix(".npy")] = info
        self._known: dict[str, Header] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._members if self._archive is not None else (self.path.stem,))

    def __len__(self) -> int:
        return len(self._members) if self._archive is not None else 1

    def __getitem__(self, name: str) -> Header:
        """The header, checked against the size of the data. Raises UserError."""
        if name not in self._known:
            if name not in set(self):
                raise KeyError(name)
            with self._stream(name) as (stream, num_bytes):
                self._known[name] = _checked_header(stream, num_bytes, self.place(name))
        return self._known[name]

    def place(self, name: str) -> str:
        """The name of an array in messages: "a.npz[points]"."""
        return str(self.path) if self._archive is None else f"{self.path}[{name}]"

    def read(self, name: str, mapped: bool = False) -> Array:
        """An array. mapped: an .npy is memory-mapped. Raises UserError."""
        header, where = self[name], self.place(name)
        refuse_objects(header, where)
        if self._archive is None and mapped and header.num_bytes:
            with decoding(where, "a NumPy array file"):
                found: Array = np.load(self.path, mmap_mode="r", allow_pickle=False)
            return found
        self._check_size(header, name)
        with self._stream(name) as (stream, _), decoding(where, "a NumPy array file"):
            return np.asarray(npy.read_array(stream, allow_pickle=False))

    def _check_size(self, header: Header, name: str) -> None:
        if header.num_bytes > MAX_BYTES:
            raise UserError(
                f"{self.place(name)} takes {format_size(header.num_bytes)} unpacked, more than the {format_size(MAX_BYTES)} that "
                "are read. Save it in parts, or a set of images as .npy, which is read piece by piece."
            )
        packed = header.num_bytes if self._archive is None else self._members[name].compress_size
        if header.num_bytes > max(RATIO_MATTERS_BYTES, MAX_RATIO * packed):
            raise UserError(
                f"{self.place(name)} unpacks {format_size(packed)} to {format_size(header.num_bytes)}, more than {MAX_RATIO} "
                "times as much. If you trust it, save it without compression: np.savez."
            )

    @contextmanager
    def _stream(self, name: str) -> Iterator[tuple[IO[bytes], int]]:
        """The stream of an array's .npy file, and its size in bytes."""
        if self._archive is None:
            with self.path.open("rb") as file:
                yield file, self.path.stat().st_size
            return
        info = self._members[name]
        with decoding(self.place(name), "an array that can be unpacked"), self._archive.open(info) as stream:
            yield stream, info.file_size


@contextmanager
def open_arrays(path: Path) -> Iterator[Arrays]:
    """Opens the arrays of a .npy or .npz file. Raises UserError and OSError."""
    check_regular(path)
    if path.suffix.lower() == ".npy":
        yield Arrays(path, None)
        return
    with open_regular(path) as file:
        try:
            archive = zipfile.ZipFile(file)
        except Exception as error:  # the directory of a damaged zip raises nearly anything
            raise UserError(
                f"{path}: not an .npz archive, or truncated or damaged ({short_reason(error)}). {NO_PICKLES}"
            ) from error
        with archive:
            yield Arrays(path, archive)


def read_headers(path: Path) -> dict[str, Header]:
    """The headers of all arrays of a file. Raises UserError and OSError."""
    with open_arrays(path) as found:
        return dict(found)


def refuse_objects(header: Header, where: str) -> None:
    """UserError for an array of Python objects."""
    if header.dtype.hasobject:
        raise UserError(f"{where}: an array of Python objects, stored as a pickle. {NO_PICKLES}")


class _HeaderStream:
    """A stream from which a header is read; a read longer than MAX_HEADER_BYTES raises ValueError."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, num: int = MAX_HEADER_BYTES, /) -> bytes:
        if num > MAX_HEADER_BYTES:
            raise ValueError(f"a header of {num} bytes")
        return self._stream.read(num)


def _checked_header(stream: IO[bytes], num_bytes: int, where: str) -> Header:
    try:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"format version {version[0]}.{version[1]}")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(_HeaderStream(stream))
        header = Header(tuple(int(length) for length in shape), dtype)
    except Exception as error:  # damaged headers are parsed as Python's literals, which fail in many ways
        raise UserError(
            f"{where}: not a NumPy array file, or truncated or damaged ({short_reason(error)}). {NO_PICKLES}"
        ) from error
    if min(header.shape, default=0) < 0:
        raise UserError(f"{where}: the header states shape {header.shape}; the file is damaged.")
    actual = num_bytes - stream.tell()
    if not header.dtype.hasobject and header.num_bytes != actual:
        raise UserError(
            f"{where}: the header states {header.num_bytes} bytes of shape {header.shape}, the file holds {actual}. "
            "It is truncated or damaged: write it again."
        )
    return header
