"""Tables as the game wants them: read, understood, split, encoded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum import domain
from zerosum.domain import DatasetInfo, OtherCondition, SampleInfo
from zerosum.domains.tables import reading, stating, transform
from zerosum.domains.tables.columns import NUMERIC
from zerosum.domains.tables.data_report import notes_of
from zerosum.domains.tables.encoded_dataset import EncodedDataset, encoded
from zerosum.domains.tables.layout import condition_width, row_width
from zerosum.domains.tables.reading import RawTable, TextStyle
from zerosum.domains.tables.summary import summary
from zerosum.domains.tables.table import Table
from zerosum.domains.tables.transform import Numeric, Transform
from zerosum.domains.tables.understanding import Decimal, understood
from zerosum.engine.game import Batch
from zerosum.engine.seeds import generator
from zerosum.errors import UserError
from zerosum.recipe import Component

MOST_KEYS = 2**21
"""Virtual rows at most: each copy of the table is drawn anew."""
MOST_COPIES = 64


@dataclass(frozen=True)
class Payload(TextStyle):
    """columns, rules: see Transform.to_json. layout: the blocks of an encoded row. missing: further spellings of missing numbers
    and dates. summary: what pictures show of the training rows. The other fields are the style of the text file."""

    columns: list[dict[str, Any]] = field(kw_only=True)
    rules: list[dict[str, Any]] = field(kw_only=True)
    layout: list[dict[str, Any]] = field(kw_only=True)
    missing: list[str] = field(kw_only=True)
    summary: dict[str, Any] = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class TableSource:
    """A table, its parts for training and for checking, and both as the networks see them.

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
        """Virtual rows: copies of the training rows, each with points of its stretches and conditions of its own."""
        copies = min(MOST_COPIES, max(1, MOST_KEYS // len(self.train)))
        return len(self.train) * copies

    @property
    def num_heldout(self) -> int:
        """Rows that are never trained on."""
        return len(self.heldout)

    def batch(self, indices: Tensor) -> Batch:
        """Encoded rows (N, D) and what is told of them (N, K), a function of the indices."""
        return self.rows.batch(indices)

    def heldout_batch(self, indices: Tensor) -> Batch:
        """The same of held-out rows."""
        return self.heldout_rows.batch(indices)

    def to(self, device: torch.device) -> TableSource:
        """The same rows on another device."""
        return replace(self, rows=self.rows.to(device), heldout_rows=self.heldout_rows.to(device))

    def info(self) -> DatasetInfo:
        """What networks, tables and measures can be rebuilt from without the data."""
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
            OtherCondition("values that columns shall have", (condition_width(payload),)),
            payload,
        )


def open_source(data: Component, allow_download: bool) -> TableSource:
    """The source of a recipe's data part: a table by name, or a file by path."""
    source: TableSource = domain.make("data", {data.kind: _opened}, data, data.kind)
    return source


def _opened(
    where: str,
    *,
    heldout: float = 0.2,
    seed: int = 0,
    types: dict[str, str] = {},  # noqa: B006  (never changed)
    drop: list[str] = [],  # noqa: B006
    numeric: Numeric = "cdf",
    max_levels: int = 100,
    told: float = 0.5,
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
    _must_make_sense(heldout, max_levels, told, max_gib)
    most = None if max_gib is None else round(max_gib * 2**30)
    raw = reading.read(where, encoding=encoding, delimiter=delimiter, header=header, most=most, drop=drop)
    table = understood(raw, types, drop, missing, decimal)
    given = stating.stated(constraints, table)
    train, rest = _parts(table, heldout, seed)
    fit = transform.fitted(train, numeric, max_levels, seed, determined, given)
    return TableSource(
        Path(where).name.split(".")[0] or where,
        fit,
        train,
        rest,
        encoded(train, fit, told),
        encoded(rest, fit, told),
        raw.style,
        tuple(missing),
        _fingerprint(raw),
        (*raw.notes, *notes_of(table, train, fit, len(rest), drop, given)),
    )


def _must_make_sense(heldout: float, max_levels: int, told: float, max_gib: float | None) -> None:
    if not 0 <= heldout < 1:
        raise ValueError(f"heldout must lie in [0, 1), got {heldout}")
    if max_levels < 3:
        raise ValueError(f"max_levels must be at least 3, got {max_levels}")
    if not 0 <= told <= 1:
        raise ValueError(f"told must lie in [0, 1], got {told}")
    if max_gib is not None and not 0 < max_gib < 2**20:
        raise ValueError(f"max_gib must be above 0, got {max_gib}")


def _parts(table: Table, heldout: float, seed: int) -> tuple[Table, Table]:
    """Training and held-out rows, each in the order of the file."""
    num = min(round(heldout * len(table)), len(table) - 1)
    order = torch.randperm(len(table), generator=generator(seed, "held out")).numpy()
    rest, kept = np.sort(order[:num]), np.sort(order[num:])
    train = table.picked(kept)
    for column in table.columns:
        if column.kind in NUMERIC and np.isnan(train.arrays[column.name]).all():
            raise UserError(
                f"Column {column.name!r} is empty in nearly every row. Leave it out: --set 'data.drop=[...]'."
            )
    return train, table.picked(rest)


def _fingerprint(raw: RawTable) -> str:
    """SHA-256 of names, spellings and cells."""
    digest = hashlib.sha256()
    for column in raw.columns:
        digest.update(repr((column.name, column.spellings, column.dtype)).encode())
        digest.update(column.codes.tobytes())
    return digest.hexdigest()
