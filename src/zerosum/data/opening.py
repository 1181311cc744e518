"""Files that others made: regular ones only, read up to a stated size, and what is wrong with them told as a UserError."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from zerosum.errors import UserError

MAX_FILE_BYTES = 4 * 2**30
"""Largest file that is read into memory as a whole, in bytes."""
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


class Readable(Protocol):
    """Anything with read(size) -> bytes."""

    def read(self, size: int = ..., /) -> bytes: ...


def path_of(where: str | Path) -> Path:
    """The path with "~" put in. Never raises: "~nobody/x" stays as it is where there is no such user."""
    return Path(os.path.expanduser(where))


def regular(path: Path) -> os.stat_result:
    """The status of a file. UserError for a folder, and for a device, a pipe or a socket, which may never end. Raises OSError."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "of an unknown kind")
        raise UserError(f"{path}: {kind}, not a regular file. Copy its contents to a file and give that.")
    return found


def is_regular(path: Path) -> bool:
    """Whether a path is, or leads to, a regular file. Never raises."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def opened(path: Path) -> BinaryIO:
    """A regular file, opened to read bytes. Raises UserError and OSError."""
    regular(path)
    return path.open("rb")


def contents(path: Path, most: int = MAX_FILE_BYTES) -> bytes:
    """All bytes of a regular file. UserError where there are more than `most`. Raises OSError."""
    check_size(regular(path).st_size, most, path)
    with path.open("rb") as file:
        return limited(file, most, path).read()


def check_size(num_bytes: int, most: int, where: object, what: str = "holds") -> None:
    """UserError with both numbers where there are more bytes than are read."""
    if num_bytes > most:
        raise UserError(f"{where} {what} {size(num_bytes)}, more than the {size(most)} that are read.")


def size(num_bytes: int) -> str:
    """A number of bytes for a person: "12 bytes", "3.4 MiB"."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:,.1f} {unit}"
    return f"{num_bytes} bytes"


def limited(stream: Readable, most: int, where: object) -> io.BufferedReader:
    """The stream, which may unpack as it is read, up to `most` bytes; UserError at the first byte beyond."""
    return io.BufferedReader(_Limited(stream, most, where), 2**16)


class _Limited(io.RawIOBase):
    def __init__(self, stream: Readable, most: int, where: object) -> None:
        self._stream, self._left, self._most, self._where = stream, most, most, where

    def readable(self) -> bool:
        return True

    def readinto(self, room: memoryview) -> int:  # type: ignore[override]
        found = self._stream.read(min(len(room), self._left + 1))
        self._left -= len(found)
        if self._left < 0:
            raise UserError(f"{self._where} holds more than the {size(self._most)} that are read.")
        room[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed and isinstance(self._stream, io.IOBase):
            self._stream.close()
        super().close()


@contextmanager
def decoding(where: object, what: str) -> Iterator[None]:
    """Whatever the decoding of a file raises becomes a UserError: "{where}: not {what}, or truncated or damaged (why)".

    Parsers of file formats raise nearly anything on damaged files, so every Exception is meant. Put nothing but the call of
    the parser inside.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{where}: not {what}, or truncated or damaged ({reason(error)}).") from error


def reason(error: BaseException) -> str:
    """Why, in one line of at most 120 characters; the kind of the error where it says nothing."""
    said = getattr(error, "strerror", None) or str(error)
    return (said.strip().splitlines() or [""])[0][:120].rstrip(". ") or type(error).__name__
