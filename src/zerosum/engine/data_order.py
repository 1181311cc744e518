"""The order of the data as a pure function of (seed, position): every row once an epoch, nothing to save."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from zerosum.engine.seeds import generator


@functools.lru_cache(maxsize=2)
def _permutation(num_rows: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(num_rows, generator=generator(seed, "order", epoch))


def rows_at(position: int, count: int, num_rows: int, seed: int) -> Tensor:
    """(count,) int64 row numbers: entries position .. position+count-1 of an endless shuffled stream.

    The stream is a new permutation of all rows in each epoch; a batch may straddle two epochs, so no row is dropped.
    """
    parts = []
    while count > 0:
        epoch, offset = divmod(position, num_rows)
        part = _permutation(num_rows, seed, epoch)[offset : offset + count]
        parts.append(part)
        position += len(part)
        count -= len(part)
    return parts[0] if len(parts) == 1 else torch.cat(parts)
