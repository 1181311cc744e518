"""What distances between shapes tell of two sets of them: MMD, coverage, 1-nearest-neighbour accuracy; and occupied space.

Legend: S samples, R references. `between` is (S, R): distances, **samples in rows, references in columns**; the other
way round the first two are other numbers. Sources: Achlioptas et al. 2018, arXiv:1707.02392, section 3 (MMD, COV, JSD);
Lopez-Paz and Oquab 2017, arXiv:1610.06545, and Yang et al. 2019 (PointFlow), arXiv:1906.12320, section 5.1 (1-NNA).
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from zerosum.errors import UserError

SIDE = 28
"""Cells of the occupancy grid along each axis."""


def minimum_matching_distance(between: Tensor) -> float:
    """The mean over references of the distance to the closest sample: low when every reference has a sample like it."""
    return float(_matrix(between).amin(0).mean())


def coverage(between: Tensor) -> float:
    """The share of references that are the nearest reference of some sample: low when samples are all alike. Blind to bad
    samples: even far ones cover the reference that they are nearest to."""
    return len(torch.unique(_matrix(between).argmin(1))) / between.shape[1]


def one_nearest_neighbour(samples: Tensor, references: Tensor, between: Tensor) -> float:
    """The leave-one-out accuracy of a 1-nearest-neighbour classifier on the union of both sets.

    samples (S, S), references (R, R): distances within each set. 1/2 is what two equal distributions give; 1 means that the
    sets stand apart, less than 1/2 that samples lie closer to references than these to each other, as copies do.
    """
    num, rest = _matrix(between).shape
    if samples.shape != (num, num) or references.shape != (rest, rest):
        shapes = f"{tuple(samples.shape)}, {tuple(references.shape)}, {tuple(between.shape)}"
        raise UserError(f"one_nearest_neighbour: matrices {shapes}; give (S, S), (R, R), (S, R)")
    everyone = torch.cat([torch.cat([samples, between], 1), torch.cat([between.T, references], 1)]).double()
    everyone.fill_diagonal_(math.inf)
    is_sample = torch.arange(num + rest) < num
    return float((is_sample[everyone.argmin(1)] == is_sample).double().mean())


def _matrix(between: Tensor) -> Tensor:
    if between.dim() != 2 or 0 in between.shape:
        raise UserError(f"distances of shape {tuple(between.shape)}; give (samples, references)")
    return between.double()


# --- occupied space


@functools.lru_cache(maxsize=1)
def _cells() -> Tensor:
    """(C, 3) float64: centres of the SIDE^3 grid over [-1, 1]^3 that lie within the unit ball."""
    line = torch.linspace(-1, 1, SIDE, dtype=torch.float64)
    centres = torch.cartesian_prod(line, line, line)
    return centres[centres.square().sum(1) <= 1]


def occupancy(clouds: Tensor) -> Tensor:
    """(N, P, 3) in the unit ball -> (C,) float64: the share of all points whose nearest centre is this one."""
    from scipy.spatial import cKDTree

    if clouds.dim() != 3 or clouds.shape[2] != 3 or 0 in clouds.shape:
        raise UserError(f"occupancy: clouds of shape {tuple(clouds.shape)}; give (N, P, 3)")
    centres = _cells()
    _, index = cKDTree(centres.numpy()).query(clouds.detach().cpu().double().reshape(-1, 3).numpy())
    return torch.bincount(torch.as_tensor(index), minlength=len(centres)).double() / len(index)


def occupancy_divergence(samples: Tensor, references: Tensor) -> float:
    """The Jensen-Shannon divergence, in bits (0 to 1), of where the points of two sets (N, P, 3) lie. It looks at all shapes
    together: one average shape can score well."""
    p, q = occupancy(samples), occupancy(references)
    middle = (p + q) / 2
    found = sum(0.5 * torch.xlogy(one, torch.where(one > 0, one / middle, 1.0)).sum() for one in (p, q))
    return float(found) / math.log(2)
