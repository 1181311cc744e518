"""Fréchet distance between two sets of features, in float64 and without SciPy: its value, its standard error, and its limit
for infinitely many samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics.jackknife import Estimate, group_of, spread


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """The squared Fréchet (2-Wasserstein) distance of the Gaussians fitted to two sets of features.

    real: (N, D), fake: (M, D), any float type; N, M >= 2. Unbiased covariances. Returns a value >= 0 in squared
    feature units. For two samples of N rows of one distribution with unit covariance it is about D (D + 5) / (2 N), not
    0: compare values at equal sample sizes only.

    With centred features A and B the trace of the root of the product of covariances is the sum of the singular
    values of A B^T, up to the two sample sizes. This never squares a condition number, so rank-deficient sets
    (N < D) keep full precision; a set with more rows than columns is first reduced to its D x D QR factor.

    Raises UserError for other shapes, fewer than two rows or non-finite features.
    Source: Heusel et al. 2017, arXiv:1706.08500, equation 6 (Dowson and Landau 1982).
    """
    a, b = _checked(real, "real"), _checked(fake, "fake")
    if a.shape[1] != b.shape[1]:
        raise UserError(f"frechet_distance: real has {a.shape[1]} features and fake {b.shape[1]}; use one extractor")
    mean_a, mean_b = a.mean(0), b.mean(0)
    a = (a - mean_a) / (len(a) - 1) ** 0.5
    b = (b - mean_b) / (len(b) - 1) ** 0.5
    cross = torch.linalg.svdvals(_reduced(a) @ _reduced(b).T).sum()
    value = (mean_a - mean_b).square().sum() + a.square().sum() + b.square().sum() - 2 * cross
    return max(float(value), 0.0)  # the exact value is never negative; rounding may leave -1e-13


def frechet_from_moments(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> float:
    """The squared Fréchet distance of two Gaussians: |m1-m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2).

    mean: (D,), cov: (D, D) symmetric and positive semi-definite. Returns a value >= 0.
    Raises UserError on shapes that do not fit.
    """
    m1, c1, m2, c2 = (moment.detach().to("cpu", torch.float64) for moment in (mean1, cov1, mean2, cov2))
    size = m1.numel()
    if m1.shape != (size,) or m2.shape != (size,) or c1.shape != (size, size) or c2.shape != (size, size):
        raise UserError(f"frechet_from_moments: shapes {[tuple(t.shape) for t in (m1, c1, m2, c2)]} do not fit")
    half = root(c1)
    cross = torch.linalg.eigvalsh(half @ c2 @ half).clamp_min(0).sqrt().sum()
    value = (m1 - m2).square().sum() + c1.trace() + c2.trace() - 2 * cross
    return max(float(value), 0.0)


def _checked(features: Tensor, name: str) -> Tensor:
    """The features as a float64 CPU matrix."""
    if features.ndim != 2 or len(features) < 2:
        raise UserError(f"frechet_distance: {name} has shape {tuple(features.shape)}; give at least 2 rows (N, D)")
    matrix = features.detach().to("cpu", torch.float64)
    if not bool(torch.isfinite(matrix).all()):
        raise UserError(f"frechet_distance: {name} holds non-finite features; look at the samples first")
    return matrix


def _reduced(centred: Tensor) -> Tensor:
    """A factor with the same Gram matrix F^T F and no more rows than columns."""
    if len(centred) <= centred.shape[1]:
        return centred
    factor: Tensor = torch.linalg.qr(centred, mode="r").R
    return factor


def root(covariance: Tensor) -> Tensor:
    """The symmetric square root of (D, D) positive semi-definite; eigenvalues that rounding made negative count as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    half: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return half


# --- standard error and extrapolation
#
# A set of features is kept as the moments of its groups; the set without one group is the sum of the others, so that twenty
# distances cost twenty eigenvalue problems and no further pass over the features.


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


def _moments(rows: Tensor) -> _Moments:
    return _Moments(len(rows), rows.sum(0), rows.T @ rows)


class _RealGaussian:
    """Distances from one set of reals: the root of their covariance is taken once."""

    def __init__(self, rows: Tensor) -> None:
        moments = _moments(rows)
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
    reals, rows = _RealGaussian(real.detach().cpu().double() - centre), fake.detach().cpu().double() - centre
    groups = group_of(len(rows))
    parts = [_moments(rows[groups == group]) for group in range(int(groups.max()) + 1)]
    whole = _moments(rows)
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
    all_reals, halves = _RealGaussian(real), [_RealGaussian(real[0::2]), _RealGaussian(real[1::2])]
    groups = group_of(len(fake))
    parts = [_moments(fake[groups == group]) for group in range(int(groups.max()) + 1)]
    whole, half = _moments(fake), [_moments(fake[0::2]), _moments(fake[1::2])]
    at_half = torch.stack([torch.stack([reals.distance(fakes) for reals in halves]).mean() for fakes in half])
    without = []
    for group, part in enumerate(parts):
        side = group % 2  # the number of groups is even: a group lies in one half
        less = torch.stack([reals.distance(half[side] - part) for reals in halves]).mean()
        without.append(2 * all_reals.distance(whole - part) - (less + at_half[1 - side]) / 2)
    value = 2 * all_reals.distance(whole) - at_half.mean()
    return Estimate(float(value), spread(torch.stack(without)))
