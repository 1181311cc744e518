"""Rows by the stream: conditions are honoured with the right distribution, the seed decides, memory does not grow."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from table_making import HEADER, Repeater, rows_of, source_of, text_of, written

from zerosum.domain import SampleRequest
from zerosum.domains.tables import conditional_sampling
from zerosum.domains.tables.data import TableSource
from zerosum.domains.tables.table import Table, concatenate
from zerosum.errors import UserError


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TableSource:
    return source_of(written(tmp_path_factory.mktemp("table") / "a.csv", 1500), heldout=0.0)


def made(
    source: TableSource, num: int, asked: str = "", seed: int = 0, heard: bool = True
) -> tuple[Table, conditional_sampling.ConditionalSampler]:
    stream = conditional_sampling.conditional_sampler(Repeater(source, heard), asked, seed)
    return concatenate(list(stream.tables(num))), stream


def lines(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_exactly_so_many_rows_a_function_of_the_seed_and_not_of_their_number(source: TableSource) -> None:
    many, few = made(source, 20_000)[0], made(source, 9_000)[0]
    assert (len(many), len(few)) == (20_000, 9_000)
    for name, values in few.arrays.items():
        np.testing.assert_array_equal(many.arrays[name][:9_000], values)
    other = made(source, 9_000, seed=1)[0]
    assert (other.arrays["price"] != few.arrays["price"]).mean() > 0.9


@pytest.mark.parametrize("asked", ["", "price>4500"])
def test_each_part_has_rows_of_its_own(source: TableSource, asked: str) -> None:
    """Parts differ in their noise, and in the values that are told where a range is too rare for chance."""
    table, stream = made(source, 2 * conditional_sampling.PART, asked)
    assert bool(stream.given_filters) == bool(asked)
    for name in ("price", "age", "joined"):
        values = table.arrays[name][: 2 * (len(table) // 2)]
        first, second = np.split(values, 2)
        assert (first != second).mean() > 0.9, name


def test_rare_levels_are_drawn_anew_in_each_part(tmp_path: Path) -> None:
    towns = [f"T{k % 3}" for k in range(400)] + [f"R{k}" for k in range(100)] * 4
    (tmp_path / "a.csv").write_text(text_of(["town", "n"], [(town, str(k % 37)) for k, town in enumerate(towns)]))
    table, _ = made(source_of(tmp_path / "a.csv", heldout=0.0, max_levels=5), 2 * conditional_sampling.PART)
    first, second = np.split(table.arrays["town"], 2)
    rare = np.minimum(first, second) >= 4
    assert rare.sum() > 1_000
    assert (first == second)[rare].mean() < 0.05


@pytest.mark.parametrize("heard", [True, False])
def test_who_is_asked_for_comes_and_the_acceptance_is_told(source: TableSource, heard: bool) -> None:
    table, stream = made(source, 5_000, "city=Oslo,age>60", heard=heard)
    column = table.column("city")
    assert {column.levels[code] for code in table.arrays["city"]} == {" Oslo"}
    assert table.arrays["age"].min() > 60
    train = source.train.arrays
    old, oslo = train["age"] > 60, train["city"] == column.levels.index(" Oslo")
    expected = old.mean() if heard else (old & oslo).mean()
    assert stream.tally.rate == pytest.approx(expected, abs=0.02)
    assert f"city=Oslo, age>60: {stream.tally.rate:.1%} of the generated rows satisfied it" in stream.notes[0]


def test_by_rejection_the_other_columns_have_their_conditional_distribution(source: TableSource) -> None:
    table, _ = made(source, 20_000, "age<40", heard=False)
    train = source.train.arrays
    young = train["age"] < 40
    for name in ("member", "city"):
        real = np.bincount(train[name][young], minlength=3) / young.sum()
        np.testing.assert_allclose(np.bincount(table.arrays[name], minlength=3) / len(table), real, atol=0.02)


def test_ranges_too_rare_for_chance_are_told(source: TableSource) -> None:
    train = np.sort(source.train.arrays["price"])
    bound = float(train[-15])
    table, stream = made(source, 3_000, f"price>{bound}")
    assert table.arrays["price"].min() > bound
    assert [one.words for one in stream.given_filters] == [f"price>{bound}"]
    assert stream.tally.rate > 0.99
    assert "Values of price were drawn from within the range and given" in stream.notes[0]
    assert table.arrays["price"].max() <= train[-1]
    assert stats.ks_2samp(table.arrays["price"], train[-14:]).pvalue > 0.01


def test_a_single_number_and_a_missing_one_can_be_asked_for(source: TableSource) -> None:
    table, stream = made(source, 500, "age=40,score=")
    assert set(table.arrays["age"]) == {40.0}
    assert np.isnan(table.arrays["score"]).all()
    assert stream.tally.rate == 1.0


def test_two_numbers_are_asked_for_by_rows_that_lie_near(tmp_path: Path) -> None:
    """What follows from both together is right even where a generator does not heed what it is told."""
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(2, 6_000))
    z = x + y + draw.normal(0, 0.1, 6_000)
    lines = [(f"{a:.2f}", f"{b:.2f}", f"{c:.2f}") for a, b, c in zip(x, y, z)]
    (tmp_path / "a.csv").write_text(text_of(["x", "y", "z"], lines))
    source = source_of(tmp_path / "a.csv", heldout=0.0)
    table, stream = made(source, 200, "x=0.50,y=-0.20")
    assert [one.column.name for one in stream.near_filters] == ["x", "y"]
    assert stream.given_filters == ()
    assert (set(table.arrays["x"]), set(table.arrays["y"])) == ({0.5}, {-0.2})
    assert table.arrays["z"].mean() == pytest.approx(0.3, abs=0.1)
    assert table.arrays["z"].std() < 0.2
    assert "In rows within 2% of the quantiles of x, y, these values were set to the requested ones." in stream.notes[0]
    one, two = made(source, 100, "x=0.50,y=-0.20")[0], made(source, 100, "x=0.50")[1]
    np.testing.assert_array_equal(one.arrays["z"], table.arrays["z"][:100])
    assert two.near_filters == ()
    assert [given.words for given in two.given_filters] == ["x=0.50"]
    far = made(source, 20, f"x={x.max():.2f},y={y.max():.2f}")[1]
    assert far.near_filters == ()
    assert len(far.given_filters) == 2


def test_a_rare_level_is_reached_through_the_place_it_shares(tmp_path: Path) -> None:
    towns = [f"T{min(int(1.5**k), 60)}" for k in range(12) for _ in range(40)] + [f"R{k}" for k in range(60)] * 2
    (tmp_path / "a.csv").write_text(text_of(["town", "n"], [(town, str(k % 37)) for k, town in enumerate(towns)]))
    source = source_of(tmp_path / "a.csv", heldout=0.0, max_levels=5)
    table, stream = made(source, 400, "town=R17")
    column = table.column("town")
    assert {column.levels[code] for code in table.arrays["town"]} == {"R17"}
    assert stream.tally.rate == 1.0


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("city=Bern,age>40", ""),
        (
            "code=017",
            "code=017: only 3[0-9] training rows satisfy it, so the other columns of these rows are inaccurate.",
        ),
        ("price>4500", "price>4500: only 1[0-9] training rows satisfy it"),
        ("price=6000.00", "price=6000.00: only [0-9] training rows are near it"),
        ("age=40,score=", ""),
    ],
)
def test_conditions_that_few_training_rows_satisfy_are_told(tmp_path: Path, asked: str, words: str) -> None:
    source = source_of(written(tmp_path / "a.csv", 1_050, seed=1), heldout=0.0)
    warning = r"Levels with fewer than 40 training rows, inaccurate as conditions: code \d+ of 30\."
    assert any(re.match(warning, note) for note in source.notes)
    notes = conditional_sampling.conditional_sampler(Repeater(source), asked, 0).notes
    assert len(notes) == 1 + bool(words)
    assert re.match(words, notes[-1])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("age>90", r"age>90 cannot be: 'age' is between 18 and 90"),
        ("age=", "age= cannot be: 'age' has no missing values in the training rows"),
        ("age=40.5", r"between 18 and 90 in the training rows and never has this value"),
        ("joined<2018-05-05", "is between 2019-01-01 and"),
        ("age>50,age<30", r"0 of [\d,]+ generated rows satisfy age>50, age<30"),
        ("city=Bern,city=Oslo", "satisfies them all"),
    ],
)
def test_the_impossible_ends_in_an_error(
    source: TableSource, monkeypatch: pytest.MonkeyPatch, asked: str, words: str
) -> None:
    monkeypatch.setattr(conditional_sampling, "MAX_EMPTY_PARTS", 3)
    with pytest.raises(UserError, match=words):
        made(source, 10, asked)


def test_files_are_streamed_with_identifiers_counted_through(tmp_path: Path, source: TableSource) -> None:
    maker = Repeater(source)
    produced = conditional_sampling.sample_file(maker, maker.info, SampleRequest(20_000, 3, tmp_path / "a.csv"))
    assert produced is not None
    assert (produced.num, produced.notes, maker.calls) == (20_000, (), 3)
    rows = lines(tmp_path / "a.csv")
    assert [row[0] for row in rows[1:]] == [f"C-{1501 + number:05d}" for number in range(20_000)]
    assert {row[-1] for row in rows[1:]} == {"CH"}
    tsv = conditional_sampling.sample_file(maker, maker.info, SampleRequest(50, 3, tmp_path / "a.tsv"))
    assert tsv is not None
    assert (tmp_path / "a.tsv").read_text(encoding="utf-8").splitlines()[1].count("\t") == len(rows[0]) - 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.tsv"]


@pytest.mark.parametrize(("mark", "line_end"), [(True, "\r\n"), (False, "\n")])
def test_byte_order_mark_and_line_ends_are_those_of_the_table(tmp_path: Path, mark: bool, line_end: str) -> None:
    text = text_of(HEADER, rows_of(100), ";").replace("\n", line_end)
    (tmp_path / "a.csv").write_bytes(text.encode("utf-8-sig" if mark else "utf-8"))
    maker = Repeater(source_of(tmp_path / "a.csv"))
    assert conditional_sampling.sample_file(maker, maker.info, SampleRequest(40, 0, tmp_path / "b.csv"))
    made = (tmp_path / "b.csv").read_bytes()
    head = ";".join(HEADER) + line_end
    assert made.startswith(head.encode("utf-8-sig" if mark else "utf-8"))
    assert (made.count(b"\r\n"), made.count(b"\n")) == (41 * mark, 41)


def test_codes_with_leading_zeros_are_text_in_parquet(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    rows = [[f"{37 * x:05d}", f"{x % 7:03d}", str(3 * x), "007", str(x % 31)] for x in range(1, 300)]
    (tmp_path / "a.csv").write_text(text_of(["zip", "code", "id", "fixed", "n"], rows))
    maker = Repeater(source_of(tmp_path / "a.csv", heldout=0.0))
    assert conditional_sampling.sample_file(maker, maker.info, SampleRequest(50, 0, tmp_path / "b.parquet"))
    frame = pandas.read_parquet(tmp_path / "b.parquet")
    assert frame["zip"].tolist() == [f"{11064 + x:05d}" for x in range(50)]
    assert set(frame["code"]) <= {f"{x:03d}" for x in range(7)}
    assert set(frame["fixed"]) == {"007"}
    assert frame["id"].dtype == frame["n"].dtype == "int64"


def test_parquet_and_text_hold_the_same_rows(tmp_path: Path, source: TableSource) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    maker = Repeater(source)
    for name in ("a.csv", "a.parquet"):
        assert conditional_sampling.sample_file(maker, maker.info, SampleRequest(10_000, 0, tmp_path / name))
    frame, rows = pandas.read_parquet(tmp_path / "a.parquet"), lines(tmp_path / "a.csv")
    assert [*frame.columns] == rows[0]
    assert frame["joined"].dt.strftime("%Y-%m-%d").tolist() == [row[5] for row in rows[1:]]
    assert frame["city"].tolist() == [row[3] for row in rows[1:]]
    assert frame["age"].tolist() == [int(row[1]) for row in rows[1:]]
    assert frame["score"].isna().tolist() == [row[7] == "" for row in rows[1:]]


def test_what_fails_leaves_no_file(tmp_path: Path, source: TableSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditional_sampling, "MAX_EMPTY_PARTS", 2)
    maker = Repeater(source)
    with pytest.raises(UserError, match="0 of"):
        conditional_sampling.sample_file(
            maker, maker.info, SampleRequest(10, 0, tmp_path / "a.csv", {"where": "age>50,age<30"})
        )
    with pytest.raises(UserError, match="num must be at least 1"):
        conditional_sampling.sample_file(maker, maker.info, SampleRequest(0, 0, tmp_path / "a.csv"))
    assert list(tmp_path.iterdir()) == []


def test_pictures_and_foreign_options_are_left_to_others(tmp_path: Path, source: TableSource) -> None:
    maker = Repeater(source)
    assert conditional_sampling.sample_file(maker, maker.info, SampleRequest(10, 0, tmp_path / "a.png")) is None
    with pytest.raises(UserError, match=r"written as .csv, .tsv, .csv.gz or .parquet"):
        conditional_sampling.sample_file(
            maker, maker.info, SampleRequest(10, 0, tmp_path / "a.xlsx", {"where": "age>30"})
        )
