"""The pair of networks of the 2014 paper, by its published configuration for MNIST, for images of any size.

Goodfellow et al. 2014, arXiv:1406.2661. Legend: N rows, C channels, H height, W width, L latent size, F features, K classes.
Labels, if any, are appended as one-hot columns (Mirza and Osindero 2014, arXiv:1411.1784), attributes as they are.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zerosum.domains.images.data import ImageSource, Shape, to_premultiplied_bytes
from zerosum.nn.layers import Dropout, perceptron, require_condition

LEAST_MEAN = 1e-7
"""Means of pixels are kept this far from 0 and 1, so that the logit of an always black or white pixel is finite."""


class SigmoidGenerator(nn.Module):
    """L-1200-1200-CHW: rectifiers, then a sigmoid over the pixels, stretched from [0, 1] to [-1, 1].

    Weights are drawn from U(-irange, irange). Biases are 0; those of the pixels are set by `start_at_marginals`.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        latent: int,
        num_classes: int = 0,
        num_attributes: int = 0,
        widths: tuple[int, ...] = (1200, 1200),
        irange: float = 0.05,
    ) -> None:
        super().__init__()
        self.shape, self.num_classes, self.num_attributes = shape, num_classes, num_attributes
        sizes = latent + (num_attributes or num_classes), *widths
        self.hidden = perceptron(sizes, lambda _: [nn.ReLU()], last=True)
        self.pixels = nn.Linear(sizes[-1], shape.channels * shape.height * shape.width)
        _init_uniform(self, irange)

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) [, condition] -> (N, C, H, W) in [-1, 1]."""
        x = _with_condition(noise, condition, self.num_classes, self.num_attributes)
        images: Tensor = self.pixels(self.hidden(x)).sigmoid()
        return (2 * images - 1).view(-1, self.shape.channels, self.shape.height, self.shape.width)

    @torch.no_grad()
    def start_at_marginals(self, source: ImageSource) -> None:
        """Sets each pixel's bias to the logit of its mean over the training images, taken in [0, 1]."""
        mean = _mean_image(source).clamp(LEAST_MEAN, 1 - LEAST_MEAN)
        self.pixels.bias.copy_(mean.logit().flatten())


class MaxoutDiscriminator(nn.Module):
    """CHW - maxout 240x5 - maxout 240x5 - 1, with dropout before every layer; sees its images in [0, 1].

    Weights are drawn from U(-irange, irange), biases are 0. input_dropout and dropout: shares of the pixels and of the
    hidden units that are set to 0; what is kept is scaled up so that the mean stays (by 1.25 and 2 for 0.2 and 0.5).
    """

    def __init__(
        self,
        shape: Shape,
        *,
        num_classes: int = 0,
        num_attributes: int = 0,
        widths: tuple[int, ...] = (240, 240),
        pieces: int = 5,
        input_dropout: float = 0.2,
        dropout: float = 0.5,
        irange: float = 0.005,
    ) -> None:
        super().__init__()
        self.num_classes, self.num_attributes = num_classes, num_attributes
        layers: list[nn.Module] = [Dropout(input_dropout, bernoulli=True)]
        features = shape.channels * shape.height * shape.width + (num_attributes or num_classes)
        for width in widths:
            layers += [Maxout(features, width, pieces), Dropout(dropout)]  # bytes are exact for a half
            features = width
        self.layers = nn.Sequential(*layers, nn.Linear(features, 1))
        _init_uniform(self, irange)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, C, H, W) in [-1, 1] [, condition] -> (N,) logits."""
        pixels = (images.flatten(1) + 1) / 2
        logits: Tensor = self.layers(_with_condition(pixels, condition, self.num_classes, self.num_attributes)).squeeze(
            1
        )
        return logits


class Maxout(nn.Module):
    """(N, F) -> (N, width): each unit is the largest of `pieces` linear functions (Goodfellow et al. 2013, arXiv:1302.4389)."""

    def __init__(self, features: int, width: int, pieces: int) -> None:
        super().__init__()
        if width < 1 or pieces < 1:
            raise ValueError(f"maxout needs at least one unit of one piece, got {width} units of {pieces}")
        self.pieces = pieces
        self.linear = nn.Linear(features, width * pieces)

    def forward(self, x: Tensor) -> Tensor:
        """Piece p of unit u is row p * width + u of the weights: neighbouring units then fill the lanes of a CPU."""
        return self.linear(x).unflatten(1, (self.pieces, -1)).amax(1)  # type: ignore[no-any-return]


def _init_uniform(network: nn.Module, irange: float) -> None:
    if not 0 < irange < math.inf:
        raise ValueError(f"irange must be more than 0, got {irange}")
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.uniform_(module.weight, -irange, irange)
            nn.init.zeros_(module.bias)


def _with_condition(x: Tensor, condition: Tensor | None, num_classes: int, num_attributes: int) -> Tensor:
    """x and the label as one-hot columns, or the attributes as they are."""
    if not num_classes and not num_attributes:
        return x
    condition = require_condition(condition)
    columns = condition if num_attributes else nn.functional.one_hot(condition, num_classes)
    return torch.cat([x, columns.to(x.dtype)], 1)


def _mean_image(source: ImageSource, batch: int = 1000) -> Tensor:
    """(C, H, W) float64: the mean training image, pixels in [0, 1]; whole numbers are summed, a batch at a time."""
    pixels = source.train.pixels
    total = torch.zeros(pixels.shape[1:], dtype=torch.int64, device=pixels.device)
    for start in range(0, len(pixels), batch):
        total += to_premultiplied_bytes(pixels[start : start + batch]).sum(0, dtype=torch.int64)
    return total.double() / (255 * len(pixels))
