"""The Parzen-window log-likelihood of 2014: historic, kept to compare with the papers of that time, and misleading.

Normals of one width stand at samples of a model; the score is their mean log-density on test points. Legend: N points,
M centres, D dimensions. Sources: Breuleux, Bengio and Vincent 2011; Goodfellow et al. 2014, arXiv:1406.2661, section 5.
Why it misleads: Theis, van den Oord and Bethge 2016, arXiv:1511.01844.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.errors import UserError

WIDTHS = tuple(10 ** (-1 + i / 9) for i in range(10))
"""The ten widths of the protocol: equal ratios from 0.1 to 1, in units of the data (pixels in [0, 1])."""
BLOCK = 2**22
"""Distances held at a time: 32 MiB of float64."""


@dataclass(frozen=True)
class ParzenScore:
    """mean: nats per test point. error: its standard error, population deviation / sqrt(num_points), over test points only.

    width: the chosen sigma. validation: mean log-density on the validation points for each of the widths tried.
    """

    mean: float
    error: float
    width: float
    validation: tuple[float, ...]
    num_centres: int
    num_points: int


def parzen(centres: Tensor, validation: Tensor, test: Tensor, widths: Sequence[float] = WIDTHS) -> ParzenScore:
    """The score of samples `centres` (M, D): the width that suits `validation` (V, D) best, then `test` (N, D)."""
    means = tuple(float(row.mean()) for row in log_densities(validation, centres, widths))
    width = widths[means.index(max(means))]
    found = log_densities(test, centres, [width])[0]
    error = float(found.std(correction=0)) / math.sqrt(len(found))
    return ParzenScore(float(found.mean()), error, width, means, len(centres), len(test))


def log_densities(points: Tensor, centres: Tensor, widths: Sequence[float], block: int = BLOCK) -> Tensor:
    """(W, N) float64 nats: for each width, the log-density of equal normals at `centres` (M, D) on `points` (N, D).

    log mean_j exp(-|x - c_j|^2 / (2 s^2)) - D log(s sqrt(2 pi)). Memory is bounded by `block` distances beside a float64
    copy of the centres; a point's value does not depend on it. UserError for shapes, widths and values that make no density.
    """
    _check(points, centres, widths)
    num_dims = centres.shape[1]
    rows = []
    for squares in _square_distances(points, centres, block):
        per_width = [torch.logsumexp(squares / (-2 * s * s), 1) - num_dims * math.log(s) for s in widths]
        rows.append(torch.stack(per_width))
    return torch.cat(rows, 1) - math.log(len(centres)) - num_dims / 2 * math.log(2 * math.pi)


def _square_distances(points: Tensor, centres: Tensor, block: int) -> Iterator[Tensor]:
    """(n, M) float64 blocks of |x - c|^2 = |x|^2 - 2 x c + |c|^2, one matrix product each, about the centres' mean.

    In float64 the cancellation leaves about 1e-15 of the largest |x|^2: with a width of 0.1, far below 1e-9 nats. float32
    would leave 1e-7 of it, which at 784 pixels and a width of 0.1 is already 1e-3 nats.
    """
    middle = centres.double().mean(0)
    there = centres.double() - middle
    lengths = there.square().sum(1)
    step = max(1, block // len(centres))
    for start in range(0, len(points), step):
        here = points[start : start + step].double() - middle
        squares = torch.addmm(here.square().sum(1, keepdim=True) + lengths, here, there.T, alpha=-2)
        yield squares.clamp_min_(0)


def _check(points: Tensor, centres: Tensor, widths: Sequence[float]) -> None:
    if (
        points.ndim != 2
        or centres.ndim != 2
        or points.shape[1] != centres.shape[1]
        or not len(points)
        or not len(centres)
    ):
        raise UserError(
            f"parzen: points {tuple(points.shape)} and centres {tuple(centres.shape)} do not fit; give (N, D) and (M, D)"
        )
    if not widths or min(widths) <= 0:
        raise UserError(f"parzen: widths must be more than 0, got {list(widths)}")
    if not bool(torch.isfinite(points).all() and torch.isfinite(centres).all()):
        raise UserError("parzen: there are non-finite values among the points or centres; look at the samples first")
