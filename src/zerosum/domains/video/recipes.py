"""The recipes of video, and which one a data set gets when none is named."""

from __future__ import annotations

from collections.abc import Mapping

from zerosum.domain import DatasetInfo, both
from zerosum.engine.duel import UpdateRules
from zerosum.engine.optimizers import Schedule
from zerosum.engine.seeds import Prior
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part

VIDEO = Recipe(
    name="video",
    domain="video",
    why="Contents on smooth paths, drawn frame by frame at any time; D sees frames and their changes: motion within minutes.",
    sources=(
        "Huang et al. 2024 (R3GAN), arXiv:2501.05441",
        "Tulyakov et al. 2018 (MoCoGAN: content and motion), arXiv:1707.04993",
        "Skorokhodov et al. 2022 (StyleGAN-V: continuous motion codes), arXiv:2112.14683",
        "Yu et al. 2022 (DIGAN), arXiv:2202.10571",
    ),
    data=part("moving-digits"),
    generator=part("path"),
    discriminator=part("clips"),
    prior=Prior(64),
    loss="relativistic",
    penalties={"r1": PenaltyConfig(weight=0.5, every=4), "r2": PenaltyConfig(weight=0.5, every=4)},
    rules=UpdateRules(batches="one"),
    learning=both(lr=Schedule(1e-3, 1e-4, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=2_500.0),
    steps=4_000,
    batch=8,
)

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (VIDEO,)}


def recommend_recipe(info: DatasetInfo, minutes: float | None = None, device: str = "cpu") -> tuple[str, str]:
    """The recipe for a source that names none, and why."""
    condition = f", conditional on {info.num_classes} classes" if info.num_classes else ""
    return "video", f"{info.num_rows:,} clips of {info.sample.description}: contents on smooth paths{condition}"
