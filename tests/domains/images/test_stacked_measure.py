"""Stacked digits measured: 26,000 samples, each channel read, modes and divergence as records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from zerosum.domains.images import stacked
from zerosum.domains.images.data import Images, ImageSource, Shape, open_source, to_unit
from zerosum.domains.images.evaluator import PixelEvaluator
from zerosum.domains.images.stacked import NUM_SAMPLES


def images_of(modes: Tensor) -> Tensor:
    """(N, 3, 8, 8) uint8: a channel's grey level is ten times its digit."""
    digits = torch.stack([modes // 100, modes // 10 % 10, modes % 10], 1)
    return (10 * digits)[:, :, None, None].expand(-1, -1, 8, 8).to(torch.uint8).contiguous()


class Reader(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        assert images.shape[1] == 1
        return nn.functional.one_hot((images[:, 0, 0, 0] // 10).long(), 10).float()


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> ImageSource:
    monkeypatch.setattr(stacked, "digit_reader", lambda cache: (Reader(), "mnist-classifier-0", "0" * 64, 1.0))
    pixels = images_of(torch.arange(1000).repeat(2))
    return ImageSource("stacks", Shape(3, 8, 8, 0), Images(pixels), None, (), (), "f" * 64, measure="stacked")


def test_modes_and_divergence_are_counted_on_all_samples(source: ImageSource) -> None:
    evaluator = PixelEvaluator(source, 0)
    assert evaluator.num_samples == NUM_SAMPLES
    fakes = images_of(torch.arange(500).repeat(52))  # half of the modes, alike often
    records = {one.name: one for one in evaluator.evaluate(to_unit(fakes), None, None)}
    modes, divergence = records["modes[mnist-classifier-0,n=26000]"], records["mode_kl[mnist-classifier-0,n=26000]"]
    assert modes.value == 500
    assert divergence.value == pytest.approx(torch.tensor(2.0).log().item(), rel=1e-6)
    assert divergence.reference == pytest.approx(0, abs=1e-9)  # real stacks are even here
    assert divergence.protocol["extractor"] == "mnist-classifier-0"
    assert divergence.protocol["num_fake"] == 26_000
    assert any(name.startswith("frechet[random-conv") and name.endswith("n=1000]") for name in records)


def test_other_sources_are_not_counted(source: ImageSource) -> None:
    plain = PixelEvaluator(replace(source, measure=""), 0)
    assert plain.num_samples == 1000
    assert not any(one.name.startswith("mode") for one in plain.evaluate(to_unit(source.train.pixels), None, None))


def test_real_digits_are_read(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROSUM_DATA", str(data_root))
    reader, name, sha256, accuracy = stacked.digit_reader(tmp_path)
    assert name == f"mnist-classifier-{sha256[:8]}"
    assert accuracy > 0.985
    held = open_source("mnist").heldout
    assert held is not None
    assert held.labels is not None
    stacks = held.pixels[:900].view(300, 3, 28, 28)
    right = stacked.read_digits(reader, stacks) == held.labels[:900].view(300, 3)
    assert float(right.double().mean()) > 0.97
