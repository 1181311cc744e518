"""Counting points in the cells of a grid, where divergences between a sample and a density become sums."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.domains.toy.densities import Box, Density
from zerosum.theory import divergence

SMOOTHING = 0.5
"""Added to each cell's count before a KL is taken, on both sides: without it one empty cell makes it infinite
(Krichevsky and Trofimov 1981)."""


@dataclass(frozen=True, eq=False)
class Cells:
    """`side` equal cells along each dimension of a box; the outermost reach to infinity, so every point has its cell."""

    box: Box
    side: int

    @property
    def edges(self) -> list[Tensor]:
        """For each dimension the side - 1 inner edges, float64."""
        return [torch.linspace(low, high, self.side + 1, dtype=torch.float64)[1:-1] for low, high in self.box]

    @property
    def num(self) -> int:
        """Cells in all."""
        return int(self.side ** len(self.box))

    @property
    def tag(self) -> str:
        """As it stands in the name of a measure: cells=40x40."""
        return "cells=" + "x".join([str(self.side)] * len(self.box))

    def index(self, points: Tensor) -> Tensor:
        """(N, D) -> (N,) int64: the cell of each point, row by row."""
        places = [torch.bucketize(points[:, d].double().contiguous(), inner) for d, inner in enumerate(self.edges)]
        return places[0] if len(places) == 1 else places[0] * self.side + places[1]

    def counts(self, points: Tensor) -> Tensor:
        """(cells,) float64: points in each cell."""
        return torch.bincount(self.index(points), minlength=self.num).double()

    def probabilities(self, density: Density) -> Tensor:
        """(cells,) float64: the exact probability of each cell."""
        return density.cells(self.edges).flatten()


def divergences(p: Tensor, counts: Tensor, trials: float = math.inf) -> dict[str, float]:
    """KL both ways, JS and total variation between cell probabilities p and counts of fakes, in nats.

    trials: how many reals p was counted from; inf when it is exact. Both KL are of tables with SMOOTHING added to each
    cell's (for p, expected) count; JS and total variation are of the tables as they are.
    """
    num = counts.sum()
    q = counts / num
    smooth_p = _smoothed(p * min(trials, float(num)))
    smooth_q = _smoothed(counts)
    return {
        "KL": float(divergence.kl(smooth_p, smooth_q)),
        "KL_reverse": float(divergence.kl(smooth_q, smooth_p)),
        "JS": float(divergence.js(p, q)),
        "total_variation": float(divergence.total_variation(p, q)),
    }


def _smoothed(counts: Tensor) -> Tensor:
    return (counts + SMOOTHING) / (counts + SMOOTHING).sum()
