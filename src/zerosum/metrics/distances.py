"""Distances between two samples of rows: Fréchet distance, maximum mean discrepancy, optimal transport."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics.record import Estimate, group_of, spread


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
    a, b = (_rows(side, name, "frechet_distance", 2) for side, name in ((real, "real"), (fake, "fake")))
    if a.shape[1] != b.shape[1]:
        raise UserError(f"frechet_distance: real has {a.shape[1]} features and fake {b.shape[1]}; use one extractor")
    mean_a, mean_b = a.mean(0), b.mean(0)
    a = (a - mean_a) / (len(a) - 1) ** 0.5
    b = (b - mean_b) / (len(b) - 1) ** 0.5
    cross = torch.linalg.svdvals(_reduce_rows(a) @ _reduce_rows(b).T).sum()
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


def _rows(features: Tensor, side: str, measure: str, fewest: int) -> Tensor:
    """Features (N, D) as a float64 matrix on the CPU. UserError below `fewest` rows, and for values that are not finite."""
    if features.ndim != 2 or len(features) < fewest:
        raise UserError(f"{measure}: {side} has shape {tuple(features.shape)}; give at least {fewest} rows (N, D)")
    matrix = features.detach().to("cpu", torch.float64)
    if not bool(torch.isfinite(matrix).all()):
        raise UserError(f"{measure}: {side} holds non-finite features; look at the samples first")
    return matrix


def _reduce_rows(centred: Tensor) -> Tensor:
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


_BLOCK = 4_000_000  # values of the cubic kernel held at once (32 MB in float64)
_ROWS = 1024  # rows of the Gaussian kernel matrix held at once


def mmd2(x: Tensor, y: Tensor, widths: Sequence[float] = (0.1, 0.3, 1.0)) -> float:
    """The unbiased estimate of MMD^2 between samples (N, D) and (M, D), N and M at least 2; around 0 when they agree.

    The kernel is the mean over `widths` h of exp(-||x - y||^2 / (2 h^2)). Time N M, memory constant. It may be negative.
    Gretton et al. 2012, Journal of Machine Learning Research 13, equation 3.
    """
    if x.dim() != 2 or y.dim() != 2 or x.shape[1] != y.shape[1] or len(x) < 2 or len(y) < 2:
        raise UserError(
            f"mmd2: samples of shape {tuple(x.shape)} and {tuple(y.shape)}; give (N, D) and (M, D), N, M >= 2"
        )
    x, y = x.detach().cpu().double(), y.detach().cpu().double()
    # Each point's kernel with itself is 1; without it the means within a sample have no bias.
    within = [(_kernel_sum(z, z, widths) - len(z)) / (len(z) * (len(z) - 1)) for z in (x, y)]
    return within[0] + within[1] - 2 * _kernel_sum(x, y, widths) / (len(x) * len(y))


def _kernel_sum(x: Tensor, y: Tensor, widths: Sequence[float]) -> float:
    """The sum of the kernel over all pairs."""
    total = 0.0
    for rows in torch.split(x, _ROWS):
        # Distances need float64, where squares cancel; their exponentials do not, and take most of the time.
        squares = torch.cdist(rows, y, compute_mode="use_mm_for_euclid_dist").square_().float()
        total += sum(float((squares * (-0.5 / width**2)).exp_().sum(dtype=torch.float64)) for width in widths)
    return total / len(widths)


def kernel_distance(real: Tensor, fake: Tensor) -> Estimate:
    """MMD^2 of features (N, D) and (M, D) under k(x, y) = (x.y / D + 1)^3, from all pairs, and its standard error.

    Unbiased: for two samples of one distribution it is symmetric around 0 and may be negative, whatever N and M, which
    are at least 3. The error covers the drawing of both sets (every row left out once). The mean over subsets that others
    take has the same expectation and a larger error. UserError for other shapes or features that are not finite.
    With features of
    the standard Inception network this is the Kernel Inception Distance (Bińkowski et al. 2018, arXiv:1801.01401); with any
    other it is not, and is not called so. Source: Gretton et al. 2012, equation 3.
    """
    x, y = (_rows(side, name, "kernel_distance", 3) for side, name in ((real, "real"), (fake, "fake")))
    if x.shape[1] != y.shape[1]:
        raise UserError(f"kernel_distance: real has {x.shape[1]} features and fake {y.shape[1]}; use one extractor")
    n, m = len(x), len(y)
    within_x, within_y = _row_sums(x, x) - _self_kernel(x), _row_sums(y, y) - _self_kernel(y)
    from_x, from_y = _row_sums(x, y), _row_sums(y, x)
    a, b, c = within_x.sum(), within_y.sum(), from_x.sum()
    value = a / (n * (n - 1)) + b / (m * (m - 1)) - 2 * c / (n * m)
    no_x = (a - 2 * within_x) / ((n - 1) * (n - 2)) + b / (m * (m - 1)) - 2 * (c - from_x) / ((n - 1) * m)
    no_y = a / (n * (n - 1)) + (b - 2 * within_y) / ((m - 1) * (m - 2)) - 2 * (c - from_y) / (n * (m - 1))
    return Estimate(float(value), (spread(no_x) ** 2 + spread(no_y) ** 2) ** 0.5)


def _row_sums(x: Tensor, y: Tensor) -> Tensor:
    """(N,): for each row of x, the sum of the kernel with all rows of y."""
    parts = torch.split(x, max(_BLOCK // len(y), 1))
    return torch.cat([_cubic_kernel(part @ y.T / x.shape[1]).sum(1) for part in parts])


def _self_kernel(x: Tensor) -> Tensor:
    """(N,): the kernel of each row with itself."""
    return _cubic_kernel(x.square().sum(1) / x.shape[1])


def _cubic_kernel(products: Tensor) -> Tensor:
    shifted = products + 1
    return shifted * shifted * shifted


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
