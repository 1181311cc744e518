"""What holds in every row of a table holds in every made row: found, told, kept, stated by the user, measured."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import torch
from table_making import Repeater, assert_rows_come_back, source_of, text_of

from zerosum.domains.tables import conditional_sampling, constraints, data, scores, transform, writing
from zerosum.domains.tables.constraints import BoundedColumn, LinearConstraint
from zerosum.domains.tables.data import TableSource
from zerosum.domains.tables.metrics import TableEvaluator
from zerosum.domains.tables.rounding import Grid
from zerosum.domains.tables.table import Table, concatenate
from zerosum.domains.tables.table_similarity import NumericMatrix
from zerosum.errors import UserError

HEADER = ["net", "tax", "shipping", "total", "unit_price", "unit_cents", "ordered", "shipped", "note"]


def rows_of(num: int = 1_200, seed: int = 0) -> list[list[str]]:
    """Orders: tax is a fifth of net in rounded cents, shipping has three prices, what is sent was ordered before."""
    draw = np.random.default_rng(seed)
    rows = []
    for _ in range(num):
        net = int(draw.gamma(2, 5_000)) + 1
        tax, shipping = round(net / 5), int(draw.choice([0, 499, 999]))
        price = int(draw.gamma(2, 1_000)) + 1
        ordered = np.datetime64("2020-01-01") + int(draw.integers(0, 700))
        cells = [f"{cents / 100:.2f}" for cents in (net, tax, shipping, net + tax + shipping, price)]
        rows.append([*cells, str(price), str(ordered), str(ordered + int(draw.integers(0, 6))), f"n{draw.integers(9)}"])
    return rows


def file_of(path: Path, header: Sequence[str] = HEADER, rows: Sequence[Sequence[str]] | None = None) -> Path:
    path.write_text(text_of(header, rows_of() if rows is None else rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TableSource:
    return source_of(file_of(tmp_path_factory.mktemp("constraints") / "a.csv"), heldout=0.0)


def by_chance(source: TableSource, num: int = 3_000) -> Table:
    """Rows of a generator that learnt nothing, by what stands in the payload."""
    fit = transform.from_payload(json.loads(json.dumps(source.info().payload)))
    rows = torch.randn(num, fit.blocks[-1].stop, generator=torch.Generator().manual_seed(0))
    return fit.decode(rows)


def note_of(source: TableSource, word: str) -> str:
    return next((note for note in source.notes if note.startswith(word)), "")


# --- found


def test_sums_functions_and_orders_are_found_and_told(source: TableSource) -> None:
    found_note = note_of(source, "Computed, because this holds in every row: ")
    assert "tax = 0.2 * net, unit_cents = 100 * unit_price, total = net + tax + shipping." in found_note
    assert "ordered <= shipped." in note_of(source, "Enforced, because this holds in every row: ")
    assert [block.column for block in source.rows.blocks] == [
        "net",
        "shipping",
        "unit_price",
        "ordered",
        "shipped",
        "note",
    ]


def test_every_made_row_keeps_them_in_written_cents(source: TableSource, tmp_path: Path) -> None:
    writing.write_table(by_chance(source), tmp_path / "made.csv", source.info())
    with (tmp_path / "made.csv").open(encoding="utf-8", newline="") as file:
        made = list(csv.DictReader(file))
    assert len(made) == 3_000
    for row in made:
        net, tax, shipping, total, price = (Decimal(row[name]) for name in HEADER[:5])
        assert net + tax + shipping == total
        assert abs(tax - net / 5) <= Decimal("0.005")
        assert price * 100 == int(row["unit_cents"])
        assert row["ordered"] <= row["shipped"]
    assert len({row["shipped"] for row in made}) > 300
    assert max(row["shipped"] for row in made) <= "2021-12-05"


def test_rows_come_back_as_they_were(source: TableSource) -> None:
    assert_rows_come_back(source)


def test_finding_can_be_switched_off(tmp_path: Path) -> None:
    source = source_of(file_of(tmp_path / "a.csv"), heldout=0.0, determined=False)
    assert [block.column for block in source.rows.blocks] == HEADER
    assert not source.transform.rules


def test_chance_is_no_rule(tmp_path: Path) -> None:
    """One row that contradicts, ranges that do not meet, and columns that have nothing to do with each other."""
    draw = np.random.default_rng(0)
    a, b = draw.integers(0, 100, 500), draw.integers(200, 900, 500)
    c = a + draw.integers(0, 50, 500)
    c[17] = a[17] - 1
    total = a + b
    total[250] += 1
    rows = [list(map(str, row)) for row in zip(a, b, c, total)]
    source = source_of(file_of(tmp_path / "a.csv", ["a", "b", "c", "total"], rows), heldout=0.0)
    assert not [rule for rule in source.transform.rules if not isinstance(rule, BoundedColumn)]
    assert {one.words for rule in source.transform.rules for one in getattr(rule, "statements", ())} <= {"b <= total"}


def test_the_plainest_column_is_computed(tmp_path: Path) -> None:
    """Whatever the order in the file: a sum of positive parts rather than a difference, a multiple rather than a part."""
    draw = np.random.default_rng(0)
    a, b, x = (draw.integers(1, 5_000, 400) for _ in range(3))
    rows = [[str(x_ / 100), str(a_ + b_), str(a_), str(x_), str(b_)] for a_, b_, x_ in zip(a, b, x)]
    source = source_of(file_of(tmp_path / "a.csv", ["euros", "sum", "a", "cents", "b"], rows), heldout=0.0)
    found_note = note_of(source, "Computed")
    assert "sum = a + b" in found_note
    assert "cents = 100 * euros" in found_note


COUNTS = np.random.default_rng(0).integers(0, 900, 600)
CENTS = np.random.default_rng(1).integers(100, 90_000, 600) / 100


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"whole": COUNTS, "part": COUNTS / 7}, "part = whole / 7"),
        ({"part": COUNTS / 7, "whole": COUNTS}, "part = whole / 7"),
        ({"whole": COUNTS, "part": np.float64(np.float32(COUNTS / 7))}, "whole = 7 * part"),
        ({"a": COUNTS, "b": COUNTS[::-1], "mean": (COUNTS + COUNTS[::-1]) / 7}, "mean = a / 7 + b / 7"),
        ({"share": COUNTS * 2 / 3, "whole": COUNTS}, "share = 2 * whole / 3"),
        ({"gross": (CENTS * 1.19).round(2), "net": CENTS}, "gross = 1.19 * net"),
        ({"f": (COUNTS / 10 * 1.8 + 32).round(2), "c": COUNTS / 10}, "f = 1.8 * c + 32"),
        ({"cm": (COUNTS * 2.54).round(2), "inch": COUNTS}, "cm = 2.54 * inch"),
        ({"odd": COUNTS * 0.7312345, "whole": COUNTS}, "odd = 0.7312345 * whole"),
    ],
)
def test_coefficients_are_as_round_as_the_numbers_allow(
    tmp_path: Path, columns: dict[str, np.ndarray], words: str
) -> None:
    """Whichever column stands first; and what is told can be stated in the same words."""
    rows = [[str(cell) for cell in row] for row in zip(*(column.tolist() for column in columns.values()))]
    path = file_of(tmp_path / "a.csv", [*columns], rows)
    (rule,) = (rule for rule in source_of(path, heldout=0.0).transform.rules if not isinstance(rule, BoundedColumn))
    assert rule.statement.words == words
    again = source_of(path, heldout=0.0, constraints=[words]).transform.rules
    (other,) = (rule for rule in again if not isinstance(rule, BoundedColumn))
    assert other.target == rule.target
    negative = {name: -coefficient for name, coefficient in rule.statement.coefficients.items()}
    assert other.statement.coefficients == pytest.approx(negative, rel=1e-15, abs=0)
    assert -other.statement.constant == rule.statement.constant


def test_where_a_sum_is_unknown_though_its_parts_are_known_that_is_learnt(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = []
    for number in range(600):
        a, b = draw.integers(1, 5_000, 2)
        rows.append([str(a), "" if number % 10 == 0 else str(b), "" if number % 10 < 2 else str(a + b)])
    source = source_of(file_of(tmp_path / "a.csv", ["a", "b", "sum"], rows), heldout=0.0)
    assert "sum = a + b" in note_of(source, "Computed")
    assert [(block.column, block.width) for block in source.rows.blocks] == [("a", 1), ("b", 3), ("sum", 3)]
    made = by_chance(source).arrays
    known = ~np.isnan(made["b"]) & ~np.isnan(made["sum"])
    assert 0.1 < known.mean() < 0.9
    np.testing.assert_array_equal(made["sum"][known], (made["a"] + made["b"])[known])
    back = source.transform.decode(source.rows.data(torch.arange(600), torch.arange(600)))
    for name, values in source.train.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], values)


def test_an_order_with_missing_ends_keeps_who_is_missing(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    day = np.datetime64("2020-01-01")
    rows = []
    for number in range(800):
        start = day + int(draw.integers(0, 900))
        end = start + int(draw.integers(0, 20))
        rows.append(["" if number % 8 == 0 else str(start), "" if number % 5 == 0 else str(end)])
    source = source_of(file_of(tmp_path / "a.csv", ["start", "end"], rows), heldout=0.0)
    assert "start <= end" in note_of(source, "Enforced")
    back = source.transform.decode(source.rows.data(torch.arange(800), torch.arange(800)))
    for name, values in source.train.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], values)
    made = by_chance(source).arrays
    assert np.isnan(made["start"]).any()
    assert not (made["start"] > made["end"]).any()


@pytest.mark.parametrize(("sign", "step"), [("<=", 5), ("<", 5), ("<=", 0)])
@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("above", [True, False])
def test_a_bound_holds_on_the_grid_and_within_the_range(sign: str, step: int, near: bool, above: bool) -> None:
    """Several bounds, made by chance, half of them unknown."""
    draw = np.random.default_rng(0)
    way = 1.0 if above else -1.0
    statements = tuple(LinearConstraint({name: way, "t": -way}, 0.0, sign, "") for name in ("a", "b"))
    lattice = Grid(0, step, 1.0) if step else Grid()
    rule = BoundedColumn("t", statements, above, -100.0, 100.0, lattice, near)
    values = {name: draw.uniform(-90, 90, 2_000) for name in ("a", "b")}
    values["a"][::2] = np.nan
    values["b"][::3] = np.nan
    coded = draw.gamma(2, 20, 2_000) if near else draw.uniform(-100, 100, 2_000)
    made = rule.compute(values, coded)
    for one in statements:
        assert not one.broken({**values, "t": made}).any()
    assert (np.abs(made) <= 100).all()
    if step and near:
        np.testing.assert_array_equal(made % 5, 0)


def test_days_and_times_are_compared_in_one_unit(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = []
    for _ in range(500):
        day = np.datetime64("2020-01-01") + int(draw.integers(0, 700))
        rows.append([str(day), str(day + np.timedelta64(int(draw.integers(0, 3_000)), "m")).replace("T", " ")])
    rows = [[day, time if " " in time else f"{time} 00:00"] for day, time in rows]
    source = source_of(file_of(tmp_path / "a.csv", ["day", "seen"], rows), heldout=0.0)
    assert "day <= seen" in note_of(source, "Enforced")
    made = by_chance(source)
    spelled = [made.format(made.column(name)) for name in ("day", "seen")]
    assert all((day or "") <= (seen or "") for day, seen in zip(*spelled))


# --- stated


def test_stated_constraints_are_kept_and_told(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    header = ["net sum", "capital-gain", "all", "share", "low", "high"]
    rows = []
    for _ in range(40):  # too few to find anything by themselves
        a, b, c = draw.integers(1, 90, 3)
        rows.append([str(a), str(b), str(a + 2 * b - 3), f"{a / 4:.2f}", str(c), str(c + draw.integers(1, 60))])
    wanted = ['all = "net sum" + capital-gain * 2 - 3', "share == net sum / 4", "high > low"]
    source = source_of(file_of(tmp_path / "a.csv", header, rows), heldout=0.0, determined=False, constraints=wanted)
    assert "Enforced by data.constraints: " + ", ".join(wanted) + "." in source.notes
    made = by_chance(source).arrays
    np.testing.assert_array_equal(made["all"], made["net sum"] + 2 * made["capital-gain"] - 3)
    np.testing.assert_array_equal(made["share"], made["net sum"] / 4)
    assert (made["high"] > made["low"]).all()
    plainly = source_of(tmp_path / "a.csv", heldout=0.0)
    assert not plainly.transform.rules


def test_what_is_stated_comes_before_what_is_found(tmp_path: Path) -> None:
    file_of(tmp_path / "a.csv")
    source = source_of(tmp_path / "a.csv", heldout=0.0, constraints=["net = total - tax - shipping"])
    columns = [block.column for block in source.rows.blocks]
    assert "net" not in columns
    assert "total" in columns
    made = by_chance(source)
    cents = {name: np.round(values * 100) for name, values in constraints.numbers_in(made.columns, made.arrays).items()}
    np.testing.assert_array_equal(cents["net"], cents["total"] - cents["tax"] - cents["shipping"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "shipped <= ordered",
            r"'shipped <= ordered' does not hold in [\d,]+ of 1,200 rows, first in row \d+ below the names",
        ),
        (
            "total = net + tax",
            r"does not hold in \d+ of 1,200 rows, first in row \d+ .*\(total '[\d.]+', net '[\d.]+', tax '",
        ),
        ("totl = net + tax", "there is no column 'totl'. Did you mean 'total'"),
        ('"to tal" = net', "there is no column 'to tal'"),
        ("net + tax", "has no of the signs"),
        ("0 <= net <= total", "has 2 of the signs"),
        ("total = net * tax", "is not linear"),
        ("total = 3 / net", "is not linear"),
        ("total = net / 0", "divides by zero"),
        ("total = net tax", r"\+ or - is missing before 'tax'"),
        ("note <= net", "'note' is a column of kind categorical"),
        ("ordered >= 2020-01-01", "compares with a fixed date"),
        ("net = net", "constrains no column"),
        ("total =", "there is no column"),
    ],
)
def test_constraints_that_cannot_be_kept_are_refused(tmp_path: Path, text: str, words: str) -> None:
    file_of(tmp_path / "a.csv")
    with pytest.raises(UserError, match=words):
        source_of(tmp_path / "a.csv", constraints=[text])


def test_constraints_that_leave_no_column_to_solve_for_are_refused(tmp_path: Path) -> None:
    rows = [[str(x), str(2 * x), str(4 * x)] for x in np.random.default_rng(0).integers(1, 60, 90)]
    file_of(tmp_path / "a.csv", ["a", "b", "c"], rows)
    texts = ["b = 2 * a", "c = 2 * b", "c = 4 * a"]
    source_of(tmp_path / "a.csv", constraints=texts[:2])
    with pytest.raises(UserError, match=r"'c = 4 \* a' cannot be combined with the others"):
        source_of(tmp_path / "a.csv", constraints=texts)


def test_a_single_column_needs_no_rule(tmp_path: Path) -> None:
    file_of(tmp_path / "a.csv")
    source = source_of(tmp_path / "a.csv", determined=False, constraints=["net > 0", "tax <= 9999"])
    assert not source.transform.rules


# --- asked for


def made_where(
    source: TableSource, asked: str, num: int = 300
) -> tuple[Table, conditional_sampling.ConditionalSampler]:
    stream = conditional_sampling.conditional_sampler(Repeater(source), asked, 0)
    return concatenate(list(stream.tables(num))), stream


def test_a_column_that_one_other_gives_is_asked_for_through_it(source: TableSource) -> None:
    price = float(source.train.arrays["unit_price"][5])
    table, stream = made_where(source, f"unit_cents={round(price * 100)}")
    assert set(table.arrays["unit_price"]) == {price}
    assert stream.tally.rate == 1.0
    table, stream = made_where(source, "unit_cents<200,unit_cents>=100")
    assert table.arrays["unit_price"].max() < 2
    assert table.arrays["unit_price"].min() >= 1
    with pytest.raises(UserError, match=r"unit_cents=123.5 cannot be"):
        conditional_sampling.conditional_sampler(Repeater(source), "unit_cents=123.5", 0)
    with pytest.raises(UserError, match="is between"):
        conditional_sampling.conditional_sampler(Repeater(source), "unit_cents=99999999", 0)


def test_a_sum_is_asked_for_by_its_range(source: TableSource, monkeypatch: pytest.MonkeyPatch) -> None:
    table, _ = made_where(source, "total>200")
    assert table.arrays["total"].min() > 200
    monkeypatch.setattr(conditional_sampling, "MAX_EMPTY_PARTS", 2)
    with pytest.raises(UserError, match="total: computed from other columns, so that single values are rare; request"):
        made_where(source, "total=0.01")


def test_a_day_is_told_by_its_distance_where_the_other_is_told_too(source: TableSource) -> None:
    days = [source.train.format(source.train.column(name))[3] for name in ("ordered", "shipped")]
    table, stream = made_where(source, f"ordered={days[0]},shipped={days[1]}")
    assert stream.tally.rate == 1.0
    assert set(table.format(table.column("shipped"))) == {days[1]}
    table, stream = made_where(source, f"shipped={days[1]}", 20)
    assert set(table.format(table.column("shipped"))) == {days[1]}
    assert stream.tally.rate < 0.05
    with pytest.raises(UserError, match="is between 2020-01-"):
        conditional_sampling.conditional_sampler(Repeater(source), "shipped>2022-05-01", 0)


# --- measured


def test_what_is_kept_is_measured_beside_real_rows_and_shuffled_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("two_sample", "predictive"):  # another subject, and slow
        monkeypatch.setattr(scores, name, lambda *given: 0.5)
    source = source_of(file_of(tmp_path / "a.csv"))
    evaluator = TableEvaluator(source, 0)
    rows = torch.randn(500, source.rows.blocks[-1].stop, generator=torch.Generator().manual_seed(0))
    record = next(one for one in evaluator.evaluate(rows, None, None) if one.name.startswith("constraints_kept"))
    assert (record.value, record.reference) == (1.0, 1.0)
    assert record.protocol["controls"]["columns shuffled"] < 0.3
    assert record.protocol["constraints"]["ordered <= shipped"] == 1.0
    # Rows of another program are measured as they are, not as they would come back.
    cells = rows_of(400, seed=3)
    for row in cells[:100]:
        row[3] = "1.00"
    other = NumericMatrix.of(data.read_table(file_of(tmp_path / "b.csv", rows=cells), source.transform, source.info()))
    found = next(one for one in evaluator.evaluate_rows(other) if one.name.startswith("constraints_kept"))
    assert found.protocol["constraints"]["total = net + tax + shipping"] == 0.75
    assert found.value == pytest.approx(1 - 0.25 / 4)
