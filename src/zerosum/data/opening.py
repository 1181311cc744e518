"""Opens files of the user: regular files only, read up to a stated size. Errors are raised as UserError."""

from __future__ import annotations

import io
import itertools
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from zerosum.errors import UserError

MAX_FILE_BYTES = 4 * 2**30
"""Largest file that is read into memory as a whole, in bytes."""
MOST_SEARCHED = 10_000
"""Files below a folder that are looked at for an error message."""
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


def expand_path(where: str | Path) -> Path:
    """The path with "~" expanded. Never raises: "~nobody/x" is unchanged if there is no such user."""
    return Path(os.path.expanduser(where))


def _below(folder: Path) -> Iterator[Path]:
    """The files below a folder in order, without hidden ones."""
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(base, name) for name in sorted(files) if not name.startswith("."))


def input_files(
    inputs: Iterable[Path], readable: Callable[[Path], bool], what: str, endings: Iterable[str]
) -> list[Path]:
    """The files of an option --input, with the readable files of its folders; UserError for a path that is neither, and for a
    folder without any. what: of the files, in the plural: "images". endings: of readable files, for the message."""
    files = list[Path]()
    for path in inputs:
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.name[0] != "." and readable(one) and one.is_file())
            if not inside:
                searched = itertools.islice(_below(path), MOST_SEARCHED)
                below = next((one.parent for one in searched if readable(one) and one.is_file()), None)
                there = f"They end in {', '.join(endings)}."
                if below:
                    there = f"Those of sub-folders are not read: name each, as {below}."
                raise UserError(f"--input {path}: no {what} in this folder. {there}")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"--input {path}: there is no such file or folder.")
    return files


def distinct_names(stems: Sequence[str], endings: Sequence[str]) -> list[str]:
    """A file name for each stem and ending, with the first number from 2 that makes it another one where it is taken already:
    "a.wav", "a-2.wav". Names that differ in upper and lower case only count as equal, as on many file systems."""
    used, found = set[str](), list[str]()
    for stem, ending in zip(stems, endings, strict=True):
        names = (f"{stem}{'' if count == 1 else f'-{count}'}{ending}" for count in itertools.count(1))
        found.append(next(name for name in names if name.casefold() not in used))
        used.add(found[-1].casefold())
    return found


def check_regular(path: Path) -> os.stat_result:
    """The status of a file. UserError for a folder, and for a device, a pipe or a socket, which may never end. Raises OSError."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "of an unknown kind")
        raise UserError(f"{path}: {kind}, not a regular file. Copy its contents to a file and give that.")
    return found


def is_regular(path: Path) -> bool:
    """Whether a path is a regular file or a link to one. Never raises."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def open_regular(path: Path) -> BinaryIO:
    """A regular file, opened to read bytes. Raises UserError and OSError."""
    check_regular(path)
    return path.open("rb")


def read_bytes(path: Path, most: int = MAX_FILE_BYTES) -> bytes:
    """All bytes of a regular file. Raises UserError if there are more than `most`, and OSError."""
    check_size(check_regular(path).st_size, most, path)
    with path.open("rb") as file:
        return limit_size(file, most, path).read()


def check_size(num_bytes: int, most: int, where: object, what: str = "holds") -> None:
    """Raises UserError with both numbers if `num_bytes` is larger than `most`."""
    if num_bytes > most:
        raise UserError(f"{where} {what} {format_size(num_bytes)}, more than the {format_size(most)} that are read.")


def format_size(num_bytes: int) -> str:
    """A readable number of bytes: "12 bytes", "3.4 MiB"."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:,.1f} {unit}"
    return f"{num_bytes} bytes"


def limit_size(stream: Readable, most: int, where: object) -> io.BufferedReader:
    """The stream, which may unpack as it is read, up to `most` bytes; a further byte raises UserError."""
    return io.BufferedReader(_LimitedStream(stream, most, where), 2**16)


class _LimitedStream(io.RawIOBase):
    def __init__(self, stream: Readable, most: int, where: object) -> None:
        self._stream, self._left, self._most, self._where = stream, most, most, where

    def readable(self) -> bool:
        return True

    def readinto(self, room: memoryview) -> int:  # type: ignore[override]
        found = self._stream.read(min(len(room), self._left + 1))
        self._left -= len(found)
        if self._left < 0:
            raise UserError(f"{self._where} holds more than the {format_size(self._most)} that are read.")
        room[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed and isinstance(self._stream, io.IOBase):
            self._stream.close()
        super().close()


@contextmanager
def decoding(where: object, what: str) -> Iterator[None]:
    """Turns any exception of a parser into a UserError: "{where}: not {what}, or truncated or damaged (reason)".

    Parsers of file formats raise nearly anything on damaged files, so every Exception is caught. Put only the call of the
    parser into the with block.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{where}: not {what}, or truncated or damaged ({short_reason(error)}).") from error


def short_reason(error: BaseException) -> str:
    """The message in one line of at most 120 characters; the type of the error if the message is empty."""
    message = getattr(error, "strerror", None) or getattr(error, "error_string", None) or str(error)  # of soundfile
    return (message.strip().splitlines() or [""])[0][:120].rstrip(". ") or type(error).__name__


class FileNotes:
    """Collects remarks on files; each becomes one note with the number of files."""

    def __init__(self) -> None:
        self.files: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, what: str, name: str) -> None:
        """what: the predicate of the sentence whose subject is the number of files. name: of the file."""
        self.files[what].append(name)

    def notes(self) -> tuple[str, ...]:
        """One sentence for each remark."""
        return tuple(f"{len(names):,} file(s) {what} (the first: {names[0]})." for what, names in self.files.items())
