"""Rows of a set: which of them a measure uses, and their squared distances a block at a time, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_BLOCK = 4_000_000  # distances held at once (32 MB in float64)


def slices(num_rows: int, width: int) -> Iterator[slice]:
    """Slices of `num_rows` rows that are `width` values wide, of about four million values each."""
    step = max(_BLOCK // max(width, 1), 1)
    return (slice(start, start + step) for start in range(0, num_rows, step))


def blocks(queries: Tensor, keys: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances of all pairs of (Q, D) and (K, D), as (slice of queries, (rows, K) block) that may be written to."""
    norms = keys.square().sum(1)
    for part in slices(len(queries), len(keys)):
        rows = queries[part]
        yield part, torch.addmm(norms[None], rows, keys.T, alpha=-2).add_(rows.square().sum(1)[:, None]).clamp_min_(0)


def blocks_within(rows: Tensor, own: float) -> Iterator[tuple[slice, Tensor]]:
    """The same within one set (N, D); the distance of a row to itself counts as `own`."""
    for part, squared in blocks(rows, rows):
        squared[torch.arange(len(squared)), torch.arange(part.start, part.start + len(squared))] = own
        yield part, squared


def drawn_rows(num_rows: int, most: int, seed: int = 0) -> Tensor:
    """(n,) int64 indices in increasing order: all rows, or `most` of them, drawn without replacement from the seed.

    Data are often sorted by class, so the first rows are not a random sample.
    """
    if num_rows <= most:
        return torch.arange(num_rows)
    return torch.randperm(num_rows, generator=torch.Generator().manual_seed(seed))[:most].sort().values
