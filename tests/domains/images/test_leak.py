"""The leak check finds augmented fakes, in their share, and takes neither plain nor poor images for augmented ones."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from zerosum import recipe as recipes
from zerosum.domains.images import DOMAIN, augmentation_leak
from zerosum.domains.images.augmentation_leak import AugmentationSigns, apply_probe, degrade_images, train_probe
from zerosum.domains.images.augments.diffaugment import diffaugment
from zerosum.domains.images.augments.shift import shift
from zerosum.domains.images.data import Images, ImageSource, open_source
from zerosum.engine.loop import TrainingLoop
from zerosum.engine.seeds import SeededNoise
from zerosum.errors import UserError
from zerosum.formatting import format_records
from zerosum.metrics.record import Record

AUGMENT = diffaugment()


@pytest.fixture(scope="module")
def source() -> ImageSource:
    return open_source("digits")


@pytest.fixture(scope="module")
def unseen(source: ImageSource) -> Tensor:
    return source.heldout_batch(torch.arange(source.num_heldout)).data


def measured(source: ImageSource, fakes: Tensor) -> Record:
    (record,) = augmentation_leak.records(source, AUGMENT, fakes, 0, strength=0.98, name="diffaugment")
    return record


def augmented(images: Tensor) -> Tensor:
    return AUGMENT(images, SeededNoise(9, 0, 0, 0, len(images), len(images), torch.device("cpu")), "fakes", 1.0)


def test_a_leak_is_found_and_measured(source: ImageSource, unseen: Tensor) -> None:
    third = torch.cat([augmented(unseen[:60]), unseen[60:]])
    found = measured(source, third)
    assert found.name == f"augmentation_leak[diffaugment,p=1,n={len(third)}]"
    assert found.meaning.startswith("WARNING")
    assert "may leak" in format_records([found.to_json()]).splitlines()[-1]  # told on the terminal too
    assert found.protocol["caught"] > 0.85
    assert found.reference is not None
    assert found.reference < 0.05
    assert found.value == pytest.approx(60 / len(third), abs=0.06)


def test_plain_and_poor_images_are_no_leak(source: ImageSource, unseen: Tensor) -> None:
    plain = measured(source, unseen)
    assert plain.value == plain.reference  # the very images that the reference is measured on
    assert not plain.meaning.startswith("WARNING")
    assert plain.protocol["warning"] is None
    assert "may leak" not in format_records([plain.to_json()])
    blurred = avg_pool2d(pad(unseen, [1] * 4, mode="replicate"), 3, 1)
    assert measured(source, blurred).value < 0.15
    noisy = (unseen + 0.2 * torch.randn(unseen.shape, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
    assert measured(source, noisy).value < 0.15


def test_without_an_augmentation_at_work_there_is_nothing_to_leak(source: ImageSource, unseen: Tensor) -> None:
    assert augmentation_leak.records(source, AUGMENT, unseen, 0, strength=0.0, name="diffaugment") == []
    assert augmentation_leak.records(source, shift(pixels=0), unseen, 0, strength=1.0, name="shift") == []


def test_few_images_keep_a_third_unseen(source: ImageSource) -> None:
    few = dataclasses.replace(source, heldout=None)
    shown, unseen = augmentation_leak._split_reals(few, 0)
    assert (len(unseen), len(shown)) == (min(1000, few.num_rows // 3), few.num_rows - few.num_rows // 3)
    rows = {row.numpy().tobytes() for row in shown}
    assert sum(row.numpy().tobytes() in rows for row in unseen) <= 2  # but for copies in the data themselves


def test_mirror_images_of_unseen_images_are_not_shown(source: ImageSource) -> None:
    mirrored = dataclasses.replace(source, heldout=None, flip=True)
    shown, unseen = augmentation_leak._split_reals(mirrored, 0)
    rows = {row.numpy().tobytes() for row in shown}
    assert sum(row.flip(2).contiguous().numpy().tobytes() in rows for row in unseen) <= 2
    assert sum(row.flip(2).contiguous().numpy().tobytes() in rows for row in shown) == len(shown)


def test_few_images_are_not_judged(source: ImageSource, unseen: Tensor) -> None:
    """43 photographs with their mirror images leave too few that the probe never saw."""
    few = Images(source.train.pixels[:43])
    for flip in (False, True):
        tiny = dataclasses.replace(source, train=few, heldout=None, flip=flip)
        assert augmentation_leak.records(tiny, AUGMENT, augmented(unseen), 0, strength=1.0, name="diffaugment") == []


def test_fakes_unlike_all_images_are_no_leak(source: ImageSource, unseen: Tensor) -> None:
    """A generator that makes noise, or one grey: a classifier of plain and augmented images says anything of them."""
    rng = torch.Generator().manual_seed(4)
    noise = torch.rand(unseen.shape, generator=rng) * 2 - 1
    flat = 0.02 * torch.randn(unseen.shape, generator=rng)
    for fakes in (noise, flat):
        found = measured(source, fakes)
        assert found.value > 0.9  # what the probe says
        assert found.protocol["warning"] is None
        assert found.meaning.startswith("Not judged: the generated images are not yet like real ones")
        assert "may leak" not in format_records([found.to_json()])
    real = measured(source, unseen)
    assert not real.meaning.startswith("Not judged")


def test_the_evaluation_of_a_game_tells_of_leaks(source: ImageSource, unseen: Tensor) -> None:
    info = DOMAIN.info_of(source)
    plain = DOMAIN.recipes.table["dcgan"].changed(batch=4)
    recipe = plain.changed(augment=recipes.part("diffaugment"))
    match, other = (TrainingLoop(DOMAIN.game.build(made, info), source) for made in (recipe, plain))
    (record,) = DOMAIN.evaluation.extra_metrics(recipe, match, augmented(unseen))
    assert record.name == f"augmentation_leak[diffaugment,p=1,n={len(unseen)}]"
    assert record.value > 0.85
    assert list(DOMAIN.evaluation.extra_metrics(plain, other, unseen)) == []


# --- the probe itself


def test_the_error_is_that_of_two_shares_and_three_of_it_are_a_warning() -> None:
    class Bright(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            above = (images.float().mean((1, 2, 3)) > 100).float()
            return torch.stack([1 - above, above], 1)

    def few(bright: int, total: int) -> Tensor:
        return torch.where(torch.arange(total)[:, None, None, None] < bright, 200, 50).to(torch.uint8)

    found = apply_probe(Bright(), few(30, 100), few(5, 50), few(8, 10))  # type: ignore[arg-type]
    assert [found.share, found.false_alarms, found.caught] == pytest.approx([0.3, 0.1, 0.8])
    variance = (31 / 102) * (71 / 102) / 100 + (6 / 52) * (46 / 52) / 50
    assert found.error == pytest.approx(variance**0.5)
    assert AugmentationSigns(0.31, 0.1, 1, 0.069).clear
    assert not AugmentationSigns(0.31, 0.1, 1, 0.071).clear


def test_the_probe_wants_enough_of_each_kind() -> None:
    plain = torch.full((16, 1, 8, 8), 50, dtype=torch.uint8)
    with pytest.raises(UserError, match="15 changed images"):
        train_probe(plain, plain[:15])


def test_worsened_images_stay_in_range_and_some_stay_as_they_are() -> None:
    images = torch.rand(400, 3, 24, 24, generator=torch.Generator().manual_seed(2)) * 2 - 1
    after = degrade_images(images, 3)
    assert float(after.abs().max()) <= 1
    same = (after == images).flatten(1).all(1).float().mean()
    assert float(same) == pytest.approx(1 / 8, abs=0.07)
    assert torch.equal(degrade_images(images, 3), after)
    assert not torch.equal(degrade_images(images, 4), after)
