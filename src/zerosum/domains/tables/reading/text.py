"""Tables in text files: comma-separated values and their relatives, gzip-compressed or not."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
import zlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np

from zerosum.data.numpy_files import MAX_RATIO, RATIO_MATTERS_BYTES
from zerosum.data.opening import MAX_FILE_BYTES, reason, size
from zerosum.data.opening import opened as regular_file
from zerosum.domains.tables.reading import encodings
from zerosum.domains.tables.reading.cells import RawColumn, RawTable, TextStyle, without_blank
from zerosum.errors import UserError

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
TABBED = ".txt"
"""What spreadsheet programs save with tabs; a table only if it has them, for other texts end so, too."""
DELIMITERS = ",;\t|"
GLANCE = 50
"""Lines that are looked at to find out what separates the cells."""
GLANCE_BYTES, LONGEST_LINE = 2**20, 2**24
"""Bytes in which the first of them must end, and of a line at most."""
CHUNK = 20_000
"""Rows that are read at a time."""
UNREADABLE = (OSError, EOFError, zlib.error, csv.Error)
DECLARED = re.compile(r'"?sep=(?P<mark>[^"\r\n])"?\s*', re.IGNORECASE)
"""A first line by which spreadsheet programs say what separates the cells."""
BY_MARK = "utf-8-sig"
"""The encoding by default: UTF-8, unless a byte order mark announces another one."""


def read_text(
    path: Path,
    *,
    encoding: str = BY_MARK,
    delimiter: str | None = None,
    header: bool | None = None,
    most: int | None = None,
) -> RawTable:
    """A table whose first line names the columns. Empty lines are passed over.

    encoding: of the text. delimiter: what separates the cells; by default found from the first lines. header: whether the first
    line names the columns, which are named c1, c2 ... where it does not; by default it must look like names. most: bytes of text
    that are read, see `unpacked`. UserError names the line at fault.
    """
    _must_be_mark(delimiter)
    try:
        lines = glance(path, encoding)
        if any("\0" in line for line in lines):
            raise UserError(encodings.without_mark(path))
        mark = delimiter or sniffed(lines)
        with opened(path, encoding, most) as file:
            reader = csv.reader(file, delimiter=mark)
            if _declared(lines):
                next(reader)
            names, columns = _named_columns(path, reader, header)
    except UserError:
        raise
    except (UnicodeDecodeError, LookupError) as error:
        raise UserError(encodings.advice(path, encoding, error)) from None
    except (*UNREADABLE, ValueError) as error:
        raise UserError(f"{path} cannot be read as a table: {reason(error)}.") from None
    kept, notes = without_blank(columns)
    if header is None:
        _must_have_header(path, names, kept)
    written = codecs.lookup(_mark(path) or encoding).name
    end = "\r\n" if lines[0].endswith("\r\n") else "\n"
    style = TextStyle(mark, _mark(path) is not None, end, written.removesuffix("-sig"), header is not False)
    return RawTable(str(path), kept, len(columns[0].codes), style, notes)


def _named_columns(
    path: Path, reader: Iterator[list[str]], header: bool | None
) -> tuple[list[str], tuple[RawColumn, ...]]:
    first = next((row for row in reader if row), None)
    if first is None:
        raise UserError(f"{path} is empty. A table begins with a line that names its columns.")
    names = [f"c{place}" for place in range(1, len(first) + 1)] if header is False else first
    rows = itertools.chain([first], reader) if header is False else reader
    return names, _columns(names, rows, lambda chunk: _ragged(path, reader, chunk, len(names)))


def _must_be_mark(delimiter: str | None) -> None:
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise UserError(
            f"data.delimiter = {delimiter!r}: the separating mark is one sign, such as one of {' '.join(DELIMITERS)!r}."
        )


def opened(path: Path, encoding: str = BY_MARK, most: int | None = None) -> TextIO:
    """The text of a file, unpacked where its name ends in .gz. By default a byte order mark says in which encoding."""
    if encoding == BY_MARK:
        encoding = _mark(path) or BY_MARK
    return io.TextIOWrapper(unpacked(path, most), encoding=encoding, newline="")


def glance(path: Path, encoding: str = BY_MARK) -> list[str]:
    """The first lines, at most GLANCE, of the first GLANCE_BYTES. UserError where not one of them ends there."""
    if encoding == BY_MARK:
        encoding = _mark(path) or BY_MARK
    io.TextIOWrapper(io.BytesIO(), encoding=encoding)  # raises LookupError for codecs of anything but text
    with unpacked(path) as file:
        first = file.read(GLANCE_BYTES)
    text = codecs.getincrementaldecoder(encoding)().decode(first, final=len(first) < GLANCE_BYTES)
    lines = list(itertools.islice(io.StringIO(text, newline=""), GLANCE + 1))
    if len(first) == GLANCE_BYTES and len(lines) <= GLANCE:
        del lines[-1:]  # cut
        if not lines:
            raise UserError(f"{path} cannot be read as a table: its first line is longer than {size(GLANCE_BYTES)}.")
    return lines[:GLANCE]


def _mark(path: Path) -> str | None:
    """The encoding that the file's byte order mark announces."""
    with unpacked(path) as file:
        return encodings.marked(file.read(4))


def unpacked(path: Path, most: int | None = None) -> io.BufferedReader:
    """The bytes of a file, unpacked where its name ends in .gz: up to `most`, by default MAX_FILE_BYTES, and at most MAX_RATIO
    times those of a packed file; UserError beyond."""
    packed = path.suffix.lower() == ".gz"
    room = MAX_FILE_BYTES if most is None else most
    if packed and most is None:
        room = min(room, max(RATIO_MATTERS_BYTES, MAX_RATIO * path.stat().st_size))
    file = regular_file(path)
    return io.BufferedReader(_Bounded(gzip.GzipFile(fileobj=file) if packed else file, file, path, room), 2**16)


class _Bounded(io.RawIOBase):
    """A stream of text of a bounded size and with lines of a bounded length."""

    def __init__(self, stream: Any, file: BinaryIO, path: Path, most: int) -> None:
        self._stream, self._file, self._path, self._most = stream, file, path, most
        self._total = self._line = 0

    def readable(self) -> bool:
        return True

    def readinto(self, room: memoryview) -> int:  # type: ignore[override]
        found: bytes = self._stream.read(len(room))
        self._total += len(found)
        end = max(found.rfind(b"\n"), found.rfind(b"\r"))
        self._line = self._line + len(found) if end < 0 else len(found) - end
        if self._total > self._most:
            raise UserError(
                f"{self._path} holds more than {size(self._most)} of text, which are read at most. Give a part of its rows, "
                "or say how much may be read: --set data.max_gib=16."
            )
        if self._line > LONGEST_LINE:
            raise UserError(f"{self._path} cannot be read as a table: a line is longer than {size(LONGEST_LINE)}.")
        room[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._file.close()
        super().close()


def _declared(lines: Sequence[str]) -> str | None:
    """The separating mark that the first line declares in place of naming columns."""
    found = DECLARED.fullmatch(lines[0]) if lines else None
    return found["mark"] if found else None


def sniffed(lines: Sequence[str]) -> str:
    """What separates the cells: the mark that the first line declares, else the one that cuts most lines into the same number of
    cells, more than one; else one that the cells do not hold, a comma if it may be."""
    if declared := _declared(lines):
        return declared

    def merit(mark: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=mark) if row]
        if not widths or widths[0] == 1:  # of one column: a mark that its cells do not hold
            return 0.0, widths.count(1) - len(widths)
        return widths.count(widths[0]) / len(widths), widths[0]

    return max(DELIMITERS, key=merit)


def _columns(
    names: list[str], reader: Iterator[list[str]], ragged: Callable[[list[list[str]]], str]
) -> tuple[RawColumn, ...]:
    """Cells as numbers of distinct spellings: each spelling is held once, however many rows there are. ragged: what to say of
    rows one of which has another length."""
    width = len(names)
    places: list[defaultdict[str, int]] = [defaultdict() for _ in names]
    for place in places:
        place.default_factory = place.__len__
    codes = [array("i") for _ in names]
    while chunk := list(itertools.islice(reader, CHUNK)):
        # An empty line of a table of one column is an empty cell; of a wider one it is nothing.
        rows = [row or [""] for row in chunk] if width == 1 else [row for row in chunk if row]
        if any(len(row) != width for row in rows):
            raise UserError(ragged(chunk))
        for column, place, cells in zip(codes, places, zip(*rows)):
            column.extend(map(place.__getitem__, cells))
    return tuple(
        RawColumn(name, np.array(code, dtype=np.int32), tuple(place)) for name, code, place in zip(names, codes, places)
    )


def _ragged(path: Path, reader: Iterator[list[str]], chunk: list[list[str]], width: int) -> str:
    """Names the first line that is too long or too short; `reader` stands behind the chunk."""
    # Cells may hold line ends, so lines are counted from the reader's own number backwards.
    spans = [1 + sum(cell.count("\n") for cell in row) for row in chunk]
    first = next(i for i, row in enumerate(chunk) if row and len(row) != width)
    line = getattr(reader, "line_num", 0) - sum(spans[first:]) + 1
    return (
        f"{path}, line {line}: {len(chunk[first])} cells where the first line names {width} columns. Mend the line: a cell "
        'that holds the separating mark needs "quotes" around it.'
    )


def _must_have_header(path: Path, names: list[str], columns: tuple[RawColumn, ...]) -> None:
    """UserError when the first line looks like a row: its cells are numbers, or occur in the columns below them."""
    like_cells = sum(_is_number(column.name) or column.name in column.spellings for column in columns)
    if like_cells > len(columns) / 2:
        raise UserError(
            f"{path}: the first line ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''}) looks like a row, not like "
            "names of columns. If it does name them: --set data.header=true. If not, put a line with the names above it, or let "
            "the columns be named c1, c2 ...: --set data.header=false."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def has_tabs(path: Path) -> bool:
    """Whether tabs cut most lines of a text file into the same number of cells, more than one. Never raises."""
    try:
        encoding = _mark(path) or "latin-1"  # which reads any bytes; tabs are the same in all that it may be instead
        lines = [line for line in glance(path, encoding) if line.strip()]
        widths = [len(row) for row in csv.reader(lines, delimiter="\t") if row]
    except (*UNREADABLE, ValueError, UserError):
        return False
    return bool(widths) and widths[0] > 1 and widths.count(widths[0]) > len(widths) / 2


def looks_like_table(path: Path) -> bool:
    """Whether a text file is a table and no list of points: not one or two columns of nothing but numbers. Never raises."""
    try:
        lines = [line for line in glance(path) if line.strip() and not line.startswith("#")]
        rows = [row for row in csv.reader(lines[bool(_declared(lines)) :], delimiter=sniffed(lines)) if row]
    except (*UNREADABLE, ValueError, UserError):
        return False
    return bool(rows) and (len(rows[0]) > 2 or not any(all(map(_is_number, row)) for row in rows[1:] or rows))
