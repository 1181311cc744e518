"""The pair of SAGAN and BigGAN (Zhang et al. 2019, arXiv:1805.08318; Brock et al. 2019, arXiv:1809.11096), for any size.

Legend: N rows, C channels, H height, W width, L latent size. A condition is (N,) labels or (N, K) attributes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.layers import Ending, Output
from zerosum.domains.images.networks.resnet import Body, Init, ResNetDiscriminator, init_weights, level_widths
from zerosum.nn.latent import SplitNoiseGenerator
from zerosum.nn.layers import Norm, embedded_size, embedding, require_condition


class BigGanGenerator(SplitNoiseGenerator):
    """The noise is split: one part makes the small grid, the others enter the norms of their blocks, with the condition.

    The condition is embedded once, in `embedded` features, for all blocks. The part of a block has L // (blocks + 1) numbers,
    the first part the rest. attention: 0 for none, else the shorter side of the
    grid that gets it. spectral: the generator is under spectral normalisation as the discriminator is.
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
        embedded: int = 64,
        attention: int = 16,
        spectral: bool = True,
        output: Output = "tanh",
        init: Init = "orthogonal",
    ) -> None:
        super().__init__()
        self.embed = embedding(num_classes, num_attributes, embedded)
        widths = level_widths(shape, width, widest)
        num_blocks = depth * max(1, len(widths) - 1)
        part = latent // (num_blocks + 1)
        if part < 1:
            parts = num_blocks + 1
            raise ValueError(
                f"the noise is split over {parts} parts, so prior.size must be at least {parts}, not {latent}"
            )
        self.parts = [latent - num_blocks * part, *[part] * num_blocks]
        features = part + embedded_size(self.embed)

        def affine(channels: int) -> nn.Module:
            return nn.Linear(features, 2 * channels, bias=False)

        self.body = Body(shape, self.parts[0], widths, depth, norm, affine, attention, output)
        init_weights(self, init, spectral)

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) [, condition] -> (N, C, H, W)."""
        first, *others = torch.split(noise, self.parts, 1)
        if self.embed is not None:
            shared = self.embed(require_condition(condition))
            others = [torch.cat([part.to(shared.dtype), shared], 1) for part in others]
        images: Tensor = self.body(first, others)
        return images


def biggan_discriminator(
    shape: Shape,
    *,
    num_classes: int = 0,
    num_attributes: int = 0,
    width: int = 64,
    widest: int = 4,
    depth: int = 1,
    floor: int = 4,
    plain: int = 1,
    attention: int = 16,
    spectral: bool = True,
    condition: Ending = "projection",
    init: Init = "orthogonal",
) -> ResNetDiscriminator:
    """The residual discriminator as these papers have it: self-attention, orthogonal weights, projection."""
    return ResNetDiscriminator(
        shape,
        num_classes=num_classes,
        num_attributes=num_attributes,
        width=width,
        widest=widest,
        depth=depth,
        floor=floor,
        plain=plain,
        attention=attention,
        spectral=spectral,
        condition=condition,
        init=init,
    )
