"""Rows that stand for all rows are drawn from all of them, whatever the order of the data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zerosum.domains.tables import scores
from zerosum.domains.tables.table_similarity import NumericMatrix
from zerosum.metrics.neighbours import sample_rows, unseen_distances


def test_rows_are_all_rows_or_a_draw_from_all_places() -> None:
    assert sample_rows(5, 5).tolist() == sample_rows(5, 9, seed=3).tolist() == [0, 1, 2, 3, 4]
    assert sample_rows(0, 9).tolist() == []
    rows = sample_rows(10_000, 256, seed=1)
    assert len(rows.unique()) == 256
    assert rows.equal(rows.sort().values)
    assert rows.equal(sample_rows(10_000, 256, seed=1))
    assert not rows.equal(sample_rows(10_000, 256, seed=2))
    assert float(rows.double().mean()) == pytest.approx(5_000, abs=600)  # 3.3 standard errors
    assert torch.bincount(rows // 1_000, minlength=10).min() >= 12


def test_unseen_reals_of_all_classes_tell_how_near_reals_lie() -> None:
    train = torch.arange(100.0)[:, None]
    held = torch.cat([torch.full((300, 1), 7.0), torch.full((300, 1), 7.5)])  # class by class
    near = unseen_distances(train, held, limit=200)
    assert len(near) == 200
    assert float(near.mean()) == pytest.approx(0.25, abs=0.06)


def test_two_samples_of_one_table_are_not_told_apart_by_their_order() -> None:
    random = np.random.default_rng(0)
    made = NumericMatrix(("x",), (True,), random.normal(size=(200, 1)))
    real = NumericMatrix(("x",), (True,), np.sort(random.normal(size=(2_000, 1)), 0))
    assert scores.two_sample(real, made, 0) == pytest.approx(0.5, abs=0.1)
