"""Numeric tables with codes: scores against closed forms, direct definitions, and SDMetrics (its values are kept here)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zerosum.domains.tables.table_similarity import (
    NumericMatrix,
    associations,
    correlations,
    mean,
    shape,
    shapes,
    total_variation,
    trends,
)
from zerosum.errors import UserError


def table(*columns: list[float], numeric: tuple[bool, ...]) -> NumericMatrix:
    return NumericMatrix(tuple("abcdef"[: len(columns)]), numeric, np.array(columns, dtype=np.float64).T)


def drawn(num: int, seed: int, slope: float = 1.0) -> NumericMatrix:
    """Two numbers that hang together, one of them with gaps, and two codes, one of which follows a number."""
    random = np.random.default_rng(seed)
    x = random.normal(size=num)
    y = slope * x + random.normal(size=num)
    gaps = np.where(random.random(num) < 0.1, np.nan, y)
    code = (x > 0.3).astype(float) + (x > 1)
    other = random.integers(4, size=num).astype(float)
    return NumericMatrix(
        ("x", "y", "code", "other"), (True, True, False, False), np.column_stack([x, gaps, code, other])
    )


def test_total_variation_of_codes() -> None:
    assert total_variation(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2])) == pytest.approx(0.25)
    assert total_variation(np.array([0, 0]), np.array([3, 3])) == 1
    assert total_variation(np.array([1, 2, 2]), np.array([2, 1, 2])) == 0


def test_shape_of_numbers_is_scipys_ks_distance() -> None:
    from scipy.stats import ks_2samp

    random = np.random.default_rng(0)
    a, b = random.normal(size=300), np.round(random.normal(0.3, 1.2, size=170), 1)
    assert shape(a, b, numeric=True) == pytest.approx(1 - ks_2samp(a, b).statistic, abs=1e-12)
    gaps = np.concatenate([a, [np.nan] * 40])
    assert shape(gaps, b, numeric=True) == pytest.approx(shape(a, b, numeric=True), abs=1e-12)
    assert math.isnan(shape(np.array([np.nan]), b, numeric=True))


def test_correlations_are_pearsons_over_the_rows_where_both_are_known() -> None:
    rows = drawn(200, 0)
    known = ~np.isnan(rows.values[:, 1])
    expected = np.corrcoef(rows.values[known, 0], rows.values[known, 1])[0, 1]
    found = correlations(rows)
    assert found[0, 1] == pytest.approx(expected, abs=1e-12)
    assert found[1, 0] == found[0, 1]
    assert np.isnan(found[2]).all()
    still = table([1, 1, 1], [1, 2, 3], numeric=(True, True))
    assert math.isnan(correlations(still)[0, 1])


def test_trend_of_two_numbers_is_half_the_difference_of_correlations() -> None:
    up = table([0, 1, 2, 3], [0, 1, 2, 3], numeric=(True, True))
    down = table([0, 1, 2, 3], [3, 2, 1, 0], numeric=(True, True))
    assert trends(up, down)[0, 1] == pytest.approx(0)
    assert trends(up, up)[0, 1] == pytest.approx(1)


def test_trend_of_codes_is_the_total_variation_of_pairs() -> None:
    real = table([0, 0, 1, 1], [0, 0, 1, 1], numeric=(False, False))
    crossed = table([0, 0, 1, 1], [0, 1, 0, 1], numeric=(False, False))
    assert trends(real, crossed)[1, 0] == pytest.approx(0.5)
    assert shapes(real, crossed).tolist() == [1, 1]  # which single columns cannot tell


def test_a_number_beside_a_code_goes_by_tenths_of_the_real_range() -> None:
    real = table(list(range(10)), [0] * 5 + [1] * 5, numeric=(True, False))
    fake = table(list(range(10)), [1] * 5 + [0] * 5, numeric=(True, False))
    assert trends(real, fake)[0, 1] == pytest.approx(0)
    # The outermost bins reach to infinity, and the greatest value lies in one of them.
    finer = table([-3.0] + [x + 0.05 for x in range(1, 9)] + [8.95], [0] * 5 + [1] * 5, numeric=(True, False))
    assert trends(real, finer)[0, 1] == pytest.approx(1)


SHAPES = [0.9275, 0.9020412020412021, 0.9508333333333333, 0.9516666666666667]
CORRELATION, CODES, NUMBER_AND_CODE = 0.8546298390722137, 0.8733333333333333, 0.9041666666666667


def test_scores_are_those_of_sdmetrics() -> None:
    """Values that SDMetrics 0.32.0 gave; it wants an older pandas than the other packages here."""
    real, fake = drawn(400, 1), drawn(300, 2, slope=0.4)
    np.testing.assert_allclose(shapes(real, fake), SHAPES, atol=1e-9)
    found = trends(real, fake)
    np.testing.assert_allclose(
        [found[0, 1], found[2, 3], found[0, 2]], [CORRELATION, CODES, NUMBER_AND_CODE], atol=1e-9
    )


def test_scores_agree_with_sdmetrics() -> None:
    pandas, columns, pairs = (
        pytest.importorskip(name) for name in ("pandas", "sdmetrics.single_column", "sdmetrics.column_pairs")
    )
    real, fake = drawn(400, 1), drawn(300, 2, slope=0.4)
    a, b = (pandas.DataFrame(side.values, columns=side.names) for side in (real, fake))
    for side in (a, b):
        side[["code", "other"]] = side[["code", "other"]].astype(int).astype(str)
    expected = [columns.KSComplement.compute(a[n], b[n]) for n in ("x", "y")]
    expected += [columns.TVComplement.compute(a[n], b[n]) for n in ("code", "other")]
    np.testing.assert_allclose(shapes(real, fake), expected, atol=1e-9)
    found = trends(real, fake)
    whole = [~np.isnan(side.values[:, 1]) for side in (real, fake)]
    both = pairs.CorrelationSimilarity.compute(a.loc[whole[0], ["x", "y"]], b.loc[whole[1], ["x", "y"]])
    assert found[0, 1] == pytest.approx(both, abs=1e-9)
    one = pairs.ContingencySimilarity.compute(a[["code", "other"]], b[["code", "other"]])
    mixed = pairs.ContingencySimilarity.compute(a[["x", "code"]], b[["x", "code"]], continuous_column_names=["x"])
    assert (found[2, 3], found[0, 2]) == (pytest.approx(one, abs=1e-9), pytest.approx(mixed, abs=1e-9))


def test_associations() -> None:
    rows = table([1, 2, 3, 40], [4, 3, 2, 1], [0, 0, 1, 1], [0, 0, 1, 1], numeric=(True, True, False, False))
    found = associations(rows)
    assert found[0, 1] == pytest.approx(-1)  # of ranks, so that one far value changes nothing
    assert found[2, 3] == pytest.approx(1)
    # Ranks 1 2 | 3 4: between groups 2 * 2 * 1, in all 5.
    assert found[0, 2] == pytest.approx(math.sqrt(4 / 5))
    crossed = table([0, 0, 1, 1], [0, 1, 0, 1], numeric=(False, False))
    np.testing.assert_allclose(associations(crossed), np.eye(2), atol=1e-12)


def test_shuffled_columns_keep_their_shapes_and_lose_their_trends() -> None:
    rows = drawn(2_000, 3)
    shuffled = rows.shuffled(0)
    np.testing.assert_allclose(shapes(rows, shuffled), 1)
    assert trends(rows, shuffled)[0, 1] < 0.75
    assert mean(trends(rows, rows.resampled(2_000, 1))) > 0.96
    assert (rows.shuffled(0).values == shuffled.values)[:, 2:].all()


def test_values_must_fit_the_names() -> None:
    with pytest.raises(UserError, match="2 names"):
        NumericMatrix(("a", "b"), (True, True), np.zeros((3, 1)))
