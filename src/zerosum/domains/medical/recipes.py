"""The recipes of medical images. docs/medical.md has the measured result of each."""

from __future__ import annotations

from collections.abc import Mapping

from zerosum.domain import DatasetInfo, both
from zerosum.engine.optimizers import Schedule
from zerosum.engine.seeds import Prior
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part

VOLUMES = Recipe(
    name="volumes",
    domain="medical",
    why="Whole small volumes by three-dimensional convolutions and linear interpolation, relativistic with R1 and R2; batch 4.",
    sources=("Huang et al. 2024 (R3GAN), arXiv:2501.05441", "Mescheder et al. 2018, arXiv:1801.04406"),
    data=part("phantoms", rows="volumes"),
    generator=part("volume", widths=(48, 24, 16, 12)),
    discriminator=part("volume", widths=(12, 24, 48)),
    prior=Prior(64),
    loss="relativistic",
    penalties={"r1": PenaltyConfig(weight=5.0, every=4), "r2": PenaltyConfig(weight=5.0, every=4)},
    learning=both(lr=Schedule(1e-3, 1e-4, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=2_000.0),
    steps=3_000,
    batch=4,
)

SLICES = VOLUMES.changed(
    name="slices",
    why="Slices of 28 pixels: a generator from 7x7 features by linear interpolation, relativistic with R1 and R2.",
    data=part("phantoms", rows="slices", size=28),
    generator=part("volume", widths=(128, 64, 32)),
    discriminator=part("volume", widths=(32, 64, 128)),
    penalties={"r1": PenaltyConfig(weight=1.0, every=4), "r2": PenaltyConfig(weight=1.0, every=4)},
    learning=both(lr=Schedule(6e-4, 1e-4, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=6_000.0),
    steps=1_500,
    batch=16,
)

LABELS = VOLUMES.changed(
    name="labels",
    why="Label maps to images, relativistic and conditional, with the mean absolute difference; the grain is noise by position.",
    sources=[
        "Isola et al. 2017, arXiv:1611.07004",
        "Huang et al. 2024 (R3GAN), arXiv:2501.05441",
        "Ronneberger et al. 2015, arXiv:1505.04597",
    ],
    data=part("phantoms", rows="slices", input="labels"),
    generator=part("unet"),
    discriminator=part("patch"),
    prior=Prior(8),
    penalties={
        "r1": PenaltyConfig(weight=0.2, every=4),
        "r2": PenaltyConfig(weight=0.2, every=4),
        "pixel": PenaltyConfig(weight="auto"),
    },
    learning=both(lr=Schedule(8e-4, 8e-5, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=1_000.0),
    steps=600,
    batch=8,
)

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (VOLUMES, SLICES, LABELS)}

PIXEL_WEIGHT: Mapping[str, float] = {"labels": 1.0, "image": 10.0, "thick": 40.0}
"""Weight of the mean absolute difference for each kind of input. A label map does not determine the grain of its regions: ten
times the difference outweighs the discriminator there, and the mean of all possible grains, which is smooth, is learned."""


def resolve_auto(recipe: Recipe, info: DatasetInfo) -> tuple[Recipe, tuple[str, ...]]:
    """The weight of the penalty `pixel` for the input of the data, where it is "auto"."""
    pixel = recipe.penalties.get("pixel")
    weight = PIXEL_WEIGHT.get(info.payload["input"])
    if pixel is None or pixel.weight != "auto" or weight is None:
        return recipe, ()
    changed = pixel.model_copy(update={"weight": weight})
    why = "a label map does not determine the grain" if weight == 1 else "an image nearly determines the output"
    note = f"Weight of the mean absolute difference {weight:g}: {why}."
    return recipe.changed(penalties={**recipe.penalties, "pixel": changed}), (note,)


def recommend_recipe(info: DatasetInfo, minutes: float | None = None, device: str = "cpu") -> tuple[str, str]:
    """The default recipe of a source, and the reason."""
    if info.payload["input"] != "none":
        return "labels", "each image has an input"
    if info.payload["rows"] == "slices":
        return "slices", "rows are slices"
    return "volumes", f"rows are {info.payload['rows']}"
