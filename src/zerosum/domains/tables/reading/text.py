"""Tables in text files: comma-separated values and their relatives, gzip-compressed or not."""

from __future__ import annotations

import csv
import gzip
import itertools
import re
import zlib
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from zerosum.domains.tables.reading import encodings
from zerosum.domains.tables.reading.cells import RawColumn, RawTable, TextStyle, without_blank
from zerosum.errors import UserError

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
TABBED = ".txt"
"""What spreadsheet programs save with tabs; a table only if it has them, for other texts end so, too."""
DELIMITERS = ",;\t|"
GLANCE = 50
"""Lines that are looked at to find out what separates the cells."""
CHUNK = 20_000
"""Rows that are read at a time."""
UNREADABLE = (OSError, EOFError, zlib.error, csv.Error)
DECLARED = re.compile(r'"?sep=(?P<mark>[^"\r\n])"?\s*', re.IGNORECASE)
"""A first line by which spreadsheet programs say what separates the cells."""
BY_MARK = "utf-8-sig"
"""The encoding by default: UTF-8, unless a byte order mark announces another one."""


def read_text(path: Path, *, encoding: str = BY_MARK, delimiter: str | None = None) -> RawTable:
    """A table whose first line names the columns. Empty lines are passed over.

    encoding: of the text. delimiter: what separates the cells; by default found from the first lines.
    UserError names the line at fault.
    """
    try:
        with opened(path, encoding) as file:
            lines = list(itertools.islice(file, GLANCE))
        if any("\0" in line for line in lines):
            raise UserError(encodings.without_mark(path))
        mark = delimiter or sniffed(lines)
        with opened(path, encoding) as file:
            reader = csv.reader(file, delimiter=mark)
            if _declared(lines):
                next(reader)
            names = next((row for row in reader if row), None)
            if names is None:
                raise UserError(f"{path} is empty. A table begins with a line that names its columns.")
            columns = _columns(path, reader, names)
    except (UnicodeDecodeError, LookupError) as error:
        raise UserError(encodings.advice(path, encoding, error)) from None
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read as a table: {getattr(error, 'strerror', None) or error}.") from None
    kept, notes = without_blank(columns)
    _must_have_header(path, names, kept)
    style = TextStyle(mark, _mark(path) is not None, "\r\n" if lines[0].endswith("\r\n") else "\n")
    return RawTable(str(path), kept, len(columns[0].codes), style, notes)


def opened(path: Path, encoding: str = BY_MARK) -> TextIO:
    """The text of a file, unpacked where its name ends in .gz. By default a byte order mark says in which encoding."""
    if encoding == BY_MARK:
        encoding = _mark(path) or BY_MARK
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding=encoding, newline="")
    return path.open(encoding=encoding, newline="")


def _mark(path: Path) -> str | None:
    """The encoding that the file's byte order mark announces."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        return encodings.marked(file.read(4))


def _declared(lines: Sequence[str]) -> str | None:
    """The separating mark that the first line declares in place of naming columns."""
    found = DECLARED.fullmatch(lines[0]) if lines else None
    return found["mark"] if found else None


def sniffed(lines: Sequence[str]) -> str:
    """What separates the cells: the mark that the first line declares, else the one that cuts most lines into the same number of
    cells, more than one; else a comma."""
    if declared := _declared(lines):
        return declared

    def merit(mark: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=mark) if row]
        if not widths or widths[0] == 1:
            return 0.0, 0
        return widths.count(widths[0]) / len(widths), widths[0]

    return max(DELIMITERS, key=merit)


def _columns(path: Path, reader: Iterator[list[str]], names: list[str]) -> tuple[RawColumn, ...]:
    """Cells as numbers of distinct spellings: each spelling is held once, however many rows there are."""
    width = len(names)
    places: list[defaultdict[str, int]] = [defaultdict() for _ in names]
    for place in places:
        place.default_factory = place.__len__
    codes = [array("i") for _ in names]
    while chunk := list(itertools.islice(reader, CHUNK)):
        # An empty line of a table of one column is an empty cell; of a wider one it is nothing.
        rows = [row or [""] for row in chunk] if width == 1 else [row for row in chunk if row]
        if any(len(row) != width for row in rows):
            raise UserError(_ragged(path, reader, chunk, width))
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
            "names of columns. Put a line with the names above it."
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
        with opened(path, encoding) as file:
            lines = [line for line in itertools.islice(file, GLANCE) if line.strip()]
        widths = [len(row) for row in csv.reader(lines, delimiter="\t") if row]
    except (*UNREADABLE, UnicodeDecodeError):
        return False
    return bool(widths) and widths[0] > 1 and widths.count(widths[0]) > len(widths) / 2


def looks_like_table(path: Path) -> bool:
    """Whether a text file is a table and no list of points: not one or two columns of nothing but numbers. Never raises."""
    try:
        with opened(path) as file:
            lines = [line for line in itertools.islice(file, GLANCE) if line.strip() and not line.startswith("#")]
        rows = [row for row in csv.reader(lines[bool(_declared(lines)) :], delimiter=sniffed(lines)) if row]
    except (*UNREADABLE, UnicodeDecodeError):
        return False
    return bool(rows) and (len(rows[0]) > 2 or not any(all(map(_is_number, row)) for row in rows[1:] or rows))
