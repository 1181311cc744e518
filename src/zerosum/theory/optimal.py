"""The best discriminator against a fixed generator, and the value of the game there (Goodfellow et al. 2014).

p is the density or probability of the data, q that of the generator, at the same points; plain tensors of any shape.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zerosum.theory.divergence import js


def discriminator(p: Tensor, q: Tensor) -> Tensor:
    """D*(x) = p(x) / (p(x) + q(x)), elementwise, in [0, 1]; 1/2 where both are 0. Proposition 1."""
    return torch.where(p + q > 0, p / (p + q), torch.full_like(p, 0.5))


def value(d: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """V(D, G) = sum p log D + q log(1 - D) over the last dimension, of tables; d in [0, 1]. Equation 1."""
    return (torch.xlogy(p, d) + torch.xlogy(q, 1 - d)).sum(-1)


def optimal_value(p: Tensor, q: Tensor) -> Tensor:
    """V(D*, G) = -log 4 + 2 JSD(p, q) of tables (..., K): from -log 4, only at p = q, to 0. Theorem 1."""
    return 2 * js(p, q) - math.log(4)
