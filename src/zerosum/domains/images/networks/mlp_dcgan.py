"""The classic pairs, MLP and DCGAN, for any size, grey or colour, rectangular too.

Legend: N rows, C channels, H height, W width, L latent size, F features. First argument the image's shape, the rest by
keyword. Generators map (N, L) noise [, condition] to (N, C, H, W); discriminators map images [, condition] to (N,) logits. A
condition is (N,) labels or (N, K) attributes.
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor, nn

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.layers import (
    Head,
    Output,
    crop_images,
    grid_of,
    num_halvings,
    output_layer,
    pad_images,
)
from zerosum.engine.game import DiscriminatorOutput
from zerosum.nn.layers import (
    Double,
    Dropout,
    Halve,
    Norm,
    channels_last,
    concat_condition,
    doubled_widths,
    embedded_size,
    embedding,
    from_grid,
    perceptron,
    require_condition,
    row_norm,
    to_vector,
)
from zerosum.nn.layers import norm as make_norm

Condition = Literal["concat", "projection", "auxiliary"]
Init = Literal["torch", "dcgan", "kaiming"]


class MlpGenerator(nn.Module):
    """The MLP of the tutorials: L-256-512-1024-CHW with LeakyReLU and tanh."""

    def __init__(
        self,
        shape: Shape,
        *,
        latent: int,
        num_classes: int = 0,
        num_attributes: int = 0,
        widths: tuple[int, ...] = (256, 512, 1024),
        norm: Norm = "none",
        slope: float = 0.2,
        output: Output = "tanh",
        label_features: int = 16,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.embed = embedding(num_classes, num_attributes, label_features)
        sizes = latent + embedded_size(self.embed), *widths, shape.channels * shape.height * shape.width
        layers = perceptron(sizes, lambda width: [row_norm(norm, width), nn.LeakyReLU(slope)])
        self.layers = nn.Sequential(*layers, output_layer(output))

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) [, condition] -> (N, C, H, W)."""
        flat: Tensor = self.layers(concat_condition(noise, self.embed, condition))
        return flat.view(-1, self.shape.channels, self.shape.height, self.shape.width)


class MlpDiscriminator(nn.Module):
    """The MLP of the tutorials: CHW-1024-512-256-1 with LeakyReLU and dropout; labels by concatenation or projection."""

    def __init__(
        self,
        shape: Shape,
        *,
        num_classes: int = 0,
        num_attributes: int = 0,
        widths: tuple[int, ...] = (1024, 512, 256),
        dropout: float = 0.3,
        slope: float = 0.2,
        condition: Condition = "concat",
        label_features: int = 16,
    ) -> None:
        super().__init__()
        self.embed = embedding(num_classes, num_attributes, label_features) if condition == "concat" else None
        sizes = shape.channels * shape.height * shape.width + embedded_size(self.embed), *widths
        self.layers = perceptron(sizes, lambda _: [nn.LeakyReLU(slope), Dropout(dropout)], last=True)
        self.head = _head(sizes[-1], num_classes, num_attributes, condition)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor | DiscriminatorOutput:
        """(N, C, H, W) [, condition] -> (N,) logits."""
        features = self.layers(concat_condition(images.flatten(1), self.embed, condition))
        return self.head(features, condition)  # type: ignore[no-any-return]


class ConvGenerator(nn.Module):
    """Linear to a small grid of at least 4x4, then doublings to the image's size (Radford et al. 2015, arXiv:1511.06434).

    width: channels at half the image's size, doubled at each lower one up to 8 * width. depth: further 3x3 convolutions
    at each resolution. up: "transposed" 4x4 convolution, or resize ("nearest", "bilinear") and 3x3 convolution, which leaves
    no checkerboard pattern. Sizes that are not a small grid times a power of 2 are cropped from the next larger one.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        latent: int,
        num_classes: int = 0,
        num_attributes: int = 0,
        width: int = 64,
        depth: int = 0,
        up: Literal["transposed", "nearest", "bilinear"] = "transposed",
        norm: Norm = "batch",
        slope: float = 0.0,
        dropout: float = 0.0,
        output: Output = "tanh",
        init: Init = "dcgan",
        label_features: int = 16,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.grid, widths = grid_of(shape), level_widths(shape, width)[::-1]
        self.embed = embedding(num_classes, num_attributes, label_features)
        self.stem = nn.Linear(latent + embedded_size(self.embed), widths[0] * self.grid[0] * self.grid[1])
        self.stem_norm = nn.Sequential(make_norm(norm, widths[0]), _activation(slope))
        stages: list[nn.Module] = _deepen(widths[0], depth, norm, slope)
        for before, after in itertools.pairwise(widths):
            stages += [_up(before, after, up, norm != "batch"), make_norm(norm, after), _activation(slope)]
            stages += _deepen(after, depth, norm, slope)
            stages += [Dropout(dropout)] if dropout else []
        self.stages = nn.Sequential(*stages)
        self.last = _up(widths[-1], shape.channels, up if num_halvings(shape) else "same", True)
        self.output = output_layer(output)
        _init_weights(self, init, slope)

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) [, condition] -> (N, C, H, W)."""
        x = from_grid(self.stem(concat_condition(noise, self.embed, condition)), self.grid)
        images: Tensor = self.output(self.last(self.stages(self.stem_norm(x))))
        return crop_images(images, self.shape)


class ConvDiscriminator(nn.Module):
    """The mirror of ConvGenerator: halvings down to a small grid, then one linear head.

    down: "strided" 4x4 convolution, or 3x3 convolution and average pooling ("pooled"). condition: it is an extra
    image channel ("concat", Mirza and Osindero 2014) or in the head ("projection" or "auxiliary", see Head).
    """

    def __init__(
        self,
        shape: Shape,
        *,
        num_classes: int = 0,
        num_attributes: int = 0,
        width: int = 64,
        depth: int = 0,
        down: Literal["strided", "pooled"] = "strided",
        norm: Norm = "none",
        slope: float = 0.2,
        dropout: float = 0.0,
        condition: Condition = "projection",
        init: Init = "dcgan",
    ) -> None:
        super().__init__()
        self.shape = shape
        plane = shape.height * shape.width
        self.embed = embedding(num_classes, num_attributes, plane) if condition == "concat" else None
        widths = level_widths(shape, width)
        first = _down(shape.channels + (self.embed is not None), widths[0], down if num_halvings(shape) else "same")
        stages: list[nn.Module] = [first, _activation(slope), *_deepen(widths[0], depth, norm, slope)]
        for before, after in itertools.pairwise(widths):
            stages += [_down(before, after, down), make_norm(norm, after), _activation(slope)]
            stages += _deepen(after, depth, norm, slope)
            stages += [Dropout(dropout)] if dropout else []
        self.stages = nn.Sequential(*stages)
        grid = grid_of(shape)
        self.head = _head(widths[-1] * grid[0] * grid[1], num_classes, num_attributes, condition)
        _init_weights(self, init, slope)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor | DiscriminatorOutput:
        """(N, C, H, W) [, condition] -> (N,) logits."""
        images = channels_last(pad_images(images, self.shape))
        if self.embed is not None:
            plane = self.embed(require_condition(condition)).view(-1, 1, self.shape.height, self.shape.width)
            images = torch.cat([images, pad_images(plane.to(images.dtype), self.shape)], 1)
        return self.head(to_vector(self.stages(images)), condition)  # type: ignore[no-any-return]


# --- parts


def level_widths(shape: Shape, width: int) -> list[int]:
    """Channels from half the full size down to the small grid."""
    return doubled_widths(width, max(1, num_halvings(shape)), 8 * width)


def _head(features: int, num_classes: int, num_attributes: int, condition: Condition) -> Head:
    """The head; it gets no condition where the condition is part of the input."""
    if condition == "concat":
        return Head(features, 0)
    return Head(features, num_classes, num_attributes, condition)


def _activation(slope: float) -> nn.Module:
    return nn.LeakyReLU(slope) if slope else nn.ReLU()


def _up(before: int, after: int, kind: str, bias: bool) -> nn.Module:
    if kind == "same":
        return nn.Conv2d(before, after, 3, padding=1, bias=bias)
    if kind == "transposed":
        return Double(before, after, bias)
    resize = nn.Upsample(scale_factor=2, mode=kind, align_corners=False if kind == "bilinear" else None)
    return nn.Sequential(resize, nn.Conv2d(before, after, 3, padding=1, bias=bias))


def _down(before: int, after: int, kind: str) -> nn.Module:
    if kind == "strided":
        return Halve(before, after)
    conv = nn.Conv2d(before, after, 3, padding=1)
    return conv if kind == "same" else nn.Sequential(conv, nn.AvgPool2d(2))


def _deepen(width: int, depth: int, norm: Norm, slope: float) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [
            nn.Conv2d(width, width, 3, padding=1, bias=norm != "batch"),
            make_norm(norm, width),
            _activation(slope),
        ]
    return layers


def _init_weights(network: nn.Module, kind: Init, slope: float) -> None:
    """dcgan: N(0, 0.02), norm weights N(1, 0.02). kaiming: variance kept through leaky ReLU. torch: as torch made them."""
    if kind == "torch":
        return
    embed = getattr(network, "embed", None)  # keeps its scale: conditions start with the variance of the noise
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and module is not embed:
            if kind == "dcgan":
                nn.init.normal_(module.weight, std=0.02)
            else:
                nn.init.kaiming_normal_(module.weight, a=slope)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d) and kind == "dcgan":
            nn.init.normal_(module.weight, 1.0, 0.02)
