"""Controls that must fail stand beside the measures, and a measure that cannot tell real images from them says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from zerosum.domains.images import controls
from zerosum.domains.images.data import Images, ImageSource, Shape, open_source
from zerosum.domains.images.evaluator import ImageEvaluator
from zerosum.formatting import format_records
from zerosum.metrics.record import Record
from zerosum.training.diagnostics import examine_records

DISTANCES = ("frechet", "kernel_distance", "precision", "recall", "density", "coverage")


def blobs(num: int, seed: int) -> torch.Tensor:
    """(N, 3, 32, 32) of soft colours, as photographs from far away."""
    coarse = torch.rand(num, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 255
    return torch.nn.functional.interpolate(coarse, (32, 32), mode="bicubic").clamp(0, 255).to(torch.uint8)


def few(num: int, num_held: int = 0) -> ImageSource:
    held = Images(blobs(num_held, 1)) if num_held else None
    return ImageSource("few", Shape(3, 32, 32), Images(blobs(num, 0)), held, (), (), f"few-{num}")


def by_name(found: list[Record]) -> dict[str, Record]:
    return {record.name.partition("[")[0]: record for record in reversed(found)}


@pytest.fixture(scope="module")
def digits() -> ImageSource:
    return replace(open_source("digits"))


def test_noise_keeps_the_pixels_and_loses_the_images() -> None:
    images = blobs(5, 2)
    made = controls.noise(images, 0)
    shuffled, stripes = made[controls.NOISE], made[controls.STRIPES]
    assert shuffled.shape == stripes.shape == images.shape
    assert not shuffled.equal(images)
    colours = [rows.flatten(2).transpose(1, 2).tolist() for rows in (images, shuffled)]
    assert [sorted(one) for one in colours[0]] == [sorted(one) for one in colours[1]]
    rows = stripes[:, :, 1:].float() - stripes[:, :, :-1].float()  # from row to row the same step in every column
    assert float((rows - rows.mean(3, keepdim=True)).abs().max()) <= 1.5


def test_39_photographs_judge_nothing() -> None:
    """Stripes as fakes: their precision, density and coverage are those of real images."""
    source = few(39)
    fakes = controls.noise(blobs(39, 3), 1)[controls.STRIPES]
    found = by_name(ImageEvaluator(source).evaluate(fakes))
    for name in DISTANCES:
        assert found[name].protocol["cannot_judge"] == "39 real images are too few; 64 are needed."
        assert found[name].meaning.startswith("Cannot judge: 39 real images")
    assert format_records([record.to_json() for record in found.values()]).count("cannot judge") == len(DISTANCES)


def test_measures_of_many_digits_tell_reals_from_every_control(digits: ImageSource) -> None:
    evaluator = ImageEvaluator(digits, num_samples=400)
    assert digits.heldout is not None
    found = by_name(evaluator.evaluate(digits.heldout.pixels))
    for name in DISTANCES:
        protocol = found[name].protocol
        assert "cannot_judge" not in protocol
        assert set(protocol["controls"]) == {controls.HALVES, *controls.MUST_FAIL[name]}
        assert protocol["controls_rows"] == 200
    for name in ("precision", "density", "coverage"):
        values = found[name].protocol["controls"]
        assert values[controls.STRIPES] < 0.3 < 0.7 < values[controls.HALVES]
    score = dict(found["class_score"].protocol["controls"])
    assert set(score) == {controls.HALVES, controls.NOISE, controls.STRIPES, controls.REPEATED}
    assert score.pop(controls.HALVES) > 2 * max(score.values())
    assert score[controls.REPEATED] == pytest.approx(1)
    assert "cannot_judge" not in found["class_score"].protocol
    assert found["recall"].protocol["controls"][controls.REPEATED] == 0
    assert found["classes_found"].protocol["controls"] == {"one class alone": 1.0}
    assert found["class_deviation"].protocol["controls"]["one class alone"] > 5
    assert found["copy_rate"].protocol["controls"] == {"training copies": 1.0}
    assert found["nearest_in_train"].protocol["controls"] == {"training copies": 1.0}
    assert found["memorisation_p"].protocol["controls"]["training copies"] < 1e-9


def test_a_score_of_classes_that_noise_reaches_cannot_judge(digits: ImageSource) -> None:
    own = controls.ImageControls(ImageEvaluator(digits, num_samples=400).prepared, digits.train.pixels[:200], 0)
    own.__dict__["values"] = {"class_score": {controls.HALVES: 3.0, controls.NOISE: 2.1}}
    record = Record("inception_score[x,n=400]", 3.0, {}, "higher", "")
    assert "score 3, pixels shuffled 2.1" in own.add_to(record).protocol["cannot_judge"]
    own.__dict__["values"] = {"class_score": {controls.HALVES: 3.0, controls.NOISE: 1.9}}
    assert "cannot_judge" not in own.add_to(record).protocol


def test_noise_and_training_images_stand_beside_the_discriminator(digits: ImageSource) -> None:
    """This discriminator knows real images by the smoothness of their rows; it calls no shuffled ones real."""

    def judge(images: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        steps = images.float().diff(dim=3).abs().mean((1, 2, 3)) / images.float().std((1, 2, 3)).clamp_min(1)
        return 0.9 - steps

    assert digits.heldout is not None
    fakes = controls.noise(digits.heldout.pixels, 1)[controls.NOISE]
    found = by_name(ImageEvaluator(digits, num_samples=200).evaluate(fakes, judge=judge))
    assert found["discriminator_heldout"].value > 0.8
    assert found["discriminator_heldout"].protocol["controls"][controls.NOISE] < 0.2
    trained = found["discriminator_fakes"].protocol["controls"]["training images"]
    assert trained == pytest.approx(1 - (found["discriminator_heldout"].reference or 0))
    assert found["discriminator_fakes"].value > 0.8 > 0.3 > trained


def test_copies_that_would_not_be_found_out_are_told() -> None:
    """One held-out image of 101: all of a hundred copies lie nearest to training images, and so would those of anybody."""
    found = by_name(ImageEvaluator(few(100, 1)).evaluate(blobs(100, 0)))
    assert "would not be detected" in found["nearest_in_train_p"].protocol["cannot_judge"]
    assert found["nearest_in_train_p"].protocol["controls"]["training copies"] == pytest.approx(1 / 101)
    assert (
        "cannot_judge"
        not in by_name(ImageEvaluator(few(100, 60)).evaluate(blobs(100, 0)))["nearest_in_train_p"].protocol
    )


def test_the_health_leaves_out_what_cannot_judge() -> None:
    record = {"name": "nearest_in_train_p[n=9]", "value": 1e-9, "protocol": {}}
    assert len(examine_records([record])) == 1
    assert examine_records([record | {"protocol": {"cannot_judge": "Too few."}}]) == []
