"""Files read once more: rows for a discriminator that knows the table already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerosum.domain import DatasetInfo
from zerosum.domains.tables import reading, transform
from zerosum.domains.tables.columns import CATEGORICAL, Column, present_of
from zerosum.domains.tables.dates import DateFormat
from zerosum.domains.tables.encoded_dataset import encoded
from zerosum.domains.tables.reading import RawColumn, RawTable, TextStyle, style_of
from zerosum.domains.tables.table import Table
from zerosum.domains.tables.transform import Transform
from zerosum.errors import UserError, nearest


def read(paths: Sequence[Path], info: DatasetInfo) -> Tensor:
    """(N, D) encoded rows of tables with the run's own columns; UserError names a column or cell that the run does not know."""
    fit = transform.of_payload(info.payload)
    return torch.cat([_rows(table_of(path, fit, info), fit) for path in paths])


def _rows(table: Table, fit: Transform) -> Tensor:
    rows = torch.arange(len(table))
    return encoded(table, fit, told=0.0).data(rows, rows)


def table_of(path: Path, fit: Transform, info: DatasetInfo) -> Table:
    """The learnt columns of a file, understood as those of the run."""
    raw, missing = _read(path, style_of(info.payload)), info.payload["missing"]
    held = {column.name: column for column in raw.columns}
    arrays = {}
    for column in fit.columns:
        if not column.learnt:
            continue
        if column.name not in held:
            raise UserError(
                f"{path} has no column {column.name!r}, which this run learnt. {nearest(column.name, held)}"
            )
        arrays[column.name] = _values(path, column, held[column.name], missing)
    return Table(fit.columns, arrays, raw.num_rows)


def _read(path: Path, style: TextStyle) -> RawTable:
    """A file in UTF-8, or in the encoding of the file that was learnt."""
    try:
        return reading.read(str(path), header=style.header, least=1)
    except UserError:
        if style.encoding == "utf-8":
            raise
    return reading.read(str(path), encoding=style.encoding, header=style.header, least=1)


def _values(path: Path, column: Column, raw: RawColumn, missing: Sequence[str]) -> NDArray[Any]:
    """(N,) values of a column by its own levels or format."""
    table: NDArray[Any]
    if column.kind in CATEGORICAL:
        places = {level: place for place, level in enumerate(column.levels)}
        bare = {(level or "").strip(): place for level, place in places.items()}
        found = [places.get(word, bare.get((word or "").strip())) for word in raw.spellings]
        if None in found:
            odd = raw.spellings[found.index(None)]
            words = nearest(str(odd), bare) if len(bare) < 50 else f"It has {len(bare):,} values."
            raise UserError(f"{path}: {column.name!r} was never {odd!r} in the table of this run. {words}")
        table = np.array(found, dtype=np.int64)
    else:
        table = np.full(len(raw.spellings), np.nan)
        known = present_of(raw, missing)
        if known.words:
            table[known.places] = _numbers(path, column, known.words)
    return table[raw.codes]


def _numbers(path: Path, column: Column, words: list[str]) -> NDArray[np.float64]:
    if isinstance(column.form, DateFormat):
        moments = column.form.moments(words)
        if moments is None:
            odd = next((word for word in words if column.form.moments([word]) is None), words[0])
            raise UserError(
                f"{path}: {column.name!r} should hold dates in the form {column.form.pattern}, unlike {odd!r}."
            )
        return moments
    assert column.form is not None
    read = column.form.read(words)
    if read is None:
        odd = next((word for word in words if column.form.read([word]) is None), words[0])
        raise UserError(f"{path}: {column.name!r} should hold numbers, and {odd!r} is none.")
    return read
