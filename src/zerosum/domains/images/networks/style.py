"""The generator of a StyleGAN2-like pair, for any size, grey or colour, rectangular too, written from the papers.

Karras et al. 2019, arXiv:1812.04948; 2020, arXiv:1912.04958 (skip architecture). Legend: N rows, C channels, H height, W width,
L latent size, S length of a style. A condition is (N,) labels or (N, K) attributes.
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor, nn

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.resolution import grid_of, num_halvings
from zerosum.nn.conditioning import demanded, embedding
from zerosum.nn.rows import drawn, normal_rows
from zerosum.nn.style_layers import StyledLayer, ToImage, doubled, full_precision, mapping, normalised

W_MEAN_STEP = 0.005
"""Share of a batch's mean in the running mean of w."""


def stage_widths(shape: Shape, width: int, max_width: int) -> list[int]:
    """Channels from the small grid up to the full size: `width` at the full size, doubled at each lower one up to max_width."""
    return [min(width * 2**level, max_width) for level in range(num_halvings(shape) + 1)][::-1]


class StyleGenerator(nn.Module):
    """A learned constant, convolutions modulated by styles w, and an image that every size adds to.

    width, max_width: channels at the full size, and at most. style: length of w, 0 for that of the noise. mapping_layers and
    mapping_rate: depth of the network z -> w, and the multiplier of its learning rate. mixing: share of the rows of a
    training batch whose later layers get the style of another noise (2019, section 3.1). noise: each layer adds a plane of
    it, for details that no style decides. Output is linear or tanh.

    `mapping` and `synthesis` are the two halves, `w_mean` the running mean of w, and `path_length_mean` belongs to the penalty
    on path lengths. In eval mode an image is a function of its own noise and condition alone.
    """

    w_mean: Tensor
    path_length_mean: Tensor

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
        output: Literal["linear", "tanh"] = "linear",
    ) -> None:
        super().__init__()
        if not 0 <= mixing <= 1:
            raise ValueError(f"mixing must lie in [0, 1], got {mixing}")
        if mapping_layers < 1:
            raise ValueError(f"mapping_layers must be at least 1, got {mapping_layers}")
        style = style or latent
        self.shape, self.mixing, self.latent, self.layout = shape, mixing, latent, torch.channels_last
        self.embed = embedding(num_classes, num_attributes, latent)
        self.to_style = mapping(latent * (2 if self.embed else 1), style, mapping_layers, mapping_rate)
        (h, w), widths = grid_of(shape), stage_widths(shape, width, max_width)
        self.start = nn.Parameter(torch.randn(1, widths[0], h, w))
        self.layers = nn.ModuleList([StyledLayer(widths[0], widths[0], style, (h, w), noise=noise)])
        for level, (before, after) in enumerate(itertools.pairwise(widths), 1):
            size = (h * 2**level, w * 2**level)
            self.layers.append(StyledLayer(before, after, style, size, up=True, noise=noise))
            self.layers.append(StyledLayer(after, after, style, size, noise=noise))
        self.to_image = nn.ModuleList([ToImage(channels, shape.channels, style) for channels in widths])
        self.output = nn.Tanh() if output == "tanh" else nn.Identity()
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
        """(N, L) [, condition] -> (N, num_ws, S): the same w for every layer. truncation: w is drawn towards `w_mean`, to that
        share of its distance (2019, appendix B). A truncated normal or uniform prior counts by its direction only."""
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
            images = doubled(images) + to_image(x, ws[:, first + 2])
        images = self.output(images)
        top, left = (images.shape[2] - self.shape.height) // 2, (images.shape[3] - self.shape.width) // 2
        return images[:, :, top : top + self.shape.height, left : left + self.shape.width]

    def _styles(self, noise: Tensor, condition: Tensor | None) -> Tensor:
        z = normalised(noise)
        if self.embed is not None:
            with full_precision(z):
                z = torch.cat([z, normalised(self.embed(demanded(condition)))], 1)
        styles: Tensor = self.to_style(z)
        return styles

    def _mixed(self, ws: Tensor, condition: Tensor | None) -> Tensor:
        """In `mixing` of the rows, layers from a random one on get the style of fresh N(0, 1) noise."""
        num, device = len(ws), ws.device
        other = self._styles(normal_rows(num, device, self.latent), condition)
        crossing = drawn(
            num, device, lambda n, stream: torch.randint(1, self.num_ws, (n, 1), device=device, generator=stream)
        )
        chance = drawn(num, device, lambda n, stream: torch.rand(n, 1, device=device, generator=stream))
        crossing = torch.where(chance < self.mixing, crossing, self.num_ws)
        kept = torch.arange(self.num_ws, device=device) < crossing
        return torch.where(kept[:, :, None], ws, other[:, None])
