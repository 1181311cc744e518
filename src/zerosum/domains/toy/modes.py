"""Which modes of a density a sample has found."""

from __future__ import annotations

import torch
from torch import Tensor

from zerosum.domains.toy.densities import Density

LEAST = 0.1
"""A mode counts as found from this part of its share of the points on."""
SIGMAS = 3.0


def nearest(points: Tensor, density: Density) -> Tensor:
    """(N, D) -> (N,) int64: the mode within SIGMAS of each point, -1 where there is none."""
    distance, mode = (torch.cdist(points.double(), density.centres) / density.scales).min(1)
    return torch.where(distance < SIGMAS, mode, -1)


def shares(points: Tensor, density: Density) -> Tensor:
    """(K,) float64: the share of the points within SIGMAS of each mode."""
    near = nearest(points, density)
    return torch.bincount(near[near >= 0], minlength=len(density.weights)).double() / len(points)


def found(points: Tensor, density: Density) -> Tensor:
    """(K,) bool: which modes hold at least LEAST of their share of the points."""
    return shares(points, density) >= LEAST * density.weights
