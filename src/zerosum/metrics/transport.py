"""Optimal transport between two samples: the least mean distance over which one must be carried to become the other."""

from __future__ import annotations

import torch
from torch import Tensor

from zerosum.errors import UserError


def wasserstein1_1d(x: Tensor, y: Tensor) -> float:
    """W1 of two samples on the line, (N,) and (M,): the area between their empirical distribution functions, in float64."""
    x, y = _line(x, "x"), _line(y, "y")
    places = torch.cat([x, y]).sort().values
    # Counts are made float64 before they are divided: torch divides whole numbers to float32.
    below_x, below_y = (torch.searchsorted(side, places[:-1], right=True).double() / len(side) for side in (x, y))
    return float(((below_x - below_y).abs() * places.diff()).sum())


def wasserstein2(x: Tensor, y: Tensor) -> float:
    """W2 of two samples of one size, (N, D) each: the root of the least mean squared distance over all pairings. Exact.

    On the line (D = 1) the sorted samples are the best pairing; else the assignment problem is solved, whose cost matrix
    takes 8 N^2 bytes and whose time grows like N^3 (0.4 s for N = 1,000, 2 s for 2,000 on one core).
    """
    if x.dim() != 2 or x.shape != y.shape or not len(x):
        raise UserError(f"wasserstein2: samples of shape {tuple(x.shape)} and {tuple(y.shape)}; give two of one (N, D)")
    x, y = x.detach().cpu().double(), y.detach().cpu().double()
    if x.shape[1] == 1:
        return float((x.sort(0).values - y.sort(0).values).square().mean().sqrt())
    from scipy.optimize import linear_sum_assignment

    # The squared lengths are the same in every pairing, so only the products decide; no digits are lost by cancellation.
    rows, columns = linear_sum_assignment((x @ y.T).numpy(), maximize=True)
    best = y[torch.as_tensor(columns)] - x[torch.as_tensor(rows)]
    return float(best.square().sum(1).mean().sqrt())


def _line(values: Tensor, name: str) -> Tensor:
    if values.dim() != 1 or not len(values):
        raise UserError(f"wasserstein1_1d: {name} has shape {tuple(values.shape)}; give one dimension of at least one")
    return values.detach().cpu().double().sort().values
