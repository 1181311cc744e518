"""How far two point clouds lie apart: the Chamfer distance, and the earth mover's distance by exact assignment.

Legend: N, M clouds; P, Q points of a cloud; D dimensions (3 for shapes). Order of points plays no part.
Conventions differ between papers, and numbers with them; here
  Chamfer = mean over the points of either cloud of the *squared* distance to the nearest point of the other, both ways summed;
  EMD = mean (not squared) distance under the best one-to-one pairing, exact, never by auction or Sinkhorn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.errors import UserError

MOST_ASSIGNED = 512
"""Points a cloud for which an assignment is solved: 20 ms a pair at 512, growing with the third power."""
_BLOCK = 4_000_000  # distances held at once


def chamfer(a: Tensor, b: Tensor) -> Tensor:
    """(N, P, D) and (N, Q, D) -> (N,): Chamfer distances of N pairs, differentiable in both.

    The nearest points are found without a graph; the slope through the found pairs is the slope of the distance itself,
    because which points are nearest does not change in a small step.
    """
    to_b, to_a = _nearest(a.detach(), b.detach())
    dims = a.shape[2]
    there = (a - b.gather(1, to_b[:, :, None].expand(-1, -1, dims))).square().sum(2).mean(1)
    back = (b - a.gather(1, to_a[:, :, None].expand(-1, -1, dims))).square().sum(2).mean(1)
    return there + back


def _nearest(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(N, P) and (N, Q) int64: for each point the nearest one of the other cloud."""
    if a.device.type == "cpu":
        return _nearest_by_trees(a, b)
    squared = torch.cdist(a.float(), b.float())
    return squared.argmin(2), squared.argmin(1)


def _nearest_by_trees(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The same by k-d trees: on a CPU twice as fast as looking at all pairs, at 512 points."""
    import numpy as np
    from scipy.spatial import cKDTree

    pairs = [
        (cKDTree(y).query(x)[1], cKDTree(x).query(y)[1])
        for x, y in zip(a.float().numpy(), b.float().numpy(), strict=True)
    ]
    there, back = zip(*pairs, strict=True)
    return torch.from_numpy(np.stack(there)), torch.from_numpy(np.stack(back))


def chamfer_matrix(a: Tensor, b: Tensor) -> Tensor:
    """(N, P, D) and (M, Q, D) -> (N, M) float64: the Chamfer distance of every cloud to every other."""
    _check(a, b)
    a, b = (clouds.detach().cpu().float() for clouds in (a, b))
    rows = torch.empty(len(a), len(b), dtype=torch.float64)
    step = max(1, _BLOCK // (a.shape[1] * b.shape[1]))
    for i, cloud in enumerate(a):
        for start in range(0, len(b), step):
            others = b[start : start + step]
            squared = torch.baddbmm(
                others.square().sum(2)[:, None], cloud.expand(len(others), -1, -1), others.mT, alpha=-2
            )
            squared = squared.add_(cloud.square().sum(1)[:, None]).clamp_min_(0)
            rows[i, start : start + step] = squared.amin(2).mean(1) + squared.amin(1).mean(1)
    return rows


def emd(a: Tensor, b: Tensor) -> float:
    """The exact earth mover's distance of two clouds (P, D) of one size, at most MOST_ASSIGNED points each."""
    from scipy.optimize import linear_sum_assignment

    if a.dim() != 2 or a.shape != b.shape:
        raise UserError(f"emd: clouds of shape {tuple(a.shape)} and {tuple(b.shape)}; give two of one (P, D)")
    if len(a) > MOST_ASSIGNED:
        raise UserError(
            f"emd: {len(a)} points; an exact pairing is made of at most {MOST_ASSIGNED}. Give fewer of them"
        )
    cost = torch.cdist(
        a.detach().cpu().double(), b.detach().cpu().double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    rows, columns = linear_sum_assignment(cost.numpy())
    return float(cost[torch.as_tensor(rows), torch.as_tensor(columns)].mean())


def emd_matrix(a: Tensor, b: Tensor) -> Tensor:
    """(N, P, D) and (M, P, D) -> (N, M) float64 of `emd`."""
    _check(a, b)
    return torch.tensor([[emd(x, y) for y in b] for x in a], dtype=torch.float64).reshape(len(a), len(b))


def emd_within(a: Tensor) -> Tensor:
    """(N, P, D) -> (N, N) float64 of `emd` within one set; each pair is solved once."""
    _check(a, a)
    found = torch.zeros(len(a), len(a), dtype=torch.float64)
    for i in range(len(a)):
        for j in range(i):
            found[i, j] = found[j, i] = emd(a[i], a[j])
    return found


def _check(a: Tensor, b: Tensor) -> None:
    for clouds in (a, b):
        if clouds.dim() != 3 or clouds.shape[2] != a.shape[2] or 0 in clouds.shape:
            raise UserError(
                f"clouds of shape {tuple(a.shape)} and {tuple(b.shape)}; give (clouds, points, dimensions) twice"
            )


@dataclass(frozen=True)
class ShapeDistance:
    """A distance between shapes, and on how much it is computed: num shapes on each side, so many points of each."""

    name: str
    num: int
    points: int

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """(N, P, 3), (M, P, 3) -> (N, M)."""
        return chamfer_matrix(a, b) if self.name == "CD" else emd_matrix(a, b)

    def within(self, a: Tensor) -> Tensor:
        """(N, P, 3) -> (N, N)."""
        return chamfer_matrix(a, a) if self.name == "CD" else emd_within(a)
