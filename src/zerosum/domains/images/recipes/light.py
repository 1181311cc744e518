"""The recipe for few images; its measured result is in docs/images.md."""

from __future__ import annotations

from zerosum.domain import both
from zerosum.engine.duel import Prior
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part

FEWSHOT = Recipe(
    name="fewshot",
    why="For 50 to 500 images: a light pair, D rebuilds images too, all it sees is augmented. In minutes rpgan-64 is ahead.",
    sources=("Liu et al. 2021 (FastGAN), arXiv:2101.04775", "Zhao et al. 2020 (DiffAugment), arXiv:2006.10738"),
    data=part("digits", flip=True),
    generator=part("light", width=64),
    discriminator=part("light", width=64),
    prior=Prior(64),
    conditional=False,
    loss="relativistic",
    penalties={"r1": PenaltyConfig(weight=0.1, every=8), "reconstruction": PenaltyConfig(weight=1.0)},
    augment=part("diffaugment", policy=["color", "translation", "cutout"]),
    learning=both(lr=1e-3, betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=10_000.0),
    steps=6_000,
    batch=16,
)

RECIPES = (FEWSHOT,)
