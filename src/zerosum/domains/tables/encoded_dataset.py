"""Encoded rows of a table with random parts for every key: the points within intervals, and the condition.

Legend: N rows requested, R rows held, D places of an encoded row, C learnt columns, K = C + D.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from zerosum.domains.tables.encodings import Categories, Mixture, QuantileTransform, normal_points
from zerosum.domains.tables.hashing import uniform, uniforms
from zerosum.domains.tables.layout import TransformedBlock, condition_on
from zerosum.domains.tables.table import Table
from zerosum.domains.tables.transform import Transform
from zerosum.engine.game import Batch

POINT, HAS_CONDITION, HOW_MANY, WHICH, BALANCED, COLUMN, LEVEL, ROW, MODE = range(9)
"""Salts of random numbers, by their use."""
TEMPER = 0.5
"""Training by sampling draws a level with its frequency to this power: 1 as in the table, 0 uniformly."""
MAX_CONDITION_COLUMNS = 30
"""The greatest number of columns of a condition; each further one has half the probability."""


@dataclass(frozen=True, eq=False)
class NumericColumns:
    """Columns of one place each. at: (M,) their places. cells: (R, M) int64, each cell's interval. low, high: (S,) their ends."""

    at: Tensor
    cells: Tensor
    low: Tensor
    high: Tensor

    def put(self, data: Tensor, rows: Tensor, keys: Tensor) -> None:
        """Writes normal quantiles of points of the rows' intervals into data (N, D)."""
        cells = self.cells[rows]
        data[:, self.at] = normal_points(self.low[cells], self.high[cells], uniforms(keys, len(self.at), POINT))


@dataclass(frozen=True, eq=False)
class MixtureColumn:
    """A column of the mixture transform. values: (R,) float64, NaN where missing."""

    block: TransformedBlock
    mixture: Mixture
    values: Tensor

    def put(self, data: Tensor, rows: Tensor, keys: Tensor) -> None:
        """Writes offset and mode into data (N, D)."""
        draw = uniform(keys, MODE, self.block.start)
        data[:, self.block.start : self.block.stop] = self.mixture.encode(self.values[rows], draw)


@dataclass(frozen=True, eq=False)
class Balance:
    """For training by sampling: the rows of each level of each categorical column, and those with and without a number where
    some are missing.

    number: (M,) of the column in a condition's mask. order: (R, M) rows sorted by level. first, count: (M, L) index of the first
    row of a level, and number of its rows. edges: (M, L) cumulated probabilities of the levels.
    """

    number: Tensor
    order: Tensor
    first: Tensor
    count: Tensor
    edges: Tensor

    def draw(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """(N,) a row of a level of a column, and the number of that column in the mask."""
        column = (uniform(keys, COLUMN) * len(self.number)).long()
        level = torch.searchsorted(self.edges[column], uniform(keys, LEVEL)[:, None], right=True)[:, 0]
        level = level.clamp(max=self.edges.shape[1] - 1)
        count = self.count[column, level]
        place = self.first[column, level] + (uniform(keys, ROW) * count).long().clamp(max=self.order.shape[0] - 1)
        return self.order[place, column], self.number[column]


@dataclass(frozen=True, eq=False)
class EncodedDataset:
    """Encoded rows of a table. condition_share: the share of keys with a condition; half of these use training by sampling."""

    blocks: tuple[TransformedBlock, ...]
    num_rows: int
    choices: Tensor
    numerics: NumericColumns | None
    mixtures: tuple[MixtureColumn, ...]
    balance: Balance | None
    condition_share: float

    def data(self, rows: Tensor, keys: Tensor) -> Tensor:
        """(N, D) float32: the rows, drawn by the keys."""
        out = torch.zeros(len(rows), self.blocks[-1].stop, device=rows.device)
        out.scatter_(1, self.choices[rows].long(), 1.0)
        if self.numerics is not None:
            self.numerics.put(out, rows, keys)
        for column in self.mixtures:
            column.put(out, rows, keys)
        return out

    def batch(self, keys: Tensor) -> Batch:
        """The rows of the keys and their conditions: row `key % R`, or one that training by sampling chooses instead."""
        keys = keys.to(self.choices.device)
        rows, conditional = keys % self.num_rows, uniform(keys, HAS_CONDITION) < self.condition_share
        scores = uniforms(keys, len(self.blocks), WHICH)
        if self.balance is not None:
            balanced = conditional & (uniform(keys, BALANCED) < 0.5)
            drawn, number = self.balance.draw(keys)
            rows = torch.where(balanced, drawn, rows)
            # The column by which the row was drawn is always part of the condition, so that the row is an unbiased draw given it.
            own = torch.where(balanced, -1.0, scores.gather(1, number[:, None])[:, 0])
            scores.scatter_(1, number[:, None], own[:, None])
        num = 1 + (-uniform(keys, HOW_MANY).log2()).floor().clamp(max=MAX_CONDITION_COLUMNS)
        mask = ((scores.argsort(1).argsort(1) < num[:, None]) & conditional[:, None]).float()
        data = self.data(rows, keys)
        return Batch(data, condition_on(data, mask, self.blocks))

    def to(self, device: torch.device) -> EncodedDataset:
        """The same rows on another device."""
        return replace(
            self,
            choices=self.choices.to(device),
            numerics=self.numerics and NumericColumns(*(part.to(device) for part in vars(self.numerics).values())),
            mixtures=tuple(replace(column, values=column.values.to(device)) for column in self.mixtures),
            balance=self.balance and Balance(*(part.to(device) for part in vars(self.balance).values())),
        )


def encode(table: Table, transform: Transform, condition_share: float) -> EncodedDataset:
    """Encodes the rows of a table."""
    blocks, seen = transform.blocks, transform.network_values(table)
    parts = [(block, transform.encodings[block.column], seen[block.column]) for block in blocks]
    missing = [(block, np.isnan(values).astype(np.int64)) for block, _, values in parts if block.missing]
    choices = [(block, levels.places(codes)) for block, levels, codes in parts if isinstance(levels, Categories)]
    flags = [(block, found) for block, found in missing if block.kind == "numeric"]
    places = [torch.from_numpy(block.choice[0] + found).int() for block, found in [*choices, *flags] if block.choice]
    numerics = [(block, part, values) for block, part, values in parts if isinstance(part, QuantileTransform)]
    return EncodedDataset(
        blocks,
        len(table),
        torch.stack(places, 1) if places else torch.zeros(len(table), 0, dtype=torch.int32),
        _numerics(numerics) if numerics else None,
        tuple(MixtureColumn(block, m, torch.from_numpy(v)) for block, m, v in parts if isinstance(m, Mixture)),
        _balance(blocks, [*choices, *missing]) if (choices or missing) and len(table) else None,
        condition_share,
    )


def _numerics(columns: list[tuple[TransformedBlock, QuantileTransform, np.ndarray]]) -> NumericColumns:
    cells, ends, start = [], [], 0
    for _, transform, values in columns:
        distinct, found = np.unique(values, return_inverse=True)
        ends.append(transform.intervals(distinct))
        cells.append(torch.from_numpy(found + start))
        start += len(distinct)
    low, high = (torch.from_numpy(np.concatenate(side)) for side in zip(*ends))
    return NumericColumns(torch.tensor([block.start for block, _, _ in columns]), torch.stack(cells, 1), low, high)


def _balance(blocks: tuple[TransformedBlock, ...], choices: list[tuple[TransformedBlock, np.ndarray]]) -> Balance:
    most = max(block.width for block, _ in choices)
    number = torch.tensor([blocks.index(block) for block, _ in choices])
    found = torch.stack([torch.from_numpy(places).long() for _, places in choices], 1)
    count = torch.stack([torch.bincount(column, minlength=most) for column in found.unbind(1)])
    chances = torch.where(count > 0, count.double() ** TEMPER, 0.0)
    edges = (chances / chances.sum(1, keepdim=True)).cumsum(1)
    return Balance(number, found.argsort(dim=0, stable=True), count.cumsum(1) - count, count, edges)
