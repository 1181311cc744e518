"""Encodes tables as rows for the networks and decodes them. It is restored from the payload: a published generator needs no data.

Legend: N rows, D places of an encoded row.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerosum.domains.tables import constraints
from zerosum.domains.tables.constraint_search import FunctionalDependency, find_dependencies, find_rules
from zerosum.domains.tables.constraints import BoundedColumn, ComputedColumn, Rule, Statement
from zerosum.domains.tables.encodings import Categories, Encoding, Mixture, QuantileTransform, plain_values
from zerosum.domains.tables.hashing import uniforms
from zerosum.domains.tables.layout import TransformedBlock, make_layout
from zerosum.domains.tables.rounding import Grid
from zerosum.domains.tables.table import CATEGORICAL, Column, Mask, Table, Values

Numeric = Literal["cdf", "mixture"]
RARE = 7
"""Salt of the random numbers that select rare levels."""
ENCODINGS: Mapping[str, type[Encoding]] = {"cdf": QuantileTransform, "mixture": Mixture, "levels": Categories}
"""Names in the payload of the ways to encode a column."""


@dataclass(frozen=True, eq=False)
class Transform:
    """columns: all of the table. encodings: name -> encoding of a learnt column. determined: name -> dependency of a column on a
    category. rules: rules for numbers, in the order in which the columns are computed."""

    columns: tuple[Column, ...]
    encodings: Mapping[str, Encoding]
    determined: Mapping[str, FunctionalDependency] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    @property
    def layout(self) -> list[dict[str, Any]]:
        """Blocks of an encoded row, as plain values for the payload."""
        return make_layout([(name, one.kind, one.width, one.missing > 0) for name, one in self.encodings.items()])

    @functools.cached_property
    def blocks(self) -> tuple[TransformedBlock, ...]:
        """Blocks of an encoded row."""
        return tuple(TransformedBlock(**block) for block in self.layout)

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    def rule_for(self, name: str) -> Rule | None:
        """The rule that gives or bounds a column."""
        return next((rule for rule in self.rules if rule.target == name), None)

    @property
    def relative(self) -> set[str]:
        """The columns that are encoded as their distance from others."""
        return {rule.target for rule in self.rules if isinstance(rule, BoundedColumn) and rule.near}

    def decode(self, rows: Tensor, seed: int = 0, start: int = 0, allowed: Mapping[str, Mask] | None = None) -> Table:
        """(N, D) rows -> a table. Of rare levels one is drawn, by (seed, number of the row from `start` on).

        allowed: column -> (levels,) which of the levels that are drawn may occur.
        """
        data = rows.detach().cpu().double().numpy()
        draws = uniforms(torch.arange(start, start + len(data)), len(self.encodings), RARE, seed).numpy()
        arrays: dict[str, Values] = {}
        keys = {part.by for name, part in self.determined.items() if name in self.encodings}
        # A column that determines others is decoded last, so that a rare level of it agrees with them.
        for number, block in sorted(enumerate(self.blocks), key=lambda pair: pair[1].column in keys):
            part, encoding = data[:, block.start : block.stop], self.encodings[block.column]
            if isinstance(encoding, Categories):
                of_block = {name: one for name, one in self.determined.items() if one.by == block.column}
                like = [(one.values, arrays[name]) for name, one in of_block.items() if name in arrays]
                levels = (allowed or {}).get(block.column)
                arrays[block.column] = encoding.decode(part.argmax(1), draws[:, number], levels, like)
            else:
                arrays[block.column] = encoding.decode(part)
        for name, found in self.determined.items():
            arrays[name] = found.of(arrays[found.by])
        for rule in self.rules:
            arrays[rule.target] = rule.compute(constraints.numbers_in(self.columns, arrays), arrays.get(rule.target))
        arrays = {column.name: arrays[column.name] for column in self.columns if column.name in arrays}
        return Table(self.columns, arrays, len(data), start, seed)

    def network_values(self, table: Table) -> dict[str, Values]:
        """(N,) values of the columns of `encodings`, before encoding."""
        arrays = {name: table.arrays[name] for name in self.encodings}
        return arrays | _distances(self.rules, constraints.numbers_in(table.columns, table.arrays))

    def shares_kept(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """Each rule in words, with the share of rows in which it holds, of those in which all of its columns are known (of a
        category, those whose level some training row has)."""
        values, found = constraints.numbers_in(self.columns, arrays), {}
        for one in [one for rule in self.rules for one in rule.statements]:
            known = ~np.isnan(one.sums(values))
            found[one.words] = 1 - float(one.broken(values)[known].mean()) if known.any() else float("nan")
        for name, part in self.determined.items():
            codes, by = arrays[part.by].astype(np.int64), self.encodings.get(part.by)
            met = by.counts[codes] > 0 if isinstance(by, Categories) else np.ones(len(codes), dtype=bool)
            wanted, given = part.of(codes).astype(np.float64)[met], arrays[name][met]
            same = (wanted == given) | (np.isnan(wanted) & np.isnan(given))
            found[f"{name} from {part.by}"] = float(same.mean()) if len(same) else float("nan")
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values of every column and rule, for the payload."""
        columns = []
        for column in self.columns:
            plain = column.to_json()
            if encoding := self.encodings.get(column.name):
                kind = next(kind for kind, cls in ENCODINGS.items() if isinstance(encoding, cls))
                plain["encoding"] = {"kind": kind, **plain_values(encoding)}
            if follows := self.determined.get(column.name):
                plain["follows"] = follows.to_json()
            columns.append(plain)
        return {"columns": columns, "rules": [constraints.to_json(rule) for rule in self.rules]}


def from_payload(payload: Mapping[str, Any]) -> Transform:
    """The transform that the payload of a DatasetInfo describes."""
    encodings: dict[str, Encoding] = {}
    follows: dict[str, FunctionalDependency] = {}
    for plain in payload["columns"]:
        if how := plain.get("encoding"):
            encodings[plain["name"]] = ENCODINGS[how["kind"]].from_json({key: how[key] for key in how if key != "kind"})
        if how := plain.get("follows"):
            follows[plain["name"]] = FunctionalDependency.from_json(how)
    columns = tuple(map(Column.from_json, payload["columns"]))
    return Transform(columns, encodings, follows, tuple(map(constraints.from_json, payload.get("rules", ()))))


def _distances(rules: Sequence[Rule], values: constraints.Numbers) -> dict[str, Values]:
    return {rule.target: rule.gaps(values) for rule in rules if isinstance(rule, BoundedColumn) and rule.near}


def fit_transform(
    table: Table,
    numeric: Numeric = "cdf",
    max_levels: int = 100,
    seed: int = 0,
    find: bool = True,
    stated: Sequence[Statement] = (),
) -> Transform:
    """The transform of a table's learnt columns, from these rows. max_levels: places that a categorical column may have. find:
    whether rules are searched: columns that follow from others are looked up or computed, orders are enforced. stated:
    constraints that are enforced in any case."""
    places = {
        column.name: Categories.fit(table.arrays[column.name], len(column.levels), max_levels)
        for column in table.columns
        if column.kind in CATEGORICAL
    }
    values = constraints.numbers_in(table.columns, table.arrays)
    rules = constraints.rules_of(stated, {column.name: column for column in table.columns}, values)
    follows = _find_determined(table, places, [rule.target for rule in rules]) if find else {}
    # If a key has rare levels, the columns that it determines are encoded too.
    seen = [name for name, part in follows.items() if name in places and places[part.by].rare and not places[name].rare]
    if find:
        rules = find_rules(table.columns, values, rules, list(follows))
    computed = {rule.target for rule in rules if isinstance(rule, ComputedColumn) and not rule.learnt}
    unseen = set(follows).difference(seen) | computed
    distances = _distances(rules, values)
    encodings: dict[str, Encoding] = {}
    for column in table.columns:
        if not column.learnt or column.name in unseen:
            continue
        if column.kind in CATEGORICAL:
            encodings[column.name] = places[column.name]
            continue
        numbers = distances.get(column.name, table.arrays[column.name])
        grid = Grid.fit(numbers[~np.isnan(numbers)], _scale(column, rules, table.columns))
        is_mixture = numeric == "mixture"
        encodings[column.name] = (
            Mixture.fit(numbers, grid, seed) if is_mixture else QuantileTransform.fit(numbers, grid)
        )
    return Transform(table.columns, encodings, follows, rules)


def _scale(column: Column, rules: Sequence[Rule], columns: Sequence[Column]) -> float:
    """The `Grid.scale` of the values of a column that are encoded."""
    rule = next((rule for rule in rules if rule.target == column.name), None)
    own = constraints.scale_of(column)
    if not isinstance(rule, BoundedColumn) or not rule.near:
        return own
    scales = [constraints.scale_of(one) for one in columns if one.name in rule.sources]
    factors = [c for one in rule.statements for c in (*one.coefficients.values(), one.constant)]
    is_difference = all(abs(c) in (0.0, 1.0) for c in factors)
    return max(own, *scales) if is_difference and own and all(scales) else 0.0


def _find_determined(
    table: Table, places: Mapping[str, Categories], given: Sequence[str]
) -> dict[str, FunctionalDependency]:
    """The columns of a table that a category determines. given: columns that constraints give already."""
    arrays = {name: values for name, values in table.arrays.items() if name not in given}
    found = find_dependencies(arrays, {name: part.kept for name, part in places.items() if not part.rare})
    left = {name: values for name, values in arrays.items() if name not in found}
    keyed = find_dependencies(
        left, {name: len(part.counts) for name, part in places.items() if part.rare and name in left}
    )
    # A column that is determined by a key may determine others, so it comes first.
    return {**keyed, **found}
