"""The residual pair of SNGAN, for any size, grey or colour, rectangular too (Miyato et al. 2018, arXiv:1802.05957, tables 3-6),
and the blocks that it shares with SAGAN and BigGAN.

Legend: N rows, C channels, H height, W width, L latent size, F features. A condition is (N,) labels or (N, K) attributes. A
level is a number of halvings: 0 the full size, the last the small grid. `width` is the number of channels at the full size;
every halving doubles it, up to `widest` times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.layers import (
    Ending,
    Head,
    Output,
    crop_images,
    grid_of,
    num_halvings,
    output_layer,
    pad_images,
    short_sides,
)
from zerosum.engine.game import DiscriminatorOutput
from zerosum.nn.layers import (
    ConditionalNorm,
    Norm,
    SelfAttention,
    channels_last,
    conv_then_halve,
    double_then_conv,
    doubled_widths,
    embedding,
    from_grid,
    zero_init,
)
from zerosum.nn.layers import norm as make_norm
from zerosum.nn.layers import spectral as under_spectral_norm

Init = Literal["xavier", "orthogonal"]
Affine = Callable[[int], nn.Module | None]
"""Channels C -> a map from the condition of a block to (N, 2C); None without conditions."""


def level_widths(shape: Shape, width: int, widest: int) -> list[int]:
    """Channels of each level."""
    return doubled_widths(width, num_halvings(shape) + 1, width * widest)


def attention_level(shape: Shape, attention: int) -> int:
    """The level of self-attention: the largest grid whose shorter side is at most `attention`, never the full size where
    there is a smaller one; the small grid where all are larger."""
    sides = short_sides(shape)[::-1]
    return next((level for level, side in enumerate(sides) if level > 0 and side <= attention), num_halvings(shape))


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
        if self.up:  # a 1x1 convolution commutes with doubling, and is cheaper before it
            h, skip = double_then_conv(h, self.conv1), interpolate(skip, scale_factor=2, mode="nearest")
        else:
            h = self.conv1(h)
        return skip + self.conv2(self.norm2(h, condition).relu())  # type: ignore[no-any-return]


class DownBlock(nn.Module):
    """ReLU - 3x3 - ReLU - 3x3 - halve, beside a halved 1x1: (N, C, H, W) -> (N, F, H/2, W/2).

    The first block, whose input is the image, has no ReLU before it. Halving takes the mean of 2x2 positions.
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
        output: Output,
    ) -> None:
        super().__init__()
        self.shape, self.grid = shape, grid_of(shape)
        halvings, attends_at = num_halvings(shape), attention_level(shape, attention)
        before = widths[halvings]
        self.stem = nn.Linear(features, before * self.grid[0] * self.grid[1])
        stages: list[nn.Module] = [SelfAttention(before)] if attention and attends_at == halvings else []
        for level in range(max(0, halvings - 1), -1, -1):
            for index in range(depth):
                stages.append(UpBlock(before, widths[level], index == 0 and halvings > 0, norm, affine))
                before = widths[level]
            stages += [SelfAttention(before)] if attention and attends_at == level < halvings else []
        self.stages = nn.ModuleList(stages)
        self.norm, self.last = make_norm(norm, before), nn.Conv2d(before, shape.channels, 3, padding=1)
        self.output = output_layer(output)

    @property
    def num_blocks(self) -> int:
        """Blocks that take a condition."""
        return sum(isinstance(stage, UpBlock) for stage in self.stages)

    def forward(self, features: Tensor, conditions: Sequence[Tensor | None]) -> Tensor:
        """(N, F), one condition a block -> (N, C, H, W)."""
        x = from_grid(self.stem(features), self.grid)
        remaining = iter(conditions)
        for stage in self.stages:
            x = stage(x, next(remaining)) if isinstance(stage, UpBlock) else stage(x)
        images: Tensor = self.output(self.last(self.norm(x).relu()))
        return crop_images(images, self.shape)


class ResNetGenerator(nn.Module):
    """Linear to a small grid, then residual blocks that double its size; the condition acts through the normalisations.

    depth: blocks at each size above the grid. norm: "batch" as in the paper, or "group", which needs no running statistics.
    attention: 0 for none, else the shorter side of the grid that gets self-attention (the largest one not above it).
    spectral: the generator too is under spectral normalisation (Zhang et al. 2019, arXiv:1805.08318).
    """

    def __init__(
        self,
        shape: Shape,
        *,
        latent: int,
        num_classes: int = 0,
        num_attributes: int = 0,
        width: int = 64,
        widest: int = 4,
        depth: int = 1,
        norm: Norm = "batch",
        attention: int = 0,
        spectral: bool = False,
        output: Output = "tanh",
        init: Init = "xavier",
    ) -> None:
        super().__init__()

        def affine(channels: int) -> nn.Module | None:
            return embedding(num_classes, num_attributes, 2 * channels)

        widths = level_widths(shape, width, widest)
        self.body = Body(shape, latent, widths, depth, norm, affine, attention, output)
        init_weights(self, init, spectral)
        for module in self.modules():
            if isinstance(module, ConditionalNorm) and not spectral:  # whose weights must not be 0
                zero_init(module.to_affine)

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) [, condition] -> (N, C, H, W)."""
        images: Tensor = self.body(noise, [condition] * self.body.num_blocks)
        return images


class ResNetDiscriminator(nn.Module):
    """Residual blocks down to a small grid, the sum over positions, and a head.

    depth: blocks at each size. floor: halving stops before the shorter side would fall below this. plain: blocks on the grid
    that is left. The network of the paper for 32x32 is width=128, widest=1, floor=8, plain=2. Spectral normalisation is
    the only one, so rows do not depend on each other and gradient penalties are exact.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        num_classes: int = 0,
        num_attributes: int = 0,
        width: int = 64,
        widest: int = 4,
        depth: int = 1,
        floor: int = 4,
        plain: int = 1,
        attention: int = 0,
        spectral: bool = True,
        condition: Ending = "projection",
        init: Init = "xavier",
    ) -> None:
        super().__init__()
        self.shape = shape
        halvings = sum(side >= floor for side in short_sides(shape)[:-1])
        widths = level_widths(shape, width, widest)[: halvings + 1]
        attends_at = min(attention_level(shape, attention), halvings)
        stages: list[nn.Module] = []
        before, first = shape.channels, True
        for level, after in enumerate(widths):
            down = level < halvings
            for index in range(depth if down else plain):
                stages.append(DownBlock(before, after, down=down and index == 0, first=first))
                before, first = after, False
            if attention and attends_at == min(level + 1, halvings) and not _attends(stages):
                stages.append(SelfAttention(after))
        self.stages = nn.Sequential(*stages)
        self.head = Head(before, num_classes, num_attributes, condition)
        init_weights(self, init, spectral)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor | DiscriminatorOutput:
        """(N, C, H, W) [, condition] -> (N,) logits."""
        x = channels_last(pad_images(images, self.shape))
        features = self.stages(x).relu().sum((2, 3))
        return self.head(features, condition)  # type: ignore[no-any-return]


def init_weights(network: nn.Module, init: Init, spectral: bool) -> None:
    """Initialises convolutions, linear layers and embeddings; with `spectral`, puts them under spectral normalisation.

    xavier: uniform, with gain sqrt(2) for the 3x3 convolutions, which a rectifier precedes. orthogonal: every weight, as a
    matrix (out, rest), has orthonormal rows or columns (Saxe et al. 2014; Brock et al. 2019). Biases are 0.
    """
    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            continue
        if init == "orthogonal":
            nn.init.orthogonal_(module.weight)
        elif not isinstance(module, nn.Embedding):
            wide = isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
            nn.init.xavier_uniform_(module.weight, 2**0.5 if wide else 1.0)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    if spectral:
        under_spectral_norm(network)


def _attends(stages: list[nn.Module]) -> bool:
    return any(isinstance(stage, SelfAttention) for stage in stages)
