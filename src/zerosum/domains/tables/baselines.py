"""Classical models of tables, as baselines for a generator: independent columns, a Gaussian copula, Gaussians, a copy.

Legend: N rows, C columns, D places of an encoded row. Source of the copula: Sklar 1959; as a model of tables Patki et al. 2016
(the Synthetic Data Vault).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from zerosum.domain import Baseline
from zerosum.domains.tables.layout import TransformedBlock
from zerosum.errors import UserError
from zerosum.metrics import baselines

if TYPE_CHECKING:
    from zerosum.domains.tables.data import TableSource


@dataclass(frozen=True, eq=False)
class Copula:
    """Any columns, and the normal correlations of their ranks. order: (N, C) int64, for each column the rows from its least value
    to its greatest. root: (C, C) float64, root root^T is the correlation of the normal scores."""

    order: Tensor
    root: Tensor

    @classmethod
    def independent(cls, values: Tensor) -> Copula:
        """Every column by itself. values: (N, C)."""
        return cls(_order(values, 0), torch.eye(values.shape[1], dtype=torch.float64))

    @classmethod
    def fit(cls, values: Tensor, seed: int = 0) -> Copula:
        """Fits a copula to (N, C) values of any kind; equal values are ranked at random, so that spikes and codes have normal
        scores too."""
        order = _order(values, seed)
        ranks = torch.empty_like(order).scatter_(0, order, torch.arange(len(order))[:, None].expand_as(order))
        scores = torch.special.ndtri((ranks.double() + 0.5) / len(order))
        correlation = torch.corrcoef(scores.T) if values.shape[1] > 1 else torch.ones(1, 1, dtype=torch.float64)
        power, basis = torch.linalg.eigh(correlation)  # singular where there are fewer rows than columns
        return cls(order, basis * power.clamp_min(0).sqrt())

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, C) int64: for each column of each new row, the row whose value it takes."""
        random = torch.Generator().manual_seed(seed)
        normal = torch.randn(num, len(self.root), generator=random, dtype=torch.float64) @ self.root.T
        rank = (torch.special.ndtr(normal) * len(self.order)).long().clamp(max=len(self.order) - 1)
        return self.order.gather(0, rank)


def _order(values: Tensor, seed: int) -> Tensor:
    """(N, C) int64: places from the least to the greatest value, equal ones in a drawn order; NaN come last."""
    if values.ndim != 2 or len(values) < 2:
        raise UserError(f"copula: values {tuple(values.shape)} must be two or more rows, as (N, C)")
    mixed = torch.rand(values.shape, generator=torch.Generator().manual_seed(seed)).argsort(dim=0)
    return mixed.gather(0, values.gather(0, mixed).argsort(dim=0, stable=True))


@dataclass(frozen=True)
class RowModel:
    """A fitted model of encoded rows. draw: (num, seed) -> (num, D) float32."""

    summary: str
    draw: Callable[[int, int], Tensor] = field(repr=False)

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, D) float32."""
        return self.draw(num, seed)


def fits(source: TableSource) -> Mapping[str, Callable[[], Baseline]]:
    """The classical models of a source's training rows: name -> a function that fits one."""
    rows, blocks = encoded_rows(source), source.rows.blocks

    def recombined(what: str, fit: Callable[[Tensor], Copula]) -> RowModel:
        """Rows whose columns are those of training rows, each of a row that the copula picks."""
        copula = fit(torch.stack([_ranked(rows, block) for block in blocks], 1))

        def draw(num: int, seed: int) -> Tensor:
            picked = copula.sample(num, seed)
            return torch.cat([rows[picked[:, c], block.start : block.stop] for c, block in enumerate(blocks)], 1)

        return RowModel(f"{what}, fitted to {len(rows):,} rows", draw)

    def mixture() -> RowModel:
        model = baselines.mixture(rows)
        summary = f"{model.summary}, over encoded rows; categories are the largest places"
        return RowModel(summary, lambda num, seed: one_hot_choices(model.sample(num, seed), blocks))

    def copied(num: int, seed: int) -> Tensor:
        return rows[torch.randint(len(rows), (num,), generator=torch.Generator().manual_seed(seed))]

    return {
        "independent": lambda: recombined("columns drawn one by one", Copula.independent),
        "copula": lambda: recombined("Gaussian copula of the columns' ranks", Copula.fit),
        "mixture": mixture,
        "copy": lambda: RowModel(f"training rows drawn with replacement: {len(rows):,} rows", copied),
    }


def encoded_rows(source: TableSource, most: int = baselines.MOST_VALUES) -> Tensor:
    """(N, D) float32 encoded training rows as often as they occur; drawn ones where all would be more than `most` numbers."""
    rows = baselines.sample_fit_rows(len(source.train), source.rows.blocks[-1].stop, most).to(
        source.rows.choices.device
    )
    return source.rows.data(rows, rows).cpu()


def one_hot_choices(rows: Tensor, blocks: Sequence[TransformedBlock]) -> Tensor:
    """(N, D) -> (N, D): every choice among places becomes one-hot, the largest; numbers stay."""
    rows = rows.clone()
    for first, last in (block.choice for block in blocks if block.choice):
        rows[:, first:last] = one_hot(rows[:, first:last].argmax(1), last - first).to(rows.dtype)
    return rows


def _ranked(rows: Tensor, block: TransformedBlock) -> Tensor:
    """(N,) the number of a column, missing below all others; or the number of its category or mode."""
    if block.kind != "numeric":
        assert block.choice is not None
        return rows[:, slice(*block.choice)].argmax(1).float()
    numbers = rows[:, block.start]
    return torch.where(rows[:, block.stop - 1] > 0, -torch.inf, numbers) if block.missing else numbers
