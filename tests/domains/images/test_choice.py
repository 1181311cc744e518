"""Which recipe is chosen: each clause of the rule at its border, and that every name exists and is explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_making import noise, save

import infos
from zerosum.domain import DatasetInfo
from zerosum.domains.images import DOMAIN, recipe_rules
from zerosum.domains.images.data import open_source
from zerosum.planning import plan


def info(
    side: int | tuple[int, int] = 32,
    images: int = 50_000,
    classes: int = 0,
    num_attributes: int = 0,
    channels: int = 3,
    **more: Any,
) -> DatasetInfo:
    condition = infos.classes(classes) if classes else infos.attributes(num_attributes) if num_attributes else None
    return infos.of_images(side, channels, images, condition, **more)


@pytest.mark.parametrize(
    ("given", "minutes", "device", "expected"),
    [
        (info(8, 1_618, classes=10), None, "cpu", "cgan"),
        (info(8, 1_618), None, "cpu", "dcgan"),
        (info(28, 60_000, classes=10, channels=1), 5, "cpu", "cgan"),
        (info(28, 60_000, num_attributes=3, channels=1), 5, "cpu", "cgan"),
        (info((16, 64), classes=10, channels=1), 5, "cpu", "cgan"),  # as many pixels as 32x32
        (info(32, classes=10), recipe_rules.COLOUR_MINUTES - 1, "cpu", "cgan"),
        (info(32, classes=10), recipe_rules.COLOUR_MINUTES, "cpu", "rpgan"),
        (info((16, 64)), 30, "cpu", "rpgan"),
        (info(32), recipe_rules.LARGE_MINUTES, "cpu", "stylegan2-s"),
        (info(33, classes=10), 5, "cpu", "r3gan-s"),
        (info(32, classes=10, channels=1), recipe_rules.LONG_MINUTES, "cpu", "r3gan-s"),
        (info(64), None, "cpu", "r3gan-s"),
        (info(64), 30, "cpu", "r3gan-s"),
        (info(64), recipe_rules.LARGE_MINUTES, "cpu", "stylegan2-s"),
        (info(32), 0.1, "cuda", "dcgan"),
        (info(32), recipe_rules.LARGE_MINUTES / recipe_rules.GPU_SPEED, "cuda:1", "stylegan2-s"),
        (info(64), 240, "cuda", "r3gan"),
        (info(64), 240, "cpu", "stylegan2-s"),
        (info(128), 240, "cuda", "stylegan2-s"),
        (info(64, recipe_rules.FEW_IMAGES - 1), 600, "cuda", "fewshot"),
        (info(8, recipe_rules.FEW_IMAGES, classes=10), None, "cpu", "cgan"),
        (info(64, 1_200, num_images=600), None, "cpu", "fewshot"),  # mirrored copies are no new images
    ],
)
def test_the_rule(given: DatasetInfo, minutes: float | None, device: str, expected: str) -> None:
    name, why = DOMAIN.recipes.recommend(given, minutes, device)
    assert name == expected
    assert name in DOMAIN.recipes.table
    assert f"{given.payload['num_images']:,}" in why
    assert (
        minutes is None
        or name == "fewshot"
        or f"{minutes:g} minutes on a {'GPU' if 'cuda' in device else 'CPU'}" in why
    )


def test_a_chosen_recipe_reads_the_data_as_a_named_one_does(tmp_path: Path) -> None:
    """Few images: `fewshot` wants their mirror images too, chosen or named; what is set by hand wins."""
    for index in range(40):
        save(tmp_path / f"class{index % 2}" / f"{index}.png", noise(16, 16, 3, seed=index))
    chosen = plan.make(plan.TrainRequest(str(tmp_path), settings=["steps=1"]))
    named = plan.make(plan.TrainRequest(str(tmp_path), "fewshot", settings=["steps=1"]))
    assert chosen.recipe.name == "fewshot"
    assert chosen.recipe.data == named.recipe.data
    assert chosen.info.payload["flip"] is True
    assert any("labels are not used" in note for note in chosen.notes)
    by_hand = plan.make(plan.TrainRequest(str(tmp_path), settings=["steps=1", "data.flip=false", "conditional=true"]))
    assert by_hand.info.payload["flip"] is False
    assert not any("not used" in note for note in by_hand.notes)


@pytest.mark.parametrize(("num", "warned"), [(8, True), (49, True), (50, False)])
def test_too_few_images_are_told(tmp_path: Path, num: int, warned: bool) -> None:
    """They can be trained on, and will be learnt by heart; mirror images do not count."""
    np.save(tmp_path / "few.npy", np.stack([noise(16, 16, 3, seed=index) for index in range(num)]))
    for flip in (False, True):
        source = open_source(str(tmp_path / "few.npy"), heldout=0.0, flip=flip)
        notes = [note for note in DOMAIN.info_of(source).notes if note.startswith(f"Only {num} images")]
        assert bool(notes) == warned
        assert all("give at least 50, better 500 or more" in note for note in notes)
