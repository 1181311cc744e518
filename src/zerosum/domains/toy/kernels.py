"""The shapes that densities are made of: distributions on the line, at 0 and of size 1, each in three closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Kernel:
    """log_prob(z) and cdf(z) of any z; quantile(u) of u in (0, 1), which also turns uniform numbers into samples."""

    log_prob: Function
    cdf: Function
    quantile: Function


def _where(inside: Tensor, log_prob: Tensor) -> Tensor:
    return torch.where(inside, log_prob, -math.inf)


NORMAL = Kernel(
    lambda z: -0.5 * z.square() - 0.5 * math.log(2 * math.pi),
    torch.special.ndtr,
    torch.special.ndtri,
)

UNIFORM = Kernel(  # on [-1/2, 1/2]
    lambda z: _where(z.abs() <= 0.5, torch.zeros_like(z)),
    lambda z: (z + 0.5).clamp(0, 1),
    lambda u: u - 0.5,
)

EXPONENTIAL = Kernel(  # on [0, inf)
    lambda z: _where(z >= 0, -z),
    lambda z: -torch.expm1(-z.clamp(min=0)),
    lambda u: -torch.log1p(-u),
)

LAPLACE = Kernel(  # exp(-|z|) / 2
    lambda z: -z.abs() - math.log(2),
    lambda z: torch.where(z < 0, z.clamp(max=0).exp() / 2, 1 - (-z.clamp(min=0)).exp() / 2),
    lambda u: -torch.sign(u - 0.5) * torch.log1p(-2 * (u - 0.5).abs()),
)
