"""What was found in a table, in a few lines a person reads before the training begins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zerosum.domains.tables import functional_dependencies
from zerosum.domains.tables.categories import Categories
from zerosum.domains.tables.columns import CATEGORICAL, NUMERIC, Column
from zerosum.domains.tables.dates import DateFormat
from zerosum.domains.tables.linear import ComputedColumn
from zerosum.domains.tables.stating import Statement
from zerosum.domains.tables.table import Table
from zerosum.domains.tables.transform import Transform

MOST_NAMED = 12
FEW_ROWS = 40
"""Training rows of a level, from which on what goes with it is taken for learnt."""
ORDER = ("integer", "continuous", "date", "categorical", "boolean", "identifier", "constant", "text")


def notes_of(
    table: Table,
    train: Table,
    transform: Transform,
    num_heldout: int,
    drop: Sequence[str],
    given: Sequence[Statement] = (),
) -> tuple[str, ...]:
    """A line for each kind of column, then what is unusual: missing values, rare levels, what is left out."""
    lines = []
    for kind in ORDER:
        words = [_column(column, table) for column in table.columns if column.kind == kind]
        if words:
            lines.append(f"{kind}: {_listed(words)}")
    learnt = [column.name for column in table.columns if column.learnt]
    missing = {name: share for name in learnt if (share := _missing(table, name)) > 0}
    if missing:
        shares = [f"{name} {share:.1%}" for name, share in missing.items()]
        lines.append(f"Missing values are learnt as such: {_listed(shares)}.")
    lines += [
        _rare(name, part, train)
        for name, part in transform.encodings.items()
        if isinstance(part, Categories) and part.rare
    ]
    lines += _scarce(transform)
    if transform.determined:
        lines.append(
            f"Looked up, because in every row it follows: {_listed(functional_dependencies.told(transform.determined))}. "
            "data.determined=false learns such columns like any other."
        )
    lines += [f"{column.name}: {column.note}." for column in table.columns if column.note]
    lines += _kept(transform, given)
    lines += [f"Left out: {column.name} ({column.left_out})." for column in table.columns if column.left_out]
    if drop:
        lines.append(f"Left out as data.drop says: {', '.join(drop)}.")
    lines.append(f"{num_heldout:,} of {len(table):,} rows are held out: never trained on, kept for measuring.")
    return tuple(lines)


def _scarce(transform: Transform) -> list[str]:
    """Levels that so few training rows have that what goes with them is hardly learnt."""
    few = []
    for name, part in transform.encodings.items():
        if isinstance(part, Categories):
            num = int(((part.counts[: part.kept] > 0) & (part.counts[: part.kept] < FEW_ROWS)).sum())
            few += [f"{name} {num:,} of {part.kept:,}"] if num else []
    if not few:
        return []
    return [f"Levels of fewer than {FEW_ROWS} training rows, hardly learnt when asked for: {_listed(few)}."]


def _kept(transform: Transform, given: Sequence[Statement]) -> list[str]:
    """What holds between numbers and dates in every row, as found and as the user says."""
    said = [statement.words for statement, _ in given]
    computed, orders = [], []
    for rule in transform.rules:
        if isinstance(rule, ComputedColumn):
            computed.append(rule.statement.words)
        else:
            orders += [one.words for one in rule.statements]
    lines = []
    if found := [words for words in computed if words not in said]:
        lines.append(
            f"Computed, because it holds in every row: {_listed(found)}. "
            "data.determined=false learns such columns like any other."
        )
    if found := [words for words in orders if words not in said]:
        lines.append(
            f"Kept, because it holds in every row: {_listed(found)}. data.determined=false leaves it to chance."
        )
    if said:
        lines.append(f"Kept as data.constraints says: {_listed(said)}.")
    return lines


def _listed(words: Sequence[str]) -> str:
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
        low, high = column.form.spelled(np.array([np.nanmin(values), np.nanmax(values)]))
        form = f", {column.form.pattern}" if isinstance(column.form, DateFormat) else ""
        return f"{name} ({low.strip()} to {high.strip()}{form})"
    if column.kind == "constant":
        return f"{name} (always {column.spelling!r})"
    if column.kind == "identifier" and not column.left_out:
        return f"{name} (made anew)"
    return name


def _missing(table: Table, name: str) -> float:
    """The share of missing cells among numbers and dates; empty cells and question marks among categories."""
    column, values = table.column(name), table.arrays[name]
    if column.kind in NUMERIC:
        return float(np.isnan(values).mean())
    absent = [place for place, level in enumerate(column.levels) if level is None or level.strip() in ("", "?")]
    return float(np.isin(values, absent).mean())


def _rare(name: str, levels: Categories, train: Table) -> str:
    share = levels.counts[levels.kept :].sum() / len(train)
    return (
        f"{name}: the {levels.kept:,} commonest of {len(levels.counts):,} levels are learnt one by one; the others "
        f"({share:.1%} of the rows) as one, then drawn by their frequency. data.max_levels changes that."
    )
