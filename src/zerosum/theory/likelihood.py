"""Maximum likelihood in closed form, and the divergences between the families it fits. Nats, float64.

The mean log-likelihood of data under a model is -H(p_data, model) = -H(p_data) - KL(p_data || model): the most likely
model is the one nearest to the data by KL. Cover and Thomas 2006, chapters 2 and 11.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def fit_normal(x: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(mean, deviation) that maximise the likelihood of x (N,): the moments, the variance divided by N.

    weights: (N,) that sum to 1, for a table of probabilities over the values x.
    """
    share = torch.full_like(x, 1 / len(x)) if weights is None else weights
    mean = (share * x).sum()
    return mean, (share * (x - mean).square()).sum().sqrt()


def fit_exponential(x: Tensor) -> Tensor:
    """The scale (1 / rate) that maximises the likelihood of x (N,) >= 0: the mean."""
    return x.mean()


def fit_laplace(x: Tensor) -> tuple[Tensor, Tensor]:
    """(location, scale) that maximise the likelihood of x (N,): the median and the mean distance from it.

    With an even N every number between the two middle ones is a median; the lower one is given.
    """
    middle = x.median()
    return middle, (x - middle).abs().mean()


def fit_categorical(counts: Tensor) -> Tensor:
    """The table (..., K) that maximises the likelihood of counts (..., K): the shares."""
    return counts / counts.sum(-1, keepdim=True)


def normal(x: Tensor, mean: Tensor | float, deviation: Tensor | float) -> Tensor:
    """log density of the normal distribution at x, elementwise."""
    deviation = torch.as_tensor(deviation, dtype=x.dtype)
    return -0.5 * ((x - mean) / deviation).square() - deviation.log() - 0.5 * math.log(2 * math.pi)


def exponential(x: Tensor, scale: Tensor | float) -> Tensor:
    """log density of the exponential distribution at x, elementwise; -inf below 0."""
    scale = torch.as_tensor(scale, dtype=x.dtype)
    return torch.where(x >= 0, -x / scale - scale.log(), torch.full_like(x, -math.inf))


def laplace(x: Tensor, location: Tensor | float, scale: Tensor | float) -> Tensor:
    """log density of the Laplace distribution at x, elementwise."""
    scale = torch.as_tensor(scale, dtype=x.dtype)
    return -(x - location).abs() / scale - (2 * scale).log()


def kl_normal(mean: float, deviation: float, other_mean: float, other_deviation: float) -> float:
    """KL(N(mean, deviation^2) || N(other_mean, other_deviation^2))."""
    ratio = deviation / other_deviation
    return 0.5 * (ratio**2 + ((mean - other_mean) / other_deviation) ** 2 - 1) - math.log(ratio)


def kl_exponential(scale: float, other_scale: float) -> float:
    """KL between exponential distributions of these scales."""
    return scale / other_scale - 1 - math.log(scale / other_scale)


def kl_laplace(location: float, scale: float, other_location: float, other_scale: float) -> float:
    """KL between Laplace distributions."""
    apart = abs(location - other_location)
    return (scale * math.exp(-apart / scale) + apart) / other_scale - 1 - math.log(scale / other_scale)


def entropy_normal(deviation: float) -> float:
    """Differential entropy of a normal distribution."""
    return math.log(deviation) + 0.5 * (1 + math.log(2 * math.pi))
