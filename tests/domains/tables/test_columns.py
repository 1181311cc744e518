"""What columns mean is found from their spellings, can be overruled, and numbers and dates are spelled as they were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from zerosum.domains.tables import column_kinds, dates, identifiers, numbers
from zerosum.domains.tables.column_kinds import to_table
from zerosum.domains.tables.numbers import NumberFormat
from zerosum.domains.tables.reading import RawColumn, RawTable
from zerosum.domains.tables.table import Column
from zerosum.errors import UserError


def raw(cells: Sequence[str | None], name: str = "a", dtype: str = "") -> RawColumn:
    """A column of these cells."""
    spellings = list(dict.fromkeys(cells))
    return RawColumn(name, np.array([spellings.index(cell) for cell in cells], dtype=np.int32), tuple(spellings), dtype)


def kind(cells: Sequence[str | None], name: str = "a", dtype: str = "") -> str:
    return column_kinds.find_kind(raw(cells, name, dtype), "the table")[0].kind


MANY = [str(number * 7 % 100) for number in range(100)]


@pytest.mark.parametrize(
    ("cells", "meaning"),
    [
        ([f"{x}.5" for x in MANY], "continuous"),
        ([f"{x}.0" for x in MANY], "integer"),
        ([*MANY, *MANY], "integer"),
        (["", "NA", *MANY, *MANY], "integer"),
        (["1", "2", "3"] * 20, "categorical"),
        (["1", "2", "3", "4"], "integer"),
        (["0", "1"] * 9, "boolean"),
        (["Yes", "no"] * 9, "boolean"),
        (["red", "blue", "red"] * 9, "categorical"),
        (["5", "red", "7"] * 9, "categorical"),
        ([f"{x:0>5}" for x in MANY * 3], "categorical"),
        ([f"2020-01-{1 + int(x) % 28:02d}" for x in MANY], "date"),
        (["CH"] * 30, "constant"),
        ([""] * 30, "constant"),
        ([str(x) for x in range(100)], "identifier"),
        ([f"user{x}@example.org" for x in range(100)], "identifier"),
        ([f"the {x} said that {y}" for x in range(10) for y in range(10)], "text"),
        (["", *["7"] * 30], "categorical"),
    ],
)
def test_meanings_are_found(cells: list[str], meaning: str) -> None:
    assert kind(cells) == meaning


def test_distinct_whole_numbers_are_identifiers_only_by_name_or_by_counting_through() -> None:
    scattered = [str(x * x) for x in range(1, 60)]
    assert kind(scattered, "income") == "integer"
    assert [kind(scattered, name) for name in ("customer_id", "ID", "userId", "paid", "valid")] == [
        "identifier", "identifier", "identifier", "integer", "integer",
    ]  # fmt: skip


def test_typed_categories_stay_categories() -> None:
    assert kind(MANY * 2, dtype="category") == "categorical"
    assert kind([*MANY, None], dtype="float64") == "integer"


@pytest.mark.parametrize("word", ["inf", "-Infinity", "INF"])
def test_infinite_values_are_refused_with_column_and_row(word: str) -> None:
    with pytest.raises(UserError, match=rf"the table: column 'a' holds '{word}' \(row 3 below"):
        column_kinds.find_kind(raw(["1.5", "2", word, "4"]), "the table")


def test_a_word_among_words_is_not_infinite() -> None:
    assert kind(["inf", "sup", "max"] * 10) == "categorical"


# --- what the user says


def table(**cells: list[str]) -> RawTable:
    return RawTable(
        "t.csv", tuple(raw(column, name) for name, column in cells.items()), len(next(iter(cells.values())))
    )


def test_meanings_can_be_overruled() -> None:
    found = to_table(table(zip=MANY, day=["20200101", "20200102"] * 50, x=MANY), {"zip": "categorical"}, ["x"])
    assert [(column.name, column.kind) for column in found.columns] == [("zip", "categorical"), ("day", "date")]
    assert found.arrays["zip"].dtype == np.int64
    found = to_table(table(zip=MANY, day=["20200101", "20200102"] * 50), {"day": "integer"})
    assert found.column("day").kind == "integer"


@pytest.mark.parametrize(
    ("types", "drop", "words"),
    [
        ({"zipp": "categorical"}, [], "data.types: there is no column 'zipp'. Did you mean 'zip'"),
        ({}, ["town"], "data.drop: there is no column 'town'"),
        ({"zip": "category"}, [], "data.types.zip = 'category' is not a type of column. Did you mean 'categorical'"),
        ({"name": "integer"}, [], "makes 'name' integer, but some cells are not numbers, such as 'Bern'"),
        ({"name": "date"}, [], "makes 'name' date, but some cells are not dates"),
        ({"name": "constant"}, [], "cannot be made constant"),
        ({}, ["zip", "name"], "no column that can be learnt: all were dropped"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(types: dict[str, str], drop: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        to_table(table(zip=MANY, name=["Bern", "Oslo"] * 50), types, drop)


def test_a_table_without_a_usable_column_says_why() -> None:
    with pytest.raises(UserError, match=r"'id' is an identifier; 'c' is the same in every row; 'said' is free text"):
        to_table(table(id=[str(x) for x in range(40)], c=["x"] * 40, said=[f"it was {x} then" for x in range(40)]))


# --- spelling


@pytest.mark.parametrize(
    "words",
    [
        ["1", "20", "-3"],
        ["1.50", "2.25", "-0.75"],
        ["1", "2.5", "3.25"],
        ["$1,234.50", "$12.00", "$1,000,000.99"],
        ["12%", "3.5%"],
        ["3,14", "2,72"],
        [" 5", " 17"],
        ["1e-09", "2.5e+20"],
        ["0.1234567890123456", "12.5"],
        ["€ 5", "€ 1,200"],
        ["(27)", "13", "(1)"],
        ["($1,234.50)", "$12.00", "($0.25)"],
    ],
)
def test_numbers_are_spelled_as_they_were(words: list[str]) -> None:
    read = numbers.parse(words)
    assert read is not None
    again = NumberFormat.from_json(read[1].to_json())
    assert again.format(read[0]) == words


@pytest.mark.parametrize(
    "words",
    [
        ["007", "1"],
        ["1", "two"],
        ["1-2"],
        ["12345678901234567890"],
        ["1.2.3"],
        ["1,2,3"],
        [],
        ["(-2)"],
        ["(2"],
        ["(x)", "1"],
        ["(044)"],
    ],
)
def test_what_is_no_number(words: list[str]) -> None:
    assert numbers.parse(words) is None


def test_every_date_format_spells_what_it_reads() -> None:
    for pattern in dates.FORMATS:
        form = dates.DateFormat(pattern)
        moments = np.array([0.0, 17, 1_000] if pattern in dates.TIMES else [0.0, 17, 5_000, 12_345])
        np.testing.assert_array_equal(form.parse(form.format(moments)), moments, err_msg=pattern)


def test_dates_agree_with_the_standard_library() -> None:
    from datetime import datetime

    for pattern in ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%y", "%d-%b-%Y", "%Y-%m-%dT%H:%M:%S", "%B %d, %Y"):
        moments = [datetime(2021, 3, 4, 5, 6, 7), datetime(1999, 12, 31, 23, 0, 1)]
        words = [moment.strftime(pattern) for moment in moments]
        read = dates.DateFormat(pattern).parse(words)
        assert read is not None
        days = [np.datetime64(datetime.strptime(word, pattern)) for word in words]
        np.testing.assert_array_equal(dates.DateFormat(pattern).times(read), np.array(days, dtype="datetime64[us]"))


def test_the_format_of_dates_is_found() -> None:
    found = {
        word: dates.parse([word])
        for word in ("1/2/2020", "31.12.1999", "2020-05-06 07:08:09.123", "20200506", " 2020-01-02")
    }
    assert {word: read and read[1].pattern for word, read in found.items()} == {
        "1/2/2020": "%-m/%-d/%Y",
        "31.12.1999": "%d.%m.%Y",
        "2020-05-06 07:08:09.123": "%Y-%m-%d %H:%M:%S.%3f",
        "20200506": "%Y%m%d",
        " 2020-01-02": " %Y-%m-%d",
    }
    assert dates.parse(["2021-02-30"]) is None
    assert dates.parse(["2021-02-03", "03.02.2021"]) is None
    assert dates.parse(["17991231"]) is None
    halves = {
        ("9/15/2022 7:23 PM", "12/1/2022 12:05 AM"): "%-m/%-d/%Y %-I:%M %p",
        ("09/15/2022 07:23:09 pm", "09/15/2022 12:00:00 pm"): "%m/%d/%Y %I:%M:%S %P",
        ("9/15/2022, 7:23:09PM",): "%-m/%-d/%Y, %-I:%M:%S%p",
    }
    for words, pattern in halves.items():
        read = dates.parse(words)
        assert read is not None
        assert (read[1].pattern, read[1].format(read[0])) == (pattern, list(words))
    noon = dates.parse(["1/1/1970 12:00 PM", "1/1/1970 12:00 AM"])
    assert noon is not None
    assert noon[0].tolist() == [720, 0]
    both = dates.parse(["01/02/2020", "31/01/2020"])
    assert both is not None
    assert both[1].pattern == "%d/%m/%Y"


# --- identifiers


def test_fresh_identifiers_count_on_and_never_repeat_real_ones() -> None:
    rule = identifiers.rule_of([f"C-{x:05d}" for x in range(1, 100)])
    assert rule is not None
    assert identifiers.make_identifiers(rule, 0, 2, seed=0) == ["C-00100", "C-00101"]
    assert identifiers.make_identifiers(rule, 2, 1, seed=0) == ["C-00102"]
    assert identifiers.make_identifiers({**rule, "width": 0, "before": ""}, 0, 1, 0) == ["100"]


def test_codes_with_leading_zeros_stay_of_their_width_or_are_left_out() -> None:
    scattered = [f"{37 * x:05d}" for x in range(1, 300)]
    column, _ = column_kinds.find_kind(raw(scattered, "zip"), "t")
    assert (column.kind, column.padded) == ("identifier", True)
    assert identifiers.make_identifiers(column.rule or {}, 0, 1, 0) == ["11064"]
    column, _ = column_kinds.find_kind(raw([*scattered, "99950"], "zip"), "t")
    assert (column.kind, column.rule) == ("identifier", None)
    assert "5 digits leave too few new codes" in column.left_out
    assert """--set 'data.types={"zip": "categorical"}'""" in column.left_out
    # What has counted through to the end of its width goes on counting.
    column, _ = column_kinds.find_kind(raw([f"{x:02d}" for x in range(100)], "zip"), "t")
    assert identifiers.make_identifiers(column.rule or {}, 0, 1, 0) == ["100"]


def test_fresh_uuids_are_new_and_a_function_of_seed_and_row() -> None:
    import uuid

    real = [str(uuid.UUID(int=x << 64 | x, version=4)) for x in range(30)]
    rule = identifiers.rule_of(real)
    assert rule is not None
    made = identifiers.make_identifiers(rule, 0, 50, seed=1)
    assert len(set(made) - set(real)) == 50
    assert made[10:] == identifiers.make_identifiers(rule, 10, 40, seed=1)
    assert made != identifiers.make_identifiers(rule, 0, 50, seed=2)
    assert {uuid.UUID(word).version for word in made} == {4}


def test_identifiers_of_no_known_form_are_left_out() -> None:
    column, values = column_kinds.find_kind(raw([f"user{chr(97 + x % 26)}{x}@example.org" for x in range(60)]), "t")
    assert (column.kind, column.rule, values) == ("identifier", None, None)
    assert "an identifier in no format" in column.left_out
    assert not Column("a", "identifier", rule={"rule": "count"}).left_out
