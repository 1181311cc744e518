"""The R3GAN pair: residual blocks without normalisation, grouped convolutions, bilinear resampling (Huang et al. 2024,
arXiv:2501.05441, section 4 and appendix).

Legend: N rows, C channels, H height, W width, L latent size, F features; h, w a stage's own size. First argument the
image's shape, the rest by keyword. Stages are listed from the smallest grid to the full size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu_

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.layers import (
    Output,
    crop_images,
    grid_of,
    num_halvings,
    output_layer,
    pad_images,
    short_sides,
)
from zerosum.nn.layers import (
    channels_last,
    concat_condition,
    downsample_binomial,
    embedded_size,
    embedding,
    halved_widths,
    require_condition,
    upsample_binomial,
)

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""Keeps the second moment through a leaky ReLU (He et al. 2015, arXiv:1502.01852, equation 15)."""


class R3Generator(nn.Module):
    """A learned small grid scaled by the noise, then stages of residual blocks with doublings between them.

    width: channels of the stages whose short side is at most full_size, halved at every doubling above, at least 16.
    widths: instead, one number a stage, smallest grid first. blocks: residual blocks a stage, one number or one a stage.
    patch: the finest stage works on blocks of patch x patch pixels (a power of 2), which are unfolded at the end; 1 is as
    published. group_width, expansion: see R3Block. The published CIFAR-10 network is width 768, full_size 32, blocks 2,
    group_width 16, expansion 2, latent 64.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        latent: int,
        num_classes: int = 0,
        num_attributes: int = 0,
        width: int = 128,
        full_size: int = 8,
        widths: tuple[int, ...] = (),
        blocks: int | tuple[int, ...] = 1,
        patch: int = 1,
        group_width: int = 16,
        expansion: int = 2,
        output: Output = "linear",
        condition_features: int = 64,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.embed = embedding(num_classes, num_attributes, condition_features)
        stages = stages_of(shape, width, full_size, widths, blocks, patch)
        self.grid = ScaledGrid(latent + embedded_size(self.embed), stages[0][0], grid_of(shape))
        self.stages = _trunk(stages, Up, group_width, expansion)
        self.to_image = pointwise(stages[-1][0], shape.channels * patch**2)
        self.unfold = nn.PixelShuffle(patch) if patch > 1 else nn.Identity()
        self.output = output_layer(output)

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) [, (N,) labels or (N, K) attributes] -> (N, C, H, W)."""
        x = self.grid(concat_condition(noise, self.embed, condition))
        images: Tensor = self.output(self.unfold(self.to_image(self.stages(x))))
        return crop_images(images, self.shape)


class R3Discriminator(nn.Module):
    """The mirror of R3Generator: stages with halvings, then one weight a channel and place, and one linear layer.

    With a condition the logit is the product of the last features with the condition's vector (Miyato and Koyama 2018,
    arXiv:1802.05637, without the unconditional part, as published for R3GAN). Options as in R3Generator.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        num_classes: int = 0,
        num_attributes: int = 0,
        width: int = 128,
        full_size: int = 8,
        widths: tuple[int, ...] = (),
        blocks: int | tuple[int, ...] = 1,
        patch: int = 1,
        group_width: int = 16,
        expansion: int = 2,
    ) -> None:
        super().__init__()
        self.shape = shape
        stages = stages_of(shape, width, full_size, widths, blocks, patch)[::-1]
        self.fold = nn.PixelUnshuffle(patch) if patch > 1 else nn.Identity()
        self.from_image = pointwise(shape.channels * patch**2, stages[0][0])
        self.stages = _trunk(stages, R3Down, group_width, expansion)
        features = stages[-1][0]
        self.pool = nn.Conv2d(features, features, grid_of(shape), groups=features, bias=False)
        self.embed = embedding(num_classes, num_attributes, features)
        self.linear = nn.Linear(features, 1 if self.embed is None else features, bias=False)
        nn.init.normal_(self.pool.weight, std=math.prod(grid_of(shape)) ** -0.5)
        nn.init.normal_(self.linear.weight, std=features**-0.5)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, C, H, W) [, (N,) labels or (N, K) attributes] -> (N,) logits."""
        x = channels_last(self.fold(pad_images(images, self.shape)))
        features: Tensor = self.linear(self.pool(self.stages(self.from_image(x))).flatten(1))
        if self.embed is None:
            return features.squeeze(1)
        vector = self.embed(require_condition(condition)).to(features.dtype)
        return (features * vector).sum(1) * features.shape[1] ** -0.5  # type: ignore[no-any-return]


class R3Block(nn.Module):
    """x + conv1x1(act(conv3x3(act(conv1x1(x))))), act = bias and leaky ReLU: (N, F, h, w) -> the same.

    Between the two 1x1 convolutions there are expansion * F channels; the 3x3 one mixes groups of group_width of them (all when
    it is 0; groups of the greatest common divisor where it does not divide them). Fix-up initialisation (Zhang et al.
    2019, arXiv:1901.09321): the last convolution starts at 0, so that the block starts as the identity, and the others are
    scaled by num_blocks ** -1/4, num_blocks being those of the whole network.
    """

    def __init__(self, channels: int, group_width: int, expansion: int, num_blocks: int) -> None:
        super().__init__()
        if expansion < 1 or group_width < 0:
            raise ValueError(f"expansion = {expansion} must be at least 1 and group_width = {group_width} at least 0")
        hidden = channels * expansion
        groups = hidden // math.gcd(hidden, group_width)
        self.widen = nn.Conv2d(channels, hidden, 1)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, groups=groups)
        self.narrow = nn.Conv2d(hidden, channels, 1, bias=False)
        for conv in (self.widen, self.mix):
            fan = conv.weight[0].numel()
            nn.init.normal_(conv.weight, std=GAIN * fan**-0.5 * num_blocks**-0.25)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.narrow.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        hidden = leaky_relu_(self.widen(x), SLOPE)
        return x + self.narrow(leaky_relu_(self.mix(hidden), SLOPE))  # type: ignore[no-any-return]


class ScaledGrid(nn.Module):
    """(N, features) -> (N, F, h, w): a learned grid whose channels are scaled by a linear map of the noise."""

    def __init__(self, features: int, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(*grid, channels))
        self.linear = nn.Linear(features, channels, bias=False)
        nn.init.normal_(self.linear.weight, std=features**-0.5)

    def forward(self, noise: Tensor) -> Tensor:
        """Channels last in memory."""
        scales: Tensor = self.linear(noise)
        return (scales[:, None, None] * self.basis).permute(0, 3, 1, 2)


class Up(nn.Module):
    """Doubles height and width by linear interpolation, with a 1x1 convolution where the channels change.

    The convolution comes first: it commutes with the interpolation, and costs a quarter on the smaller grid.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = pointwise(before, after) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, F, h, w) -> (N, F', 2h, 2w)."""
        return upsample_binomial(self.conv(x))


class R3Down(nn.Module):
    """Halves height and width by a [1, 2, 1] filter, with a 1x1 convolution where the channels change."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = pointwise(before, after) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, F, 2h, 2w) -> (N, F', h, w)."""
        y: Tensor = self.conv(downsample_binomial(x))
        return y


# --- parts


def pointwise(before: int, after: int) -> nn.Conv2d:
    """A 1x1 convolution without bias that keeps the variance."""
    conv = nn.Conv2d(before, after, 1, bias=False)
    nn.init.normal_(conv.weight, std=before**-0.5)
    return conv


def stages_of(
    shape: Shape, width: int, full_size: int, widths: tuple[int, ...], blocks: int | tuple[int, ...], patch: int
) -> list[tuple[int, int]]:
    """(channels, blocks) of each stage, smallest grid first; ValueError when a list has another length."""
    if full_size < 1:
        raise ValueError(f"full_size = {full_size} must be at least 1")
    if patch not in (1 << level for level in range(num_halvings(shape) + 1)):
        raise ValueError(f"patch = {patch} must be a power of 2, at most {1 << num_halvings(shape)} for this size")
    num_stages = num_halvings(shape) + 2 - patch.bit_length()
    sides = short_sides(shape)[:num_stages]
    channels = widths or tuple(halved_widths(width, sides, full_size, least=16))
    counts = (blocks,) * num_stages if isinstance(blocks, int) else blocks
    for name, given in (("widths", channels), ("blocks", counts)):
        if len(given) != num_stages or min(given) < (name == "widths"):
            sizes = " ".join(f"{side}" for side in sides)
            raise ValueError(f"{name} = {list(given)} must have {num_stages} numbers, for the short sides {sizes}")
    return list(zip(channels, counts, strict=True))


def _trunk(
    stages: list[tuple[int, int]], resample: type[Up] | type[R3Down], group_width: int, expansion: int
) -> nn.Sequential:
    """The blocks of all stages in the order given, with a resampling before each but the first."""
    num_blocks = sum(count for _, count in stages)
    layers: list[nn.Module] = []
    before = stages[0][0]
    for level, (after, count) in enumerate(stages):
        layers += [resample(before, after)] if level else []
        layers += [R3Block(after, group_width, expansion, num_blocks) for _ in range(count)]
        before = after
    return nn.Sequential(*layers)
