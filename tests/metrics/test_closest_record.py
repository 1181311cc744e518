"""Distance to the closest record: what counts as far, what a copy gives, and what a fair generator gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zerosum.domains.tables.scores import closer_share, copies, expected_share, points
from zerosum.domains.tables.table_similarity import NumericMatrix


def drawn(num: int, seed: int) -> NumericMatrix:
    random = np.random.default_rng(seed)
    values = np.column_stack([random.normal(size=(num, 2)), random.integers(3, size=num)])
    return NumericMatrix(("x", "y", "code"), (True, True, False), values)


def test_places() -> None:
    known = NumericMatrix(("x", "code"), (True, False), np.array([[0, 0], [1, 1], [2, 2], [30, 0]], dtype=float))
    rows = points(known, known).double()
    squared = torch.cdist(rows, rows).square()
    # Ranks 1/8, 3/8, 5/8, 7/8, however far the numbers are; another code is 1 away.
    assert float(squared[0, 3]) == pytest.approx(0.75**2)
    assert float(squared[0, 1]) == pytest.approx(0.25**2 + 1)
    gap = NumericMatrix(("x", "code"), (True, False), np.array([[np.nan, 0]]))
    assert float((points(gap, known).double() - rows[0]).square().sum()) == pytest.approx(0.375**2 + 1)


def test_copies_lie_closer_to_the_training_rows_and_fresh_rows_as_expected() -> None:
    train, heldout, fresh = drawn(900, 0), drawn(300, 1), drawn(900, 2)
    assert expected_share(900, 300) == 0.75
    assert closer_share(train, train, heldout) == 1
    assert closer_share(fresh, train, heldout) == pytest.approx(0.75, abs=0.05)
    assert closer_share(heldout, train, heldout) == 0


def test_ties_count_as_expected() -> None:
    same = NumericMatrix(("code",), (False,), np.zeros((10, 1)))
    assert closer_share(same, same, same.rows(slice(0, 5))) == pytest.approx(10 / 15)


def test_exact_copies() -> None:
    train = NumericMatrix(("x", "code"), (True, False), np.array([[np.nan, 1], [0.0, 2], [1.5, 0]]))
    made = NumericMatrix(("x", "code"), (True, False), np.array([[np.nan, 1], [-0.0, 2], [1.5, 1], [np.nan, 0]]))
    assert copies(made, train) == 0.5  # a gap is a gap and zero is zero, whatever its sign
