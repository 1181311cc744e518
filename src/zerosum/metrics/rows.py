"""Which rows a measure looks at where it does not look at all of them."""

from __future__ import annotations

import torch
from torch import Tensor


def drawn_rows(num_rows: int, most: int, seed: int = 0) -> Tensor:
    """(n,) int64 indices in increasing order: all rows, or `most` of them, drawn without replacement from the seed.

    Data often lie class by class, so the first rows are no sample of them.
    """
    if num_rows <= most:
        return torch.arange(num_rows)
    return torch.randperm(num_rows, generator=torch.Generator().manual_seed(seed))[:most].sort().values
