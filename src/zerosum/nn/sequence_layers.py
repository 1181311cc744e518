"""Layers for sequences (N, D, K): frames of sound, characters of a text, steps of a series.

Legend: N rows, D channels, K places of a sequence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from zerosum.nn.layers import draw_rows


class ConvNeXtBlock(nn.Module):
    """x + scale * f(x), where f is a convolution of each channel, a normalisation of the channels of each place, and two linear
    layers with a GELU between them (ConvNeXt: Liu et al. 2022, arXiv:2201.03545; in one dimension in Vocos: Siuzdak 2024,
    arXiv:2306.00814).

    hidden: channels between the two linear layers. kernel: odd; an output depends on kernel // 2 places on each side. scale: the
    first value of the learned factors of f, one for each channel.
    """

    def __init__(self, width: int, hidden: int, kernel: int = 7, scale: float = 0.3) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {kernel}")
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.first, self.second = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, D, K) -> (N, D, K). mask: (N, 1, K), 0 at the padded places of a row, which then have no influence and stay 0."""
        if mask is not None:
            x = x * mask
        inner = self.norm(self.conv(x).transpose(1, 2))
        change = (self.scale * self.second(gelu(self.first(inner)))).transpose(1, 2)
        return torch.add(x, change if mask is None else change * mask)


class PhaseShuffle(nn.Module):
    """In training each row is shifted in time by up to `radius` places, mirrored at its ends, so that a discriminator cannot
    tell generated waves by the phase of the artefacts of transposed convolutions (arXiv:1802.04208, section 3.3)."""

    def __init__(self, radius: int) -> None:
        super().__init__()
        if radius < 0:
            raise ValueError(f"shuffle must be at least 0, got {radius}")
        self.radius = radius

    def forward(self, x: Tensor) -> Tensor:
        """(N, D, K) -> the same shape."""
        if not self.training or not self.radius:
            return x
        length, device = x.shape[2], x.device
        shift = draw_rows(
            len(x),
            device,
            lambda num, stream: torch.randint(-self.radius, self.radius + 1, (num,), device=device, generator=stream),
        )
        places = (torch.arange(length, device=device) + shift[:, None]).abs()
        places = (length - 1 - (length - 1 - places).abs()).clamp_min(0)
        return x.gather(2, places[:, None].expand_as(x))

    def extra_repr(self) -> str:
        """Shown in the network's print."""
        return f"radius={self.radius}"
