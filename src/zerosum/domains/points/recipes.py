"""The recipes of point clouds."""

from __future__ import annotations

from collections.abc import Mapping

from zerosum.domain import DatasetInfo, both
from zerosum.engine.optimizers import OptimizerConfig, Schedule
from zerosum.engine.seeds import Prior
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part

LATENT = Recipe(
    name="points-latent",
    domain="points",
    why="First a Chamfer auto-encoder, then a small game on its standardised codes: complete shapes with separate parts.",
    sources=(
        "Achlioptas et al. 2018 (l-GAN), arXiv:1707.02392",
        "Huang et al. 2024 (R3GAN), arXiv:2501.05441",
        "Mescheder et al. 2018, arXiv:1801.04406",
    ),
    data=part("chairs"),
    generator=part("latent", phase=0.3, code=32),
    discriminator=part("latent"),
    prior=Prior(128),
    loss="relativistic",
    penalties={"r1": PenaltyConfig(weight=1.0), "r2": PenaltyConfig(weight=1.0)},
    learning={
        "generator": OptimizerConfig(lr=Schedule(1e-3, 1e-4, "cosine", over_share=0.3), betas=(0.0, 0.99)),
        "discriminator": OptimizerConfig(lr=2e-4, betas=(0.0, 0.99)),
    },
    ema=AverageConfig(half_life_samples=20_000.0),
    steps=6_000,
    batch=32,
)

RAW = LATENT.changed(
    name="points",
    why="The game on the points: a perceptron against a PointNet. The simplest game, for comparison.",
    sources=[
        "Achlioptas et al. 2018 (r-GAN), arXiv:1707.02392",
        "Qi et al. 2017 (PointNet), arXiv:1612.00593",
        "Mescheder et al. 2018, arXiv:1801.04406",
    ],
    generator=part("mlp"),
    discriminator=part("pointnet"),
    penalties={"r1": PenaltyConfig(weight=0.5, every=4), "r2": PenaltyConfig(weight=0.5, every=4)},
    learning=both(lr=2e-4, betas=(0.0, 0.99)),
    steps=1_500,
)

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (LATENT, RAW)}


def recommend_recipe(info: DatasetInfo, minutes: float | None = None, device: str = "cpu") -> tuple[str, str]:
    """The default recipe of a source, and the reason."""
    classes = f", conditional on {info.num_classes} classes" if info.num_classes else ""
    return "points-latent", f"{info.num_rows:,} shapes of {info.sample.axes['points']} points: a game on codes{classes}"
