"""A StyleGAN2-like pair, for any size, grey or colour, rectangular too, written from the papers.

Karras et al. 2019, arXiv:1812.04948; 2020, arXiv:1912.04958 (skip architecture of the generator, residual architecture of the
discriminator). Legend: N rows, C channels, H height, W width, L latent size, S length of a style, F features. A condition is
(N,) labels or (N, K) attributes.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.layers import (
    Ending,
    Output,
    check_ending,
    crop_images,
    grid_of,
    num_halvings,
    output_layer,
    pad_images,
)
from zerosum.engine.game import DiscriminatorOutput
from zerosum.nn.latent import PathLengthGenerator
from zerosum.nn.layers import (
    doubled_widths,
    draw_rows,
    embedding,
    normal_rows,
    require_condition,
    to_vector,
    upsample_linear,
    without_autocast,
)
from zerosum.nn.style_layers import (
    EqualConv,
    EqualLinear,
    MinibatchDeviation,
    StyledLayer,
    ToImage,
    mapping_network,
    unit_rows,
)

W_MEAN_STEP = 0.005
"""Weight of the mean of a batch in the running mean of w."""


def level_widths(shape: Shape, width: int, max_width: int) -> list[int]:
    """Channels of each level, the full size first: `width` there, doubled at each further one up to max_width."""
    return doubled_widths(width, num_halvings(shape) + 1, max_width)


class StyleGenerator(PathLengthGenerator):
    """A learned constant, convolutions modulated by styles w, and an image to which every size adds.

    width, max_width: channels at the full size, and at most. style: length of w, 0 for that of the noise. mapping_layers and
    mapping_rate: depth of the network z -> w, and the multiplier of its learning rate. mixing: share of the rows of a
    training batch whose later layers get the style of another noise (2019, section 3.1). noise: whether each layer adds
    noise, one number for each position, for details that do not depend on the style. Output is linear or tanh.

    `mapping` and `synthesis` are the two halves, `w_mean` the running mean of w, and `path_length_mean` belongs to the penalty
    on path lengths. In eval mode an image is a function of its own noise and condition alone.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        latent: int,
        num_classes: int = 0,
        num_attributes: int = 0,
        width: int = 32,
        max_width: int = 512,
        style: int = 0,
        mapping_layers: int = 8,
        mapping_rate: float = 0.01,
        mixing: float = 0.9,
        noise: bool = True,
        output: Output = "linear",
    ) -> None:
        super().__init__()
        if not 0 <= mixing <= 1:
            raise ValueError(f"mixing must lie in [0, 1], got {mixing}")
        if mapping_layers < 1:
            raise ValueError(f"mapping_layers must be at least 1, got {mapping_layers}")
        style = style or latent
        self.shape, self.mixing, self.latent, self.layout = shape, mixing, latent, torch.channels_last
        self.embed = embedding(num_classes, num_attributes, latent)
        self.to_style = mapping_network(latent * (2 if self.embed else 1), style, mapping_layers, mapping_rate)
        (h, w), widths = grid_of(shape), level_widths(shape, width, max_width)[::-1]
        self.start = nn.Parameter(torch.randn(1, widths[0], h, w))
        self.layers = nn.ModuleList([StyledLayer(widths[0], widths[0], style, (h, w), noise=noise)])
        for level, (before, after) in enumerate(itertools.pairwise(widths), 1):
            size = (h * 2**level, w * 2**level)
            self.layers.append(StyledLayer(before, after, style, size, up=True, noise=noise))
            self.layers.append(StyledLayer(after, after, style, size, noise=noise))
        self.to_image = nn.ModuleList([ToImage(channels, shape.channels, style) for channels in widths])
        self.output = output_layer(output)
        self.num_ws = len(self.layers) + 1
        self.register_buffer("w_mean", torch.zeros(style))
        self.register_buffer("path_length_mean", torch.zeros(()))

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) [, condition] -> (N, C, H, W)."""
        ws = self.mapping(noise, condition)
        if self.training and self.mixing:
            ws = self._mixed(ws, condition)
        return self.synthesis(ws)

    def mapping(self, noise: Tensor, condition: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """(N, L) [, condition] -> (N, num_ws, S): the same w for every layer. truncation: w is moved towards `w_mean`, to that
        share of its distance (2019, appendix B). Of the noise only the direction is used, whatever the prior."""
        w = self._styles(noise, condition)
        if self.training:
            with torch.no_grad():
                self.w_mean.lerp_(w.mean(0).to(self.w_mean.dtype), W_MEAN_STEP)
        if truncation != 1:
            w = torch.lerp(self.w_mean, w, truncation)
        return w[:, None].expand(-1, self.num_ws, -1)

    def synthesis(self, ws: Tensor) -> Tensor:
        """(N, num_ws, S) -> (N, C, H, W). An image of a size and the next size's first layer share their style."""
        start = self.start.contiguous(memory_format=self.layout)
        x = self.layers[0](start, ws[:, 0])
        images: Tensor = self.to_image[0](x, ws[:, 1])
        for level, to_image in enumerate(self.to_image[1:]):
            first = 2 * level + 1
            x = self.layers[first](x, ws[:, first])
            x = self.layers[first + 1](x, ws[:, first + 1])
            images = upsample_linear(images) + to_image(x, ws[:, first + 2])
        images = self.output(images)
        return crop_images(images, self.shape)

    def _styles(self, noise: Tensor, condition: Tensor | None) -> Tensor:
        z = unit_rows(noise)
        if self.embed is not None:
            with without_autocast(z.device.type):
                z = torch.cat([z, unit_rows(self.embed(require_condition(condition)))], 1)
        styles: Tensor = self.to_style(z)
        return styles

    def _mixed(self, ws: Tensor, condition: Tensor | None) -> Tensor:
        """In `mixing` of the rows, layers from a random one on get the style of fresh N(0, 1) noise."""
        num, device = len(ws), ws.device
        other = self._styles(normal_rows(num, device, self.latent), condition)
        crossing = draw_rows(
            num, device, lambda n, stream: torch.randint(1, self.num_ws, (n, 1), device=device, generator=stream)
        )
        chance = draw_rows(num, device, lambda n, stream: torch.rand(n, 1, device=device, generator=stream))
        crossing = torch.where(chance < self.mixing, crossing, self.num_ws)
        kept = torch.arange(self.num_ws, device=device) < crossing
        return torch.where(kept[:, :, None], ws, other[:, None])


class StyleDiscriminator(nn.Module):
    """Residual halvings down to a small grid, the deviation of the minibatch, one convolution and two linear layers.

    width, max_width: channels at the full size, and at most. group: rows that are compared with each other in training, 0 for
    none; in eval mode rows do not depend on each other (see MinibatchDeviation). condition: "projection", or "auxiliary" for
    a classifier beside the logits. mapping_layers: depth of the network between the condition's embedding and the projection.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        num_classes: int = 0,
        num_attributes: int = 0,
        width: int = 32,
        max_width: int = 512,
        group: int = 4,
        condition: Ending = "projection",
        mapping_layers: int = 0,
    ) -> None:
        super().__init__()
        self.shape, self.layout = shape, torch.channels_last
        widths = level_widths(shape, width, max_width)
        self.first = EqualConv(shape.channels, widths[0], 1, active=True)
        self.blocks = nn.Sequential(*(ResidualHalving(a, b) for a, b in itertools.pairwise(widths)))
        self.deviation = MinibatchDeviation(group) if group else nn.Identity()
        (h, w), top = grid_of(shape), widths[-1]
        self.last = EqualConv(top + bool(group), top, 3, active=True)
        self.features = EqualLinear(top * h * w, top, active=True)
        self.head = StyleHead(top, num_classes, num_attributes, condition, mapping_layers)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor | DiscriminatorOutput:
        """(N, C, H, W) [, condition] -> (N,) logits, with the classes under "auxiliary"."""
        x = self.first(pad_images(images, self.shape).contiguous(memory_format=self.layout))
        x = self.last(self.deviation(self.blocks(x)))
        result: Tensor | DiscriminatorOutput = self.head(self.features(to_vector(x)), condition)
        return result


class ResidualHalving(nn.Module):
    """(N, I, H, W) -> (N, O, H/2, W/2): two convolutions beside one of the halved input; their sum over sqrt(2)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = EqualConv(before, before, 3, active=True)
        self.second = EqualConv(before, after, 3, down=True, active=True, gain=math.sqrt(0.5))
        self.skip = EqualConv(before, after, 1, down=True, gain=math.sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """H and W must be even."""
        y: Tensor = self.second(self.first(x)) + self.skip(x)
        return y


class StyleHead(nn.Module):
    """(N, F) features -> (N,) logits; with a condition, plus their inner product with its vector over sqrt(F) (Miyato and Koyama
    2018, arXiv:1802.05637). With "auxiliary" the class is predicted instead: outputs["classes"] (N, K)."""

    def __init__(self, features: int, num_classes: int, num_attributes: int, condition: Ending, depth: int) -> None:
        super().__init__()
        check_ending(condition, num_attributes)
        projects = condition == "projection"
        self.linear = EqualLinear(features, 1)
        self.embed = embedding(num_classes, num_attributes, features) if projects else None
        self.classes = EqualLinear(features, num_classes) if num_classes and not projects else None
        self.to_vector = mapping_network(features, features, depth if self.embed else 0, rate=0.01)

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor | DiscriminatorOutput:
        """(N, F) [, condition] -> (N,), or logits with the classes."""
        logits: Tensor = self.linear(features).squeeze(1)
        if self.classes is not None:
            return DiscriminatorOutput((logits,), outputs={"classes": self.classes(features)})
        if self.embed is None:
            return logits
        vectors = unit_rows(self.to_vector(unit_rows(self.embed(require_condition(condition)).to(features.dtype))))
        return logits + (vectors * features).sum(1) / math.sqrt(features.shape[1])
