"""What a picture needs to know of the training rows, as plain values: how each column lies, and what is between columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zerosum.domains.tables.measures.table_similarity import Floats, Mixed, associations
from zerosum.domains.tables.numeric_matrix import plain

if TYPE_CHECKING:
    from zerosum.domains.tables.table import Table

MOST_COLUMNS, MOST_LEVELS, NUM_BINS, MOST_ROWS = 24, 9, 24, 20_000
"""Columns and bars of a picture at most, and rows that its numbers are taken from."""


def summary(train: Table) -> dict[str, Any]:
    """{"columns": [...], "associations": (C, C), null where undefined} of the first MOST_COLUMNS learnt columns.

    A column: name, edges (numbers) or levels (codes; None stands for all others), shares of the bars, missing share.
    """
    rows = plain(train)
    if len(rows) > MOST_ROWS:
        rows = rows.rows(np.linspace(0, len(rows) - 1, MOST_ROWS).astype(np.int64))
    rows = first_columns(rows)
    return {"columns": [_column(rows, c) for c in range(len(rows.names))], "associations": rounded(associations(rows))}


def first_columns(rows: Mixed) -> Mixed:
    """The columns that pictures show."""
    return Mixed(rows.names[:MOST_COLUMNS], rows.numeric[:MOST_COLUMNS], rows.values[:, :MOST_COLUMNS])


def rounded(numbers: Floats) -> list[list[float | None]]:
    """To three digits, None for NaN: JSON has none."""
    return [[None if np.isnan(x) else round(float(x), 3) for x in row] for row in numbers]


def _column(rows: Mixed, c: int) -> dict[str, Any]:
    values = rows.values[:, c]
    column: dict[str, Any] = {"name": rows.names[c]}
    column |= {"edges": _edges(values)} if rows.numeric[c] else {"levels": _levels(values)}
    shares, missing = bars(values, column)
    return column | {"shares": [round(float(x), 5) for x in shares], "missing": round(missing, 5)}


def bars(values: Floats, column: Mapping[str, Any]) -> tuple[Floats, float]:
    """The shares of all rows in each bar of a summary's column, those beyond the edges in the outermost; the share missing."""
    if "levels" in column:
        known = [level for level in column["levels"] if level is not None]
        counts = [float((values == level).mean()) for level in known]
        return np.array(counts + [1 - sum(counts)] * (len(known) < len(column["levels"]))), 0.0
    edges = np.array(column["edges"])
    there = values[~np.isnan(values)]
    inside = np.histogram(np.clip(there, edges[0], edges[-1]), edges)[0]
    return inside / max(1, len(values)), 1 - len(there) / max(1, len(values))


def _edges(values: Floats) -> list[float]:
    """Equal bins from the 0.5th to the 99.5th percentile; of few whole numbers, one bin each; few bins for few rows."""
    there = values[~np.isnan(values)]
    low, high = np.percentile(there, [0.5, 99.5]) if len(there) else (0.0, 1.0)
    if low == high:
        low, high = float(there.min()), float(there.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    whole = bool((there == np.round(there)).all())
    if whole and high - low < NUM_BINS:
        return [float(x) for x in np.arange(np.floor(low) - 0.5, np.ceil(high) + 1)]
    num = min(NUM_BINS, max(6, round(2 * len(there) ** (1 / 3))))
    return [float(x) for x in np.linspace(low, high, num + 1)]


def _levels(values: Floats) -> Sequence[int | None]:
    """The commonest levels, None for the others."""
    counts: NDArray[np.int64] = np.bincount(values.astype(np.int64))
    order = np.argsort(-counts, kind="stable")
    shown: list[int | None] = [int(level) for level in order[:MOST_LEVELS]]
    return [*shown, None] if len(counts) > MOST_LEVELS else shown
