"""Layers that several domains share."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, fold, pad, pixel_unshuffle

from zerosum.nn.rows import drawn

FEW_CHANNELS = 4
"""Images, and images with a label plane."""

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


class Halve(nn.Module):
    """4x4 convolution with stride 2 and padding 1: (N, C, H, W) -> (N, F, H/2, W/2).

    With few input channels (an image) the CPU's direct kernel leaves most of its lanes idle; the same sums are then taken
    as a 2x2 convolution over 2x2 blocks, about twice as fast forwards and backwards.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """H and W must be even for the block form; other sizes take the plain one."""
        if self.conv.in_channels > FEW_CHANNELS or x.device.type != "cpu" or x.shape[2] % 2 or x.shape[3] % 2:
            y: Tensor = self.conv(x)
            return y
        blocks = pixel_unshuffle(pad(x, (1, 1, 1, 1)), 2).contiguous(memory_format=torch.channels_last)
        return conv2d(blocks, pixel_unshuffle(self.conv.weight, 2), self.conv.bias)


class Double(nn.Module):
    """Transposed 4x4 convolution with stride 2 and padding 1: (N, F, H, W) -> (N, C, 2H, 2W).

    With one output channel it is taken as one matrix product and a fold, about twice as fast on a CPU.
    """

    def __init__(self, before: int, after: int, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Any H and W."""
        if self.conv.out_channels > 1 or x.device.type != "cpu":
            y: Tensor = self.conv(x)
            return y
        n, channels, height, width = x.shape
        patches = x.permute(0, 2, 3, 1).reshape(n, height * width, channels) @ self.conv.weight.view(channels, -1)
        image = fold(patches.transpose(1, 2), (2 * height, 2 * width), 4, padding=1, stride=2)
        return image if self.conv.bias is None else image + self.conv.bias.view(1, -1, 1, 1)


class Dropout(nn.Module):
    """Dropout whose mask is a function of the row in the global batch, for any number of micro-batches and processes.

    p: share of entries set to 0, in [0, 1). The mask comes from random bytes, which on a CPU takes a fraction of the time of
    a Bernoulli mask: the kept share is rounded to 1/256 and kept exact in the mean. bernoulli: p as it is.
    """

    def __init__(self, p: float, bernoulli: bool = False) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {p}")
        self.p, self.bernoulli, self._threshold = p, bernoulli, round(p * 256)

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...), same shape; the identity in eval mode."""
        if not self.training or not (self.p if self.bernoulli else self._threshold):
            return x
        if self.bernoulli:
            return x * drawn(len(x), x.device, lambda num, stream: self._shares(x, num, stream))
        kept = drawn(len(x), x.device, lambda num, stream: self._kept(x, num, stream))
        return x * kept.to(x.dtype) * (256 / (256 - self._threshold))

    def _shares(self, x: Tensor, num: int, stream: torch.Generator | None) -> Tensor:
        return x.new_empty(num, *x.shape[1:]).bernoulli_(1 - self.p, generator=stream).div_(1 - self.p)

    def _kept(self, x: Tensor, num: int, stream: torch.Generator | None) -> Tensor:
        shape = num, *x.shape[1:]
        words = torch.empty((math.prod(shape) + 7) // 8, dtype=torch.int64, device=x.device)
        places = words.random_(-(2**63), None, generator=stream).view(torch.uint8)[: math.prod(shape)]
        return places.view(shape) >= self._threshold

    def extra_repr(self) -> str:
        """Shown in the network's print."""
        return f"p={self.p}"
