"""Classical models of a table that a generator must beat: columns without each other, a Gaussian copula, Gaussians, a copy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from zerosum.domain import Baseline
from zerosum.domains.tables import copula
from zerosum.domains.tables.copula import Copula
from zerosum.domains.tables.layout import Block
from zerosum.metrics import baselines

if TYPE_CHECKING:
    from zerosum.domains.tables.data import TableSource


@dataclass(frozen=True)
class RecombinedRows:
    """New rows whose columns are those of training rows, each column of a row that the copula picks."""

    summary: str
    rows: Tensor = field(repr=False)
    blocks: tuple[Block, ...] = field(repr=False)
    copula: Copula = field(repr=False)

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, D) float32."""
        picked = self.copula.sample(num, seed)
        parts = [self.rows[picked[:, c], block.start : block.stop] for c, block in enumerate(self.blocks)]
        return torch.cat(parts, 1)


@dataclass(frozen=True)
class TrainingCopies:
    """Training rows drawn with replacement."""

    summary: str
    rows: Tensor = field(repr=False)

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, D) float32."""
        return self.rows[torch.randint(len(self.rows), (num,), generator=torch.Generator().manual_seed(seed))]


@dataclass(frozen=True)
class HardenedRows:
    """A model of numbers, whose categories are the largest of their places."""

    summary: str
    model: Baseline = field(repr=False)
    blocks: tuple[Block, ...] = field(repr=False)

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, D) float32."""
        return hardened(self.model.sample(num, seed), self.blocks)


def hardened(rows: Tensor, blocks: Sequence[Block]) -> Tensor:
    """(N, D) -> (N, D): every choice among places becomes one-hot, the largest; numbers stay."""
    rows = rows.clone()
    for first, last in (block.choice for block in blocks if block.choice):
        rows[:, first:last] = one_hot(rows[:, first:last].argmax(1), last - first).to(rows.dtype)
    return rows


def fits(source: TableSource) -> Mapping[str, Callable[[], Baseline]]:
    """The classical models of a source's training rows: name -> a function that fits one."""
    rows = encoded(source)
    blocks = source.rows.blocks
    return {
        "independent": functools.partial(_recombined, rows, blocks, copula.independent, "columns drawn one by one"),
        "copula": functools.partial(
            _recombined, rows, blocks, copula.gaussian, "Gaussian copula of the columns' ranks"
        ),
        "mixture": functools.partial(_mixture, rows, blocks),
        "copy": lambda: TrainingCopies(f"training rows drawn with replacement: {len(rows):,} rows", rows),
    }


def encoded(source: TableSource, most: int = baselines.MOST_VALUES) -> Tensor:
    """(N, D) float32 encoded training rows as often as they occur; drawn ones where all would be more than `most` numbers."""
    rows = baselines.chosen(len(source.train), source.rows.blocks[-1].stop, most)
    return source.rows.data(rows.to(source.rows.choices.device), rows.to(source.rows.choices.device)).cpu()


def _recombined(rows: Tensor, blocks: tuple[Block, ...], fit: Callable[[Tensor], Copula], what: str) -> RecombinedRows:
    """A copula of what can be ranked."""
    ranked = torch.stack([_ranked(rows, block) for block in blocks], 1)
    return RecombinedRows(f"{what}, fitted to {len(rows):,} rows", rows, blocks, fit(ranked))


def _ranked(rows: Tensor, block: Block) -> Tensor:
    """(N,) the number of a column, missing below all others; or the number of its category or mode."""
    if block.kind != "numeric":
        assert block.choice is not None
        return rows[:, slice(*block.choice)].argmax(1).float()
    numbers = rows[:, block.start]
    return torch.where(rows[:, block.stop - 1] > 0, -torch.inf, numbers) if block.missing else numbers


def _mixture(rows: Tensor, blocks: tuple[Block, ...]) -> HardenedRows:
    model = baselines.mixture(rows)
    return HardenedRows(f"{model.summary}, over encoded rows; categories are the largest places", model, blocks)
