"""Maximum mean discrepancy: how far apart the means of two samples are, seen through a kernel (Gretton et al. 2012)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zerosum.errors import UserError

ROWS = 1024  # rows of the kernel matrix held at a time


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
    within = [(_sum(z, z, widths) - len(z)) / (len(z) * (len(z) - 1)) for z in (x, y)]
    return within[0] + within[1] - 2 * _sum(x, y, widths) / (len(x) * len(y))


def _sum(x: Tensor, y: Tensor, widths: Sequence[float]) -> float:
    """The sum of the kernel over all pairs."""
    total = 0.0
    for rows in torch.split(x, ROWS):
        # Distances need float64, where squares cancel; their exponentials do not, and take most of the time.
        squares = torch.cdist(rows, y, compute_mode="use_mm_for_euclid_dist").square_().float()
        total += sum(float((squares * (-0.5 / width**2)).exp_().sum(dtype=torch.float64)) for width in widths)
    return total / len(widths)
