"""Sources of tables: reads, types, splits and encodes a table; and reads further files with the columns of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerosum import domain
from zerosum.domain import DatasetInfo, OtherCondition, SampleInfo
from zerosum.domains.tables import reading, transform
from zerosum.domains.tables.column_kinds import Decimal, present_cells, to_table
from zerosum.domains.tables.constraints import parse_constraints
from zerosum.domains.tables.data_report import notes_of
from zerosum.domains.tables.encoded_dataset import EncodedDataset, encode
from zerosum.domains.tables.layout import condition_width, row_width
from zerosum.domains.tables.preview import summary
from zerosum.domains.tables.reading import RawColumn, RawTable, TextStyle, style_of
from zerosum.domains.tables.table import CATEGORICAL, NUMERIC, Column, Table
from zerosum.domains.tables.transform import Numeric, Transform
from zerosum.engine.game import Batch
from zerosum.engine.seeds import generator
from zerosum.errors import UserError, nearest
from zerosum.recipe import Component

MOST_KEYS, MOST_COPIES = 2**21, 64
"""The greatest numbers of virtual rows and of copies of the table; each copy has other random parts."""


@dataclass(frozen=True)
class Payload(TextStyle):
    """columns, rules: see Transform.to_json. layout: the blocks of an encoded row. missing: further spellings of missing numbers
    and dates. summary: the training rows as shown in pictures. The other fields are the style of the text file."""

    columns: list[dict[str, Any]] = field(kw_only=True)
    rules: list[dict[str, Any]] = field(kw_only=True)
    layout: list[dict[str, Any]] = field(kw_only=True)
    missing: list[str] = field(kw_only=True)
    summary: dict[str, Any] = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class TableSource:
    """A table: its training and held-out rows, and both in encoded form.

    train, heldout: the real rows. rows, heldout_rows: the same encoded. style: of the text file.
    missing: further spellings of missing numbers and dates.
    """

    name: str
    transform: Transform
    train: Table
    heldout: Table
    rows: EncodedDataset
    heldout_rows: EncodedDataset
    style: TextStyle
    missing: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...]

    @property
    def num_rows(self) -> int:
        """Number of virtual rows: copies of the training rows, each with its own random points and conditions."""
        copies = min(MOST_COPIES, max(1, MOST_KEYS // len(self.train)))
        return len(self.train) * copies

    @property
    def num_heldout(self) -> int:
        """Number of rows that are not used for training."""
        return len(self.heldout)

    def batch(self, indices: Tensor) -> Batch:
        """Encoded rows (N, D) and their conditions (N, K), a function of the indices."""
        return self.rows.batch(indices)

    def heldout_batch(self, indices: Tensor) -> Batch:
        """The same of held-out rows."""
        return self.heldout_rows.batch(indices)

    def to(self, device: torch.device) -> TableSource:
        """The same rows on another device."""
        return replace(self, rows=self.rows.to(device), heldout_rows=self.heldout_rows.to(device))

    def info(self) -> DatasetInfo:
        """The description of the data set; networks, tables and metrics are rebuilt from it without the data."""
        payload: dict[str, Any] = {
            "layout": self.transform.layout,
            **self.transform.to_json(),
            **self.style.to_json(),
            "missing": list(self.missing),
            "summary": summary(self.train),
        }
        width = row_width(payload)
        return DatasetInfo(
            self.name,
            len(self.train),
            self.num_heldout,
            self.fingerprint,
            SampleInfo({"places": width}, f"an encoded row of {width} numbers"),
            self.notes,
            OtherCondition("values of some columns", (condition_width(payload),)),
            payload,
        )


def open_source(data: Component, allow_download: bool) -> TableSource:
    """The source of a recipe's data part: a table by name, or a file by path."""
    source: TableSource = domain.make("data", {data.kind: _open_table}, data, data.kind)
    return source


def _open_table(
    where: str,
    *,
    heldout: float = 0.2,
    seed: int = 0,
    types: dict[str, str] = {},  # noqa: B006  (never changed)
    drop: list[str] = [],  # noqa: B006
    numeric: Numeric = "cdf",
    max_levels: int = 100,
    condition_share: float = 0.5,
    determined: bool = True,
    constraints: list[str] = [],  # noqa: B006
    encoding: str = "utf-8-sig",
    delimiter: str | None = None,
    header: bool | None = None,
    max_gib: float | None = None,
    missing: list[str] = [],  # noqa: B006
    decimal: Decimal = "",
) -> TableSource:
    """The options of `data` in a recipe of tables."""
    _check_options(heldout, max_levels, condition_share, max_gib)
    most = None if max_gib is None else round(max_gib * 2**30)
    raw = reading.read(where, encoding=encoding, delimiter=delimiter, header=header, most=most, drop=drop)
    table = to_table(raw, types, drop, missing, decimal)
    stated = parse_constraints(constraints, table)
    train, rest = _split(table, heldout, seed)
    fit = transform.fit_transform(train, numeric, max_levels, seed, determined, stated)
    return TableSource(
        Path(where).name.split(".")[0] or where,
        fit,
        train,
        rest,
        encode(train, fit, condition_share),
        encode(rest, fit, condition_share),
        raw.style,
        tuple(missing),
        _fingerprint(raw),
        (*raw.notes, *notes_of(table, train, fit, len(rest), drop, stated)),
    )


def _check_options(heldout: float, max_levels: int, condition_share: float, max_gib: float | None) -> None:
    if not 0 <= heldout < 1:
        raise ValueError(f"heldout must lie in [0, 1), got {heldout}")
    if max_levels < 3:
        raise ValueError(f"max_levels must be at least 3, got {max_levels}")
    if not 0 <= condition_share <= 1:
        raise ValueError(f"condition_share must lie in [0, 1], got {condition_share}")
    if max_gib is not None and not 0 < max_gib < 2**20:
        raise ValueError(f"max_gib must be above 0, got {max_gib}")


def _split(table: Table, heldout: float, seed: int) -> tuple[Table, Table]:
    """Training and held-out rows, each in the order of the file."""
    num = min(round(heldout * len(table)), len(table) - 1)
    order = torch.randperm(len(table), generator=generator(seed, "held out")).numpy()
    rest, train = (table.select(np.sort(rows)) for rows in (order[:num], order[num:]))
    for column in table.columns:
        if column.kind in NUMERIC and np.isnan(train.arrays[column.name]).all():
            option = "Leave it out: --set 'data.drop=[...]'"
            raise UserError(f"Column {column.name!r} is empty in nearly every row. {option}.")
    return train, rest


def _fingerprint(raw: RawTable) -> str:
    """SHA-256 of names, spellings and cells."""
    digest = hashlib.sha256()
    for column in raw.columns:
        digest.update(repr((column.name, column.spellings, column.dtype)).encode())
        digest.update(column.codes.tobytes())
    return digest.hexdigest()


# --- further files with the columns of a run


def read_rows(paths: Sequence[Path], info: DatasetInfo) -> Tensor:
    """(N, D) encoded rows of tables with the run's own columns; UserError names an unknown column or cell."""
    fit = transform.from_payload(info.payload)
    parts = []
    for path in paths:
        table = read_table(path, fit, info)
        rows = torch.arange(len(table))
        parts.append(encode(table, fit, condition_share=0.0).data(rows, rows))
    return torch.cat(parts)


def read_table(path: Path, fit: Transform, info: DatasetInfo) -> Table:
    """The learnt columns of a file, in the format of the run. The file is in UTF-8, or in the encoding of the training file."""
    style = style_of(info.payload)
    try:
        raw = reading.read(str(path), header=style.header, least=1)
    except UserError:
        if style.encoding == "utf-8":
            raise
        raw = reading.read(str(path), encoding=style.encoding, header=style.header, least=1)
    held = {column.name: column for column in raw.columns}
    arrays = {}
    for column in fit.columns:
        if column.learnt:
            if column.name not in held:
                close = nearest(column.name, held)
                raise UserError(f"{path} has no column {column.name!r}, which this run was trained on. {close}")
            arrays[column.name] = _read_values(path, column, held[column.name], info.payload["missing"])
    return Table(fit.columns, arrays, raw.num_rows)


def _read_values(path: Path, column: Column, raw: RawColumn, missing: Sequence[str]) -> NDArray[Any]:
    """(N,) values of a column by its own levels or format."""
    if column.kind in CATEGORICAL:
        places = {level: place for place, level in enumerate(column.levels)}
        bare = {(level or "").strip(): place for level, place in places.items()}
        found = [places.get(word, bare.get((word or "").strip())) for word in raw.spellings]
        if None in found:
            odd = raw.spellings[found.index(None)]
            words = nearest(str(odd), bare) if len(bare) < 50 else f"It has {len(bare):,} values."
            raise UserError(f"{path}: {column.name!r} is never {odd!r} in the table of this run. {words}")
        return np.array(found, dtype=np.int64)[raw.codes]
    form, cells = column.form, present_cells(raw, missing)
    assert form is not None
    table = np.full(len(raw.spellings), np.nan)
    if cells.words:
        values = form.parse(cells.words)
        if values is None:
            odd = next((word for word in cells.words if form.parse([word]) is None), cells.words[0])
            is_date = column.kind == "date"
            what = (
                f"dates in the form {getattr(form, 'pattern', '')}, unlike {odd!r}"
                if is_date
                else f"numbers, and {odd!r} is none"
            )
            raise UserError(f"{path}: {column.name!r} should hold {what}.")
        table[cells.places] = values
    return table[raw.codes]
