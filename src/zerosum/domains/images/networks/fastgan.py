"""A light pair for few images: skip-layer excitation in the generator, self-supervised decoders in the discriminator
(FastGAN: Liu et al. 2021, arXiv:2101.04775).

Legend: N rows, C channels, H height, W width, L latent size, F features; h, w a level's own size. First argument the
image's shape, the rest by keyword. Levels are listed from the smallest grid to the full size.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, glu, interpolate, leaky_relu_

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.layers import (
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
    Halve,
    Norm,
    adaptive_pool,
    channels_last,
    concat_condition,
    draw_shared,
    embedded_size,
    embedding,
    from_grid,
    halved_widths,
    to_vector,
)
from zerosum.nn.layers import norm as make_norm

CPU = torch.device("cpu")
SLOPE = 0.2
GATED_GAIN = 1.8
"""Of the weights before x * sigmoid(y): with y ~ N(0, 1.8^2), E sigmoid(y)^2 is about 1/3, and 1.8^2 / 3 about 1."""


def level_widths(shape: Shape, width: int, full_size: int) -> list[int]:
    """Channels of each level: width where the short side is at most full_size, halved at every doubling above, at least 8."""
    return halved_widths(width, short_sides(shape), full_size, least=8)


class FastGanGenerator(nn.Module):
    """Noise to a small grid, then nearest doubling, 3x3 convolution and a gated linear unit for each level.

    width, full_size: see level_widths. reach: the channels of a level gate those of the level so many doublings further up,
    where there is one (section 3.1; there 4). norm: of the doublings.
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
        reach: int = 3,
        norm: Norm = "batch",
        output: Output = "linear",
        condition_features: int = 32,
    ) -> None:
        super().__init__()
        if reach < 1:
            raise ValueError(f"reach must be at least 1, got {reach}")
        self.shape, self.grid, self.reach = shape, grid_of(shape), reach
        widths = level_widths(shape, width, full_size)
        self.embed = embedding(num_classes, num_attributes, condition_features)
        features = latent + embedded_size(self.embed)
        self.stem = nn.Linear(features, 2 * widths[0] * self.grid[0] * self.grid[1])
        self.stem_norm = make_norm(norm, 2 * widths[0])
        self.levels = nn.ModuleList(GatedUp(*pair, norm) for pair in itertools.pairwise(widths))
        self.excitations = nn.ModuleList(map(Excitation, widths, widths[reach:]))
        self.last = nn.Conv2d(widths[-1], shape.channels, 3, padding=1)
        self.output = output_layer(output)
        _init_weights(self)

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) [, (N,) labels or (N, K) attributes] -> (N, C, H, W)."""
        x = from_grid(self.stem(concat_condition(noise, self.embed, condition)), self.grid)
        x = glu(self.stem_norm(x), 1)
        seen = [x]
        for number, level in enumerate(self.levels, 1):
            x = level(x)
            if number >= self.reach:
                x = x * self.excitations[number - self.reach](seen[number - self.reach])
            seen.append(x)
        images: Tensor = self.output(self.last(x))
        return crop_images(images, self.shape)


class FastGanDiscriminator(nn.Module):
    """Residual halvings; one logit for the whole image and one a place of a finer level; decoders for self-supervision.

    In the discriminator's own turn outputs["reconstruction"] (N,) holds the mean absolute error of two small decoders: one
    reconstructs the whole image from the coarse level (short side 8 or more), the other a quarter of it, a random one in every
    call, from the level before. The penalty `reconstruction` minimises it on reals: features that must describe the whole image
    cannot specialise in what separates these few images from the current fakes (section 3.2). decode: doublings of a decoder,
    4 in the paper. Without decoders (decode = 0) nothing is reconstructed.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        num_classes: int = 0,
        num_attributes: int = 0,
        width: int = 128,
        full_size: int = 8,
        norm: Norm = "none",
        decode: int = 2,
        decoder_width: int = 32,
    ) -> None:
        super().__init__()
        if decode < 0:
            raise ValueError(f"decode must be at least 0, got {decode}")
        self.shape = shape
        widths = level_widths(shape, width, full_size)[::-1]
        half = len(widths) > 1
        first = Halve(shape.channels, widths[1]) if half else nn.Conv2d(shape.channels, widths[0], 3, padding=1)
        downs = [Down(*pair, norm) for pair in itertools.pairwise(widths[1:])]
        self.levels = nn.ModuleList([nn.Sequential(first, nn.LeakyReLU(SLOPE, inplace=True)), *downs])
        # The coarse level: the last whose short side is 8 or more.
        self.coarse = max(0, min(num_halvings(shape) - (min(grid_of(shape)) < 8) - half, len(downs)))
        seen = widths[half:]
        self.patches = nn.Conv2d(seen[self.coarse], 1, 3, padding=1, bias=False)
        self.head = Head(widths[-1] * grid_of(shape)[0] * grid_of(shape)[1], num_classes, num_attributes)
        decoded = [max(0, self.coarse - 1), self.coarse] if decode else []
        self.decoders = nn.ModuleList(Decoder(seen[level], decoder_width, decode, shape.channels) for level in decoded)
        _init_weights(self)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """(N, C, H, W) [, (N,) labels or (N, K) attributes] -> logits (N,) and (N, 1, h, w)."""
        images = channels_last(pad_images(images, self.shape))
        seen = [images]
        for level in self.levels:
            seen.append(level(seen[-1]))
        whole = self.head(to_vector(seen[-1]), condition)
        assert isinstance(whole, Tensor), "this head has no auxiliary classes"
        logits = whole, self.patches(seen[self.coarse + 1])
        return DiscriminatorOutput(
            logits, outputs=self._reconstruction(images, seen[1:]) if self._reconstructs(images) else {}
        )

    def _reconstructs(self, images: Tensor) -> bool:
        """Whether the reconstruction may be used: not in the generator's turn, nor for a gradient by the images."""
        learns = self.training and torch.is_grad_enabled() and not images.requires_grad
        return learns and any(parameter.requires_grad for parameter in self.decoders.parameters())

    def _reconstruction(self, images: Tensor, seen: Sequence[Tensor]) -> dict[str, Tensor]:
        quarter, whole = self.decoders
        corner = int(draw_shared(CPU, lambda stream: torch.randint(4, (), generator=stream)))
        part, fine = _quarter(images, corner), _quarter(seen[max(0, self.coarse - 1)], corner)
        error = (_distance(quarter(fine), part) + _distance(whole(seen[self.coarse]), images)) / 2
        return {"reconstruction": error}


class Down(nn.Module):
    """The mean of two paths: 4x4 with stride 2 and 3x3; 2x2 means and 1x1. (N, F, h, w) -> (N, F', h/2, w/2)."""

    def __init__(self, before: int, after: int, norm: Norm) -> None:
        super().__init__()
        self.narrow = nn.Sequential(nn.Conv2d(before, after, 4, stride=2, padding=1), make_norm(norm, after))
        self.mix = nn.Sequential(nn.Conv2d(after, after, 3, padding=1), make_norm(norm, after))
        self.direct = nn.Sequential(nn.Conv2d(before, after, 1), make_norm(norm, after))

    def forward(self, x: Tensor) -> Tensor:
        """h and w are even."""
        deep = leaky_relu_(self.mix(leaky_relu_(self.narrow(x), SLOPE)), SLOPE)
        return (deep + leaky_relu_(self.direct(avg_pool2d(x, 2)), SLOPE)) / 2


class Decoder(nn.Module):
    """(N, F, h, w) -> (N, C, h * 2^k, w * 2^k): one 1x1 convolution, k gated doublings, a last 3x3 convolution."""

    def __init__(self, features: int, width: int, doublings: int, channels: int) -> None:
        super().__init__()
        widths = [max(8, width >> level) for level in range(doublings + 1)]
        self.first = nn.Conv2d(features, widths[0], 1)
        self.levels = nn.Sequential(*(GatedUp(*pair, "none") for pair in itertools.pairwise(widths)))
        self.last = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Linear at the end, so that errors at the ends of the range have a gradient."""
        return self.last(self.levels(leaky_relu_(self.first(features), SLOPE)))  # type: ignore[no-any-return]


class GatedUp(nn.Module):
    """(N, F, h, w) -> (N, F', 2h, 2w): nearest doubling, 3x3 convolution, norm, gated linear unit."""

    def __init__(self, before: int, after: int, norm: Norm) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, 2 * after, 3, padding=1)
        self.norm = make_norm(norm, 2 * after)

    def forward(self, x: Tensor) -> Tensor:
        """The gate is the second half of the channels."""
        return glu(self.norm(self.conv(interpolate(x, scale_factor=2, mode="nearest"))), 1)


class Excitation(nn.Module):
    """Gates of a fine level's channels, computed from a coarse one: (N, F, h, w) -> (N, F', 1, 1) in (0, 1)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, after, 4)
        self.gate = nn.Conv2d(after, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The coarse level is pooled to 4x4 first."""
        squeezed = leaky_relu_(self.squeeze(adaptive_pool(x, (4, 4))), 0.1)
        return self.gate(squeezed).sigmoid()  # type: ignore[no-any-return]


# --- parts


def _quarter(x: Tensor, corner: int) -> Tensor:
    """(N, F, h, w) -> (N, F, h/2, w/2), corner 0 to 3 in reading order; sides are rounded up."""
    height, width = (-(-size // 2) for size in x.shape[2:])
    top, left = (corner // 2) * (x.shape[2] - height), (corner % 2) * (x.shape[3] - width)
    return x[:, :, top : top + height, left : left + width]


def _distance(rebuilt: Tensor, target: Tensor) -> Tensor:
    """(N,) mean absolute difference at the smaller of both sizes."""
    size = min(rebuilt.shape[2], target.shape[2]), min(rebuilt.shape[3], target.shape[3])
    return (adaptive_pool(rebuilt, size) - adaptive_pool(target, size)).abs().flatten(1).mean(1)


def _init_weights(network: nn.Module) -> None:
    """The second moment is kept through leaky ReLU and gated units; the gates of excitations begin near 1/2."""
    gated = {module.conv for module in network.modules() if isinstance(module, GatedUp)}
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            gain = GATED_GAIN if module in gated else nn.init.calculate_gain("leaky_relu", SLOPE)
            nn.init.normal_(module.weight, std=gain * module.weight[0].numel() ** -0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
