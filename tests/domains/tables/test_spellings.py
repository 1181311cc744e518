"""Numbers and dates of other countries and programs: decimal marks, odd cells, offsets, fractions, long numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from table_making import source_of, text_of

from zerosum.domains.tables import data, dates, filters, numbers, writing
from zerosum.domains.tables.column_kinds import to_table
from zerosum.domains.tables.numbers import NumberFormat
from zerosum.domains.tables.reading import RawColumn, RawTable, TextStyle
from zerosum.domains.tables.table import Column, Table
from zerosum.errors import UserError

DRAW = np.random.default_rng(0)
SMALL, LARGE = DRAW.uniform(0, 1, 300), DRAW.uniform(1, 900, 300)
WHOLE = DRAW.integers(1000, 900_000, 300)


def cells(values: Sequence[float], form: str = ".3f", comma: bool = False) -> list[str]:
    """Numbers as text; comma: with the marks of German."""
    words = [f"{value:{form}}" for value in values]
    return [word.translate({44: ".", 46: ","}) for word in words] if comma else words


def table(delimiter: str = ",", **columns: Sequence[str]) -> RawTable:
    raw = []
    for name, words in columns.items():
        spellings = list(dict.fromkeys(words))
        codes = np.array([spellings.index(word) for word in words], dtype=np.int32)
        raw.append(RawColumn(name, codes, tuple(spellings)))
    return RawTable("t.csv", tuple(raw), len(raw[0].codes), TextStyle(delimiter))


def read(found: Table, name: str = "a") -> tuple[np.ndarray, Column]:
    column = found.column(name)
    return found.arrays[name], column


def same(found: Table, words: Sequence[str], name: str = "a") -> bool:
    return found.format(found.column(name)) == list(words)


# --- the decimal mark


def test_a_leading_zero_or_other_numbers_of_decimals_say_which_mark_is_the_decimal_mark() -> None:
    for words, values in (
        (cells(SMALL, comma=True), SMALL),
        (cells(SMALL), SMALL),
        (cells(LARGE, ".2f", comma=True), LARGE),
        (cells(WHOLE, ",.2f", comma=True), WHOLE),
        (cells(WHOLE, ",.2f"), WHOLE),
        (cells(1e6 + WHOLE, ",.0f", comma=True), 1e6 + WHOLE),
    ):
        for delimiter in ";,\t":
            found = to_table(table(delimiter, a=words))
            np.testing.assert_allclose(read(found)[0], values, atol=6e-3)
            assert same(found, words)
            assert not read(found)[1].note


def test_three_digits_in_every_cell_are_read_as_the_other_columns_are() -> None:
    plain, comma = cells(LARGE), cells(LARGE, comma=True)
    for delimiter in ",;":
        german = to_table(table(delimiter, a=comma, b=plain, c=cells(SMALL, ".2f", comma=True)))
        np.testing.assert_allclose(read(german)[0], LARGE, atol=6e-4)
        np.testing.assert_allclose(read(german, "b")[0], np.round(LARGE * 1000))
        english = to_table(table(delimiter, a=comma, b=plain, c=cells(SMALL, ".2f")))
        np.testing.assert_allclose(read(english)[0], np.round(LARGE * 1000))
        np.testing.assert_allclose(read(english, "b")[0], LARGE, atol=6e-4)
        for found in (german, english):
            assert same(found, comma)
            assert same(found, plain, "b")
            assert not any(column.note for column in found.columns)


def test_numbers_below_a_thousand_among_many_of_three_digits_say_that_these_are_thousands() -> None:
    values = np.concatenate([DRAW.integers(1, 999, 60), WHOLE])
    for comma in (False, True):
        for delimiter in ",;":
            found = to_table(table(delimiter, a=cells(values, ",d", comma)))
            np.testing.assert_array_equal(read(found)[0], values)
            assert same(found, cells(values, ",d", comma))


@pytest.mark.parametrize(
    ("delimiter", "comma", "value", "note"),
    [
        (";", True, 1.0, "is read as .*, for the file separates its cells by ';'; if it is"),
        (";", False, 1000.0, "is read as .*, for the file separates its cells by ';'; if it is"),
        (",", True, 1000.0, "is read as .*, for the file separates its cells by ','; if it is"),
        (",", False, 1.0, ""),
    ],
)
def test_what_nothing_else_decides_is_told_and_can_be_set(delimiter: str, comma: bool, value: float, note: str) -> None:
    raw = table(delimiter, kilo=cells(LARGE, comma=comma))
    found = to_table(raw)
    np.testing.assert_allclose(read(found, "kilo")[0], LARGE * value, rtol=1e-2, atol=6e-4)
    assert bool(note) == bool(read(found, "kilo")[1].note)
    other = "." if (value == 1.0) == comma else ","
    if note:
        assert f"""--set 'data.decimal={{"kilo": "{other}"}}'""" in read(found, "kilo")[1].note
    for decimal in (other, {"kilo": other}):
        again = to_table(raw, decimal=decimal)
        np.testing.assert_allclose(read(again, "kilo")[0], LARGE * 1000 / value, rtol=1e-2, atol=6e-4)
        assert same(again, cells(LARGE, comma=comma), "kilo")
        assert not read(again, "kilo")[1].note


def test_a_decimal_mark_that_cannot_be_is_refused() -> None:
    raw = table(a=cells(SMALL))
    assert read(to_table(raw, decimal=","))[0].max() < 1
    for decimal, words in (
        ({"a": ","}, r"data.decimal: in the numbers of 'a' the decimal mark can only be '\.'"),
        ({"b": ","}, "data.decimal: there is no column 'b'"),
        (";", "the decimal mark is ',' or '.'"),
    ):
        with pytest.raises(UserError, match=words):
            to_table(raw, decimal=decimal)


@pytest.fixture
def scales(tmp_path: Path) -> Path:
    """A file in which every cell has three digits behind the comma."""
    rows = [[kind, *pair] for kind, *pair in zip(["x", "y"] * 150, cells(SMALL, comma=True), cells(LARGE, comma=True))]
    (tmp_path / "a.csv").write_text(text_of(["kind", "share", "kilo"], rows, ";"))
    return tmp_path / "a.csv"


def test_conditions_files_read_again_and_files_written_follow_the_rule_of_the_column(scales: Path) -> None:
    source = source_of(scales, heldout=0.0)
    columns = source.train.columns

    def num(asked: filters.Where) -> int:
        return int(filters.rows_satisfying(source.train, filters.parse_filters(asked, columns)).sum())

    for asked in ('kilo>"5,5"', "kilo>5.5", {"kilo": ">5,5"}, {"kilo": ">5.5"}):
        assert num(asked) == (LARGE > 5.5).sum()
    assert num("share<0.25") == num('share<"0,250"') == (np.round(SMALL, 3) < 0.25).sum()
    assert num({"kilo": float(cells(LARGE)[7])}) == 1
    assert num("kilo>1.234") == 0  # thousands, as everywhere in the column
    (path,) = writing.write_table(source.train, scales.with_name("b.csv"), source.info())
    assert path.read_text() == scales.read_text()
    back = source.transform.decode(data.read_rows([path], source.info()))
    np.testing.assert_allclose(back.arrays["kilo"], source.train.arrays["kilo"])


def test_categories_of_numbers_compare_by_the_rule_of_the_column(tmp_path: Path) -> None:
    rows = [[word, x] for word, x in zip(["0,5", "1,5", "2,5"] * 100, cells(LARGE, ".2f", comma=True))]
    (tmp_path / "a.csv").write_text(text_of(["grade", "x"], rows, ";"))
    source = source_of(tmp_path / "a.csv", heldout=0.0)
    assert source.train.column("grade").kind == "categorical"
    for asked in ("grade>1", 'grade>"1,2"', {"grade": ">1.2"}):
        assert filters.rows_satisfying(
            source.train, filters.parse_filters(asked, source.train.columns)
        ).mean() == pytest.approx(2 / 3)
    assert filters.rows_satisfying(
        source.train, filters.parse_filters({"grade": 1.5}, source.train.columns)
    ).mean() == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "words",
    [
        ["-$5.00", "$12.00", "-$1,234.50"],
        ["-€ 5,00", "€ 12,00", "€ 1.234,50"],
        ["5 kg", "7 kg", "12 kg"],
        ["5kg", "7kg", "12kg"],
        ["1.5 km/h", "20.0 km/h"],
        ["1 234,5", "12,5", "1 234 567,5"],
        ["1'234.50", "0.50"],
        ["1.234.567", "12"],
        ["USD 5.00", "USD 12.50"],
        ["+0.5", "-1.2", "+12.0", "0.0"],
        ["+41791234567", "+41446321111"],
        ["₹1,200", "₹15"],
        ["12.5 ‰", "3.0 ‰"],
    ],
)  # fmt: skip
def test_signs_units_and_groups_come_back(words: list[str]) -> None:
    found = numbers.parse(words)
    assert found is not None
    assert NumberFormat.from_json(found[1].to_json()).format(found[0]) == words
    assert found[1].parse(words) is not None


def test_older_files_say_that_commas_group() -> None:
    plain = {"before": "", "after": "", "point": ".", "grouped": True, "fewest": 0, "most": 0, "free": False}
    assert NumberFormat.from_json(plain).format(np.array([1234567.0])) == ["1,234,567"]
    assert NumberFormat.from_json({**plain, "grouped": False}).format(np.array([1234567.0])) == ["1234567"]


# --- odd cells


@pytest.mark.parametrize(
    ("kind", "odd", "values"),
    [("text", "unknown", LARGE), ("categorical", "not asked", np.arange(300) % 70), ("text", "5 kg", LARGE)],
)
def test_cells_that_keep_numbers_from_being_numbers_are_named_and_can_be_read_as_missing(
    kind: str, odd: str, values: np.ndarray
) -> None:
    words = [odd if place % 7 == 0 else word for place, word in enumerate(cells(values, "g"))]
    column = to_table(table(a=words, b=cells(SMALL))).column("a")
    assert column.kind == kind
    note = column.left_out or column.note
    assert f"86% of its cells are numbers, the others are not: {odd!r} (43)." in note
    assert f"""--set 'data.missing=["{odd}"]'""" in note
    found = to_table(table(a=words), missing=[odd])
    assert np.isnan(read(found)[0]).sum() == 43
    assert same(found, words)


def test_dates_with_an_odd_cell_and_the_signs_of_programs_for_none() -> None:
    days = [f"{2000 + place % 20}-03-{1 + place % 28:02d}" for place in range(300)]
    words = ["soon" if place % 10 == 0 else day for place, day in enumerate(days)]
    column = to_table(table(a=words)).column("a")
    assert "90% of its cells are dates, the others are not: 'soon' (30). " in column.note
    assert read(to_table(table(a=words), missing=["soon"]))[1].kind == "date"
    for none in (r"\N", "#DIV/0!", "#N/A", "n/a", "#REF!", "-nan"):
        words = [none if place % 10 == 0 else word for place, word in enumerate(cells(LARGE))]
        found = to_table(table(a=words))
        assert np.isnan(read(found)[0]).sum() == 30
        assert same(found, words)


def test_missing_words_are_known_to_conditions_and_to_files_read_again(tmp_path: Path) -> None:
    rows = [["unknown" if place % 5 == 0 else word, word] for place, word in enumerate(cells(LARGE))]
    (tmp_path / "a.csv").write_text(text_of(["a", "b"], rows))
    source = source_of(tmp_path / "a.csv", heldout=0.0, missing=["unknown"])
    for asked in ("a=unknown", "a=", "a=NA"):
        assert filters.rows_satisfying(source.train, filters.parse_filters(asked, source.train.columns)).sum() == 60
    data.read_rows([tmp_path / "a.csv"], source.info())


# --- dates and long numbers


def _offset(place: int) -> str:
    summer = (
        np.datetime64("2021-03-28T01")
        <= (at := np.datetime64("2021-01-01T00") + place * 7)
        < np.datetime64("2021-10-31T01")
    )
    return f"{at + (2 if summer else 1)}:00:00+0{2 if summer else 1}:00".replace("T", " ")


TIMES: dict[str, Callable[[int], str]] = {
    "offsets that change": _offset,
    "one offset": lambda n: f"2021-01-{1 + n % 28:02d} 10:{n % 60:02d}:00-0330",
    "short offset": lambda n: f"2021-01-{1 + n % 28:02d}T10:{n % 60:02d}+05",
    "isoformat": lambda n: f"2021-01-02T10:00:{n % 60:02d}" + (f".{n * 7919 % 10**6:06d}" if n % 3 and n * 7919 % 10**6 else ""),
    "stripped": lambda n: f"2021-01-02 10:00:{n % 60:02d}.{n * 37 % 1000:03d}".rstrip("0").rstrip(".") + "Z",
    "seven digits": lambda n: f"2021-01-02 10:00:{n % 60:02d}.{n % 7}000000",
    "a comma": lambda n: f"2021-01-02 10:00:{n % 60:02d},{n % 1000:03d}",
    "two digits": lambda n: f"10:00:{n % 60:02d}.{n % 100:02d}",
    "long ago": lambda n: f"{n * 3 + 4:04d}-03-{1 + n % 28:02d}",
    "for ever": lambda n: "9999-12-31" if n % 5 == 0 else f"20{n % 20:02d}-03-{1 + n % 28:02d}",
    "for ever, to the microsecond": lambda n: "9999-12-31 23:59:59.999999" if n % 5 == 0 else f"2020-03-01 00:00:00.{n:06d}",
}  # fmt: skip


@pytest.mark.parametrize("name", TIMES)
def test_times_are_read_and_come_back(name: str) -> None:
    words = [TIMES[name](n) for n in range(300)]
    found = to_table(table(a=words))
    values, column = read(found)
    assert column.kind == "date"
    form = dates.DateFormat(**column.form.to_json()) if column.form else None
    assert form is not None
    assert form.format(values) == words
    assert ("is far from the others" in column.note) == name.startswith("for ever")


def test_moments_with_offsets_are_those_of_the_standard_library() -> None:
    from datetime import datetime

    words = [_offset(n) for n in range(0, 1250, 9)]
    found = dates.parse(words)
    assert found is not None
    np.testing.assert_array_equal(found[0], [datetime.fromisoformat(word).timestamp() for word in words])


def test_what_is_finer_than_a_microsecond_is_told() -> None:
    column = to_table(table(a=[f"2021-01-02 10:00:00.{n:07d}" for n in range(300)])).column("a")
    assert "'2021-01-02 10:00:00.0000001' is written as '2021-01-02 10:00:00.0000000'" in column.note


def test_numbers_of_many_digits_are_learnt_and_come_back_to_the_last() -> None:
    base = 1_612_345_678_901_234_567
    words = [str(base + int(step)) for step in DRAW.integers(0, 10**13, 300)]
    found = to_table(table(event_time_ns=words))
    assert found.column("event_time_ns").kind == "integer"
    assert same(found, words, "event_time_ns")
    form = found.column("event_time_ns").form
    assert isinstance(form, numbers.NumberFormat)
    back = form.parse(words)
    assert back is not None
    np.testing.assert_array_equal(back, found.arrays["event_time_ns"])
    kinds = {name: to_table(table(**{name: words, "x": cells(SMALL)})).column(name).kind for name in ("tweet_id", "t")}
    assert kinds == {"tweet_id": "identifier", "t": "integer"}
    wide = to_table(table(a=[str(base + n * 10**15 + n % 7) for n in range(300)])).column("a")
    assert "is written as" in wide.note
    assert to_table(table(a=[str(base + n % 40 * 10**5) for n in range(300)])).column("a").kind == "categorical"


def test_numbers_of_many_digits_are_whole_in_data_frames() -> None:
    pytest.importorskip("pandas")
    base = 1_612_345_678_901_234_567
    words = [str(base + 7919 * n**3) for n in range(300)]
    made = writing.to_frame(to_table(table(a=words)))
    assert (str(made["a"].dtype), made["a"].tolist()) == ("int64", [int(word) for word in words])
    made = writing.to_frame(to_table(table(a=["", *words])))
    assert (str(made["a"].dtype), made["a"].tolist()[1:]) == ("Int64", [int(word) for word in words])
