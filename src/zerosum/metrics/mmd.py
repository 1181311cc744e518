"""Maximum mean discrepancy: how far apart the means of two samples are in the space of a kernel (Gretton et al. 2012)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics.jackknife import Estimate, spread

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
    x, y = _checked(real, "real"), _checked(fake, "fake")
    if x.shape[1] != y.shape[1]:
        raise UserError(f"kernel_distance: real has {x.shape[1]} features and fake {y.shape[1]}; use one extractor")
    n, m = len(x), len(y)
    within_x, within_y = _row_sums(x, x) - _own(x), _row_sums(y, y) - _own(y)
    from_x, from_y = _row_sums(x, y), _row_sums(y, x)
    a, b, c = within_x.sum(), within_y.sum(), from_x.sum()
    value = a / (n * (n - 1)) + b / (m * (m - 1)) - 2 * c / (n * m)
    no_x = (a - 2 * within_x) / ((n - 1) * (n - 2)) + b / (m * (m - 1)) - 2 * (c - from_x) / ((n - 1) * m)
    no_y = a / (n * (n - 1)) + (b - 2 * within_y) / ((m - 1) * (m - 2)) - 2 * (c - from_y) / (n * (m - 1))
    return Estimate(float(value), (spread(no_x) ** 2 + spread(no_y) ** 2) ** 0.5)


def _checked(features: Tensor, name: str) -> Tensor:
    if features.ndim != 2 or len(features) < 3:
        raise UserError(f"kernel_distance: {name} has shape {tuple(features.shape)}; give at least 3 rows (N, D)")
    matrix = features.detach().to("cpu", torch.float64)
    if not bool(torch.isfinite(matrix).all()):
        raise UserError(f"kernel_distance: {name} holds non-finite features; look at the samples first")
    return matrix


def _row_sums(x: Tensor, y: Tensor) -> Tensor:
    """(N,): for each row of x, the sum of the kernel with all rows of y."""
    parts = torch.split(x, max(_BLOCK // len(y), 1))
    return torch.cat([_cubed(part @ y.T / x.shape[1]).sum(1) for part in parts])


def _own(x: Tensor) -> Tensor:
    """(N,): the kernel of each row with itself."""
    return _cubed(x.square().sum(1) / x.shape[1])


def _cubed(products: Tensor) -> Tensor:
    shifted = products + 1
    return shifted * shifted * shifted
