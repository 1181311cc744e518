"""Conditions in words: what they mean, and what is said when they mean nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from table_making import source_of, text_of, written

from zerosum.domains.tables import filters
from zerosum.domains.tables.data import TableSource
from zerosum.errors import UserError


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TableSource:
    return source_of(written(tmp_path_factory.mktemp("table") / "a.csv", 800), heldout=0.0)


def mask(source: TableSource, asked: filters.Where) -> list[bool]:
    return filters.rows_satisfying(source.train, filters.parse_filters(asked, source.train.columns)).tolist()


def spelled(source: TableSource, name: str) -> list[str]:
    return [word or "" for word in source.train.format(source.train.column(name))]


def money(text: str) -> float:
    return float(text.strip("$").replace(",", ""))


def test_comparisons_mean_what_they_say(source: TableSource) -> None:
    age, price = [int(x) for x in spelled(source, "age")], [money(x) for x in spelled(source, "price")]
    assert mask(source, "age>40") == [x > 40 for x in age]
    assert mask(source, "age >= 40, age<=50") == [40 <= x <= 50 for x in age]
    assert mask(source, "age!=40") == [x != 40 for x in age]
    assert mask(source, "age==40") == [x == 40 for x in age]
    assert mask(source, "price<1000") == [x < 1000 for x in price]


def test_categories_dates_times_missing_values_and_quotes(source: TableSource) -> None:
    city, joined, seen, score = (spelled(source, name) for name in ("city", "joined", "seen", "score"))
    assert mask(source, "city=Bern") == mask(source, "city= Bern") == [x == " Bern" for x in city]
    assert mask(source, 'city="Rome, Italy",member!=yes') == [
        x == " Rome, Italy" and m == "no" for x, m in zip(city, spelled(source, "member"))
    ]
    assert mask(source, "joined>=2020-01-01") == [x >= "2020-01-01" for x in joined]
    assert mask(source, "seen<12:30") == [x < "12:30" for x in seen]
    assert mask(source, "score=") == [x == "" for x in score]
    assert mask(source, "score!=") == [x != "" for x in score]
    assert mask(source, "score<0") == [x != "" and float(x) < 0 for x in score]
    assert mask(source, {"city": "Bern", "age": ">=30", "score": None}) == [
        a == " Bern" and int(b) >= 30 and c == "" for a, b, c in zip(city, spelled(source, "age"), score)
    ]


def test_codes_are_compared_as_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("pay,x\n" + "".join(f"{n % 5 - 2},{n * 7 % 31}\n" for n in range(100)))
    source = source_of(tmp_path / "a.csv", heldout=0.0)
    assert source.train.column("pay").kind == "categorical"
    assert mask(source, "pay>0") == [int(x) > 0 for x in spelled(source, "pay")]
    assert np.mean(mask(source, "pay<=-1")) == 0.4


def test_nothing_asked_is_satisfied_by_all(source: TableSource) -> None:
    assert all(mask(source, "")) and all(mask(source, {}))  # noqa: PT018


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("aeg>4", "there is no column 'aeg'. Did you mean 'age'"),
        ("city=Born", "'city' has no value 'Born'. Choose from: 'Bern', 'Oslo', 'Rome, Italy'."),
        ("city>Bern", "can be = or != one of its values"),
        ("age>old", "'age' is integer; 'old' is not a number"),
        ("joined>soon", "'joined' is date; 'soon' is not a date or time such as 1970-01-01"),
        ("member=maybe", "'member' has no value 'maybe'. Choose from: 'no', 'yes'."),
        ("age", "'age' is not a condition. Write .*age>40\"\\.$"),
        ("member=yes, price=1,50", """'50' is not a condition.* write that value in quotes: --where 'price="1,50"'."""),
        ("id=C-00001", "'id' is a column of kind identifier, which is not generated"),
        ("fixed=DE", "'fixed' is always 'CH' in the table"),
        ("code>99", "no value of 'code' is > 99|can be = or !="),
    ],
)
def test_what_means_nothing_is_refused_with_the_choices(source: TableSource, asked: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        mask(source, asked)


def test_what_leaves_one_value_can_be_told(source: TableSource) -> None:
    def exact(asked: str) -> bool:
        return filters.parse_filters(asked, source.train.columns)[0].exact

    assert [exact(asked) for asked in ("city=Bern", "member!=yes", "age=40", "score=", "age>40", "city!=Bern")] == [
        True, True, True, True, False, False,
    ]  # fmt: skip


NAMES = ["BMI", "BMI>=30", " age", 'size 5"', "a, b", "a=b", "x<y!", "city"]


@pytest.mark.parametrize(
    ("asked", "column", "sign", "value"),
    [
        ("BMI>=30", "BMI", ">=", 30),
        ("BMI>=30=1", "BMI>=30", "=", 1),
        ("BMI>=30 != 1", "BMI>=30", "!=", 1),
        ('"BMI>=30">0', "BMI>=30", ">", 0),
        ('"BMI">=30', "BMI", ">=", 30),
        ("age>40", " age", ">", 40),
        (" age <= 40", " age", "<=", 40),
        ('" age"==40', " age", "=", 40),
        ('size 5">4', 'size 5"', ">", 4),
        ('"size 5""">4', 'size 5"', ">", 4),
        ("a, b<4", "a, b", "<", 4),
        ("a=b=4", "a=b", "=", 4),
        ("x<y!=4", "x<y!", "=", 4),
        ("x<y!!=4", "x<y!", "!=", 4),
    ],
)
def test_every_name_can_be_asked_for(tmp_path: Path, asked: str, column: str, sign: str, value: int) -> None:
    draw = np.random.default_rng(0)
    rows = [[*map(str, draw.integers(0, 99, 7).tolist()), str(draw.choice(["Bern", "Oslo"]))] for _ in range(300)]
    (tmp_path / "a.csv").write_text(text_of(NAMES, rows))
    source = source_of(tmp_path / "a.csv", heldout=0.0)
    for words in (asked, f"{asked},city=Bern", f"city=Bern, {asked} "):
        found = [one for one in filters.parse_filters(words, source.train.columns) if one.column.name != "city"]
        assert [(one.column.name, one.sign, one.value) for one in found] == [(column, sign, value)]
        assert len(filters.parse_filters(words, source.train.columns)) == 1 + (words != asked)


def test_values_of_programs_stand_in_a_mapping(source: TableSource) -> None:
    pandas = pytest.importorskip("pandas")
    for nothing in (None, float("nan"), np.float32("nan"), pandas.NA, pandas.NaT):
        assert mask(source, {"score": nothing}) == mask(source, "score=")
    assert mask(source, {"age": np.int64(40), "member": "yes"}) == mask(source, "age=40,member=yes")
    assert mask(source, {"joined": pandas.Timestamp("2020-01-01")}) == mask(source, "joined=2020-01-01")
    assert mask(source, {"score": 0.5}) == mask(source, "score=0.500")
