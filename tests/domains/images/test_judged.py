"""Health numbers of large images are taken with random features: no classifier is trained for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zerosum as zs
from zerosum.cli.evaluation import format_unlike
from zerosum.domains.images.data import Images, ImageSource, Shape, open_source, to_unit
from zerosum.domains.images.evaluator import PixelEvaluator


def source(size: int) -> ImageSource:
    pixels = torch.randint(256, (64, 1, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(64) % 2
    return ImageSource("noise", Shape(1, size, size, 2), Images(pixels, labels), None, ("a", "b"), (), "0" * 64)


def test_large_images_need_no_classifier_and_reals_score_one() -> None:
    large = source(20)
    evaluator = PixelEvaluator(large, seed=0)
    said: list[str] = []
    evaluator.prepare(said.append)
    numbers = evaluator.quick(to_unit(large.train.pixels)).values()
    assert said == []
    assert evaluator.inner._prepared is None
    assert set(numbers) == {"diversity", "contrast"}
    assert numbers["diversity"] == pytest.approx(1.0)
    assert numbers["contrast"] == pytest.approx(1.0)
    same = evaluator.quick(to_unit(large.train.pixels[:1].expand(64, 1, 20, 20))).values()
    assert same["diversity"] == pytest.approx(0.0, abs=1e-3)


def test_reals_of_all_classes_are_compared_with() -> None:
    """600 images class by class: the first 300 are flat and alike, the others noise."""
    noise = torch.randint(256, (600, 1, 20, 20), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    noise[:300] = 100
    labels = (torch.arange(600) >= 300).long()
    ordered = ImageSource("two", Shape(1, 20, 20, 2), Images(noise, labels), None, ("a", "b"), (), "1" * 64)
    numbers = (
        PixelEvaluator(ordered, seed=0).quick(to_unit(noise[torch.arange(256) * 600 // 256])).values()
    )  # both kinds alike
    assert numbers["contrast"] == pytest.approx(1.0, abs=0.1)
    assert numbers["diversity"] == pytest.approx(1.0, abs=0.1)


def test_inputs_unlike_anything_trained_on_are_told(tmp_path: Path) -> None:
    """A run of digits: held-out digits pass, a flat grey, a photograph's noise and the negative of a digit do not."""
    run = zs.train("digits", out=tmp_path / "run", overrides=["steps=2", "threads=1"])
    held = open_source("digits").heldout
    assert held is not None
    for i in range(20):
        Image.fromarray(held.pixels[i, 0].numpy()).save(tmp_path / f"digit{i}.png")
    noise = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    strange = {"grey": np.full((8, 8), 128, np.uint8), "noise": noise, "negative": 255 - held.pixels[0, 0].numpy()}
    for name, pixels in strange.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    found = run.unlike(sorted(tmp_path.glob("*.png")))
    assert {Path(name).stem for name, _ in found} == set(strange)
    assert all(ratio > 1.2 for _, ratio in found)
    (message,) = format_unlike(found, 23)
    assert message.startswith("3 of 23 samples are unlike anything trained on")
    assert format_unlike([], 23) == []
