"""Distances between point clouds (Chamfer, earth mover's), and metrics of two sets of shapes: MMD, coverage, 1-NNA and
JSD.

Legend: N, M clouds; P, Q points of a cloud; D dimensions (3 for shapes); S samples; R references. The order of points
does not matter. Papers differ in their conventions; here Chamfer = mean over the points of either cloud of the
*squared* distance to the nearest point of the other, sum of both directions; EMD = mean (not squared) distance under
the best one-to-one pairing, computed exactly, not by auction or Sinkhorn. `between` is (S, R): distances with **samples
in rows and references in columns**; MMD and coverage are not symmetric. Sources: Achlioptas et al. 2018,
arXiv:1707.02392, section 3 (MMD, COV, JSD); Lopez-Paz and Oquab 2017, arXiv:1610.06545, and Yang et al. 2019
(PointFlow), arXiv:1906.12320, section 5.1 (1-NNA).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.errors import UserError

MAX_ASSIGNED = 512
"""The greatest number of points of a cloud for `emd`: a pair takes 20 ms at 512 points, and the time is cubic in their
number."""
_BLOCK = 4_000_000  # distances computed at once


def chamfer(a: Tensor, b: Tensor) -> Tensor:
    """(N, P, D) and (N, Q, D) -> (N,): Chamfer distances of N pairs, differentiable in both.

    The nearest points are found without a graph. The gradient through these pairs is that of the distance, because the
    nearest points do not change in a small step.
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
    """The same with k-d trees, which are twice as fast as all pairs on a CPU with 512 points."""
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
    _check_clouds(a, b)
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
    """The exact earth mover's distance of two clouds (P, D) of one size, at most MAX_ASSIGNED points each."""
    from scipy.optimize import linear_sum_assignment

    if a.dim() != 2 or a.shape != b.shape:
        raise UserError(f"emd: clouds of shape {tuple(a.shape)} and {tuple(b.shape)}; give two of one (P, D)")
    if len(a) > MAX_ASSIGNED:
        raise UserError(f"emd: {len(a)} points; exact assignment supports at most {MAX_ASSIGNED}. Give fewer points")
    cost = torch.cdist(
        a.detach().cpu().double(), b.detach().cpu().double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    rows, columns = linear_sum_assignment(cost.numpy())
    return float(cost[torch.as_tensor(rows), torch.as_tensor(columns)].mean())


def emd_matrix(a: Tensor, b: Tensor) -> Tensor:
    """(N, P, D) and (M, P, D) -> (N, M) float64 of `emd`."""
    _check_clouds(a, b)
    return torch.tensor([[emd(x, y) for y in b] for x in a], dtype=torch.float64).reshape(len(a), len(b))


def emd_within(a: Tensor) -> Tensor:
    """(N, P, D) -> (N, N) float64 of `emd` within one set; each pair is computed once."""
    _check_clouds(a, a)
    found = torch.zeros(len(a), len(a), dtype=torch.float64)
    for i in range(len(a)):
        for j in range(i):
            found[i, j] = found[j, i] = emd(a[i], a[j])
    return found


def _check_clouds(a: Tensor, b: Tensor) -> None:
    for clouds in (a, b):
        if clouds.dim() != 3 or clouds.shape[2] != a.shape[2] or 0 in clouds.shape:
            raise UserError(
                f"clouds of shape {tuple(a.shape)} and {tuple(b.shape)}; give (clouds, points, dimensions) twice"
            )


@dataclass(frozen=True)
class ShapeDistance:
    """A distance between shapes ("CD" or "EMD"), computed for `num` shapes of each set and `points` points of each
    shape."""

    name: str
    num: int
    points: int

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """(N, P, 3), (M, P, 3) -> (N, M)."""
        return chamfer_matrix(a, b) if self.name == "CD" else emd_matrix(a, b)

    def within(self, a: Tensor) -> Tensor:
        """(N, P, 3) -> (N, N)."""
        return chamfer_matrix(a, a) if self.name == "CD" else emd_within(a)


GRID_SIDE = 28
"""Cells of the occupancy grid along each axis."""


def minimum_matching_distance(between: Tensor) -> float:
    """The mean over references of the distance to the closest sample: low if there is a similar sample for every
    reference."""
    return float(_check_matrix(between).amin(0).mean())


def coverage(between: Tensor) -> float:
    """The share of references that are the nearest reference of some sample: low if all samples are alike. It does not
    detect bad samples: distant ones, too, cover their nearest reference."""
    return len(torch.unique(_check_matrix(between).argmin(1))) / between.shape[1]


def one_nearest_neighbour(samples: Tensor, references: Tensor, between: Tensor) -> float:
    """The leave-one-out accuracy of a 1-nearest-neighbour classifier on the union of both sets.

    samples (S, S), references (R, R): distances within each set. 1/2 for equal distributions; 1 if the sets are
    separate; less than 1/2 if samples are closer to references than references to each other, as copies are.
    """
    num, rest = _check_matrix(between).shape
    if samples.shape != (num, num) or references.shape != (rest, rest):
        shapes = f"{tuple(samples.shape)}, {tuple(references.shape)}, {tuple(between.shape)}"
        raise UserError(f"one_nearest_neighbour: matrices {shapes}; give (S, S), (R, R), (S, R)")
    distances = torch.cat([torch.cat([samples, between], 1), torch.cat([between.T, references], 1)]).double()
    distances.fill_diagonal_(math.inf)
    is_sample = torch.arange(num + rest) < num
    return float((is_sample[distances.argmin(1)] == is_sample).double().mean())


def _check_matrix(between: Tensor) -> Tensor:
    if between.dim() != 2 or 0 in between.shape:
        raise UserError(f"distances of shape {tuple(between.shape)}; give (samples, references)")
    return between.double()


# --- occupied space


@functools.lru_cache(maxsize=1)
def _grid_centres() -> Tensor:
    """(C, 3) float64: centres of the GRID_SIDE^3 grid over [-1, 1]^3 that lie within the unit ball."""
    line = torch.linspace(-1, 1, GRID_SIDE, dtype=torch.float64)
    centres = torch.cartesian_prod(line, line, line)
    return centres[centres.square().sum(1) <= 1]


def occupancy(clouds: Tensor) -> Tensor:
    """(N, P, 3) in the unit ball -> (C,) float64: the share of all points whose nearest centre is this one."""
    from scipy.spatial import cKDTree

    if clouds.dim() != 3 or clouds.shape[2] != 3 or 0 in clouds.shape:
        raise UserError(f"occupancy: clouds of shape {tuple(clouds.shape)}; give (N, P, 3)")
    centres = _grid_centres()
    _, index = cKDTree(centres.numpy()).query(clouds.detach().cpu().double().reshape(-1, 3).numpy())
    return torch.bincount(torch.as_tensor(index), minlength=len(centres)).double() / len(index)


def occupancy_divergence(samples: Tensor, references: Tensor) -> float:
    """The Jensen-Shannon divergence, in bits (0 to 1), of the occupancy of two sets (N, P, 3). All shapes are
    pooled, so that one average shape can score well."""
    p, q = occupancy(samples), occupancy(references)
    middle = (p + q) / 2
    divergence = sum(0.5 * torch.xlogy(d, torch.where(d > 0, d / middle, 1.0)).sum() for d in (p, q))
    return float(divergence) / math.log(2)
