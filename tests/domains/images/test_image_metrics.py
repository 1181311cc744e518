"""The evaluator of images: what real, collapsed, copied and random images score, and that nothing else moves a number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from zerosum.domains.images.data import Images, ImageSource, Shape
from zerosum.domains.images.evaluator import ImageEvaluator
from zerosum.errors import UserError
from zerosum.metrics.distances import frechet_distance
from zerosum.metrics.record import Record


def source(train: Images, heldout: Images | None, num_classes: int = 10, name: str = "digits") -> ImageSource:
    channels, height, width = train.pixels.shape[1:]
    shape = Shape(channels, height, width, num_classes)
    return ImageSource(name, shape, train, heldout, (), (), f"{name}-{len(train.pixels)}")


@pytest.fixture(scope="module")
def digits() -> ImageSource:
    data = load_digits()
    pixels = torch.from_numpy((data.images * 255 / 16).round().astype("uint8"))[:, None]
    labels = torch.from_numpy(data.target).long()
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    train, held = order[:1300], order[1300:]
    return source(Images(pixels[train], labels[train]), Images(pixels[held], labels[held]))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classifiers")


@pytest.fixture(scope="module")
def evaluator(digits: ImageSource, cache: Path) -> ImageEvaluator:
    return ImageEvaluator(digits, num_samples=400, cache_dir=cache)


def heldout(digits: ImageSource, num: int = 400) -> tuple[Tensor, Tensor]:
    assert digits.heldout is not None
    assert digits.heldout.labels is not None
    return digits.heldout.pixels[:num], digits.heldout.labels[:num]


def noise(num: int, shape: tuple[int, int, int] = (1, 8, 8), seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num, *shape), generator=generator).to(torch.uint8)


def by_name(records: list[Record]) -> dict[str, Record]:
    return {record.name.split("[")[0]: record for record in records}


def test_unseen_real_digits_score_like_reals(digits: ImageSource, evaluator: ImageEvaluator) -> None:
    images, labels = heldout(digits)
    found = by_name(evaluator.evaluate(images, labels))
    frechet = found["frechet"]
    assert frechet.reference is not None
    assert frechet.value == pytest.approx(frechet.reference, rel=0.5)
    for name in ("precision", "recall", "density", "coverage"):
        reference = found[name].reference
        assert reference is not None
        assert found[name].value == pytest.approx(reference, abs=0.1)
    assert found["classes_found"].value == found["classes_found"].reference == 10
    assert found["class_deviation"].value < 0.4
    assert found["class_accuracy"].value >= 0.95
    assert found["copy_rate"].value == pytest.approx(0.01, abs=0.01)
    assert found["memorisation_p"].value > 0.01
    assert found["nearest_in_train"].value < 1
    assert len(evaluator.notes) == 1  # 40 images a class are too few for a distance within each
    assert "100 images of each class" in evaluator.notes[0]


def test_classes_asked_for_are_measured_each_for_itself(digits: ImageSource, cache: Path) -> None:
    evaluator = ImageEvaluator(digits, num_samples=1300, cache_dir=cache)
    images, labels = digits.train.pixels, digits.train.labels
    assert labels is not None
    order = torch.arange(len(images)).flip(0)
    found = by_name(evaluator.evaluate(images[order], labels[order]))
    per_class = found["class_frechet"]
    assert per_class.name.endswith("n=" + str(per_class.protocol["num_fake"]) + " a class]")
    assert per_class.protocol["num_fake"] >= 100
    assert len(per_class.protocol["classes"]) == 10
    assert found["class_diversity"].value == pytest.approx(1, abs=1e-6)
    collapsed = images.clone()
    collapsed[labels == 4] = images[labels == 4][0]
    worse = by_name(evaluator.evaluate(collapsed, labels))
    assert worse["class_diversity"].protocol["classes"]["4"] == pytest.approx(0, abs=1e-6)
    assert worse["class_frechet"].protocol["classes"]["4"] > 5 * per_class.protocol["classes"]["4"]
    mixed = by_name(evaluator.evaluate(images, labels.roll(1)))
    assert mixed["class_frechet"].value > 5 * per_class.value
    assert mixed["class_accuracy"].value < 0.3


def test_noise_is_told_from_digits(digits: ImageSource, evaluator: ImageEvaluator) -> None:
    found = by_name(evaluator.evaluate(noise(400)))
    reference = found["frechet"].reference
    assert reference is not None
    assert found["frechet"].value > 20 * reference
    assert found["recall"].value < 0.1
    assert "class_accuracy" not in found


def test_one_class_only_is_seen(digits: ImageSource, evaluator: ImageEvaluator) -> None:
    assert digits.train.labels is not None
    threes = digits.train.pixels[digits.train.labels == 3]
    found = by_name(evaluator.evaluate(threes))
    assert found["classes_found"].value == 1
    assert found["class_deviation"].value > 5
    assert found["precision"].value > 0.6
    assert found["recall"].value < 0.3
    health = evaluator.quick(threes)
    assert health["classes_found"] == 1
    assert health["largest_class_share"] > 0.95
    assert health["diversity_ratio"] < 0.7
    assert evaluator.quick(threes[:1].repeat(50, 1, 1, 1))["diversity_ratio"] == pytest.approx(0, abs=1e-5)
    assert evaluator.quick(heldout(digits)[0])["diversity_ratio"] == pytest.approx(1, abs=0.05)


def test_copies_of_training_images_are_found(digits: ImageSource, evaluator: ImageEvaluator) -> None:
    found = by_name(evaluator.evaluate(digits.train.pixels[100:400]))
    assert found["copy_rate"].value == 1
    assert found["memorisation_p"].value < 1e-20
    assert found["nearest_in_train"].value == 1
    assert found["nearest_in_train_p"].value < 1e-20


def test_order_of_fakes_and_a_second_evaluator_change_nothing(
    digits: ImageSource, evaluator: ImageEvaluator, cache: Path
) -> None:
    images = torch.cat([heldout(digits, 200)[0], noise(200)])
    first = evaluator.evaluate(images)
    second = ImageEvaluator(digits, num_samples=400, cache_dir=cache).evaluate(images.flip(0))
    assert [record.name for record in first] == [record.name for record in second]
    for one, two in zip(first, second, strict=True):
        assert two.value == pytest.approx(one.value, rel=1e-4, abs=1e-12), one.name
        assert two.reference == one.reference


def test_every_record_carries_its_protocol_and_survives_json(digits: ImageSource, evaluator: ImageEvaluator) -> None:
    records = evaluator.evaluate(heldout(digits)[0], protocol={"weights": "ema"})
    sha256 = evaluator.prepared.sha256
    assert records[0].name == f"frechet[digits-classifier-{sha256[:8]},n=400]"
    assert not any("fid" in record.name.lower() for record in records)
    for record in records:
        assert record.protocol["weights"] == "ema"
        assert record.protocol["fingerprint"] == digits.fingerprint
        assert {"extractor", "extractor_sha256", "num_fake", "split", "resize", "seed", "torch"} <= set(record.protocol)
        assert record.meaning.endswith(".")
        assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_small_heldout_set_gives_a_second_distance_with_its_floor(digits: ImageSource, cache: Path) -> None:
    evaluator = ImageEvaluator(digits, num_samples=800, cache_dir=cache)
    records = evaluator.evaluate(digits.train.pixels[:800])
    full, small = (record for record in records if record.name.startswith("frechet["))
    assert (full.protocol["num_real"], full.reference) == (800, None)
    assert small.protocol["num_real"] == small.protocol["num_fake"] == 497
    real, held = evaluator.prepared.real, evaluator.prepared.heldout
    assert held is not None
    assert small.reference == frechet_distance(real[:497], held)


def test_the_judge_is_asked_about_heldout_reals_and_fakes(digits: ImageSource, evaluator: ImageEvaluator) -> None:
    calls: list[tuple[int, bool]] = []

    def judge(images: Tensor, labels: Tensor | None) -> Tensor:
        calls.append((len(images), labels is not None))
        return torch.where(images.float().flatten(1).mean(1) > 90, -1.0, 1.0)  # noise is brighter than digits

    found = by_name(evaluator.evaluate(noise(300), None, judge))
    assert found["discriminator_fakes"].value == 1
    assert found["discriminator_heldout"].value > 0.6
    assert found["discriminator_heldout"].reference == pytest.approx(found["discriminator_heldout"].value, abs=0.05)
    assert sum(num for num, labelled in calls if labelled) == 1000  # 400 training and 400 held-out reals, 200 shuffled
    assert sum(num for num, labelled in calls if not labelled) == 300


def test_a_source_without_labels_uses_the_fixed_random_network() -> None:
    pixels = noise(600, (3, 12, 20))
    evaluator = ImageEvaluator(source(Images(pixels[:300]), None, 0, "noise"), num_samples=300)
    found = by_name(evaluator.evaluate(pixels[300:], None, lambda images, _: torch.ones(len(images))))
    assert found["frechet"].name.startswith("frechet[random-conv-v1-")
    assert "classes_found" not in found
    assert found["density"].value == pytest.approx(1, abs=0.2)
    assert found["copy_rate"].value < 0.05
    assert found["copy_rate"].protocol["reference_split"] == "train, left out"
    assert (found["discriminator_train"].value, found["discriminator_fakes"].value) == (1, 0)
    assert len(evaluator.notes) == 2
    assert set(evaluator.quick(pixels[300:])) == {"diversity_ratio"}
    assert evaluator.quick(pixels[300:])["diversity_ratio"] == pytest.approx(1, abs=0.05)


def test_tiny_sources_are_told_what_is_missing() -> None:
    evaluator = ImageEvaluator(source(Images(noise(3)), None, 0))
    assert evaluator.evaluate(noise(5, seed=1)) == []
    assert any("there are 3" in note for note in evaluator.notes)
    assert any("copies" in note for note in evaluator.notes)


def test_large_colour_images_are_compared_shrunk() -> None:
    pixels = noise(40, (3, 80, 100))
    evaluator = ImageEvaluator(source(Images(pixels[:20]), Images(pixels[20:]), 0, "large"))
    found = by_name(evaluator.evaluate(pixels[:20]))
    assert found["frechet"].protocol["resize"] == "bilinear, antialiased, to 51x64"
    assert found["frechet"].value == pytest.approx(0, abs=1e-6)
    assert found["copy_rate"].name == "copy_rate[pixels-13x16,n=20]"
    assert found["copy_rate"].value == 1


def test_fakes_that_do_not_fit_are_refused(evaluator: ImageEvaluator, digits: ImageSource) -> None:
    with pytest.raises(UserError, match=r"'digits'.*\(1, 8, 8\)"):
        evaluator.evaluate(noise(20, (3, 8, 8)))
    with pytest.raises(UserError, match="float32"):
        evaluator.quick(noise(20).float())
    with pytest.raises(UserError, match="num_samples: 3"):
        ImageEvaluator(digits, num_samples=3)


def test_half_of_the_classes_fill_the_reals_balls_and_leave_half_of_them_empty(
    digits: ImageSource, evaluator: ImageEvaluator
) -> None:
    """Real digits below 5: as plausible as can be, and not varied."""
    assert digits.train.labels is not None
    half = digits.train.pixels[digits.train.labels < 5][:400]
    found = by_name(evaluator.evaluate(half))
    assert found["precision"].value > 0.9
    assert found["density"].value > 0.9
    assert found["recall"].value < 0.6
    assert found["coverage"].value < 0.6
