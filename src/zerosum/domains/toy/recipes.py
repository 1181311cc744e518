"""The recipes of points. docs/toys.md has the measured result of each."""

from __future__ import annotations

from collections.abc import Mapping

from zerosum.domain import DatasetInfo, both
from zerosum.engine.optimizers import Schedule
from zerosum.engine.seeds import Prior
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part

TOY = Recipe(
    name="toy",
    domain="toy",
    why="Relativistic pairing with R1 and R2, and rates that fall: no mode is lost, and the points come to rest.",
    sources=(
        "Huang et al. 2024 (R3GAN), arXiv:2501.05441",
        "Jolicoeur-Martineau 2018, arXiv:1807.00734",
        "Mescheder et al. 2018, arXiv:1801.04406",
    ),
    data=part("ring"),
    generator=part("mlp"),
    discriminator=part("mlp"),
    prior=Prior(2),
    conditional=False,
    loss="relativistic",
    penalties={"r1": PenaltyConfig(weight=0.01, every=4), "r2": PenaltyConfig(weight=0.01, every=4)},
    learning=both(lr=Schedule(4e-3, 4e-5, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=50_000.0),
    steps=8_000,
    batch=256,
)

LINE = TOY.changed(
    name="toy-line",
    why="The same on the line, from noise of one dimension: where each z is carried can be drawn.",
    data=part("normal"),
    prior=Prior(1),
    penalties={"r1": PenaltyConfig(weight=0.02, every=4), "r2": PenaltyConfig(weight=0.02, every=4)},
    learning=both(lr=Schedule(4e-3, 4e-5, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    steps=4_000,
)

CLASSIC = TOY.changed(
    name="toy-2014",
    why="The game as it was first played in practice, without any penalty: watch it turn, and lose modes.",
    sources=["Goodfellow et al. 2014, arXiv:1406.2661, section 3"],
    loss="non_saturating",
    penalties={},
    learning=both(lr=1e-3, betas=(0.5, 0.999)),
    ema=AverageConfig(half_life_samples=0),
)

MINIMAX = CLASSIC.changed(
    name="toy-minimax",
    why="The formula itself: the generator lowers log(1 - D), whose slope vanishes where D is sure of itself.",
    sources=["Goodfellow et al. 2014, arXiv:1406.2661, equation 1"],
    loss="minimax",
)

WGAN_GP = TOY.changed(
    name="toy-wgan-gp",
    why="A critic with bounded slope estimates how far the points must be carried.",
    sources=["Gulrajani et al. 2017, arXiv:1704.00028"],
    loss="wasserstein",
    penalties={"gradient_penalty": PenaltyConfig(weight=1.0)},
    rules={"discriminator_steps": 5},
    learning=both(lr=1e-3, betas=(0.0, 0.9)),
    steps=4_000,
)

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (TOY, LINE, CLASSIC, MINIMAX, WGAN_GP)}


def recommend_recipe(info: DatasetInfo, minutes: float | None = None, device: str = "cpu") -> tuple[str, str]:
    """The default recipe of a source, and the reason. It does not depend on time and device, because training is
    fast."""
    if info.sample.shape == (1,):
        return "toy-line", "points on the line; its noise of one dimension can be drawn below them"
    return "toy", "points in the plane, where it loses no mode"
