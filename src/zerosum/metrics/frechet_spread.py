"""How sure a Fréchet distance is, and what it would be with infinitely many samples.

A set of features is kept as the moments of its groups; without a group it is the sum of the others, so that twenty
distances cost twenty eigenvalue problems and no further pass over the features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.metrics.frechet import frechet_distance, root
from zerosum.metrics.jackknife import Estimate, group_of, spread


@dataclass(frozen=True)
class _Moments:
    """Number, sum (D,) and sum of outer products (D, D) of rows."""

    num: int
    sum: Tensor
    outer: Tensor

    def __add__(self, other: _Moments) -> _Moments:
        return _Moments(self.num + other.num, self.sum + other.sum, self.outer + other.outer)

    def __sub__(self, other: _Moments) -> _Moments:
        return _Moments(self.num - other.num, self.sum - other.sum, self.outer - other.outer)

    @property
    def mean(self) -> Tensor:
        return self.sum / self.num

    @property
    def covariance(self) -> Tensor:
        return (self.outer - torch.outer(self.sum, self.sum) / self.num) / (self.num - 1)


def _of(rows: Tensor) -> _Moments:
    return _Moments(len(rows), rows.sum(0), rows.T @ rows)


class _Reals:
    """Distances from one set of reals: the root of their covariance is taken once."""

    def __init__(self, rows: Tensor) -> None:
        moments = _of(rows)
        self.mean, covariance = moments.mean, moments.covariance
        self.trace, self.root = covariance.trace(), root(covariance)

    def distance(self, other: _Moments) -> Tensor:
        covariance = other.covariance
        cross = torch.linalg.eigvalsh(self.root @ covariance @ self.root).clamp_min(0).sqrt().sum()
        value: Tensor = (self.mean - other.mean).square().sum() + self.trace + covariance.trace() - 2 * cross
        return value


def frechet_estimate(real: Tensor, fake: Tensor) -> Estimate:
    """`frechet_distance` of (N, D) and (M, D), and its standard error over the drawing of the fakes; the reals stay.

    The error says nothing of the bias, about D (D + 5) / (2 N) for unit covariances, which all values at one N share.
    """
    value = frechet_distance(real, fake)
    centre = real.detach().cpu().double().mean(0)
    reals, rows = _Reals(real.detach().cpu().double() - centre), fake.detach().cpu().double() - centre
    groups = group_of(len(rows))
    parts = [_of(rows[groups == group]) for group in range(int(groups.max()) + 1)]
    whole = _of(rows)
    return Estimate(value, spread(torch.stack([reals.distance(whole - part) for part in parts])))


def frechet_infinity(real: Tensor, fake: Tensor) -> Estimate:
    """The Fréchet distance of (N, D) and (M, D) extrapolated to infinitely many samples, with its standard error.

    The bias falls like 1 / N. So 2 F(N) - F(N/2) is free of it to first order; F(N/2) is the mean over the two halves of
    either side. It may be negative for samples of one distribution, and is of use only from some multiples of D rows on.
    Source: Chong and Forsyth 2020, arXiv:1911.07023, with Richardson's extrapolation in place of their line.
    """
    real, fake = real.detach().cpu().double(), fake.detach().cpu().double()
    centre = real.mean(0)
    real, fake = real - centre, fake - centre
    all_reals, halves = _Reals(real), [_Reals(real[0::2]), _Reals(real[1::2])]
    groups = group_of(len(fake))
    parts = [_of(fake[groups == group]) for group in range(int(groups.max()) + 1)]
    whole, half = _of(fake), [_of(fake[0::2]), _of(fake[1::2])]
    at_half = torch.stack([torch.stack([reals.distance(fakes) for reals in halves]).mean() for fakes in half])
    without = []
    for group, part in enumerate(parts):
        side = group % 2  # the number of groups is even: a group lies in one half
        less = torch.stack([reals.distance(half[side] - part) for reals in halves]).mean()
        without.append(2 * all_reals.distance(whole - part) - (less + at_half[1 - side]) / 2)
    value = 2 * all_reals.distance(whole) - at_half.mean()
    return Estimate(float(value), spread(torch.stack(without)))
