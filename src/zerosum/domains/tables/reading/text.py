"""Tables in text files: comma-separated values and similar formats, gzip-compressed or not, in any encoding."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
import unicodedata
import zlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from zerosum.data.numpy_files import MAX_RATIO, RATIO_MATTERS_BYTES
from zerosum.data.opening import MAX_FILE_BYTES, format_size, open_regular, short_reason
from zerosum.domains.tables.reading.raw_table import RawColumn, RawTable, TextStyle
from zerosum.errors import UserError

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
TABBED = ".txt"
"""Suffix of text with tabs as saved by spreadsheet programs. Other texts have it too: a file is a table only if it has tabs."""
DELIMITERS = ",;\t|"
NUM_FIRST, FIRST_BYTES, LONGEST_LINE = 50, 2**20, 2**24
"""Lines from which the delimiter is found; bytes in which the first of them must end; bytes of a line at most."""
CHUNK = 20_000
"""Rows that are read at a time."""
UNREADABLE = (OSError, EOFError, zlib.error, csv.Error)
DECLARED = re.compile(r'"?sep=(?P<mark>[^"\r\n])"?\s*', re.IGNORECASE)
"""A first line by which spreadsheet programs declare the delimiter."""
BY_MARK = "utf-8-sig"
"""The default encoding: UTF-8, unless a byte order mark announces another one."""


def read_text(
    path: Path,
    *,
    encoding: str = BY_MARK,
    delimiter: str | None = None,
    header: bool | None = None,
    most: int | None = None,
) -> RawTable:
    """A table whose first line names the columns. Empty lines are skipped.

    encoding: of the text. delimiter: between the cells; by default found from the first lines. header: whether the first line
    names the columns, which are named c1, c2 ... where it does not; by default it must look like names. most: bytes of text that
    are read, see `unpacked`. UserError names the line at fault.
    """
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        marks = f"the delimiter is a single character, such as one of {' '.join(DELIMITERS)!r}"
        raise UserError(f"data.delimiter = {delimiter!r}: {marks}.")
    try:
        announced = announced_encoding(path)
        used = (announced if encoding == BY_MARK else None) or encoding
        lines = first_lines(path, used)
        if any("\0" in line for line in lines):
            raise UserError(
                f"{path} holds zero bytes and no byte order mark: it looks like UTF-16 text. Use "
                "--set data.encoding=utf-16-le (or utf-16-be), or save it as UTF-8."
            )
        mark = delimiter or find_delimiter(lines)
        with io.TextIOWrapper(unpacked(path, most), encoding=used, newline="") as file:
            reader = csv.reader(file, delimiter=mark)
            if _declared(lines):
                next(reader)
            names, columns = _named_columns(path, reader, header)
    except UserError:
        raise
    except (UnicodeDecodeError, LookupError) as error:
        raise UserError(_decoding_advice(path, encoding, error)) from None
    except (*UNREADABLE, ValueError) as error:
        raise UserError(f"{path} cannot be read as a table: {short_reason(error)}.") from None
    kept, notes = _without_blank(columns)
    if header is None:
        _check_header(path, names, kept)
    written = codecs.lookup(announced or encoding).name.removesuffix("-sig")
    end = "\r\n" if lines[0].endswith("\r\n") else "\n"
    style = TextStyle(mark, announced is not None, end, written, header is not False)
    return RawTable(str(path), kept, len(columns[0].codes), style, notes)


# --- bytes and lines


def announced_encoding(path: Path) -> str | None:
    """The encoding that the file's byte order mark announces; None where it begins with none."""
    with unpacked(path) as file:
        first = file.read(4)
    return next((encoding for mark, encoding in MARKS.items() if first.startswith(mark)), None)


def first_lines(path: Path, encoding: str) -> list[str]:
    """The first lines, at most NUM_FIRST, of the first FIRST_BYTES. UserError where not one of them ends there."""
    io.TextIOWrapper(io.BytesIO(), encoding=encoding)  # raises LookupError for codecs of anything but text
    with unpacked(path) as file:
        first = file.read(FIRST_BYTES)
    text = codecs.getincrementaldecoder(encoding)().decode(first, final=len(first) < FIRST_BYTES)
    lines = list(itertools.islice(io.StringIO(text, newline=""), NUM_FIRST + 1))
    if len(first) == FIRST_BYTES and len(lines) <= NUM_FIRST:
        del lines[-1:]  # incomplete
        if not lines:
            raise UserError(
                f"{path} cannot be read as a table: its first line is longer than {format_size(FIRST_BYTES)}."
            )
    return lines[:NUM_FIRST]


def unpacked(path: Path, most: int | None = None) -> io.BufferedReader:
    """The bytes of a file, unpacked where its name ends in .gz: up to `most`, by default MAX_FILE_BYTES, and at most MAX_RATIO
    times those of a packed file; UserError beyond."""
    packed = path.suffix.lower() == ".gz"
    room = MAX_FILE_BYTES if most is None else most
    if packed and most is None:
        room = min(room, max(RATIO_MATTERS_BYTES, MAX_RATIO * path.stat().st_size))
    file = open_regular(path)
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
                f"{self._path} holds more than {format_size(self._most)} of text, the most that is read. Give a part of its "
                "rows, or raise the limit: --set data.max_gib=16."
            )
        if self._line > LONGEST_LINE:
            raise UserError(
                f"{self._path} cannot be read as a table: a line is longer than {format_size(LONGEST_LINE)}."
            )
        room[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._file.close()
        super().close()


# --- cells


def _declared(lines: Sequence[str]) -> str | None:
    """The delimiter that is declared in the first line, before the names of the columns."""
    found = DECLARED.fullmatch(lines[0]) if lines else None
    return found["mark"] if found else None


def find_delimiter(lines: Sequence[str]) -> str:
    """The delimiter that the first line declares, else the one that splits most lines into the same number of cells (more
    than one); else one that does not occur in the cells, a comma if possible."""
    if declared := _declared(lines):
        return declared

    def merit(mark: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=mark) if row]
        if not widths or widths[0] == 1:  # of one column: a mark that its cells do not hold
            return 0.0, widths.count(1) - len(widths)
        return widths.count(widths[0]) / len(widths), widths[0]

    return max(DELIMITERS, key=merit)


def _named_columns(
    path: Path, reader: Iterator[list[str]], header: bool | None
) -> tuple[list[str], tuple[RawColumn, ...]]:
    first = next((row for row in reader if row), None)
    if first is None:
        raise UserError(f"{path} is empty. A table begins with a line that names its columns.")
    names = [f"c{place}" for place in range(1, len(first) + 1)] if header is False else first
    rows = itertools.chain([first], reader) if header is False else reader
    return names, _columns(names, rows, lambda chunk: _ragged(path, reader, chunk, len(names)))


def _columns(
    names: list[str], reader: Iterator[list[str]], ragged: Callable[[list[list[str]]], str]
) -> tuple[RawColumn, ...]:
    """Cells as indices of distinct spellings; each spelling is stored once. ragged: the message for
    rows one of which has another length."""
    width = len(names)
    places: list[defaultdict[str, int]] = [defaultdict() for _ in names]
    for place in places:
        place.default_factory = place.__len__
    codes = [array("i") for _ in names]
    while chunk := list(itertools.islice(reader, CHUNK)):
        # An empty line of a table of one column is an empty cell; in a wider table it is skipped.
        rows = [row or [""] for row in chunk] if width == 1 else [row for row in chunk if row]
        if any(len(row) != width for row in rows):
            raise UserError(ragged(chunk))
        for column, place, cells in zip(codes, places, zip(*rows)):
            column.extend(map(place.__getitem__, cells))
    return tuple(
        RawColumn(name, np.array(code, dtype=np.int32), tuple(place)) for name, code, place in zip(names, codes, places)
    )


def _ragged(path: Path, reader: Iterator[list[str]], chunk: list[list[str]], width: int) -> str:
    """Names the first line that is too long or too short; `reader` is positioned after the chunk."""
    # Cells may hold line ends, so lines are counted backwards from the reader's own number.
    spans = [1 + sum(cell.count("\n") for cell in row) for row in chunk]
    first = next(i for i, row in enumerate(chunk) if row and len(row) != width)
    line = getattr(reader, "line_num", 0) - sum(spans[first:]) + 1
    return (
        f"{path}, line {line}: {len(chunk[first])} cells where the first line names {width} columns. Correct the line: a "
        'cell that holds the delimiter needs "quotes" around it.'
    )


def _without_blank(columns: Sequence[RawColumn]) -> tuple[tuple[RawColumn, ...], tuple[str, ...]]:
    """The columns that have a name or contents, and a note on the others, which result from delimiters at the ends of lines."""
    kept = tuple(
        column for column in columns if column.name.strip() or any((s or "").strip() for s in column.spellings)
    )
    num = len(columns) - len(kept)
    what = "1 column that has" if num == 1 else f"{num} columns that have"
    return kept, (f"Left out: {what} neither a name nor contents.",) if num else ()


def _check_header(path: Path, names: list[str], columns: tuple[RawColumn, ...]) -> None:
    """UserError when the first line looks like a row: its cells are numbers, or occur in the columns below them."""
    like_cells = sum(_is_number(column.name) or column.name in column.spellings for column in columns)
    if like_cells > len(columns) / 2:
        raise UserError(
            f"{path}: the first line ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''}) looks like a row, not like "
            "names of columns. If it contains the names: --set data.header=true. If not, add a line with the names, or name "
            "the columns c1, c2 ...: --set data.header=false."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# --- recognition of files


def has_tabs(path: Path) -> bool:
    """Whether tabs split most lines of a text file into the same number of cells, more than one. Never raises."""
    # latin-1 reads any bytes; tabs are the same in all encodings without a mark.
    widths = [len(row) for row in _first_rows(path, "latin-1", "\t")]
    return bool(widths) and widths[0] > 1 and widths.count(widths[0]) > len(widths) / 2


def looks_like_table(path: Path) -> bool:
    """Whether a text file is a table rather than a list of points, which has one or two columns of numbers only. Never raises."""
    rows = _first_rows(path, BY_MARK, None)
    return bool(rows) and (len(rows[0]) > 2 or not any(all(map(_is_number, row)) for row in rows[1:] or rows))


def _first_rows(path: Path, encoding: str, delimiter: str | None) -> list[list[str]]:
    """The cells of the first lines, without empty lines and comments; none where they cannot be read."""
    try:
        lines = [line for line in first_lines(path, announced_encoding(path) or encoding) if line.strip()]
        if delimiter is None:
            lines = [line for line in lines if not line.startswith("#")]
            delimiter = find_delimiter(lines)
            lines = lines[bool(_declared(lines)) :]
        return [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except (*UNREADABLE, ValueError, UserError):
        return []


# --- encodings

MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks, the longer of two that begin alike first, and the encodings that they announce."""
SINGLE = ("latin-1", "cp1252", "cp1250", "cp1251", "koi8-r", "cp1253", "mac_roman")
DOUBLE: Mapping[str, tuple[str, range]] = {
    "euc_kr": ("euc_kr", range(0xB0, 0xC9)),
    "gbk": ("gb2312", range(0xB0, 0xD8)),
    "gb18030": ("gb2312", range(0xB0, 0xD8)),
    "euc_jp": ("euc_jp", range(0xB0, 0xD0)),
    "big5": ("big5", range(0xA4, 0xC7)),
    "shift_jis": ("shift_jis", range(0x88, 0x98)),
}
"""Encodings of two bytes a character; the standard that each extends, and the first bytes there of the common characters. The
narrower encoding comes first."""
WORD = rb"[^\x00-\x20,;|\"]"
RUN = re.compile(rb"[\x80-\xff]+")
NUM_SHOWN, NUM_SIGNS, NUM_LOOKED, LONGEST = 4, 24, 2**16, 256
"""Encodings and characters of a word that are shown; bytes by which encodings are ranked; bytes of a word to either side."""
MOST_ODD = 0.05
"""The share of words that an encoding may not be able to read: a delimiter may be the second byte of a character."""


def _decoding_advice(path: Path, encoding: str, error: UnicodeDecodeError | LookupError) -> str:
    """The message for text that cannot be decoded, with the word at fault in encodings in which it consists of letters."""
    if isinstance(error, LookupError):
        return f"data.encoding = {encoding!r}: there is no such encoding. Use, for example, utf-8, latin-1 or cp1252."
    name, text, at = encoding.removesuffix("-sig"), error.object, error.start
    before = re.search(WORD + rb"*\Z", text[max(0, at - LONGEST) : at])
    after = re.match(WORD + rb"*", text[at + 1 : at + LONGEST])
    word = (before.group() if before else b"") + text[at : at + 1] + (after.group() if after else b"")
    looked = bytes(text[:NUM_LOOKED])
    others = [found.group() for found in re.finditer(WORD + rb"+", looked) if found.end() < len(looked)]
    words = [word, *(other for other in others if not other.isascii())]
    merits = {name: merit for name in (*SINGLE, *DOUBLE) if (merit := _merit(words, name)) is not None}
    shown: dict[str, str] = {}
    for candidate in sorted(merits, key=lambda one: -merits[one]):
        if candidate != name:
            shown.setdefault(word.decode(candidate)[:NUM_SIGNS], candidate)
    first = next(iter(shown.values()), "cp1252")
    reads = ", ".join(f"{read!r} in {candidate}" for read, candidate in [*shown.items()][:NUM_SHOWN])
    reads = f"The word there reads {reads}. " if shown else ""
    return (
        f"{path} is not {name} text: byte 0x{text[at]:02x} is not the start of a character. {reads}"
        f"Choose the encoding in which it is right: --set data.encoding={first}, or another one of Python."
    )


def _merit(words: Sequence[bytes], encoding: str) -> float | None:
    """The likelihood, from 0 to 1, that words are written in an encoding; None if the first word contains other characters than
    letters, digits and punctuation, or if the others cannot be decoded."""
    texts = []
    for word in words:
        try:
            texts.append(word.decode(encoding))
        except UnicodeDecodeError:
            if word is words[0]:
                return None
    if len(texts) < (1 - MOST_ODD) * len(words):
        return None
    # A wrong encoding makes control characters, unassigned ones and symbols of letters.
    if any(unicodedata.category(sign) in ("Cc", "Cn", "Co", "So", "Sk") for sign in texts[0]):
        return None
    if encoding in DOUBLE:
        signs = [sign for text in texts for sign in text if not sign.isascii()]
        return sum(_is_common(sign, *DOUBLE[encoding]) for sign in signs) / max(1, len(signs))
    if encoding in ("cp1251", "koi8-r", "cp1253"):  # whole words of such letters, with capitals as in words
        return sum(_cased(text) and not any(map(str.isascii, text)) for text in texts) / len(texts)
    # In languages of Latin letters those beyond ASCII mostly stand alone.
    runs = [run for word in words for run in RUN.findall(word)]
    return sum(map(_cased, texts)) / len(texts) * sum(len(run) == 1 for run in runs) / max(1, len(runs))


def _is_common(sign: str, standard: str, first: range) -> bool:
    """Whether a character is in common use in the languages of a standard."""
    if standard in ("shift_jis", "euc_jp") and "\u3041" <= sign <= "\u30ff":
        return True
    try:
        return sign.encode(standard)[0] in first
    except UnicodeEncodeError:
        return False


def _cased(text: str) -> bool:
    """Whether capitals occur only where they do in words."""
    letters = "".join(filter(str.isalpha, text))
    return letters in (letters.lower(), letters.upper(), letters.capitalize())
