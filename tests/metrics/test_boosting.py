"""What trees can tell: equal and different rows, a target that is there and one that is not."""

from __future__ import annotations

import numpy as np
import pytest

from zerosum.domains.tables.scores import classes_tested, predictive, two_sample
from zerosum.domains.tables.table_similarity import NumericMatrix
from zerosum.errors import UserError

NAMES, NUMERIC = ("x", "code", "target"), (True, False, False)


def rows(num: int, seed: int, informative: bool = True) -> NumericMatrix:
    """A target that is x > 0, and so known to trees; or, if not told, a coin."""
    random = np.random.default_rng(seed)
    x, code = random.normal(size=num), random.integers(3, size=num)
    target = (x > 0) if informative else random.integers(2, size=num)
    x = np.where(random.random(num) < 0.05, np.nan, x)
    return NumericMatrix(NAMES, NUMERIC, np.column_stack([x, code, target]).astype(np.float64))


def test_equal_rows_cannot_be_told_apart_and_different_ones_can() -> None:
    assert two_sample(rows(800, 0), rows(800, 1), seed=0) == pytest.approx(0.5, abs=0.06)
    assert two_sample(rows(800, 0), rows(800, 1, informative=False), seed=0) > 0.68  # 1/4 of the rows cannot be real
    far = rows(800, 1)
    far.values[:, 0] += 10
    assert two_sample(rows(800, 0), far, seed=0) > 0.9


def test_a_target_is_foretold_where_there_is_something_to_learn() -> None:
    test = rows(600, 2)
    assert predictive(rows(600, 0), test, "target", seed=0) > 0.95
    assert predictive(rows(600, 0, informative=False), test, "target", seed=0) == pytest.approx(0.5, abs=0.12)


def test_a_target_of_one_class_or_of_unknown_classes() -> None:
    single, test = rows(200, 0), rows(200, 1)
    single.values[:, 2] = 1
    assert predictive(single, test, "target", seed=0) == 0.5
    three = rows(300, 3)
    three.values[:, 2] = three.values[:, 1]
    two = three.rows(three.values[:, 2] < 2)
    assert 0.3 < predictive(two, three, "target", seed=0) < 0.9  # the class never learnt is foretold by chance: 1/2


def test_classes_of_a_few_rows_have_no_say() -> None:
    """A class of two rows, which by luck are foretold or not, changes nothing."""
    train, test = rows(600, 0), rows(300, 2)
    alone = predictive(train, test, "target", seed=0)
    for code, first in ((2, 0), (3, 1)):
        few = test.values.copy()
        few[np.flatnonzero(few[:, 2] == first)[:2], 2] = code
        # Of two classes one area is taken, of three or more all that count: both are the same here but for two rows.
        found = predictive(train, NumericMatrix(NAMES, NUMERIC, few), "target", seed=0)
        assert found == pytest.approx(alone, abs=0.02)
    assert classes_tested(np.repeat([0.0, 1.0, 2.0, 5.0], [30, 9, 10, 2])) == [0.0, 2.0]
    assert classes_tested(np.repeat([0.0, 1.0], [30, 9])) == []
    assert np.isnan(predictive(train, test.rows(slice(0, 12)), "target", seed=0))


def test_a_number_is_foretold_by_its_variance() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=1_000)
    table = NumericMatrix(("x", "y"), (True, True), np.column_stack([x, x + random.normal(size=1_000)]))
    # Half the variance is noise, so no model explains more than half of it.
    assert predictive(table.rows(slice(0, 700)), table.rows(slice(700, 1_000)), "y", 0) == pytest.approx(0.42, abs=0.1)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(UserError, match="at least 10"):
        two_sample(rows(5, 0), rows(50, 1), seed=0)
