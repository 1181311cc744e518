"""Recipes for tables: complete typed rows. Each has its measured result in docs/tables.md."""

from __future__ import annotations

from collections.abc import Mapping

from zerosum.domain import both
from zerosum.engine.duel import Prior
from zerosum.engine.schedule import Schedule
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part

TABLE = Recipe(
    name="table",
    domain="tables",
    why="Relativistic pairing with R1 and R2 over randomised-CDF numbers: exact columns, and what is between them.",
    sources=(
        "Huang et al. 2024 (R3GAN), arXiv:2501.05441",
        "Jolicoeur-Martineau 2018, arXiv:1807.00734",
        "Mescheder et al. 2018, arXiv:1801.04406",
        "Jang et al. 2017 (Gumbel-softmax), arXiv:1611.01144",
    ),
    data=part("wine"),
    generator=part("residual", width="auto", chance=0.1, straight=True),
    discriminator=part("mlp", width="auto"),
    prior=Prior(128),
    loss="relativistic",
    penalties={"r1": PenaltyConfig(weight="auto"), "r2": PenaltyConfig(weight="auto")},
    learning=both(lr=Schedule(1e-3, 5e-5, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples="auto"),
    steps=4_000,
    batch="auto",
)

CTGAN = TABLE.changed(
    name="ctgan",
    why="For history: a Wasserstein critic that judges ten rows together, with the optimiser of the paper.",
    sources=[
        "Xu et al. 2019 (CTGAN), arXiv:1907.00503",
        "Gulrajani et al. 2017, arXiv:1704.00028",
        "Lin et al. 2018 (PacGAN), arXiv:1712.04086",
    ],
    data=part("wine", numeric="mixture"),
    generator=part("residual", temperature=0.2, keep=False, width=256),
    discriminator=part("mlp", width=256, depth=2, told="values", pack=10, dropout=0.5),
    loss="wasserstein",
    # A pack of ten shares one logit, so the slope a row is the root of ten times the pack's, and a tenth of the weight.
    penalties={
        "gradient_penalty": PenaltyConfig(weight=1.0, target=10**0.5),
        "told_columns": PenaltyConfig(weight=1.0),
    },
    learning=both(lr=2e-4, betas=(0.5, 0.9), weight_decay=1e-6),
    ema=AverageConfig(half_life_samples=0),
    steps=15_000,
    batch=500,
)

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (TABLE, CTGAN)}
