"""The discriminator input for images with transparency: each on a random background, with alpha as a fourth channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.data.images.pictures import composite
from zerosum.engine.duel import Augment
from zerosum.engine.seeds import SeededNoise


@dataclass(frozen=True)
class BackgroundAugment:
    """Composites each image on a colour drawn for its row, uniform in red, green and blue; then applies `augment`, if any.

    (N, 4, H, W) in [-1, 1], premultiplied -> (N, 4, H, W): the colours on the background, and alpha as it is. The error of both
    flows to alpha. Alpha stays in view because the colours alone cannot tell transparent images from opaque ones whose background
    is painted in a random colour. Whatever the strength, images are laid; it is that of `augment`.
    """

    augment: Augment | None = None

    def __call__(self, images: Tensor, rng: SeededNoise, purpose: str, strength: float) -> Tensor:
        """As other augmentations."""
        backgrounds = rng.uniform(f"{purpose} background", 3)
        images = torch.cat([composite(images, backgrounds), images[:, 3:]], 1)
        return images if self.augment is None else self.augment(images, rng, purpose, strength)
