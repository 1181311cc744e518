"""Recipes for tables, with their measured results in docs/tables.md, and the rules for "auto": few rows need narrow networks
and a strongly regularised discriminator."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from zerosum.domain import DatasetInfo, both
from zerosum.engine.devices import multiplies_faster
from zerosum.engine.optimizers import Schedule
from zerosum.engine.seeds import Prior
from zerosum.recipe import AverageConfig, Component, PenaltyConfig, Recipe, part, resolved_number

TABLE = Recipe(
    name="table",
    domain="tables",
    why="Relativistic loss with R1 and R2 on randomised-CDF numbers: exact marginals, and the dependencies between columns.",
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
    why="For comparison: a Wasserstein critic that scores ten rows together, with the optimizer of the paper.",
    sources=[
        "Xu et al. 2019 (CTGAN), arXiv:1907.00503",
        "Gulrajani et al. 2017, arXiv:1704.00028",
        "Lin et al. 2018 (PacGAN), arXiv:1712.04086",
    ],
    data=part("wine", numeric="mixture"),
    generator=part("residual", temperature=0.2, keep=False, width=256),
    discriminator=part("mlp", width=256, depth=2, condition="values", pack=10, dropout=0.5),
    loss="wasserstein",
    # A pack of ten shares one logit, so the slope per row is sqrt(10) times that of the pack, and the weight is a tenth.
    penalties={
        "gradient_penalty": PenaltyConfig(weight=1.0, target=10**0.5),
        "given_columns": PenaltyConfig(weight=1.0),
    },
    learning=both(lr=2e-4, betas=(0.5, 0.9), weight_decay=1e-6),
    ema=AverageConfig(half_life_samples=0),
    steps=15_000,
    batch=500,
)

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (TABLE, CTGAN)}

# --- rules for "auto"

BATCH_MOST, BATCH_LEAST, PASSES = 500, 64, 4
"""Bounds of the batch, which is at most this part of the rows."""
SIZES = ((5_000, 256, 1.0), (1_000, 128, 2.0), (0, 64, 5.0))
"""From so many rows on: the width of both players, and the weight of R1 and R2 at the start."""
FALL = 0.04
"""The share of that weight at the end: dependencies between columns become more exact as the weight decays."""
WIDE = 256
"""Width from which matrix products dominate the time of a step."""
HALF_LIFE_STEPS = 700
"""Half-life of the average generator in batches: a decay of 0.999 per step."""


def recommend_recipe(info: DatasetInfo, minutes: float | None = None, device: str = "cpu") -> tuple[str, str]:
    """The default recipe of a table, and the reason; its sizes depend on the number of rows."""
    return "table", f"{info.num_rows:,} rows of {len(info.payload['layout'])} columns that are learnt"


def resolve_auto(recipe: Recipe, info: DatasetInfo) -> tuple[Recipe, tuple[str, ...]]:
    """Replaces each "auto" by a number, with a note that states the rule and its numbers."""
    num = info.num_rows
    least, width, weight = next(size for size in SIZES if num >= size[0])
    where = f"{num:,} training rows ({'fewer than ' + format(SIZES[1][0], ',') if not least else f'{least:,} or more'})"
    notes = []
    if recipe.batch == "auto":
        recipe = recipe.changed(batch=max(min(num, BATCH_LEAST), min(BATCH_MOST, num // PASSES)))
        notes.append(
            f"Batch {recipe.batch}: 1/{PASSES} of {num:,} training rows, within {BATCH_LEAST} to {BATCH_MOST}."
        )
    parts = {name: part for name, part in _parts(recipe).items() if part.options.get("width") == "auto"}
    if parts:
        recipe = recipe.changed(**{name: part.model_copy(update={"width": width}) for name, part in parts.items()})
        notes.append(f"Width of {' and '.join(parts)} {width}: {where}.")
    waiting = [name for name, part in recipe.penalties.items() if part.weight == "auto"]
    if waiting:
        falling = Schedule(weight, weight * FALL, "cosine", over_share=1.0)
        changed = {name: recipe.penalties[name].model_copy(update={"weight": falling}) for name in waiting}
        recipe = recipe.changed(penalties={**recipe.penalties, **changed})
        notes.append(f"Weight of {' and '.join(waiting)} {weight:g}, falling to {weight * FALL:g}: {where}.")
    if recipe.ema.half_life_samples == "auto":
        half_life = HALF_LIFE_STEPS * resolved_number(recipe.batch, "batch")
        recipe = recipe.changed(ema=recipe.ema.model_copy(update={"half_life_samples": float(half_life)}))
        notes.append(f"Half-life of the average generator {half_life:,} rows: {HALF_LIFE_STEPS} batches.")
    if _is_faster_in_bfloat16(recipe):
        recipe = recipe.changed(precision="bfloat16")
        notes.append("Precision bfloat16: matrix products, which dominate the step, are faster in it on this device.")
    return recipe, tuple(notes)


def _is_faster_in_bfloat16(recipe: Recipe) -> bool:
    if recipe.precision != "auto" or recipe.device == "auto" or not multiplies_faster(torch.device(recipe.device)):
        return False
    return all(int(part.options.get("width", WIDE)) >= WIDE for part in _parts(recipe).values())


def _parts(recipe: Recipe) -> dict[str, Component]:
    return {"generator": recipe.generator, "discriminator": recipe.discriminator}
