"""From a table to the rows that networks see, and back. Known from facts alone: a published generator needs no data.

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

from zerosum.domains.tables import cdf, dates, determined, grid, levels, mixture, numbers
from zerosum.domains.tables.cdf import Cdf
from zerosum.domains.tables.columns import CATEGORICAL, Column
from zerosum.domains.tables.determined import Determined
from zerosum.domains.tables.hashing import uniforms
from zerosum.domains.tables.layout import Block, Kind, laid_out
from zerosum.domains.tables.levels import Levels
from zerosum.domains.tables.mixture import Mixture
from zerosum.domains.tables.table import Table

Encoding = Cdf | Mixture | Levels
Numeric = Literal["cdf", "mixture"]
TAIL = 7
"""Salt of the numbers that choose among rare levels."""
KINDS: Mapping[str, tuple[type, Callable[[Mapping[str, Any]], Encoding | Determined]]] = {
    "cdf": (Cdf, cdf.of_json),
    "mixture": (Mixture, mixture.of_json),
    "levels": (Levels, levels.of_json),
    "determined": (Determined, determined.of_json),
}
"""What facts call each way to encode a column, its class, and how it is read from them."""


@dataclass(frozen=True, eq=False)
class Transform:
    """columns: all of the table. encodings: name -> how a learnt column is encoded. determined: name -> how a column that the
    networks need not see follows from one that they do."""

    columns: tuple[Column, ...]
    encodings: Mapping[str, Encoding]
    determined: Mapping[str, Determined] = field(default_factory=dict)

    @property
    def layout(self) -> list[dict[str, Any]]:
        """Blocks of an encoded row, as plain values for facts."""
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

        allowed: column -> (levels,) of the rare levels, those that may be drawn.
        """
        data = rows.detach().cpu().double().numpy()
        draws = uniforms(torch.arange(start, start + len(data)), len(self.encodings), TAIL, seed).numpy()
        arrays: dict[str, NDArray[Any]] = {}
        for number, block in enumerate(self.blocks):
            part, encoding = data[:, block.start : block.stop], self.encodings[block.column]
            if isinstance(encoding, Levels):
                wanted = (allowed or {}).get(block.column)
                arrays[block.column] = encoding.decoded(part.argmax(1), draws[:, number], wanted)
            else:
                arrays[block.column] = encoding.decoded(part)
        arrays |= {name: found.of(arrays[found.by]) for name, found in self.determined.items()}
        arrays = {column.name: arrays[column.name] for column in self.columns if column.name in arrays}
        return Table(self.columns, arrays, len(data), start, seed)

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values of every column, for facts."""
        return [_plain(column, self._how(column.name)) for column in self.columns]

    def _how(self, name: str) -> Encoding | Determined | None:
        return self.encodings.get(name) or self.determined.get(name)


def _extent(encoding: Encoding) -> tuple[Kind, int, bool]:
    if isinstance(encoding, Levels):
        return "category", encoding.width, False
    return ("numeric" if isinstance(encoding, Cdf) else "mixture"), encoding.width, encoding.missing > 0


def fitted(
    table: Table, numeric: Numeric = "cdf", max_levels: int = 100, seed: int = 0, determined_too: bool = True
) -> Transform:
    """The transform of a table's learnt columns, from these rows. max_levels: places that a categorical column may have.
    determined_too: columns that another determines are looked up."""
    encodings: dict[str, Encoding] = {}
    for column in table.columns:
        if not column.learnt:
            continue
        values = table.arrays[column.name]
        if column.kind in CATEGORICAL:
            encodings[column.name] = levels.fitted(values, len(column.levels), max_levels)
            continue
        assert column.form is not None
        lattice = grid.of(values[~np.isnan(values)], column.form.scale)
        encodings[column.name] = (
            mixture.fitted(values, lattice, seed) if numeric == "mixture" else cdf.fitted(values, lattice)
        )
    follows = _determined(table, encodings) if determined_too else {}
    kept = {name: encoding for name, encoding in encodings.items() if name not in follows}
    return Transform(table.columns, kept, follows)


def _determined(table: Table, encodings: Mapping[str, Encoding]) -> dict[str, Determined]:
    """Of the columns of a table, those that a category with a place for each of its levels determines."""
    parts = encodings.items()
    categories = {name: part.kept for name, part in parts if isinstance(part, Levels) and not part.rare}
    return determined.found({name: table.arrays[name] for name in encodings}, categories)


def _plain(column: Column, encoding: Encoding | Determined | None) -> dict[str, Any]:
    simple = ("name", "kind", "dtype", "spelling", "rule", "left_out")
    plain: dict[str, Any] = {name: getattr(column, name) for name in simple}
    plain["missing"] = column.missing
    plain["form"] = None if column.form is None else column.form.to_json()
    plain["levels"] = list(column.levels)
    if encoding is not None:
        kind = next(name for name, (cls, _) in KINDS.items() if isinstance(encoding, cls))
        plain["encoding"] = {"kind": kind, **encoding.to_json()}
    return plain


def of_facts(facts: Mapping[str, Any]) -> Transform:
    """The transform that a source's facts describe."""
    columns: list[Column] = []
    encodings: dict[str, Encoding] = {}
    follows: dict[str, Determined] = {}
    for plain in facts["columns"]:
        columns.append(column_of(plain))
        if how := plain.get("encoding"):
            found = KINDS[how["kind"]][1](how)
            if isinstance(found, Determined):
                follows[plain["name"]] = found
            else:
                encodings[plain["name"]] = found
    return Transform(tuple(columns), encodings, follows)


def column_of(plain: Mapping[str, Any]) -> Column:
    """A column from the plain values in facts."""
    given = {name: value for name, value in plain.items() if name not in ("encoding", "form", "levels")}
    form = plain["form"]
    if form is not None:
        form = dates.DateFormat(**form) if plain["kind"] == "date" else numbers.format_of(form)
    return Column(**given, form=form, levels=tuple(plain["levels"]))


def names_of(columns: Sequence[Column]) -> list[str]:
    """The names of the learnt columns."""
    return [column.name for column in columns if column.learnt]
