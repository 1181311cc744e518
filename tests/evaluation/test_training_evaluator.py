"""The scores logged during training: rows are drawn from all classes, of training and held-out data, if there are enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

import zerosum
from domain_games import begun, planned
from zerosum import catalog
from zerosum.data.images.pictures import to_pixels
from zerosum.engine.devices import DistributedContext
from zerosum.evaluation import training_evaluator
from zerosum.generation.sampler import Sampler
from zerosum.recipe import Recipe

SMALL = ["steps=2", "batch=8", "generator.width=4", "discriminator.width=4", "cadence.preview=2", "data.heldout=0.3"]

FEW = ["steps=3", "batch=8", "data.max_images=60", "generator.width=4", "discriminator.width=4", "cadence.preview=1"]


@pytest.mark.parametrize("recipe", ["dcgan", "rpgan"])  # a loss with a neutral logit of its own, and one without
def test_all_classes_are_scored_whatever_the_order_of_the_rows(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digits in order of their class, and a discriminator that calls the classes from 5 on real."""
    data = load_digits()
    order = np.argsort(data.target, kind="stable")
    pixels = (data.images * 255 / 16).round().astype("uint8")[order][..., None]
    np.savez(tmp_path / "sorted.npz", images=pixels, labels=data.target[order])
    known = {image.tobytes(): int(label) for image, label in zip(pixels, data.target[order], strict=True)}

    def judge(game: object, rows: Tensor, *_: object) -> Tensor:
        labels = [known.get(row.numpy().tobytes()) for row in to_pixels(rows.cpu())]
        return torch.tensor([-3.0 if label is None else 1.0 if label >= 5 else -1.0 for label in labels])

    monkeypatch.setattr(training_evaluator, "judge", judge)
    run = zerosum.train(str(tmp_path / "sorted.npz"), recipe, out=tmp_path / "run", overrides=SMALL)
    (look,) = [line["values"] for line in run.folder.lines() if line["kind"] == "health" and line["step"] == 2]
    assert run.sampler.info.num_heldout > training_evaluator.NUM_SCORED
    assert look["heldout_gap"] == pytest.approx(0.0, abs=0.08)
    if recipe == "dcgan":
        assert look["accuracy/real"] == pytest.approx(0.5, abs=0.1)
        assert look["accuracy/heldout"] == pytest.approx(0.5, abs=0.1)
        assert look["accuracy/fake"] == 1
    else:  # halfway between the reals' mean of 0 and the fakes' of -3
        assert look["neutral_logit"] == pytest.approx(-1.5, abs=0.1)


def test_the_numbers_of_the_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training reals score 2 or 4, held-out ones 2, three quarters of the fakes -2 and the others 2: means 3, 2, -1."""

    def judge(game: object, rows: Tensor, _: object, recipe: Recipe) -> Tensor:
        kinds, source = {}, catalog.domain("images").data.open(recipe.data, False)
        for kind, images in (("train", source.train), ("heldout", source.heldout)):
            kinds |= {image.numpy().tobytes(): kind for image in images.pixels}
        found = [kinds.get(row.numpy().tobytes(), "fake") for row in to_pixels(rows.cpu())]
        scores = {"train": (2.0, 4.0), "heldout": (2.0,), "fake": (-2.0, -2.0, -2.0, 2.0)}
        return torch.tensor([scores[kind][i % len(scores[kind])] for i, kind in enumerate(found)])

    monkeypatch.setattr(training_evaluator, "judge", judge)
    run = zerosum.train("digits", "dcgan", out=tmp_path / "run", overrides=[*SMALL, "data.max_images=300"])
    look = [line["values"] for line in run.folder.lines() if line["kind"] == "health"][-1]
    assert look["accuracy/real"] == look["accuracy/heldout"] == 1
    assert look["accuracy/fake"] == 0.75
    assert look["heldout_gap"] == pytest.approx((3 - 2) / (3 - -1))


@pytest.mark.parametrize(("fewest", "warned"), [(training_evaluator.FEWEST_HELD_OUT, False), (1, True)])
def test_few_held_out_rows_are_not_judged_by(
    fewest: int, warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_evaluator, "FEWEST_HELD_OUT", fewest)
    run = zerosum.train("digits", "dcgan", out=tmp_path / "run", overrides=FEW)
    assert 0 < run.sampler.info.num_heldout < 16
    looks = [line["values"] for line in run.folder.lines() if line["kind"] == "health"]
    assert looks
    assert all(("accuracy/heldout" in look) is warned for look in looks)


@pytest.mark.parametrize("name", ["sound from mel spectrograms", "image"])
def test_the_time_of_a_preview_is_that_of_what_a_training_makes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many samples, and as many rows scored; sound and picture show the same samples."""
    made = Counter[str]()
    told = Counter[str]()

    def counted(kind: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def count(*given: Any) -> Tensor:
            result = function(*given)
            made[kind] += len(result)
            return result

        return count

    monkeypatch.setattr(Sampler, "sample", counted("samples", Sampler.sample))
    monkeypatch.setattr(training_evaluator, "judge", counted("scores", training_evaluator.judge))
    plan, loop = planned(name), begun(name)
    training_evaluator.preview_seconds(plan, loop, DistributedContext())
    told.update(made)
    made.clear()
    evaluator = training_evaluator.TrainingEvaluator(plan, loop)
    evaluator.prepare(lambda line: None)
    if plan.domain.media.sound is not None:
        evaluator.write_sound(tmp_path / "preview.wav")
    evaluator.write_preview(tmp_path / "preview.png")
    evaluator.health_values()
    assert made == told
    assert made["scores"]
