"""Layers that the generators share: normalisations, noise of any size, padding to a multiple.

Legend: N rows, C channels, H height, W width, L latent size.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from zerosum.nn.layers import AnyNorm, channels_last
from zerosum.nn.layers import norm as make_norm

Noise = Literal["waves", "none"]
GROUPS = 4
NUM_WAVES = 32
"""Plane waves for each channel of noise."""


def norm(kind: AnyNorm, channels: int) -> nn.Module:
    """A normalisation over (N, C, H, W); "group" has at most 4 groups."""
    return make_norm(kind, channels, num_groups=math.gcd(GROUPS, channels))


def is_local(kind: AnyNorm) -> bool:
    """Whether the value at a position depends on its neighbourhood only, in eval mode."""
    return kind in ("none", "pixel", "batch")


class Waves(nn.Module):
    """Noise (N, L) as L channels of any size, each the sum of NUM_WAVES plane waves whose phases are sums of the noise.

    Directions are spread evenly, wavelengths evenly in the logarithm from `shortest` to `longest` pixels. Few waves in
    a channel show as stripes in the output; the sum of many has no direction. The value depends on the absolute
    position only, so adjacent tiles of a picture match, and a seed gives the same texture at any size.
    """

    def __init__(self, latent: int, shortest: float = 3.0, longest: float = 32.0) -> None:
        super().__init__()
        shape = latent, NUM_WAVES
        share = (torch.arange(NUM_WAVES) + torch.rand(shape)) / NUM_WAVES
        length = shortest * (longest / shortest) ** share
        angle = math.pi * (torch.rand(shape).argsort(1) + torch.rand(shape)) / NUM_WAVES
        # Two waves whose phases are different sums of independent uniform angles are uncorrelated.
        mixed = torch.randint(-2, 3, (*shape, latent)).float()
        mixed[torch.arange(latent), :, torch.arange(latent)] = 1.0
        self.register_buffer("across", 2 * math.pi * angle.cos() / length)
        self.register_buffer("down", 2 * math.pi * angle.sin() / length)
        self.register_buffer("mixed", mixed)
        self.across: Tensor
        self.down: Tensor
        self.mixed: Tensor

    def forward(self, noise: Tensor, size: tuple[int, int], origin: tuple[int, int] = (0, 0)) -> Tensor:
        """(N, L) -> (N, L, H, W), of variance 1; origin: (top, left) of this tile."""
        y = torch.arange(origin[0], origin[0] + size[0], device=noise.device, dtype=torch.float32)
        x = torch.arange(origin[1], origin[1] + size[1], device=noise.device, dtype=torch.float32)
        uniform = math.pi * torch.special.erf(noise.float() / 2**0.5)  # an angle, for normal noise
        phase = torch.einsum("lkm,nm->lnk", self.mixed, uniform)[:, :, None]  # (L, N, 1, K)
        down, across = (
            (y[:, None] * self.down[:, None])[:, None],
            self.across[:, :, None] * x,
        )  # (L, 1, H, K), (L, K, W)
        # cos(a + b) = cos a cos b - sin a sin b, for the rows and their phases, and for rows and columns
        even = phase.cos() * down.cos() - phase.sin() * down.sin()
        odd = phase.sin() * down.cos() + phase.cos() * down.sin()
        sums = torch.baddbmm(even.new_zeros(()), even.flatten(1, 2), across.cos(), beta=0)
        sums = torch.baddbmm(sums, odd.flatten(1, 2), across.sin(), alpha=-1) * (2 / NUM_WAVES) ** 0.5
        fields: Tensor = sums.unflatten(1, (len(noise), size[0])).transpose(0, 1)
        return fields


class Inlet(nn.Module):
    """The first layer of a generator: the input and the noise, padded to a multiple, through one convolution."""

    def __init__(self, before: int, after: int, kernel: int, latent: int, noise: Noise, multiple: int) -> None:
        super().__init__()
        self.waves = Waves(latent) if noise == "waves" else None
        self.conv = nn.Conv2d(before + (latent if self.waves else 0), after, kernel, padding=kernel // 2)
        self.multiple = multiple

    def forward(self, noise: Tensor, x: Tensor, origin: tuple[int, int]) -> Tensor:
        """(N, L), (N, C, H, W) -> (N, F, H', W'), H' and W' the next multiples."""
        x = pad_to_multiple(x, self.multiple)
        if self.waves is not None:
            size = int(x.shape[2]), int(x.shape[3])
            x = torch.cat([x, self.waves(noise, size, origin).to(x.dtype)], 1)
        y: Tensor = self.conv(channels_last(x))
        return y


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Repeats the values at the bottom and right edges up to the next multiple."""
    down, right = -x.shape[2] % multiple, -x.shape[3] % multiple
    return pad(x, (0, right, 0, down), mode="replicate") if down or right else x
