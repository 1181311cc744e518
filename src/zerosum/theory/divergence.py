"""How far apart two distributions over the same symbols are: entropies and divergences of probability tables, in nats.

p and q are (..., K), each row of the last dimension summing to 1; every function returns (...). Nothing is clamped:
0 log 0 is 0, and what is infinite in theory is inf. Source: Cover and Thomas 2006, chapter 2; Nowozin et al. 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor


def entropy(p: Tensor) -> Tensor:
    """H(p) = -sum p log p, from 0 (certain) to log K (uniform)."""
    return -torch.xlogy(p, p).sum(-1)


def cross_entropy(p: Tensor, q: Tensor) -> Tensor:
    """H(p, q) = -sum p log q = H(p) + KL(p, q); inf where q = 0 < p."""
    return -torch.xlogy(p, q).sum(-1)


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) = sum p log(p / q), from 0 to inf; inf where q = 0 < p."""
    # The ratio is taken before the logarithm, so that equal tables give exactly 0.
    ratio = torch.where(p > 0, p / q, torch.ones_like(p))
    return torch.xlogy(p, ratio).sum(-1)


def js(p: Tensor, q: Tensor) -> Tensor:
    """JSD = KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2, from 0 to log 2."""
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """sum |p - q| / 2, from 0 to 1: the largest difference of probability that any event can have."""
    return (p - q).abs().sum(-1) / 2


def squared_hellinger(p: Tensor, q: Tensor) -> Tensor:
    """sum (sqrt p - sqrt q)^2, from 0 to 2 (some authors halve it)."""
    return (p.sqrt() - q.sqrt()).square().sum(-1)


def pearson(p: Tensor, q: Tensor) -> Tensor:
    """Pearson's chi-squared: sum (p - q)^2 / q, from 0 to inf; inf where q = 0 < p."""
    return torch.where(p == q, torch.zeros_like(p), (p - q).square() / q).sum(-1)
