"""The rules for recipes of images: the default recipe of a data set, and the values of "auto".

Each rule is stated in the plan when it is used. Those for batch, penalty weights and half-life use the numbers of published
recipes and are a starting point: a measured weight is better.
"""

from __future__ import annotations

import math

from zerosum.domain import DatasetInfo, pair, penalty_maker
from zerosum.engine.optimizers import Schedule
from zerosum.recipe import Recipe, resolved_number

FEW_IMAGES = 1_000
"""With fewer images a plain discriminator memorises them before the generator has learned anything."""
TINY_PIXELS = 32
"""Up to this side the classic networks reach their best samples within a few minutes on one CPU core."""
LONG_MINUTES, LARGE_MINUTES = 20.0, 60.0
"""Minutes on a CPU from which small images, and larger ones, get a larger network."""
COLOUR_MINUTES = 4.0
"""From here on `rpgan` made the better small colour images of the recipes measured on CIFAR-10 (docs/results.md)."""
GPU_SPEED = 20.0
"""Minutes of one CPU core that a minute of a GPU is counted as: the order of magnitude, which is all the rule needs."""
GPU_HOURS, PUBLISHED_PIXELS = 4.0, 64
"""From so many hours on a GPU, and up to this side: R3GAN at its published size for CIFAR-10."""


def recommend_recipe(info: DatasetInfo, minutes: float | None = None, device: str = "cpu") -> tuple[str, str]:
    """The recipe for a source that names none, and why, with the numbers that decided. minutes: None if not given."""
    images = int(info.payload["num_images"])
    channels, height, width = info.sample.shape
    side = round(math.sqrt(height * width))
    on_gpu = device.startswith("cuda")
    budget = f"{images:,} images of {side} px"
    if minutes is not None:
        budget += f", {minutes:g} minutes on a {'GPU' if on_gpu else 'CPU'}"
    cpu_minutes = (minutes or 0.0) * (GPU_SPEED if on_gpu else 1.0)
    if images < FEW_IMAGES:
        return "fewshot", (
            f"{images:,} images are fewer than {FEW_IMAGES:,}, and a discriminator without augmentation soon memorises them"
        )
    if on_gpu and (minutes or 0.0) >= GPU_HOURS * 60 and side <= PUBLISHED_PIXELS:
        return "r3gan", f"{budget}: enough for R3GAN as published"
    if side <= TINY_PIXELS and channels >= 3 and COLOUR_MINUTES <= cpu_minutes < LARGE_MINUTES:
        return (
            "rpgan",
            f"{budget}, in colour: relativistic pairing in small batches, the best of the recipes measured on CIFAR-10",
        )
    if side <= TINY_PIXELS and cpu_minutes < LONG_MINUTES:
        if info.condition is not None:
            return "cgan", f"{budget}, with labels: a conditional GAN learns fastest on a small budget"
        return "dcgan", f"{budget}, no labels: convolutions with batch normalisation learn fastest on a small budget"
    if cpu_minutes >= LARGE_MINUTES:
        return "stylegan2-s", f"{budget}: enough time for a style-based network"
    return "r3gan-s", f"{budget}: the small R3GAN stays steady and varied without tuning"


BATCH_PIXELS, BATCH_MOST, BATCH_LEAST = 4_096, 64, 4
"""Rows times side; bounds of the batch. The reference implementation of StyleGAN2-ADA, on one or two devices."""
PASSES = 8
"""A batch is at most this part of the images, so that the discriminator does not see all of them in every step."""
LOGISTIC = 0.0002
"""R1 weight, times pixels, over batch: the same implementation's rule."""
PAIRED, PAIRED_POWER = 0.15, 3.3
"""R1 and R2 weight at 32 px, and the power of the side: least squares through the logarithms of the five presets of R3GAN
(arXiv:2501.05441): 0.05 and 0.5 at 32 px, 1 and 2 at 64 px, 150 at 256 px. They scatter around it by a factor of 3,
because they depend on the data too."""
HALF_LIFE_IMAGES, HALF_LIFE_SHARE = 312.5, 0.05
"""Half-life over batch (10,000 images for a batch of 32: StyleGAN2), and the most of it as a share of the run."""


def resolve_auto(recipe: Recipe, info: DatasetInfo) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with a number for each "auto", and a note on each that states the rule and its numbers."""
    notes = []
    if recipe.batch == "auto":
        batch, rule = batch_rule(info)
        recipe = recipe.changed(batch=batch)
        notes.append(f"Batch {batch}: {rule}.")
    weights: dict[str, list[str]] = {}
    for name, part in recipe.penalties.items():
        if part.weight == "auto":
            weight, rule = weight_rule(name, recipe, info)
            changed = part.model_copy(update={"weight": weight})
            recipe = recipe.changed(penalties={**recipe.penalties, name: changed})
            weights.setdefault(rule, []).append(name)
    notes += [f"Weight of {' and '.join(names)} {rule}." for rule, names in weights.items()]
    if recipe.ema.half_life_samples == "auto":
        half_life, rule = half_life_rule(recipe)
        recipe = recipe.changed(ema=recipe.ema.model_copy(update={"half_life_samples": half_life}))
        notes.append(f"Half-life of the average generator {half_life:,.0f} images: {rule}.")
    largest = recipe.limits.get("side", math.inf)
    if _side(info) > largest:
        other = f"; take --recipe {recipe.beyond_limits}" if recipe.beyond_limits else ""
        notes.append(f"With its own settings, recipe {recipe.name} fails on images of more than {largest:g} px{other}.")
    return recipe, tuple(notes)


def batch_rule(info: DatasetInfo) -> tuple[int, str]:
    """Fewer rows for larger images and for few images; a power of two."""
    side, images = _side(info), int(info.payload["num_images"])
    least = min(BATCH_MOST, BATCH_PIXELS / side, images / PASSES)
    batch = min(images, max(BATCH_LEAST, 2 ** math.floor(math.log2(max(least, 1.0)))))
    return batch, (
        f"the least of {BATCH_PIXELS:,} / {side:.0f} px, 1/{PASSES} of {images:,} images and {BATCH_MOST}, "
        f"down to a power of two, at least {BATCH_LEAST}"
    )


def weight_rule(name: str, recipe: Recipe, info: DatasetInfo) -> tuple[float | Schedule, str]:
    """A penalty's weight by the family of the loss: a number, or a schedule over the whole run.

    A penalty whose weight does not depend on the size has the default of the function that makes it.
    """
    default = penalty_maker(name)()
    if not default.weight_scales:
        assert not isinstance(default.weight, Schedule)
        source = f" ({default.source})" if default.source else ""
        return default.weight, f"{default.weight:g}: the same for every size and batch{source}"
    side = _side(info)
    if pair(recipe).needs_real:
        start = float(f"{PAIRED * (side / 32) ** PAIRED_POWER:.2g}")
        return Schedule(start, start / 10, "cosine", over_share=1.0), (
            f"{start:g}, falling to a tenth: {PAIRED} x ({side:.0f} px / 32)^{PAIRED_POWER}, "
            "the middle of the presets of R3GAN"
        )
    batch = resolved_number(recipe.batch, "batch")
    weight = float(f"{LOGISTIC * side**2 / batch:.2g}")
    return weight, f"{weight:g}: {LOGISTIC} x {side:.0f}^2 pixels / batch {batch}, the rule of StyleGAN2-ADA"


def half_life_rule(recipe: Recipe) -> tuple[float, str]:
    """The half-life in images: long enough to smooth the samples, short enough to discard the start of the run."""
    batch = resolved_number(recipe.batch, "batch")
    default, most = HALF_LIFE_IMAGES * batch, HALF_LIFE_SHARE * recipe.steps * batch
    return max(1.0, min(default, most)), (
        f"the lesser of {HALF_LIFE_IMAGES:g} x batch {batch} and {HALF_LIFE_SHARE:.0%} of the "
        f"{recipe.steps * batch:,} images of this run"
    )


def _side(info: DatasetInfo) -> float:
    """The side of a square of as many pixels."""
    return math.sqrt(info.sample.axes["height"] * info.sample.axes["width"])
