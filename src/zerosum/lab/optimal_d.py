"""How a discriminator's logits are read: as probabilities, whatever the loss, and beside the best ones for that loss."""

from __future__ import annotations

import torch
from torch import Tensor

from zerosum.engine import losses
from zerosum.engine.losses import GANLoss
from zerosum.theory import optimal

LARGEST = 30.0
"""Logits beyond it are as good as certain: 1 - sigmoid(30) = 1e-13."""


class OptimalDReading:
    """How the logits of a loss are read. D in [0, 1] is always sigmoid(logit - middle)."""

    def __init__(self, pair: GANLoss) -> None:
        self.pair = pair
        self._best = _best_by_ratio(pair)

    def middle(self, real: Tensor, fake: Tensor) -> float:
        """The logit that stands for "cannot tell", from logits of reals and fakes: the loss's own; or, where only
        differences of logits mean something, the constant that serves D best, which maximises V over these rows."""
        if self.pair.neutral is not None:
            return self.pair.neutral
        low, high = float(min(real.min(), fake.min())) - 1, float(max(real.max(), fake.max())) + 1
        for _ in range(30):  # V is concave in the constant, so its slope has one zero
            middle = (low + high) / 2
            slope = float((fake - middle).sigmoid().mean() - (middle - real).sigmoid().mean())
            low, high = (middle, high) if slope > 0 else (low, middle)
        return (low + high) / 2

    def best(self, p: Tensor, q: Tensor) -> Tensor | None:
        """The best D for this loss where the data have density p and the fakes q, elementwise.

        p / (p + q) for losses whose logit is a log-odds (proposition 1 of the 2014 paper), up to their free constant for
        relativistic ones; for others the minimum of their own function; None for a critic that would grow without end.
        """
        if self._best is None:
            return None
        place = optimal.discriminator(p, q).double() * (len(self._best) - 1)
        below = place.floor().long().clamp(max=len(self._best) - 2)
        return torch.lerp(self._best[below], self._best[below + 1], place - below)

    def value(self, real: Tensor, fake: Tensor, middle: float) -> float | None:
        """V(D, G), a mean over logits of reals and fakes; None where D estimates no probability."""
        if not self.pair.probabilistic and _separable(self.pair):
            return None
        return float((losses.value(real - middle, fake - middle)).mean())


def _best_by_ratio(pair: GANLoss) -> Tensor | None:
    """(1001,) float64: the best D where p / (p + q) = 0, 0.001 ... 1; None where there is none."""
    ratios = torch.linspace(0, 1, 1001, dtype=torch.float64)
    if pair.probabilistic or not _separable(pair):
        return ratios
    logits = torch.linspace(-LARGEST, LARGEST, 3001, dtype=torch.float64)
    zero = torch.zeros_like(logits)
    on_real, on_fake = pair.discriminator(logits, zero), pair.discriminator(zero, logits)
    cost = ratios[:, None] * on_real + (1 - ratios[:, None]) * on_fake
    lowest = (cost <= cost.min(1, keepdim=True).values + 1e-12).double()
    found = (lowest @ logits) / lowest.sum(1)  # where a stretch of logits is equally good: its middle
    # A loss that goes on falling has no best D; one that levels off has a best that is certain.
    for ratio in (0.25, 0.75):
        cost = ratio * on_real + (1 - ratio) * on_fake
        if float(torch.minimum(cost[0] - cost[750], cost[-1] - cost[-751])) < -1:
            return None
    return (found - (pair.neutral or 0.0)).sigmoid()


def _separable(pair: GANLoss) -> bool:
    """Whether D's loss is a function of the real logit plus one of the fake logit."""
    real, fake = torch.tensor([0.7, -1.3]).double(), torch.tensor([0.4, 2.1]).double()
    zero, f = torch.zeros_like(real), pair.discriminator
    return bool(torch.allclose(f(real, fake) + f(zero, zero), f(real, zero) + f(zero, fake)))
