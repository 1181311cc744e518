"""Which recipe for which data, when none is named: a rule from size, number of images, labels, time and device."""

from __future__ import annotations

import math

from zerosum.domain import DatasetInfo

FEW_IMAGES = 1_000
"""Fewer than this: a plain discriminator knows them by heart before a generator has learned anything."""
TINY_PIXELS = 32
"""Up to this side the classic pair shows its best picture within a few minutes of one CPU core."""
LONG_MINUTES, LARGE_MINUTES = 20.0, 60.0
"""On a CPU: from here on small images are worth a network that goes further; and larger ones a still larger network."""
COLOUR_MINUTES = 4.0
"""From here on `rpgan` made the better small colour images of the recipes measured on CIFAR-10 (docs/results.md)."""
GPU_SPEED = 20.0
"""Minutes of one CPU core that a minute of a GPU is counted as: the order of magnitude, which is all the rule needs."""
GPU_HOURS, PUBLISHED_PIXELS = 4.0, 64
"""From so many hours on a GPU, and up to this side: R3GAN at its published size for CIFAR-10."""


def recommend_recipe(info: DatasetInfo, minutes: float | None = None, device: str = "cpu") -> tuple[str, str]:
    """The recipe for a source that names none, and why, with the numbers that decided. minutes: None when nobody said."""
    images = int(info.payload["num_images"])
    channels, height, width = info.sample.shape
    side = round(math.sqrt(height * width))
    on_gpu = device.startswith("cuda")
    here = f"{images:,} images of {side} px"
    if minutes is not None:
        here += f", {minutes:g} minutes on a {'GPU' if on_gpu else 'CPU'}"
    worth = (minutes or 0.0) * (GPU_SPEED if on_gpu else 1.0)
    if images < FEW_IMAGES:
        return "fewshot", (
            f"{images:,} images are fewer than {FEW_IMAGES:,}, and a discriminator that sees them without augmentation soon "
            "knows them by heart"
        )
    if on_gpu and (minutes or 0.0) >= GPU_HOURS * 60 and side <= PUBLISHED_PIXELS:
        return "r3gan", f"{here}: enough for R3GAN as published"
    if side <= TINY_PIXELS and channels >= 3 and COLOUR_MINUTES <= worth < LARGE_MINUTES:
        return (
            "rpgan",
            f"{here}, in colour: relativistic pairing in small batches, the best of the recipes measured on CIFAR-10",
        )
    if side <= TINY_PIXELS and worth < LONG_MINUTES:
        if info.condition is not None:
            return "cgan", f"{here}, with labels: a game that is told them learns fastest on a small budget"
        return "dcgan", f"{here}, no labels: convolutions with batch normalisation learn fastest on a small budget"
    if worth >= LARGE_MINUTES:
        return "stylegan2-s", f"{here}: time enough for a network of styles"
    return "r3gan-s", f"{here}: the small R3GAN stays steady and varied without tuning"
