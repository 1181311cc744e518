"""Networks that find label maps in medical images, and the comparison of maps."""

from __future__ import annotations

import math

import pytest
import torch

from zerosum.domains.medical import data, segmentation
from zerosum.domains.medical.evaluator import MedicalEvaluator
from zerosum.domains.medical.segmentation import LEAST_VOXELS, Regions
from zerosum.recipe import part


def squares(*corners: int) -> torch.Tensor:
    """(1, 20, 20): region 1 is a square of 10 x 10 at (corner, corner)."""
    maps = torch.zeros(len(corners), 20, 20, dtype=torch.int64)
    for row, corner in enumerate(corners):
        maps[row, corner : corner + 10, corner : corner + 10] = 1
    return maps


def test_overlap_and_volumes_of_squares() -> None:
    assert segmentation.dice(squares(3), squares(3), 2) == 1
    assert segmentation.dice(squares(0), squares(5), 2) == pytest.approx(2 * 25 / 200)
    assert segmentation.dice(squares(0), squares(10), 2) == 0
    assert segmentation.volume_error(squares(0), squares(10), 2) == 0  # volumes do not depend on places
    half = squares(0, 4)
    half[0, :5] = 0
    assert segmentation.volume_error(half, squares(0, 4), 2) == pytest.approx((0.5 + 0) / 2)
    assert math.isnan(segmentation.dice(squares(0), torch.zeros(1, 20, 20), 2))
    few = torch.zeros(1, 20, 20, dtype=torch.int64)
    few[0, 0, : LEAST_VOXELS - 1] = 1
    assert math.isnan(segmentation.volume_error(squares(0), few, 2))


def test_the_largest_labels_are_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "MAX_REGIONS", 2)
    maps = torch.tensor([0] * 9 + [3] * 2 + [5] * 4 + [7] * 1 + [4] * 3).view(1, 1, -1)
    regions = Regions.largest(maps)
    assert regions.labels.tolist() == [5, 4]
    assert regions.of(maps).flatten().tolist() == [0] * 11 + [1] * 4 + [0] + [2] * 3
    assert regions.of(torch.tensor([[[9, 5]]])).tolist() == [[0, 1]]
    empty = Regions.largest(torch.zeros(1, 1, 4))
    assert len(empty) == 1
    assert empty.of(torch.tensor([[[0, 2]]])).tolist() == [[0, 0]]


def test_without_a_large_region_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "STEPS", 1)
    monkeypatch.setattr(segmentation, "LEAST_VOXELS", 10**6)
    source = data.open_source(part("phantoms", num=16, heldout=4, rows="slices", size=16, input="labels"), False)
    evaluator = MedicalEvaluator(source, 0)
    assert evaluator._labels(evaluator._real[0]) == []


@pytest.mark.parametrize("size", [(9, 10), (9, 10, 11)])
def test_images_of_any_size_and_rank(size: tuple[int, ...]) -> None:
    assert segmentation.Segmenter(3, len(size)).eval()(torch.zeros(2, 1, *size)).shape == (2, 3, *size)


def test_a_network_finds_the_maps_of_phantoms() -> None:
    source = data.open_source(part("phantoms", num=24, heldout=8, rows="slices", size=16, input="labels"), False)
    batch, held = source.batch(torch.arange(source.num_rows)), source.heldout_batch(torch.arange(source.num_heldout))
    assert batch.condition is not None
    assert held.condition is not None
    regions = Regions.largest(batch.condition)
    model = segmentation.trained(batch.data, batch.condition, regions, 0, 60)
    again = segmentation.trained(batch.data, batch.condition, regions, 0, 60)
    found, truth = segmentation.found_in(model, held.data), regions.of(held.condition)
    assert torch.equal(found, segmentation.found_in(again, held.data))
    assert found.shape == truth.shape
    exchanged = segmentation.dice(found.roll(len(found) // 2, 0), truth, len(regions))
    assert segmentation.dice(found, truth, len(regions)) > max(0.4, 1.2 * exchanged)


def test_images_of_other_maps_score_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "STEPS", 60)
    source = data.open_source(part("phantoms", num=32, heldout=8, rows="slices", size=24, input="labels"), False)
    evaluator = MedicalEvaluator(source, 0)
    real = evaluator._real[0]
    values = []
    for images in (real, real.roll(1, 0)):
        records = {record.name.partition("[")[0]: record for record in evaluator._labels(images)}
        values.append((records["label_dice"].value, records["volume_error"].value))
        assert records["label_dice"].reference == values[0][0]
        assert "cannot_judge" not in records["label_dice"].protocol
    assert values[0][0] > values[1][0] + 0.25
    assert values[0][1] < values[1][1]
