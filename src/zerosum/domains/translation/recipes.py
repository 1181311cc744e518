"""The recipes of translation. docs/translation.md has the measured result of each."""

from __future__ import annotations

from collections.abc import Mapping

from zerosum.domain import DatasetInfo, both
from zerosum.domains.translation.sides import scale_of, sides
from zerosum.engine.optimizers import Schedule
from zerosum.engine.seeds import Prior
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part

PIX2PIX = Recipe(
    name="pix2pix",
    domain="translation",
    why="Relativistic loss with R1 and R2, conditional on the input: sharp where a pixel distance alone would blur.",
    sources=(
        "Isola et al. 2017, arXiv:1611.07004",
        "Huang et al. 2024 (R3GAN), arXiv:2501.05441",
        "Ronneberger et al. 2015, arXiv:1505.04597",
    ),
    data=part("digit-outlines"),
    generator=part("unet"),
    discriminator=part("patch"),
    prior=Prior(8),
    loss="relativistic",
    penalties={
        "r1": PenaltyConfig(weight=2.0, every=4),
        "r2": PenaltyConfig(weight=2.0, every=4),
        "pixel": PenaltyConfig(weight="auto"),
    },
    learning=both(lr=5e-4, betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=1_100.0),
    steps=600,
    batch=8,
)

PIX2PIX_2017 = PIX2PIX.changed(
    name="pix2pix-2017",
    why="The original pix2pix with least squares for cross-entropy: 100 times the pixel distance outweighs the adversarial loss.",
    sources=["Isola et al. 2017, arXiv:1611.07004", "Mao et al. 2017, arXiv:1611.04076"],
    loss="least_squares",
    penalties={"pixel": PenaltyConfig(weight=100.0)},
    learning=both(lr=2e-4, betas=(0.5, 0.999)),
    ema=AverageConfig(half_life_samples=0),
)

CYCLEGAN = Recipe(
    name="cyclegan",
    domain="translation",
    why="Two generators that are trained to be inverses: no pairs are needed, and both directions are trained.",
    sources=("Zhu et al. 2017, arXiv:1703.10593", "Huang et al. 2024 (R3GAN), arXiv:2501.05441"),
    data=part("digit-styles"),
    generator=part("cycle", width=16),
    discriminator=part("cycle", levels=3),
    prior=Prior(1),
    loss="relativistic",
    penalties={
        "r1": PenaltyConfig(weight=2.0, every=4),
        "r2": PenaltyConfig(weight=2.0, every=4),
        "cycle": PenaltyConfig(weight=10.0),
        "identity": PenaltyConfig(weight=1.0),
    },
    learning=both(lr=Schedule(4e-4, 4e-5, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=1_000.0),
    steps=600,
    batch=8,
)

CUT = CYCLEGAN.changed(
    name="cut",
    why="Starts from the identity; each position of the output must match the same position of the input better than all others.",
    sources=["Park et al. 2020 (CUT), arXiv:2007.15651", "Huang et al. 2024 (R3GAN), arXiv:2501.05441"],
    generator=part("restyle", width=16, blocks=4, edge=7, features=128),
    discriminator=part("patch", levels=3, condition=False),
    penalties={
        "r1": PenaltyConfig(weight=2.0, every=4),
        "r2": PenaltyConfig(weight=2.0, every=4),
        "contrast": PenaltyConfig(weight=1.0, identity=0.0),
    },
)

SINGLE = Recipe(
    name="single",
    domain="translation",
    why="One photograph on each side: starts from the identity, learns from crops, with the contrastive term of cut.",
    sources=(
        "Park et al. 2020 (CUT, single-image translation), arXiv:2007.15651, section 4.3",
        "Huang et al. 2024 (R3GAN), arXiv:2501.05441",
        "Goodfellow, Vinyals and Saxe 2015, arXiv:1412.6544",
    ),
    data=part("two-photos"),
    generator=part("restyle"),
    discriminator=part("patch", condition=False),
    prior=Prior(1),
    loss="relativistic",
    penalties={
        "r1": PenaltyConfig(weight=30.0, every=4),
        "r2": PenaltyConfig(weight=30.0, every=4),
        "contrast": PenaltyConfig(weight=1.0, identity=0.0),
    },
    learning=both(lr=4e-4, betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=1_000.0),
    steps=600,
    batch=8,
)

UPSCALE = PIX2PIX.changed(
    name="upscale",
    why="Super-resolution: first the distance of pixels alone, then a relativistic game on top of it; both generators are kept.",
    sources=(
        "Lim et al. 2017 (EDSR), arXiv:1707.02921",
        "Wang et al. 2018 (ESRGAN), arXiv:1809.00219",
        "Huang et al. 2024 (R3GAN), arXiv:2501.05441",
    ),
    data=part("photographs", scale=4),
    generator=part("upscale"),
    discriminator=part("patch"),
    prior=Prior(1),
    penalties={
        "r1": PenaltyConfig(weight=2.0, every=4),
        "r2": PenaltyConfig(weight=2.0, every=4),
        "pixel": PenaltyConfig(weight=40.0),
    },
    learning=both(lr=Schedule(6e-4, 6e-5, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=1_000.0),
    steps=2_000,
    batch=8,
)

PIXEL_WEIGHT = 10.0
"""Weight of the pixel distance for inputs that nearly determine the target."""


def resolve_auto(recipe: Recipe, info: DatasetInfo) -> tuple[Recipe, tuple[str, ...]]:
    """Sets the weight of the penalty `pixel` where it is "auto". It is removed if inputs are label maps: they do not
    determine the content of a region, and a distance would favour the mean of all possible contents, which is
    blurred."""
    pixel = recipe.penalties.get("pixel")
    if pixel is None or pixel.weight != "auto":
        return recipe, ()
    others = {name: part for name, part in recipe.penalties.items() if name != "pixel"}
    if info.payload["input"]["kind"] == "labels":
        return recipe.changed(penalties=others), (
            "No pixel distance: a label map does not determine the content of its regions.",
        )
    changed = pixel.model_copy(update={"weight": PIXEL_WEIGHT})
    note = f"Weight of the pixel distance {PIXEL_WEIGHT:g}: the input is an image, which nearly determines the target."
    return recipe.changed(penalties={**recipe.penalties, "pixel": changed}), (note,)


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe for recipe in (PIX2PIX, PIX2PIX_2017, CYCLEGAN, CUT, SINGLE, UPSCALE)
}


def recommend_recipe(info: DatasetInfo, minutes: float | None = None, device: str = "cpu") -> tuple[str, str]:
    """The default recipe of a source, and the reason: whether there are pairs, and whether both sides are of one
    kind."""
    if scale_of(str(info.payload["make"])) > 1:
        return "upscale", "its inputs are enlarged small images"
    if info.payload["paired"]:
        return "pix2pix", "its images are pairs"
    given, target = sides(info)
    alike = given.kind == target.kind == "image" and given.channels == target.channels
    if alike and info.payload["num_images"] == [1, 1]:
        return "single", "there is one image on each side"
    if alike:
        return "cut", "there are no pairs, and both sides are images of the same channels"
    return "cyclegan", "there are no pairs, and the sides are not images of the same channels"
