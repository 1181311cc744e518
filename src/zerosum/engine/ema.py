"""The average generator: an exponential moving average in float32, whose half-life is counted in samples."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """Follows a network: parameters are averaged, buffers copied.

    With half-life h samples and n samples a step the decay of a step is 0.5 ** (n / h). `ramp` bounds the half-life by
    ramp * samples seen, so that a young average is not held back by the first, untrained weights
    (Karras et al. 2020, the reference implementation's ema_rampup).
    """

    def __init__(self, network: nn.Module, ramp: float | None = 0.05) -> None:
        self.network = copy.deepcopy(network).float().eval().requires_grad_(False)
        self.ramp = ramp
        self._averaged: list[Tensor] = list(self.network.parameters())
        self._copied = list(self.network.buffers())

    @torch.no_grad()
    def update(self, network: nn.Module, samples: int, seen: int, half_life: float) -> None:
        """One step of `samples` rows after `seen` rows in all; half_life in rows, 0 copies the network."""
        limit = half_life if self.ramp is None else min(half_life, self.ramp * seen)
        decay = 0.5 ** (samples / limit) if limit > 0 else 0.0
        current = [parameter.detach().float() for parameter in network.parameters()]
        torch._foreach_lerp_(self._averaged, current, 1 - decay)
        for mine, theirs in zip(self._copied, network.buffers(), strict=True):
            mine.copy_(theirs)

    def state_dict(self) -> Mapping[str, Tensor]:
        """The averaged network's tensors."""
        return self.network.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of state_dict; raises on missing or foreign names."""
        self.network.load_state_dict(dict(state))
