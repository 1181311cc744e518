"""The recipes of sound, and which one a data set gets when none is named."""

from __future__ import annotations

from collections.abc import Mapping

from zerosum.domain import DatasetInfo, both
from zerosum.engine.seeds import Prior
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part

CLIPS = Recipe(
    name="clips",
    domain="audio",
    why="A game on log magnitudes, each layer of the generator told the class; waves by Griffin-Lim.",
    sources=(
        "Huang et al. 2024 (R3GAN), arXiv:2501.05441",
        "Donahue, McAuley and Puckette 2019 (SpecGAN), arXiv:1802.04208",
        "Perraudin, Balazs and Sondergaard 2013 (fast Griffin-Lim)",
    ),
    data=part("tones"),
    generator=part("spectrogram"),
    discriminator=part("spectrogram"),
    prior=Prior(64),
    loss="relativistic",
    penalties={"r1": PenaltyConfig(weight=0.5, every=4), "r2": PenaltyConfig(weight=0.5, every=4)},
    learning=both(lr=4e-4, betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=11_000.0),
    steps=4_000,
    batch=32,
)

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (CLIPS,)}


def recommend_recipe(info: DatasetInfo, minutes: float | None = None, device: str = "cpu") -> tuple[str, str]:
    """The recipe for a source that names none, and why."""
    condition = f", told which of {info.num_classes} classes" if info.num_classes else ""
    return "clips", f"{info.num_rows:,} clips of {info.sample.description}: a game on log magnitudes{condition}"
