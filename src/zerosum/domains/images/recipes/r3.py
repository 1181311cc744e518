"""R3GAN at its published size, and at one for small budgets; each has its measured result in docs/images.md."""

from __future__ import annotations

from zerosum.domain import both
from zerosum.engine.duel import Prior, UpdateRules
from zerosum.engine.optimizers import Schedule
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part

HUANG = "Huang et al. 2024 (R3GAN), arXiv:2501.05441"
FIX_UP = "Zhang et al. 2019 (fix-up), arXiv:1901.09321"
DECAY_SHARE = 0.8
"""Of the run, after which nothing changes any more; published as a number of images, 20 million for CIFAR-10."""


def _moving(start: float, end: float) -> Schedule:
    return Schedule(start, end, "cosine", over_share=DECAY_SHARE)


R3GAN = Recipe(
    name="r3gan",
    why="R3GAN as published for CIFAR-10, 20.6 million weights a side: relativistic, R1 and R2 in every step, everything on a "
    "schedule; for GPUs and days.",
    sources=(HUANG, FIX_UP, "Karras et al. 2020 (ADA), arXiv:2006.06676"),
    data=part("cifar10", flip=True),
    generator=part("r3", width=768, full_size=32, blocks=2, group_width=16, expansion=2),
    discriminator=part("r3", width=768, full_size=32, blocks=2, group_width=16, expansion=2),
    prior=Prior(64),
    loss="relativistic",
    penalties={
        name: PenaltyConfig.model_validate({"weight": _moving(0.05, 0.005), "through_augment": True})
        for name in ("r1", "r2")
    },
    rules=UpdateRules(augment_strength=_moving(0.0, 0.55)),
    augment=part("ada", pipe=["blit", "geometric", "color", "cutout"], multipliers={"color": 0.5}),
    learning=both(lr=_moving(2e-4, 5e-5), betas=(0.0, _moving(0.9, 0.99))),
    # The ramp does not bind at the published length; in a shorter run it keeps the average from remembering its beginning.
    ema=AverageConfig(half_life_samples=_moving(0.0, 5e6), ramp=0.3),
    steps=48_828,  # of 512 images: 25 million, of which 20 on the schedules
    batch=512,
)

R3GAN_S = Recipe(
    name="r3gan-s",
    why="R3GAN small enough for one CPU core: few channels, 2x2 pixels at a time, lazy R1 and R2.",
    sources=(HUANG, FIX_UP),
    # Few features for the condition: with as many as the noise has, short runs draw one picture a class.
    generator=part("r3", width=64, full_size=8, blocks=2, patch=2, group_width=16, condition_features=16),
    discriminator=part("r3", width=64, full_size=8, blocks=2, patch=2, group_width=16),
    prior=Prior(64),
    loss="relativistic",
    penalties={"r1": PenaltyConfig(weight=0.2, every=8), "r2": PenaltyConfig(weight=0.2, every=8)},
    rules=UpdateRules(batches="one"),
    learning=both(lr=2e-3, betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=20_000.0),
    steps=6_000,
    batch=16,
)

RECIPES = (R3GAN, R3GAN_S)
