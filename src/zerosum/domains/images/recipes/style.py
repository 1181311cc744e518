"""The style-based pair at a size for small budgets; its measured result stands in docs/networks-style.md."""

from __future__ import annotations

from zerosum.domain import both
from zerosum.engine.duel import Prior
from zerosum.engine.optimizers import Schedule
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part

STYLEGAN2_S = Recipe(
    name="stylegan2-s",
    why="Styles in every layer: smooth, well-ordered latent space; lazy R1 and path lengths. Slow to begin.",
    sources=("Karras et al. 2020, arXiv:1912.04958", "Karras et al. 2019, arXiv:1812.04948"),
    # In a short run noise is learned before shapes are, and its fixed planes show in every sample.
    generator=part("style", width=16, max_width=64, mapping_layers=2, mixing=0.5, noise=False),
    discriminator=part("style", width=16, max_width=64, group=4),
    prior=Prior(64),
    # The reference's weight for R1 (0.005 at 28 px) is for long runs: in a short one D is soon right about every image.
    penalties={"r1": PenaltyConfig(weight=1.0, every=8), "path_length": PenaltyConfig(weight="auto", every=8)},
    learning=both(lr=Schedule(8e-3, 2e-3, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples="auto"),
    steps=4_000,
    batch=32,
)

RECIPES = (STYLEGAN2_S,)
