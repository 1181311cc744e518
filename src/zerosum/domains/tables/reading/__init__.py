"""Reads tables from a name, a path or a DataFrame, as text cells."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from zerosum.data.opening import check_regular, expand_path, is_regular
from zerosum.domains.tables.reading import frames, text
from zerosum.domains.tables.reading.bundled import SOURCES, read_bundled
from zerosum.domains.tables.reading.raw_table import RawColumn, RawTable, TextStyle, style_of
from zerosum.errors import UserError, nearest

SHEETS = (".xlsx", ".xls", ".ods")
"""Suffixes of spreadsheets, which are recognised as tables but cannot be read."""

__all__ = ["SOURCES", "RawColumn", "RawTable", "TextStyle", "can_open", "read", "style_of"]


def read(
    where: str,
    *,
    encoding: str = text.BY_MARK,
    delimiter: str | None = None,
    header: bool | None = None,
    most: int | None = None,
    drop: Sequence[str] = (),
    least: int = 2,
) -> RawTable:
    """The table of that name or at that path, with at least `least` rows; UserError names the error and its position.

    most: bytes that are read, see `text.unpacked` and `frames.read_parquet`. drop: columns that need not be readable. The
    others: see `text.read_text`.
    """
    if where in SOURCES:
        return read_bundled(where).checked()
    path = expand_path(where)
    if not is_regular(path):
        if os.path.exists(path) and not os.path.isdir(path):
            check_regular(path)  # raises UserError with the kind of file
        kind = "a folder" if os.path.isdir(path) else "neither a named table nor an existing file"
        raise UserError(
            f"{where} is {kind}. A table is a file: .csv, .tsv, .csv.gz or .parquet. {nearest(where, SOURCES)}"
        )
    if _ends(path, frames.SUFFIXES):
        return frames.read_parquet(path, most, drop).checked(least)
    if _ends(path, (*text.SUFFIXES, text.TABBED)):
        mark = "\t" if delimiter is None and _ends(path, (".tsv", ".tsv.gz", text.TABBED)) else delimiter
        return text.read_text(path, encoding=encoding, delimiter=mark, header=header, most=most).checked(least)
    if _ends(path, SHEETS):
        raise UserError(f"{where} is a workbook. Save one sheet as CSV, and give that file.")
    raise UserError(
        f"{where} is not a table: use a file named .csv, .tsv, .csv.gz, .parquet or, with tabs between its cells, .txt."
    )


def can_open(where: str) -> bool:
    """Whether `where` is the name or the file of a table. Reads a few lines; never raises."""
    if where in SOURCES:
        return True
    path = expand_path(where)
    if not is_regular(path):
        return False
    if _ends(path, (text.TABBED,)):
        return text.has_tabs(path)
    return _ends(path, frames.SUFFIXES) or (_ends(path, text.SUFFIXES) and text.looks_like_table(path))


def looks_like(path: Path) -> bool:
    """Whether a path for which `can_open` is false has the suffix of a table, or is a folder of such files. Never raises."""
    endings = (*text.SUFFIXES, *frames.SUFFIXES, *SHEETS)
    try:
        return any(_ends(file, endings) for file in path.iterdir()) if path.is_dir() else _ends(path, endings)
    except OSError:
        return False


def _ends(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.name.lower().endswith(suffixes)
