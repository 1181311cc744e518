"""Health numbers of large images are taken with random features: no classifier is trained for them."""

from __future__ import annotations

import pytest
import torch

from zerosum.domains.images.data import Images, ImageSource, Shape, to_unit
from zerosum.domains.images.judged import UnitEvaluator


def source(size: int) -> ImageSource:
    pixels = torch.randint(256, (64, 1, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(64) % 2
    return ImageSource("noise", Shape(1, size, size, 2), Images(pixels, labels), None, ("a", "b"), (), "0" * 64)


def test_large_images_need_no_classifier_and_reals_score_one() -> None:
    large = source(20)
    evaluator = UnitEvaluator(large, seed=0)
    said: list[str] = []
    evaluator.prepare(said.append)
    numbers = evaluator.quick(to_unit(large.train.pixels))
    assert said == []
    assert evaluator.inner._prepared is None
    assert set(numbers) == {"diversity", "contrast"}
    assert numbers["diversity"] == pytest.approx(1.0)
    assert numbers["contrast"] == pytest.approx(1.0)
    same = evaluator.quick(to_unit(large.train.pixels[:1].expand(64, 1, 20, 20)))
    assert same["diversity"] == pytest.approx(0.0, abs=1e-3)


def test_reals_of_all_classes_are_compared_with() -> None:
    """600 images class by class: the first 300 are flat and alike, the others noise."""
    noise = torch.randint(256, (600, 1, 20, 20), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    noise[:300] = 100
    labels = (torch.arange(600) >= 300).long()
    ordered = ImageSource("two", Shape(1, 20, 20, 2), Images(noise, labels), None, ("a", "b"), (), "1" * 64)
    numbers = UnitEvaluator(ordered, seed=0).quick(to_unit(noise[torch.arange(256) * 600 // 256]))  # both kinds alike
    assert numbers["contrast"] == pytest.approx(1.0, abs=0.1)
    assert numbers["diversity"] == pytest.approx(1.0, abs=0.1)
