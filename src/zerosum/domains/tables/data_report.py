"""Notes on a table that are printed before the training: kinds of columns, missing values, rules, columns left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zerosum.domains.tables.constraints import ComputedColumn, Statement
from zerosum.domains.tables.dates import DateFormat
from zerosum.domains.tables.encodings import Categories
from zerosum.domains.tables.table import CATEGORICAL, NUMERIC, Column, Table
from zerosum.domains.tables.transform import Transform

MOST_NAMED = 12
FEW_ROWS = 40
"""A level with fewer training rows is too rare for accurate values of the other columns of its rows."""
ORDER = ("integer", "continuous", "date", "categorical", "boolean", "identifier", "constant", "text")
LEARN_ALL = "With data.determined=false such columns are generated like all others."


def notes_of(
    table: Table,
    train: Table,
    transform: Transform,
    num_heldout: int,
    drop: Sequence[str],
    stated: Sequence[Statement] = (),
) -> tuple[str, ...]:
    """A line for each kind of column, then what is unusual: missing values, rare levels, columns that are left out."""
    lines = []
    for kind in ORDER:
        if words := [_column(column, table) for column in table.columns if column.kind == kind]:
            lines.append(f"{kind}: {_join_names(words)}")
    shares = {column.name: _missing(table, column) for column in table.columns if column.learnt}
    if missing := [f"{name} {share:.1%}" for name, share in shares.items() if share > 0]:
        lines.append(f"Columns with missing values, which are generated too: {_join_names(missing)}.")
    levels = {name: part for name, part in transform.encodings.items() if isinstance(part, Categories)}
    lines += [_note_on_rare_levels(name, part, len(train)) for name, part in levels.items() if part.rare]
    few = []
    for name, part in levels.items():
        counts = part.counts[: part.kept]
        if num := int(((counts > 0) & (counts < FEW_ROWS)).sum()):
            few.append(f"{name} {num:,} of {part.kept:,}")
    if few:
        lines.append(f"Levels with fewer than {FEW_ROWS} training rows, inaccurate as conditions: {_join_names(few)}.")
    if determined := [f"{name} from {part.by}" for name, part in transform.determined.items()]:
        lines.append(f"Looked up, because the value follows in every row: {_join_names(determined)}. {LEARN_ALL}")
    lines += [f"{column.name}: {column.note}." for column in table.columns if column.note]
    lines += _constraints(transform, [statement.words for statement, _ in stated])
    lines += [f"Left out: {column.name} ({column.left_out})." for column in table.columns if column.left_out]
    if drop:
        lines.append(f"Left out by data.drop: {', '.join(drop)}.")
    lines.append(f"{num_heldout:,} of {len(table):,} rows are held out: not used for training, kept for evaluation.")
    return tuple(lines)


def _constraints(transform: Transform, stated: Sequence[str]) -> list[str]:
    """Notes on rules that hold in every row: found ones and those of the user."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for rule in transform.rules:
        words = [one.words for one in rule.statements if one.words not in stated]
        found[isinstance(rule, ComputedColumn)] += words
    lines = []
    if found[True]:
        lines.append(f"Computed, because this holds in every row: {_join_names(found[True])}. {LEARN_ALL}")
    if found[False]:
        orders = f"Enforced, because this holds in every row: {_join_names(found[False])}"
        lines.append(f"{orders}. With data.determined=false it is not enforced.")
    if stated:
        lines.append(f"Enforced by data.constraints: {_join_names(stated)}.")
    return lines


def _join_names(words: Sequence[str]) -> str:
    """The first MOST_NAMED with commas, and how many more."""
    more = [f"and {len(words) - MOST_NAMED} more"] if len(words) > MOST_NAMED else []
    return ", ".join([*words[:MOST_NAMED], *more])


def _column(column: Column, table: Table) -> str:
    """A column's name and its range, its levels or its only value."""
    name = column.name or "(no name)"
    if column.kind in CATEGORICAL:
        shown = [str(level).strip() or "(empty)" for level in column.levels[:2]]
        return f"{name} ({'/'.join(shown)})" if column.kind == "boolean" else f"{name} ({len(column.levels):,} levels)"
    if column.kind in NUMERIC and column.form is not None:
        values = table.arrays[column.name]
        low, high = column.form.format(np.array([np.nanmin(values), np.nanmax(values)]))
        form = f", {column.form.pattern}" if isinstance(column.form, DateFormat) else ""
        return f"{name} ({low.strip()} to {high.strip()}{form})"
    if column.kind == "constant":
        return f"{name} (always {column.spelling!r})"
    return f"{name} (new ones are made)" if column.kind == "identifier" and not column.left_out else name


def _missing(table: Table, column: Column) -> float:
    """The share of missing cells among numbers and dates; empty cells and question marks among categories."""
    values = table.arrays[column.name]
    if column.kind in NUMERIC:
        return float(np.isnan(values).mean())
    absent = [place for place, level in enumerate(column.levels) if level is None or level.strip() in ("", "?")]
    return float(np.isin(values, absent).mean())


def _note_on_rare_levels(name: str, levels: Categories, num_rows: int) -> str:
    share = levels.counts[levels.kept :].sum() / num_rows
    return (
        f"{name}: the {levels.kept:,} commonest of {len(levels.counts):,} levels have an entry each; the others "
        f"({share:.1%} of the rows) share one and are drawn by their frequency. data.max_levels changes that."
    )
