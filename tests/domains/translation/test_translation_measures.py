"""Measures of translations: the truth scores its references, known errors their closed forms, each case its own records."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from zerosum.domains.translation.evaluator import TranslationEvaluator
from zerosum.domains.translation.image_collection import ImageCollection, collection_of
from zerosum.domains.translation.measures import label_accuracy
from zerosum.domains.translation.sides import Side
from zerosum.domains.translation.source import PairSource
from zerosum.metrics.record import Record

GREY, COLOUR, MAP = Side(1), Side(3), Side(3, "labels", ((0,), (1,), (2,)))


def smooth(num: int, channels: int, seed: int) -> Tensor:
    """(N, C, 32, 32) uint8 of soft shapes."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(num, channels, 6, 6, generator=rng) * 200 + 20
    return torch.nn.functional.interpolate(coarse, (32, 32), mode="bicubic").clamp(0, 255).to(torch.uint8)


def maps(num: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    cells = torch.randint(3, (num, 1, 4, 4), generator=rng)
    return cells.repeat_interleave(8, 2).repeat_interleave(8, 3).to(torch.uint8)


def painted(labels: Tensor, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return (labels * 80 + 30 + 10 * torch.randn(labels.shape, generator=rng)).clamp(0, 255).to(torch.uint8)


def source(a: Tensor, b: Tensor, sides: tuple[Side, Side], paired: bool, num_held: int) -> PairSource:
    collections = collection_of(a, sides[0]), collection_of(b, sides[1])
    cut = len(a) - num_held
    first, second = (collections[0].select(range(cut)), collections[1].select(range(cut))), None
    if num_held:
        second = collections[0].select(range(cut, len(a))), collections[1].select(range(cut, len(b)))
    return PairSource("made", first, second, paired, (32, 32))


def one(records: list[Record], start: str) -> Record:
    found = [record for record in records if record.name.startswith(start)]
    assert len(found) == 1, [record.name for record in records]
    return found[0]


@pytest.fixture(scope="module")
def pairs() -> TranslationEvaluator:
    a, b = smooth(60, 1, 0), smooth(60, 3, 1)
    return TranslationEvaluator(source(a, b, (GREY, COLOUR), True, 20), 0)


def test_the_inputs_of_an_evaluation(pairs: TranslationEvaluator) -> None:
    assert pairs.num_samples == len(pairs.conditions()) == 20
    held = pairs.source.heldout_batch(torch.arange(20))
    assert held.condition is not None
    torch.testing.assert_close(pairs.conditions(), held.condition)


def test_the_truth_scores_its_references(pairs: TranslationEvaluator) -> None:
    records = pairs.evaluate(pairs.reals.targets)
    edges = one(records, "edges_kept")
    assert edges.reference == pytest.approx(edges.value)
    assert one(records, "ssim[rgb,n=20]").value == pytest.approx(1)
    assert one(records, "psnr[rgb,n=20]").value > 100
    assert one(records, "contrast_ratio").value == pytest.approx(1)
    for level in ("1", "2", "rest"):
        record = one(records, f"patch_distance[level={level},n=20]")
        assert record.reference is not None
        assert record.value < record.reference  # the very same images, other patches of them
    for record in records:
        assert {"source", "fingerprint", "split", "num_real", "num_fake", "seed"} <= set(record.protocol)
        assert record.protocol["split"] == "held out"
        assert record.meaning


def test_known_errors(pairs: TranslationEvaluator) -> None:
    """A shift of every value by 0.1 is 20 log10(2 / 0.1) decibels; half the contrast is half the ratio."""
    true = pairs.reals.targets
    records = pairs.evaluate(torch.where(true > 0.5, true - 0.1, true + 0.1))
    psnr = one(records, "psnr")
    assert psnr.value == pytest.approx(20 * math.log10(2 / 0.1), abs=0.01)
    assert psnr.error == pytest.approx(0, abs=1e-3)
    records = pairs.evaluate(true * 0.5)
    assert one(records, "contrast_ratio").value == pytest.approx(0.5, abs=1e-4)


def test_overshoot_counts_as_the_border(pairs: TranslationEvaluator) -> None:
    true = pairs.reals.targets
    beyond, border = pairs.evaluate(true * 9), pairs.evaluate((true * 9).clamp(-1, 1))
    assert [record.value for record in beyond] == [record.value for record in border]


def test_without_pairs_there_is_no_truth() -> None:
    a, b = smooth(40, 3, 0), smooth(40, 3, 1)
    evaluator = TranslationEvaluator(source(a, b, (COLOUR, COLOUR), False, 20), 0)
    records = evaluator.evaluate(evaluator.conditions())
    assert {record.name.partition("[")[0] for record in records} == {"patch_distance", "contrast_ratio", "edges_kept"}
    edges = one(records, "edges_kept")
    assert edges.value == pytest.approx(1)  # the input itself
    assert edges.reference is None
    assert edges.protocol["controls"]["targets shuffled among inputs"] < 0.5


def test_few_held_out_rows_are_not_enough() -> None:
    a, b = smooth(40, 3, 0), smooth(40, 3, 1)
    evaluator = TranslationEvaluator(source(a, b, (COLOUR, COLOUR), True, 5), 0)
    assert evaluator.num_samples == 17  # half of 35; the other half is what they are held against
    assert evaluator.evaluate(evaluator.reals.targets)[0].protocol["split"] == "train"


def test_labels_are_found_in_images_made_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_accuracy, "STEPS", 60)
    asked = maps(80, 0)
    evaluator = TranslationEvaluator(source(asked, painted(asked, 1), (MAP, GREY), True, 30), 0)
    evaluator.prepare(print)
    records = evaluator.evaluate(evaluator.reals.targets)
    right = one(records, "label_accuracy")
    assert right.reference == right.value
    assert right.value > 0.85
    failing = dict(right.protocol["controls"])
    assert failing.pop("true targets") > 0.3 + max(failing.values())
    assert set(failing) == {"targets shuffled among inputs", "one target repeated", "pixels shuffled"}
    edges = one(records, "edges_kept")
    assert "cannot_judge" not in edges.protocol
    assert (
        edges.protocol["controls"]["true targets"] > 1.5 * edges.protocol["controls"]["targets shuffled among inputs"]
    )
    assert "cannot_judge" not in right.protocol
    assert right.protocol["extractor_sha256"].startswith(right.name.partition("v1-")[2][:8])
    other = one(evaluator.evaluate(evaluator.reals.targets.roll(1, 0)), "label_accuracy")
    assert other.value == pytest.approx(1 / 3, abs=0.12)
    assert other.reference == right.value


def test_label_maps_as_targets_are_compared_by_class() -> None:
    asked = maps(60, 0)
    evaluator = TranslationEvaluator(source(painted(asked, 1), asked, (GREY, MAP), True, 20), 0)
    true = evaluator.reals.targets
    records = evaluator.evaluate(true)
    agreement = one(records, "label_agreement[classes=3")
    assert agreement.value == 1
    assert max(agreement.protocol["controls"].values()) < 0.5
    assert not [record for record in records if record.name.startswith(("psnr", "ssim["))]
    wrong = true.clone()
    wrong[:, :, :8] = true.roll(1, 1)[:, :, :8]  # a quarter of the places gets the next class
    assert one(evaluator.evaluate(wrong), "label_agreement").value == pytest.approx(0.75)


def test_quick_numbers(pairs: TranslationEvaluator) -> None:
    """The targets of the examples in turn score 1 where they are compared with themselves; copies of one row score none."""
    examples = pairs.source.examples()
    turn = torch.arange(64) % len(examples)
    good = pairs.quick(examples.data[turn]).values()
    assert good["diversity"] == pytest.approx(1)
    assert good["contrast"] == pytest.approx(1, abs=0.01)
    same = pairs.quick(examples.data[:1].expand(64, -1, -1, -1)).values()
    assert same["diversity"] == pytest.approx(0, abs=1e-6)
    flat = pairs.quick(torch.zeros_like(examples.data)[turn]).values()
    assert flat["contrast"] == 0
    assert flat["patch_distance"] > 5 * good["patch_distance"]


def test_numbers_are_the_same_each_time(pairs: TranslationEvaluator) -> None:
    fakes = pairs.reals.targets * 0.7
    again = TranslationEvaluator(pairs.source, 0)
    assert [r.value for r in pairs.evaluate(fakes)] == [r.value for r in again.evaluate(fakes)]


def test_deep_sides(pairs: TranslationEvaluator) -> None:
    """16 bits are the same picture."""
    deep = replace(GREY, bits=16)
    a = smooth(40, 1, 0)
    shallow = source(a, a, (GREY, GREY), True, 20)
    collection: Any = ImageCollection(tuple(a.to(torch.int32) * 257), deep)
    parts = (
        (collection.select(range(20)), collection.select(range(20))),
        (collection.select(range(20, 40)), collection.select(range(20, 40))),
    )
    whole = PairSource("made", *parts, True, (32, 32))
    one_way, other = (TranslationEvaluator(each, 0) for each in (shallow, whole))
    for left, right in zip(
        one_way.evaluate(one_way.reals.targets * 0.5), other.evaluate(other.reals.targets * 0.5), strict=True
    ):
        assert left.value == pytest.approx(right.value, rel=1e-4)


@pytest.mark.parametrize("num_held", [0, 320])
def test_images_of_all_places_are_measured(num_held: int) -> None:
    """Dark images first, then bright ones, trained on and held out: both kinds among those compared."""
    a = torch.full((640, 1, 32, 32), 20, dtype=torch.uint8)
    a[[*range(160, 320), *range(480, 640)]] = 230
    evaluator = TranslationEvaluator(source(a, a.repeat(1, 3, 1, 1), (GREY, COLOUR), True, num_held), 0)
    for images in evaluator.reals.inputs, evaluator.reals.targets, evaluator.reals.others:
        assert len(images) == 256
        assert float((images > 0).float().mean()) == pytest.approx(0.5, abs=0.1)
    assert bool(((evaluator.reals.targets > 0) == (evaluator.reals.inputs > 0)).all())


def test_a_reader_of_labels_learns_from_rows_of_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Tensor] = []
    labelled = maps(3_000, 0)
    evaluator = TranslationEvaluator(source(labelled, painted(labelled, 1), (MAP, GREY), True, 0), 0)
    monkeypatch.setattr(label_accuracy, "train_patch_classifier", lambda images, *_, **__: asked.append(images))
    _ = evaluator.reader.model
    (images,) = asked
    assert len(images) == label_accuracy.MAX_ROWS
    assert not images.equal(evaluator.source.batch(torch.arange(label_accuracy.MAX_ROWS)).data)
