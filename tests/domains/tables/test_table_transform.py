"""Rows go to the networks and come back as they were; what the networks see has the distributions that are promised."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from table_making import HEADER, rows_of, source_of, text_of, written

from zerosum.domains.tables import encodings, transform, writing
from zerosum.domains.tables.data import TableSource
from zerosum.domains.tables.rounding import Grid
from zerosum.domains.tables.table import Table
from zerosum.errors import UserError


def decoded(source: TableSource, copy: int = 3) -> Table:
    """The training rows, encoded under one set of keys, and decoded by what stands in the payload."""
    keys = torch.arange(len(source.train)) + copy * len(source.train)
    fit = transform.from_payload(json.loads(json.dumps(source.info().payload)))
    return fit.decode(source.rows.data(torch.arange(len(source.train)), keys))


@pytest.mark.parametrize("numeric", ["cdf", "mixture"])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_file_comes_back_cell_by_cell(tmp_path: Path, numeric: str, delimiter: str) -> None:
    rows = rows_of(500)
    (tmp_path / "a.csv").write_text(text_of(HEADER, rows, delimiter), encoding="utf-8")
    source = source_of(tmp_path / "a.csv", heldout=0.0, numeric=numeric)
    writing.write_table(decoded(source), tmp_path / "b.csv", source.info())
    fresh = [[f"C-{501 + number:05d}", *row[1:]] for number, row in enumerate(rows)]
    assert (tmp_path / "b.csv").read_text(encoding="utf-8") == text_of(HEADER, fresh, delimiter)


def test_each_copy_of_a_row_is_another_point_of_the_same_row(tmp_path: Path) -> None:
    source = source_of(written(tmp_path / "a.csv"))
    rows = torch.arange(len(source.train))
    one, two = source.rows.data(rows, rows), source.rows.data(rows, rows + 10_000)
    numeric = [block.start for block in source.rows.blocks if block.kind == "numeric"]
    there = (one[:, numeric] != 0) | (two[:, numeric] != 0)  # a missing number has one point only
    assert 0.95 < there.float().mean() < 1
    assert (one[:, numeric] != two[:, numeric])[there].float().mean() > 0.99
    torch.testing.assert_close(np.delete(one.numpy(), numeric, 1), np.delete(two.numpy(), numeric, 1))


def test_encoded_numbers_are_standard_normal_whatever_they_were(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    columns = {
        "heavy": [f"{x:.2f}" for x in draw.standard_cauchy(4000)],
        "spike": [str(int(x)) for x in np.where(draw.random(4000) < 0.9, 0, draw.integers(1, 10_000, 4000))],
        "gaps": ["" if x < 0.4 else f"{x:.3f}" for x in draw.random(4000)],
    }
    (tmp_path / "a.csv").write_text(text_of(list(columns), list(zip(*columns.values()))))
    source = source_of(tmp_path / "a.csv", heldout=0.0)
    data = source.rows.data(torch.arange(4000), torch.arange(4000)).double().numpy()
    missing = np.array([word == "" for word in columns["gaps"]])
    for place, known in ((0, ...), (1, ...), (2, ~missing)):
        assert stats.kstest(data[known, place].ravel(), "norm").pvalue > 1e-3
    # Of a missing number only the flag is told; its place is the same in all such rows.
    np.testing.assert_array_equal(data[:, 3:5], np.column_stack([~missing, missing]))
    assert (data[missing, 2] == 0).all()


def test_normal_points_decode_to_the_columns_own_distribution(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    real = np.where(draw.random(20_000) < 0.3, 0.0, np.round(draw.gamma(2, 900, 20_000), 2))
    real[draw.random(20_000) < 0.1] = np.nan
    found = encodings.QuantileTransform.fit(real, Grid.fit(real[~np.isnan(real)], 100))
    assert len(found.values) <= 2 * encodings.KNOTS
    normal, picked = draw.standard_normal(100_000), draw.random(100_000) < np.isnan(real).mean()
    made = found.decode(np.column_stack([normal, ~picked, picked]))
    assert abs(np.isnan(made).mean() - np.isnan(real).mean()) < 0.005
    assert abs((made == 0).mean() - (real == 0).mean()) < 0.006
    known, held = made[~np.isnan(made)], real[~np.isnan(real)]
    assert (known.min(), known.max()) == (held.min(), held.max())
    np.testing.assert_array_equal(known, np.round(known, 2))
    assert stats.ks_2samp(known, held).statistic < 0.01


def test_many_distinct_numbers_come_back_exactly_from_few_knots() -> None:
    real = np.random.default_rng(2).permutation(np.arange(7, 7 + 5 * 6000, 5)).astype(np.float64)
    found = encodings.QuantileTransform.from_json(
        json.loads(json.dumps(encodings.plain_values(encodings.QuantileTransform.fit(real, Grid.fit(real, 1.0)))))
    )
    assert (found.grid.step, len(found.values)) == (5, encodings.KNOTS + 1)
    low, high = (torch.from_numpy(end) for end in found.intervals(real))
    for draw in (0.0, 0.5, 1.0):
        normal = encodings.normal_points(low, high, torch.full((len(real),), draw, dtype=torch.float64))
        np.testing.assert_array_equal(found.decode(normal.double().numpy()[:, None]), real)


def test_intervals_tile_the_unit_interval() -> None:
    real = np.array([3.0, 1.0, 1.0, np.nan, 8.0, 8.0, 8.0, np.nan])
    found = encodings.QuantileTransform.fit(real, Grid.fit(real[~np.isnan(real)], 1.0))
    low, high = found.intervals(np.array([1.0, 3.0, 8.0, np.nan]))
    np.testing.assert_allclose(low, [0, 2 / 6, 3 / 6, 0.5])
    np.testing.assert_allclose(high, [2 / 6, 3 / 6, 1, 0.5])


def test_numbers_that_training_never_saw_are_placed_between_their_neighbours() -> None:
    real = np.array([1.0, 2.0, 4.0, 5.0])
    found = encodings.QuantileTransform.fit(real, Grid.fit(real, 1.0))
    low, high = found.intervals(np.array([-9.0, 3.0, 99.0, np.nan]))
    np.testing.assert_allclose(low, [0, 0.5, 0.75, 0.5])
    np.testing.assert_allclose(high, [0.25, 0.5, 1, 0.5])
    placed = encodings.normal_points(torch.from_numpy(low), torch.from_numpy(high), torch.rand(4, dtype=torch.float64))
    assert bool(placed.isfinite().all())
    assert placed[3] == 0  # no training row lacks a number: a row that does tells nothing


def test_the_coding_of_missing_numbers_by_an_earlier_version_is_refused() -> None:
    plain = encodings.plain_values(encodings.QuantileTransform.fit(np.array([1.0, 2.0, 2.0, np.nan]), Grid()))
    assert encodings.QuantileTransform.from_json(plain).missing == 1
    with pytest.raises(UserError, match="earlier version of zerosum, which coded missing numbers as the least"):
        encodings.QuantileTransform.from_json(plain | {"below": "1 2", "upto": "2 4", "num": 4})


def test_the_grid_is_the_coarsest_that_holds_all_numbers() -> None:
    assert Grid.fit(np.array([20_000.0, 50_000.0, 120_000.0]), 1.0) == Grid(20_000, 10_000, 1.0)
    assert Grid.fit(np.array([0.25, 1.75, 1.0]), 100.0) == Grid(25, 75, 100.0)
    assert Grid.fit(np.array([0.1, 0.2]), 0.0).cell == 0.0
    np.testing.assert_array_equal(Grid.fit(np.array([0.1, 0.4]), 10.0).rounded(np.array([0.29, 0.12])), [0.4, 0.1])


def test_numbers_rounder_than_their_grid_are_made_as_round(tmp_path: Path) -> None:
    """Most salaries are hundreds, or fifties and fives, the others whole euros: made ones too, and real ones come back."""
    draw = np.random.default_rng(0)
    hundreds = np.where(draw.random(20_000) < 0.95, np.round(draw.gamma(4, 10_000, 20_000), -2), 0)
    hundreds = np.where(hundreds == 0, np.round(draw.gamma(4, 10_000, 20_000)), hundreds)
    nested = np.where(draw.random(20_000) < 0.6, 50, np.where(draw.random(20_000) < 0.5, 5, 1))
    nested = np.round(draw.gamma(4, 10_000, 20_000) / nested) * nested
    for real, steps in ((hundreds, (1, 100)), (nested, (1, 5, 50))):
        found = encodings.QuantileTransform.from_json(
            json.loads(json.dumps(encodings.plain_values(encodings.QuantileTransform.fit(real, Grid.fit(real, 1.0)))))
        )
        assert found.rounder is not None
        assert found.rounder.steps == steps
        made = found.numbers(draw.standard_normal(20_000))
        for step in (100, 50, 5):
            assert (made % step == 0).mean() == pytest.approx((real % step == 0).mean(), abs=0.012)
        assert stats.ks_2samp(made, real).statistic < 0.015
        low, high = (torch.from_numpy(end) for end in found.intervals(real))
        normal = encodings.normal_points(low, high, torch.full((len(real),), 0.5, dtype=torch.float64))
        np.testing.assert_array_equal(found.numbers(normal.double().numpy()), real)
    plain = np.round(draw.gamma(4, 1_000, 20_000), 2)
    assert encodings.QuantileTransform.fit(plain, Grid.fit(plain, 100.0)).rounder is None


# --- mixture


def test_offsets_are_distances_in_four_deviations_of_the_mode_drawn() -> None:
    draw = np.random.default_rng(3)
    real = np.concatenate([draw.normal(-50, 1, 3000), draw.normal(100, 5, 1000), np.full(400, np.nan)])
    found = encodings.Mixture.fit(real, Grid(), seed=0)
    block = found.encode(torch.from_numpy(real), torch.rand(len(real), dtype=torch.float64)).double().numpy()
    mode = block[:, 1:].argmax(1)
    np.testing.assert_array_equal(block[:, 1:].sum(1), 1)
    np.testing.assert_array_equal(mode == len(found.means), np.isnan(real))
    known = ~np.isnan(real)
    by_hand = (real[known] - found.means[mode[known]]) / (4 * found.deviations[mode[known]])
    np.testing.assert_allclose(block[known, 0], by_hand, atol=1e-6)
    assert np.abs(found.means[mode[known]] - real[known]).max() < 40
    np.testing.assert_allclose(found.decode(block)[known], real[known], rtol=1e-5, atol=1e-4)
    assert (
        encodings.Mixture.from_json(json.loads(json.dumps(encodings.plain_values(found)))).decode(block)[0]
        == found.decode(block)[0]
    )


def test_modes_are_drawn_by_the_posterior() -> None:
    found = encodings.Mixture(np.array([0.8, 0.2]), np.zeros(2), np.ones(2), 0.0, -9, 9, Grid())
    draw = torch.rand(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    share = float(found.encode(torch.zeros(20_000, dtype=torch.float64), draw)[:, 1].mean())
    assert abs(share - 0.8) < 5 * math.sqrt(0.8 * 0.2 / 20_000)


# --- categories


def test_thousands_of_levels_keep_their_spelling_and_their_frequencies(tmp_path: Path) -> None:
    draw = np.random.default_rng(4)
    towns = [f"T{x}" for x in (draw.pareto(0.7, 30_000) * 10).astype(int).clip(max=3999).tolist()]
    (tmp_path / "a.csv").write_text(text_of(["town", "n"], [(town, str(x % 50)) for x, town in enumerate(towns)]))
    source = source_of(tmp_path / "a.csv", heldout=0.0, max_levels=50)
    assert source.transform.blocks[0].width == 50
    made = decoded(source)
    column = made.column("town")
    real, fake = (np.bincount(part.arrays["town"], minlength=len(column.levels)) for part in (source.train, made))
    np.testing.assert_array_equal(fake[:49], real[:49])
    rare = real[49:] >= 5
    assert len(column.levels) > 1000
    assert (
        stats.chisquare(fake[49:][rare], real[49:][rare] * fake[49:][rare].sum() / real[49:][rare].sum()).pvalue > 1e-4
    )
    assert any("49 commonest" in note for note in source.notes)


def test_rare_levels_are_drawn_by_row_and_seed_alone() -> None:
    found = encodings.Categories(np.array([50, 30, 5, 3, 2]), kept=2)
    places, draw = np.full(10_000, 2), np.random.default_rng(0).random(10_000)
    counts = np.bincount(found.decode(places, draw), minlength=5)
    np.testing.assert_allclose(counts[2:] / 10_000, [0.5, 0.3, 0.2], atol=0.02)
    allowed = np.array([True, False, False, True, False])
    assert set(found.decode(places, draw, allowed).tolist()) == {3}
    assert set(found.decode(places, draw, np.zeros(5, bool)).tolist()) == {2, 3, 4}


# --- real tables


@pytest.mark.parametrize(("name", "beside"), [("adult", ()), ("uci_credit_default", ("ID",))])
def test_real_tables_come_back(data_root: Path, name: str, beside: tuple[str, ...]) -> None:
    source = source_of(data_root / "tabular" / f"{name}.csv.gz")
    made = decoded(source)
    for column, real in source.train.arrays.items():
        wrong = (made.arrays[column] != real) & ~(np.isnan(made.arrays[column]) & np.isnan(real))
        # In a thin tail between two knots float32 may take a number for its neighbour on the grid.
        assert wrong.mean() < 2e-4, column
        np.testing.assert_allclose(made.arrays[column][wrong], real[wrong], rtol=1e-4)
    assert set(made.arrays) | set(beside) == {column.name for column in source.transform.columns}


@pytest.mark.parametrize("apart", [2932896.0, -719162.0])
def test_between_all_days_and_one_that_stands_for_none_no_day_is_made(apart: float) -> None:
    """Of more values than are kept exactly; without the knot next to it, one day in 4,000 lay between."""
    draw = np.random.default_rng(0)
    days = np.where(draw.random(20_000) < 0.1, apart, draw.integers(10_000, 19_000, 20_000))
    made = encodings.QuantileTransform.fit(days, Grid.fit(days, 1.0)).numbers(draw.normal(size=100_000))
    real = made[made != apart]
    assert (real.min(), real.max()) == (10_000, 18_999)
    assert abs((made == apart).mean() - 0.1) < 0.01
