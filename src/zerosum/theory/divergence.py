"""Closed forms for two distributions: divergences, the best discriminator, maximum likelihood and Wasserstein distance. Nats.

p is the data, q what the generator makes. Tables are (..., K), each row of the last dimension summing to 1; a function of
tables returns (...). Nothing is clamped: 0 log 0 is 0, and what is infinite in theory is inf. Sources: Cover and Thomas 2006,
chapters 2 and 11; Nowozin et al. 2016; Goodfellow et al. 2014; Villani 2009, theorem 5.10 and remark 2.19.
"""

from __future__ import annotations

import math

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


# --- the best discriminator against a fixed generator; densities or probabilities of any shape


def optimal_discriminator(p: Tensor, q: Tensor) -> Tensor:
    """D*(x) = p(x) / (p(x) + q(x)), elementwise, in [0, 1]; 1/2 where both are 0. Proposition 1."""
    return torch.where(p + q > 0, p / (p + q), torch.full_like(p, 0.5))


def game_value(d: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """V(D, G) = sum p log D + q log(1 - D) over the last dimension, of tables; d in [0, 1]. Equation 1."""
    return (torch.xlogy(p, d) + torch.xlogy(q, 1 - d)).sum(-1)


def optimal_value(p: Tensor, q: Tensor) -> Tensor:
    """V(D*, G) = -log 4 + 2 JSD(p, q) of tables (..., K): from -log 4, only at p = q, to 0. Theorem 1."""
    return 2 * js(p, q) - math.log(4)


# --- normal distributions on the line

# The mean log-likelihood of data under a model is -H(p, model) = -H(p) - KL(p || model): the most likely model is the one
# nearest to the data by KL.


def fit_normal(x: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(mean, deviation) that maximise the likelihood of x (N,): the moments, the variance divided by N.

    weights: (N,) that sum to 1, for a table of probabilities over the values x.
    """
    share = torch.full_like(x, 1 / len(x)) if weights is None else weights
    mean = (share * x).sum()
    return mean, (share * (x - mean).square()).sum().sqrt()


def normal_log_density(x: Tensor, mean: Tensor | float, deviation: Tensor | float) -> Tensor:
    """log density of the normal distribution at x, elementwise."""
    deviation = torch.as_tensor(deviation, dtype=x.dtype)
    return -0.5 * ((x - mean) / deviation).square() - deviation.log() - 0.5 * math.log(2 * math.pi)


def w1_normal(mean: float, deviation: float, other_mean: float, other_deviation: float) -> float:
    """W1 between two normal distributions: E |m + s z| with z normal, m and s the differences of means and deviations."""
    m, s = mean - other_mean, abs(deviation - other_deviation)
    if s == 0:
        return abs(m)
    inside = math.erf(m / (s * math.sqrt(2)))
    return s * math.sqrt(2 / math.pi) * math.exp(-0.5 * (m / s) ** 2) + m * inside


def penalised_value(distance: float, weight: float, wrong_way: bool = False) -> float:
    """E_p f - E_q f of the straight critic between two points, under weight * (|f'| - 1)^2.

    With slope s from fake to real the value is s * distance. The loss is least at s = 1 + distance / (2 weight), so the value
    is above W1 = distance. The penalty accepts the slope -1 too: for weights above distance / 2 there is a second minimum at
    s = -1 + distance / (2 weight), where a critic that starts with the wrong sign stays (wrong_way).
    """
    slope = (-1.0 if wrong_way else 1.0) + distance / (2 * weight)
    return slope * distance
