"""The recipe for one photograph a side: the look of the second is given to the first, in a dose that is chosen afterwards."""

from __future__ import annotations

from zerosum.domain import both
from zerosum.engine.duel import Prior
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part

SINGLE = Recipe(
    name="single",
    domain="translation",
    why="Pieces of two photographs: from the identity towards the patches of the other one, each place told from the rest.",
    sources=(
        "Park et al. 2020 (CUT, single-image translation), arXiv:2007.15651, section 4.3",
        "Huang et al. 2024 (R3GAN), arXiv:2501.05441",
        "Goodfellow, Vinyals and Saxe 2015, arXiv:1412.6544",
    ),
    data=part("two-photos"),
    generator=part("restyle"),
    discriminator=part("patch", told=False),
    prior=Prior(1),
    loss="relativistic",
    penalties={
        "r1": PenaltyConfig(weight=30.0, every=4),
        "r2": PenaltyConfig(weight=30.0, every=4),
        "contrast": PenaltyConfig(weight=1.0, identity=0.0),
    },
    learning=both(lr=4e-4, betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_images=1_000.0),
    steps=600,
    batch=8,
)
