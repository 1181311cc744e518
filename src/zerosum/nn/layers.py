"""Layers that several domains share."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Norm = Literal["none", "batch", "group"]


def norm2d(kind: Norm, channels: int) -> nn.Module:
    """A normalisation over (N, C, H, W): batch, group (groups of 16 channels, at least one), or none."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(max(1, channels // 16), channels)
    return nn.Identity()


def norm1d(kind: Norm, features: int) -> nn.Module:
    """A normalisation over (N, F): batch, group (layer normalisation), or none."""
    if kind == "batch":
        return nn.BatchNorm1d(features)
    return nn.LayerNorm(features) if kind == "group" else nn.Identity()


class Dropout(nn.Module):
    """Dropout whose mask comes from random bytes: the kept share is rounded to 1/256 and kept exact in the mean.

    On a CPU it takes a fraction of the time of a Bernoulli mask. p: share of entries set to 0, in [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Same shape; the identity in eval mode."""
        threshold = round(self.p * 256)
        if not self.training or threshold == 0:
            return x
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
        mask = (words.view(torch.uint8)[: x.numel()].view(x.shape) >= threshold).to(x.dtype)
        return x * mask * (256 / (256 - threshold))

    def extra_repr(self) -> str:
        """Shown in the network's print."""
        return f"p={self.p}"
