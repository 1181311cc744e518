"""Residual pairs under spectral normalisation, at sizes for small budgets; each has its measured result in docs/images.md."""

from __future__ import annotations

from zerosum.domain import both
from zerosum.engine.duel import Prior
from zerosum.recipe import AverageConfig, Recipe, part

SNGAN = Recipe(
    name="sngan",
    why="Residual blocks and a discriminator of bounded slope by spectral normalisation, hinge loss.",
    sources=("Miyato et al. 2018, arXiv:1802.05957", "Miyato and Koyama 2018, arXiv:1802.05637"),
    generator=part("resnet", width=16, widest=4),
    discriminator=part("resnet", width=16, widest=4),
    prior=Prior(64),
    loss="hinge",
    learning=both(lr=2e-3, betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=20_000.0),
    steps=4_000,
    batch=64,
)

BIGGAN_S = SNGAN.changed(
    name="biggan-s",
    why="BigGAN at small size: split noise, one class embedding for all blocks, self-attention, orthogonal weights.",
    sources=["Brock et al. 2019, arXiv:1809.11096", "Zhang et al. 2019, arXiv:1805.08318"],
    generator=part("biggan", width=16, widest=4, spectral=False),  # with it, short runs learn more slowly
    discriminator=part("biggan", width=16, widest=4),
    prior={"size": 80},
    steps=2_500,
)

RECIPES = (SNGAN, BIGGAN_S)
