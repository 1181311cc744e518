"""A density that stands for measured points: an equal mixture of normals at some of them. An estimate, and called so."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from zerosum.engine.seeds import generator

MOST = 300
"""Points that the estimate is made of, so that it fits into a run's description."""


def kernel_estimate(points: Tensor, seed: int = 0) -> dict[str, Any]:
    """The options of the density `drawn` for points (N, D): up to MOST of them, and the spread that predicts best.

    The spread is the one of 24 between 0.01 and 1 under which each chosen point is likeliest given the others
    (leave-one-out likelihood, Silverman 1986, section 3.4.4).
    """
    order = torch.randperm(len(points), generator=generator(seed, "estimate"))[:MOST]
    centres = points[order].double()
    spreads = torch.logspace(-2, 0, 24, dtype=torch.float64).tolist()
    best = max(spreads, key=lambda spread: _left_out(centres, spread))
    return {"kind": "drawn", "points": [[round(x, 5) for x in row] for row in centres.tolist()], "spread": best}


def _left_out(points: Tensor, spread: float) -> float:
    """The mean log-likelihood of each point under the others', up to a constant."""
    squares = torch.cdist(points, points).square().fill_diagonal_(math.inf)
    return float(torch.logsumexp(-0.5 * squares / spread**2, 1).mean()) - points.shape[1] * math.log(spread)
