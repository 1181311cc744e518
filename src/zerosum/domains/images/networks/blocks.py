"""The residual blocks that SNGAN, SAGAN and BigGAN share, and the body of their generators.

Legend: N rows, C channels, H height, W width, F features. A level is a number of halvings, 0 the full size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.resolution import grid_of, num_halvings
from zerosum.nn.attention import SelfAttention
from zerosum.nn.conditioning import ConditionalNorm
from zerosum.nn.layers import Norm, norm2d
from zerosum.nn.resampling import conv_then_halve, double_then_conv

Affine = Callable[[int], nn.Module | None]
"""Channels C -> a map from a block's condition to (N, 2C); None without conditions."""


def level_widths(shape: Shape, width: int, widest: int) -> list[int]:
    """Channels at each level."""
    return [width * min(2**level, widest) for level in range(num_halvings(shape) + 1)]


def sides(shape: Shape) -> list[int]:
    """The shorter side at each level."""
    scale = 2 ** num_halvings(shape)
    return [min(grid_of(shape)) * scale >> level for level in range(num_halvings(shape) + 1)]


def attention_level(shape: Shape, attention: int) -> int:
    """The level of self-attention: the largest grid whose shorter side is at most `attention`, never the full size where
    there is a smaller one; the small grid where all are larger."""
    found = (level for level, side in enumerate(sides(shape)) if level > 0 and side <= attention)
    return next(found, num_halvings(shape))


class UpBlock(nn.Module):
    """norm - ReLU - double - 3x3 - norm - ReLU - 3x3, beside a doubled 1x1: (N, C, H, W) -> (N, F, 2H, 2W)."""

    def __init__(self, before: int, after: int, up: bool, norm: Norm, affine: Affine) -> None:
        super().__init__()
        self.up = up
        self.norm1, self.norm2 = (ConditionalNorm(norm, c, affine(c)) for c in (before, after))
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1) if up or before != after else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Without `up` the size stays."""
        h, skip = self.norm1(x, condition).relu(), self.skip(x)
        if self.up:  # a 1x1 convolution and doubling change places freely; the small side is cheaper
            h, skip = double_then_conv(h, self.conv1), interpolate(skip, scale_factor=2, mode="nearest")
        else:
            h = self.conv1(h)
        return skip + self.conv2(self.norm2(h, condition).relu())  # type: ignore[no-any-return]


class DownBlock(nn.Module):
    """ReLU - 3x3 - ReLU - 3x3 - halve, beside a halved 1x1: (N, C, H, W) -> (N, F, H/2, W/2).

    The first block, which sees the image, has no ReLU before it. Halving is the mean of 2x2 places.
    """

    def __init__(self, before: int, after: int, down: bool, first: bool = False) -> None:
        super().__init__()
        self.down, self.first = down, first
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1) if down or before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Without `down` the size stays."""
        h = self.conv1(x if self.first else x.relu()).relu()
        if self.down:
            return conv_then_halve(h, self.conv2) + self.skip(avg_pool2d(x, 2))  # type: ignore[no-any-return]
        return self.conv2(h) + self.skip(x)  # type: ignore[no-any-return]


class Body(nn.Module):
    """From features (N, F) to images (N, C, H, W): a small grid, residual blocks, one normalisation, one convolution.

    Sizes that are not a small grid times a power of 2 are cut from the next larger one. widths: channels at each level.
    depth: blocks at each level above the grid. affine: see Affine; each block gets a condition of its own.
    """

    def __init__(
        self,
        shape: Shape,
        features: int,
        widths: Sequence[int],
        depth: int,
        norm: Norm,
        affine: Affine,
        attention: int,
        output: Literal["tanh", "linear"],
    ) -> None:
        super().__init__()
        self.shape, self.grid = shape, grid_of(shape)
        halvings, place = num_halvings(shape), attention_level(shape, attention)
        before = widths[halvings]
        self.stem = nn.Linear(features, before * self.grid[0] * self.grid[1])
        stages: list[nn.Module] = [SelfAttention(before)] if attention and place == halvings else []
        for level in range(max(0, halvings - 1), -1, -1):
            for index in range(depth):
                stages.append(UpBlock(before, widths[level], index == 0 and halvings > 0, norm, affine))
                before = widths[level]
            stages += [SelfAttention(before)] if attention and place == level < halvings else []
        self.stages = nn.ModuleList(stages)
        self.norm, self.last = norm2d(norm, before), nn.Conv2d(before, shape.channels, 3, padding=1)
        self.output = nn.Tanh() if output == "tanh" else nn.Identity()

    @property
    def num_blocks(self) -> int:
        """Blocks that take a condition."""
        return sum(isinstance(stage, UpBlock) for stage in self.stages)

    def forward(self, features: Tensor, conditions: Sequence[Tensor | None]) -> Tensor:
        """(N, F), one condition a block -> (N, C, H, W)."""
        (h, w), x = self.grid, self.stem(features)
        x = x.view(-1, h, w, x.shape[1] // (h * w)).permute(0, 3, 1, 2)  # channels last in memory
        waiting = iter(conditions)
        for stage in self.stages:
            x = stage(x, next(waiting)) if isinstance(stage, UpBlock) else stage(x)
        images: Tensor = self.output(self.last(self.norm(x).relu()))
        top, left = (images.shape[2] - self.shape.height) // 2, (images.shape[3] - self.shape.width) // 2
        return images[:, :, top : top + self.shape.height, left : left + self.shape.width]
