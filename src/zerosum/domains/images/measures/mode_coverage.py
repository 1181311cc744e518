"""Stacked digits: how many of the 1,000 combinations of three digits a generator makes, and how evenly.

The protocol of Lin et al. 2018 (PacGAN, arXiv:1712.04086), after Metz et al. 2017 and Srivastava et al. 2017: 26,000
samples, each channel read by a digit classifier.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics.record import Estimate, group_of, spread

NUM_SAMPLES = 26_000
NUM_MODES = 1_000


def modes_of(digits: Tensor) -> Tensor:
    """(N,) int64 in 0..999: the number that the three digits (N, 3), each 0..9, are read as."""
    rows = digits.detach().cpu().long()
    if rows.ndim != 2 or rows.shape[1] != 3 or not len(rows) or int(rows.min()) < 0 or int(rows.max()) > 9:
        raise UserError(f"stacked digits: labels {tuple(rows.shape)} must be (N, 3), each digit in 0..9")
    return rows @ torch.tensor([100, 10, 1])


def modes_and_divergence(digits: Tensor) -> tuple[int, Estimate]:
    """Combinations seen at least once, and KL(share of each || 1/1000) in nats, of digits (N, 3).

    0 when all combinations are alike often; log 1000 when there is but one. Even for perfectly even classes N samples
    leave about 999 / (2 N): 0.0192 at 26,000.
    """
    modes = modes_of(digits)
    counts = torch.bincount(modes, minlength=NUM_MODES).double()
    groups = group_of(len(modes))
    parts = [torch.bincount(modes[groups == group], minlength=NUM_MODES) for group in range(int(groups.max()) + 1)]
    without = torch.stack([_from_uniform(counts - part) for part in parts])
    return int((counts > 0).sum()), Estimate(float(_from_uniform(counts)), spread(without))


def expected_divergence(num: int) -> float:
    """The divergence that `num` samples of perfectly even combinations show, to first order in 1 / num."""
    return (NUM_MODES - 1) / (2 * num)


def _from_uniform(counts: Tensor) -> Tensor:
    shares = counts / counts.sum()
    return torch.xlogy(shares, shares).sum() + math.log(NUM_MODES)
