"""The rules behind "auto": their numbers by hand, what they leave alone, and that a plan tells and uses them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

import infos
from zerosum.domain import DatasetInfo
from zerosum.domains.images import DOMAIN
from zerosum.domains.images.recipe_rules import batch_rule, resolve_auto
from zerosum.domains.toy import DOMAIN as TOY
from zerosum.engine import losses, penalties
from zerosum.engine.optimizers import Schedule
from zerosum.errors import UserError
from zerosum.planning import plan
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe

DCGAN, RPGAN = DOMAIN.recipes.table["dcgan"], DOMAIN.recipes.table["rpgan-64"]


def info(side: int | tuple[int, int], images: int = 60_000, channels: int = 3, **more: Any) -> DatasetInfo:
    return infos.of_images(side, channels, images, **more)


def auto(recipe: Recipe, *names: str, **fields: Any) -> Recipe:
    return recipe.changed(penalties={name: PenaltyConfig(weight="auto", every=4) for name in names}, **fields)


@pytest.mark.parametrize(
    ("given", "batch"),
    [
        (info(8), 64),
        (info(64), 64),
        (info(65), 32),
        (info(128), 32),
        (info(256), 16),
        (info(512), 8),
        (info(1024), 4),
        (info(64, images=400), 32),
        (info(64, images=100), 8),
        (info(64, images=200, num_images=100), 8),  # mirrored copies are no new images
        (info(64, images=20), 4),
        (info(64, images=3), 3),
        (info((64, 256), images=9_999), 32),
    ],
)
def test_batch(given: DatasetInfo, batch: int) -> None:
    """At 256 px and more: what StyleGAN2-ADA takes on one device."""
    assert batch_rule(given)[0] == batch


@pytest.mark.parametrize(
    ("side", "batch", "weight"), [(256, 64, 0.2), (1024, 32, 6.6), (32, 64, 0.0032), (64, 32, 0.026)]
)
def test_r1_of_a_logistic_loss(side: int, batch: int, weight: float) -> None:
    recipe, (note,) = resolve_auto(auto(DCGAN, "r1", batch=batch), info(side))
    assert recipe.penalties["r1"].weight == weight
    assert (recipe.penalties["r1"].every, recipe.batch) == (4, batch)
    assert note == f"Weight of r1 {weight:g}: 0.0002 x {side}^2 pixels / batch {batch}, the rule of StyleGAN2-ADA."


@pytest.mark.parametrize(("side", "published"), [(32, (0.05, 0.5)), (64, (1, 2)), (256, (150,))])
def test_r1_and_r2_of_paired_losses_lie_between_the_presets(side: int, published: tuple[float, ...]) -> None:
    recipe, notes = resolve_auto(auto(RPGAN, "r1", "r2"), info(side))
    weight = recipe.penalties["r1"].weight
    assert weight == recipe.penalties["r2"].weight
    assert isinstance(weight, Schedule)
    middle = math.prod(published) ** (1 / len(published))
    assert weight.start == pytest.approx(middle, rel=0.12)
    assert (weight.end, weight.shape, weight.over_share) == (pytest.approx(weight.start / 10), "cosine", 1.0)
    assert len(notes) == 1
    assert notes[0].startswith("Weight of r1 and r2 ")


def test_every_penalty_has_a_rule() -> None:
    for name, maker in penalties.table().items():
        recipe, (note,) = resolve_auto(auto(DCGAN, name), info(64))
        assert recipe.unresolved() == []
        if not maker().weight_scales:
            assert recipe.penalties[name].weight == maker().weight
            assert note.endswith(f"{maker().weight:g}: the same for every size and batch ({maker().source}).")


def test_only_the_slope_at_the_samples_is_weighted_by_size() -> None:
    every = {name: maker() for name, maker in penalties.table().items()}
    assert {name for name, penalty in every.items() if penalty.weight_scales} == {"r1", "r2"}


def test_the_rule_of_paired_losses_is_that_of_every_loss_that_looks_at_reals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "warm", replace(losses.relativistic, source="here"), raising=False)
    warm, usual = (resolve_auto(auto(DCGAN, "r1", loss=loss), info(64))[0] for loss in ("warm", "relativistic"))
    assert warm.penalties["r1"] == usual.penalties["r1"]
    assert isinstance(warm.penalties["r1"].weight, Schedule)


@pytest.mark.parametrize(
    ("batch", "steps", "half_life"), [(64, 100_000, 20_000), (32, 100_000, 10_000), (64, 1_000, 3_200)]
)
def test_half_life(batch: int, steps: int, half_life: float) -> None:
    recipe, (note,) = resolve_auto(
        DCGAN.changed(ema=AverageConfig(half_life_samples="auto"), batch=batch, steps=steps), info(64)
    )
    assert recipe.ema.half_life_samples == half_life
    assert f"{half_life:,} images: the lesser of 312.5 x batch {batch} and 5% of the {batch * steps:,} images" in note


def test_stated_numbers_stay() -> None:
    for recipe in DOMAIN.recipes.table.values():
        if not recipe.unresolved():
            assert resolve_auto(recipe, info(32)) == (recipe, ())


def test_the_plan_uses_the_rules_and_tells_them() -> None:
    settings = ["batch=auto", "penalties.r1.weight=auto", "ema.half_life_samples=auto", "steps=10", "threads=1"]
    planned = plan.make(
        plan.TrainRequest("digits", "dcgan", settings=[*settings, "generator.width=4", "discriminator.width=4"])
    )
    assert planned.recipe.batch == 64
    assert planned.recipe.penalties["r1"].weight == 0.0002
    assert planned.recipe.ema.half_life_samples == 32  # 5% of ten steps
    notes = "\n".join(planned.notes)
    for words in ("Batch 64: the least of", "Weight of r1 0.0002:", "Half-life of the average generator 32 images"):
        assert words in notes
    assert plan.settings(planned.recipe).batch == 64


def test_a_domain_without_a_rule_says_so() -> None:
    wish = plan.TrainRequest(None, TOY.recipes.table["toy"], settings=["penalties.r1.weight=auto", "batch=auto"])
    with pytest.raises(UserError, match=r'batch and penalties.r1.weight = "auto": the domain toy has no rule'):
        plan.make(wish)
    with pytest.raises(UserError, match=r'penalties.r1.weight = "auto" is resolved when a run is planned'):
        DOMAIN.game.build(auto(DCGAN, "r1"), info(8, channels=1))


@pytest.mark.parametrize(("side", "warned"), [(32, False), (48, False), (64, True)])
def test_a_recipe_that_fails_on_large_images_says_so(side: int, warned: bool) -> None:
    for recipe, expected in ((DOMAIN.recipes.table["rpgan"], warned), (RPGAN, False)):
        notes = resolve_auto(recipe, info(side))[1]
        assert any("take --recipe rpgan-64" in note for note in notes) == expected
    renamed = DOMAIN.recipes.table["rpgan"].changed(name="mine", limits={"side": side - 1}, beyond_limits="")
    assert resolve_auto(renamed, info(side))[1] == (
        f"With its own settings, recipe mine fails on images of more than {side - 1} px.",
    )
