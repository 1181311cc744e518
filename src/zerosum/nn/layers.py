"""Layers that several domains share: normalisations, perceptrons, dropout, and widths by level.

Legend: N rows, C channels, F features, * spatial sizes: (T), (H, W) or (D, H, W). `dims` counts the spatial dimensions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d

from zerosum.nn.random_rows import draw_rows

CONV: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
"""Number of spatial dimensions -> convolution layer."""
CONV_TRANSPOSE: dict[int, type[nn.ConvTranspose1d] | type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
CONV_FUNCTION: dict[int, Callable[..., Tensor]] = {1: conv1d, 2: conv2d, 3: conv3d}
CONV_TRANSPOSE_FUNCTION: dict[int, Callable[..., Tensor]] = {
    1: conv_transpose1d,
    2: conv_transpose2d,
    3: conv_transpose3d,
}
BATCH_NORM: dict[int, type[nn.BatchNorm1d] | type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}

Norm = Literal["none", "batch", "group"]
AnyNorm = Literal["none", "batch", "group", "instance", "pixel"]


def norm(kind: AnyNorm, channels: int, dims: int = 2, num_groups: int = 0) -> nn.Module:
    """A normalisation over (N, C, *).

    batch: over the batch and all positions. group: over `num_groups` groups of channels (0: one for every 16 channels, at least
    one). instance: over each channel. pixel: see PixelNorm. none: the identity.
    """
    if kind == "batch":
        return BATCH_NORM[dims](channels)
    if kind == "group":
        return nn.GroupNorm(num_groups or max(1, channels // 16), channels)
    if kind == "instance":
        # Groups of one channel. With torch's own InstanceNorm2d (2.13, CPU) the gradients of the contrastive terms changed with
        # the number of rows computed together, in float64 too; with GroupNorm they do not.
        return nn.GroupNorm(channels, channels)
    return PixelNorm(channels, dims) if kind == "pixel" else nn.Identity()


def row_norm(kind: Norm, features: int) -> nn.Module:
    """A normalisation over (N, F): batch, group (layer normalisation), or none."""
    if kind == "batch":
        return nn.BatchNorm1d(features)
    return nn.LayerNorm(features) if kind == "group" else nn.Identity()


class PixelNorm(nn.Module):
    """Scales the channels of each position to mean square 1, then applies a scale and a shift for each channel.

    A position does not depend on any other, so an image made in tiles equals one made whole (Karras et al. 2018,
    arXiv:1710.10196, section 4.2).
    """

    def __init__(self, channels: int, dims: int = 2) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, *[1] * dims))
        self.bias = nn.Parameter(torch.zeros(channels, *[1] * dims))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *) -> the same shape."""
        length = (
            x.to(torch.promote_types(x.dtype, torch.float32))
            .square()
            .mean(1, keepdim=True)
            .add(1e-6)
            .rsqrt()
            .to(x.dtype)
        )
        return torch.addcmul(self.bias.to(x.dtype), x * length, self.weight.to(x.dtype))


def perceptron(sizes: Sequence[int], after: Callable[[int], Iterable[nn.Module]], last: bool = False) -> nn.Sequential:
    """Linear layers between consecutive `sizes`, with the layers after(width) behind each one.

    last: whether they also follow the last linear layer. ValueError for a size below 1.
    """
    if min(sizes) < 1:
        raise ValueError(f"widths must be at least 1, got {tuple(sizes)}")
    layers: list[nn.Module] = []
    for index, (before, width) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Linear(before, width))
        if last or index < len(sizes) - 2:
            layers += after(width)
    return nn.Sequential(*layers)


def doubled_widths(width: int, num_levels: int, most: int) -> list[int]:
    """Channels of each level, the full size first: `width`, doubled at each level, at most `most`."""
    return [min(width * 2**level, most) for level in range(num_levels)]


def halved_widths(width: int, sides: Iterable[int], full_size: int, least: int) -> list[int]:
    """Channels of levels with these short sides: `width` where the side is at most full_size, halved for each doubling of the
    side above it, at least `least` (or `width` if that is less). ValueError for a width or full_size below 1."""
    if width < 1 or full_size < 1:
        raise ValueError(f"width = {width} and full_size = {full_size} must be at least 1")
    return [max(width >> max(0, (-(-side // full_size) - 1).bit_length()), min(width, least)) for side in sides]


def channels_last(x: Tensor) -> Tensor:
    """x with the channels last in memory, which is the faster layout for convolutions, on CPUs too; (N, C, T) as it is."""
    if x.dim() == 4:
        return x.contiguous(memory_format=torch.channels_last)
    return x.contiguous(memory_format=torch.channels_last_3d) if x.dim() == 5 else x


class Dropout(nn.Module):
    """Dropout whose mask depends on the row in the global batch only, for any number of micro-batches and processes.

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
            return x * draw_rows(len(x), x.device, lambda num, stream: self._bernoulli_mask(x, num, stream))
        kept = draw_rows(len(x), x.device, lambda num, stream: self._byte_mask(x, num, stream))
        return x * kept.to(x.dtype) * (256 / (256 - self._threshold))

    def _bernoulli_mask(self, x: Tensor, num: int, stream: torch.Generator | None) -> Tensor:
        return x.new_empty(num, *x.shape[1:]).bernoulli_(1 - self.p, generator=stream).div_(1 - self.p)

    def _byte_mask(self, x: Tensor, num: int, stream: torch.Generator | None) -> Tensor:
        shape = num, *x.shape[1:]
        words = torch.empty((math.prod(shape) + 7) // 8, dtype=torch.int64, device=x.device)
        random_bytes = words.random_(-(2**63), None, generator=stream).view(torch.uint8)[: math.prod(shape)]
        return random_bytes.view(shape) >= self._threshold

    def extra_repr(self) -> str:
        """Shown in the network's print."""
        return f"p={self.p}"
