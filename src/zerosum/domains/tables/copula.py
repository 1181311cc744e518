"""The Gaussian copula: any columns, and the normal correlations of their ranks.

Legend: N rows, C columns. Source: Sklar 1959; as a model of tables Patki et al. 2016 (the Synthetic Data Vault).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.errors import UserError


@dataclass(frozen=True, eq=False)
class Copula:
    """order: (N, C) int64, for each column the rows from its least value to its greatest. root: (C, C) float64, root root^T is
    the correlation of the normal scores."""

    order: Tensor
    root: Tensor

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, C) int64: for each column of each new row, the row whose value it takes."""
        random = torch.Generator().manual_seed(seed)
        normal = torch.randn(num, len(self.root), generator=random, dtype=torch.float64) @ self.root.T
        rank = (torch.special.ndtr(normal) * len(self.order)).long().clamp(max=len(self.order) - 1)
        return self.order.gather(0, rank)


def independent(values: Tensor) -> Copula:
    """Every column by itself: nothing between them. values: (N, C)."""
    return Copula(_order(values, 0), torch.eye(values.shape[1], dtype=torch.float64))


def gaussian(values: Tensor, seed: int = 0) -> Copula:
    """Fitted to (N, C) values of any kind; equal ones are ranked by chance, so that spikes and codes have normal scores too."""
    order = _order(values, seed)
    ranks = torch.empty_like(order).scatter_(0, order, torch.arange(len(order))[:, None].expand_as(order))
    scores = torch.special.ndtri((ranks.double() + 0.5) / len(order))
    correlation = torch.corrcoef(scores.T) if values.shape[1] > 1 else torch.ones(1, 1, dtype=torch.float64)
    power, basis = torch.linalg.eigh(correlation)  # singular where there are fewer rows than columns
    return Copula(order, basis * power.clamp_min(0).sqrt())


def _order(values: Tensor, seed: int) -> Tensor:
    """(N, C) int64: places from the least to the greatest value, equal ones in a drawn order; NaN come last."""
    if values.ndim != 2 or len(values) < 2:
        raise UserError(f"copula: values {tuple(values.shape)} must be two or more rows, as (N, C)")
    mixed = torch.rand(values.shape, generator=torch.Generator().manual_seed(seed)).argsort(dim=0)
    return mixed.gather(0, values.gather(0, mixed).argsort(dim=0, stable=True))
