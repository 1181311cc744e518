"""From a table to the rows that networks see, and back. Known from the payload alone: a published generator needs no data.

Legend: N rows, D places of an encoded row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerosum.domains.tables import (
    categories,
    dates,
    finding,
    functional_dependencies,
    linear,
    mixture,
    numbers,
    quantile_transform,
    rounding,
    stating,
)
from zerosum.domains.tables.categories import Categories
from zerosum.domains.tables.columns import CATEGORICAL, Column
from zerosum.domains.tables.functional_dependencies import FunctionalDependencies
from zerosum.domains.tables.hashing import uniforms
from zerosum.domains.tables.layout import Block, Kind, laid_out
from zerosum.domains.tables.linear import ComputedColumn, OutOfRange, Rule
from zerosum.domains.tables.mixture import Mixture
from zerosum.domains.tables.quantile_transform import QuantileTransform
from zerosum.domains.tables.stating import Statement
from zerosum.domains.tables.table import Table

Encoding = QuantileTransform | Mixture | Categories
Numeric = Literal["cdf", "mixture"]
TAIL = 7
"""Salt of the numbers that choose among rare levels."""
KINDS: Mapping[str, tuple[type, Callable[[Mapping[str, Any]], Encoding | FunctionalDependencies]]] = {
    "cdf": (QuantileTransform, quantile_transform.of_json),
    "mixture": (Mixture, mixture.of_json),
    "levels": (Categories, categories.of_json),
    "determined": (FunctionalDependencies, functional_dependencies.of_json),
}
"""What the payload calls each way to encode a column, its class, and how it is read from them."""


@dataclass(frozen=True, eq=False)
class Transform:
    """columns: all of the table. encodings: name -> how a learnt column is encoded. determined: name -> how a column follows from
    a category. rules: what holds between numbers, in the order in which the columns are made."""

    columns: tuple[Column, ...]
    encodings: Mapping[str, Encoding]
    determined: Mapping[str, FunctionalDependencies] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    @property
    def layout(self) -> list[dict[str, Any]]:
        """Blocks of an encoded row, as plain values for the payload."""
        return laid_out([(name, *_extent(encoding)) for name, encoding in self.encodings.items()])

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Blocks of an encoded row."""
        return tuple(Block(**block) for block in self.layout)

    def decoded(
        self,
        rows: Tensor,
        seed: int = 0,
        start: int = 0,
        allowed: Mapping[str, NDArray[np.bool_]] | None = None,
    ) -> Table:
        """(N, D) rows -> a table. Of rare levels one is drawn, by (seed, number of the row from `start` on).

        allowed: column -> (levels,) of the levels that are drawn, those that may be.
        """
        data = rows.detach().cpu().double().numpy()
        draws = uniforms(torch.arange(start, start + len(data)), len(self.encodings), TAIL, seed).numpy()
        arrays: dict[str, NDArray[Any]] = {}
        keys = {part.by for name, part in self.determined.items() if name in self.encodings}
        # A column that gives others is drawn last, so that a rare level of it agrees with them.
        for number, block in sorted(enumerate(self.blocks), key=lambda pair: pair[1].column in keys):
            part, encoding = data[:, block.start : block.stop], self.encodings[block.column]
            if isinstance(encoding, Categories):
                wanted = (allowed or {}).get(block.column)
                like = [
                    (found.values, arrays[name])
                    for name, found in self.determined.items()
                    if found.by == block.column and name in arrays
                ]
                arrays[block.column] = encoding.matched(part.argmax(1), draws[:, number], like, wanted)
            else:
                arrays[block.column] = encoding.decoded(part)
        for name, found in self.determined.items():
            arrays[name] = found.of(arrays[found.by])
        for rule in self.rules:
            values = linear.numbers_in(self.columns, arrays)
            arrays[rule.target] = rule.made(values, arrays.get(rule.target))
        arrays = {column.name: arrays[column.name] for column in self.columns if column.name in arrays}
        return Table(self.columns, arrays, len(data), start, seed)

    def seen(self, table: Table) -> dict[str, NDArray[Any]]:
        """(N,) values of the columns of `encodings`, as the networks see them."""
        arrays = {name: table.arrays[name] for name in self.encodings}
        return arrays | _distances(self.rules, linear.numbers_in(table.columns, table.arrays))

    def kept(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """Each rule in words, with the share of rows in which it holds, of those in which all of its columns are known (of a
        category, those whose level some training row has)."""
        values, found = linear.numbers_in(self.columns, arrays), {}
        for rule in self.rules:
            for one in [rule.statement] if isinstance(rule, ComputedColumn) else rule.statements:
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
        of = [(column, self.encodings.get(column.name), self.determined.get(column.name)) for column in self.columns]
        columns = [_plain(*one) for one in of]
        return {"columns": columns, "rules": [linear.to_json(rule) for rule in self.rules]}


def _distances(rules: Sequence[Rule], values: linear.Values) -> dict[str, NDArray[Any]]:
    return {rule.target: rule.gaps(values) for rule in rules if isinstance(rule, OutOfRange) and rule.near}


def _extent(encoding: Encoding) -> tuple[Kind, int, bool]:
    if isinstance(encoding, Categories):
        return "category", encoding.width, False
    return ("numeric" if isinstance(encoding, QuantileTransform) else "mixture"), encoding.width, encoding.missing > 0


def fitted(
    table: Table,
    numeric: Numeric = "cdf",
    max_levels: int = 100,
    seed: int = 0,
    find: bool = True,
    stated: Sequence[Statement] = (),
) -> Transform:
    """The transform of a table's learnt columns, from these rows. max_levels: places that a categorical column may have. find:
    columns that follow from others are looked up or computed, orders are kept. stated: constraints that are kept in any case."""
    places = {
        column.name: categories.fitted(table.arrays[column.name], len(column.levels), max_levels)
        for column in table.columns
        if column.kind in CATEGORICAL
    }
    values = linear.numbers_in(table.columns, table.arrays)
    rules = stating.rules_of(stated, {column.name: column for column in table.columns}, values)
    follows = _determined(table, places, [rule.target for rule in rules]) if find else {}
    seen = [name for name, part in follows.items() if name in places and places[part.by].rare and not places[name].rare]
    if find:
        rules = finding.found(table.columns, values, rules, list(follows))
    unseen = {
        *set(follows).difference(seen),
        *(rule.target for rule in rules if isinstance(rule, ComputedColumn) and not rule.learnt),
    }
    apart = _distances(rules, values)
    encodings: dict[str, Encoding] = {}
    for column in table.columns:
        if not column.learnt or column.name in unseen:
            continue
        if column.kind in CATEGORICAL:
            encodings[column.name] = places[column.name]
            continue
        numbers_seen = apart.get(column.name, table.arrays[column.name])
        lattice = rounding.of(numbers_seen[~np.isnan(numbers_seen)], _scale(column, rules, table.columns))
        encodings[column.name] = (
            mixture.fitted(numbers_seen, lattice, seed)
            if numeric == "mixture"
            else quantile_transform.fitted(numbers_seen, lattice)
        )
    return Transform(table.columns, encodings, follows, rules)


def _scale(column: Column, rules: Sequence[Rule], columns: Sequence[Column]) -> float:
    """The whole numbers that what the networks see of a column are multiples of, see `Grid.scale`."""
    rule = next((rule for rule in rules if rule.target == column.name), None)
    own = linear.scale_of(column)
    if not isinstance(rule, OutOfRange) or not rule.near:
        return own
    scales = [linear.scale_of(one) for one in columns if one.name in rule.sources]
    factors = [c for one in rule.statements for c in (*one.coefficients.values(), one.constant)]
    plain = all(abs(c) in (0.0, 1.0) for c in factors)
    return max(own, *scales) if plain and own and all(scales) else 0.0


def _determined(
    table: Table, places: Mapping[str, Categories], given: Sequence[str]
) -> dict[str, FunctionalDependencies]:
    """Of the columns of a table, those that a category determines. given: that something else gives."""
    arrays = {name: values for name, values in table.arrays.items() if name not in given}
    found = functional_dependencies.found(arrays, {name: part.kept for name, part in places.items() if not part.rare})
    left = {name: values for name, values in arrays.items() if name not in found}
    keys = {name: len(part.counts) for name, part in places.items() if part.rare and name in left}
    keyed = functional_dependencies.found(left, keys)
    # What a key determines may itself determine others, and so comes first.
    return {**keyed, **found}


def _plain(column: Column, encoding: Encoding | None, follows: FunctionalDependencies | None) -> dict[str, Any]:
    simple = ("name", "kind", "dtype", "spelling", "rule", "left_out")
    plain: dict[str, Any] = {name: getattr(column, name) for name in simple}
    plain["missing"] = column.missing
    if column.categories is not None:
        plain["categories"] = dict(column.categories)
    plain["form"] = None if column.form is None else column.form.to_json()
    plain["levels"] = list(column.levels)
    for name, part in (("encoding", encoding), ("follows", follows)):
        if part is not None:
            kind = next(kind for kind, (cls, _) in KINDS.items() if isinstance(part, cls))
            plain[name] = {"kind": kind, **part.to_json()}
    return plain


def of_payload(payload: Mapping[str, Any]) -> Transform:
    """The transform that the payload of a DatasetInfo describes."""
    columns: list[Column] = []
    encodings: dict[str, Encoding] = {}
    follows: dict[str, FunctionalDependencies] = {}
    for plain in payload["columns"]:
        columns.append(column_of(plain))
        for how in (plain.get("encoding"), plain.get("follows")):
            found = KINDS[how["kind"]][1](how) if how else None
            if isinstance(found, FunctionalDependencies):
                follows[plain["name"]] = found
            elif found is not None:
                encodings[plain["name"]] = found
    return Transform(tuple(columns), encodings, follows, tuple(map(linear.of_json, payload.get("rules", ()))))


def column_of(plain: Mapping[str, Any]) -> Column:
    """A column from the plain values in the payload."""
    given = {name: value for name, value in plain.items() if name not in ("encoding", "follows", "form", "levels")}
    form = plain["form"]
    if form is not None:
        form = dates.DateFormat(**form) if plain["kind"] == "date" else numbers.format_of(form)
    return Column(**given, form=form, levels=tuple(plain["levels"]))


def names_of(columns: Sequence[Column]) -> list[str]:
    """The names of the learnt columns."""
    return [column.name for column in columns if column.learnt]
