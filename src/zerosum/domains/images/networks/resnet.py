"""The residual pair of SNGAN, for any size, grey or colour, rectangular too (Miyato et al. 2018, arXiv:1802.05957, tables 3-6).

Legend: N rows, C channels, H height, W width, L latent size, F features. A condition is (N,) labels or (N, K) attributes. A
level is a number of halvings: 0 the full size, the last the small grid of `sizes`. `width` is the number of channels at the
full size; every halving doubles it, up to `widest` times.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.blocks import Body, DownBlock, attention_level, level_widths, sides
from zerosum.domains.images.networks.heads import Ending, Head
from zerosum.domains.images.networks.resolution import padded
from zerosum.engine.game import DiscriminatorOutput
from zerosum.nn.attention import SelfAttention
from zerosum.nn.conditioning import ConditionalNorm, embedding, silent
from zerosum.nn.layers import Norm
from zerosum.nn.spectral import spectral as under_spectral_norm

Output = Literal["tanh", "linear"]
Init = Literal["xavier", "orthogonal"]


class ResNetGenerator(nn.Module):
    """Linear to a small grid, then residual blocks that double it; the condition speaks through the normalisations.

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
        settle(self, init, spectral)
        for module in self.modules():
            if isinstance(module, ConditionalNorm) and not spectral:  # whose weights must not be 0
                silent(module.to_affine)

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) [, condition] -> (N, C, H, W)."""
        images: Tensor = self.body(noise, [condition] * self.body.num_blocks)
        return images


class ResNetDiscriminator(nn.Module):
    """Residual blocks down to a small grid, the sum over its places, and a head.

    depth: blocks at each size. floor: halving stops before the shorter side would fall below this. plain: blocks on the grid
    that is left. The network of the paper for 32x32 is width=128, widest=1, floor=8, plain=2. There is no normalisation
    beside the spectral one, so rows stay apart and gradient penalties are exact.
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
        halvings = sum(side >= floor for side in sides(shape)[1:])
        widths = level_widths(shape, width, widest)[: halvings + 1]
        place = min(attention_level(shape, attention), halvings)
        stages: list[nn.Module] = []
        before, first = shape.channels, True
        for level, after in enumerate(widths):
            down = level < halvings
            for index in range(depth if down else plain):
                stages.append(DownBlock(before, after, down=down and index == 0, first=first))
                before, first = after, False
            if attention and place == min(level + 1, halvings) and not _attends(stages):
                stages.append(SelfAttention(after))
        self.stages = nn.Sequential(*stages)
        self.head = Head(before, num_classes, num_attributes, condition)
        settle(self, init, spectral)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor | DiscriminatorOutput:
        """(N, C, H, W) [, condition] -> (N,) logits."""
        x = padded(images, self.shape).contiguous(memory_format=torch.channels_last)
        features = self.stages(x).relu().sum((2, 3))
        return self.head(features, condition)  # type: ignore[no-any-return]


def settle(network: nn.Module, init: Init, spectral: bool) -> None:
    """Draws the weights of convolutions, linear layers and embeddings, then puts them under spectral normalisation if asked.

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
