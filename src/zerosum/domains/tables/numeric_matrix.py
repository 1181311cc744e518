"""A table as the measures want it: one matrix of numbers and codes."""

from __future__ import annotations

import numpy as np

from zerosum.domains.tables.columns import NUMERIC
from zerosum.domains.tables.measures.table_similarity import Mixed
from zerosum.domains.tables.table import Table


def plain(table: Table) -> Mixed:
    """The learnt columns: numbers and moments with NaN where missing, categories by their place among the levels."""
    names = tuple(table.arrays)
    numeric = tuple(table.column(name).kind in NUMERIC for name in names)
    columns = [table.arrays[name].astype(np.float64) for name in names]
    return Mixed(names, numeric, np.column_stack(columns) if columns else np.zeros((len(table), 0)))
