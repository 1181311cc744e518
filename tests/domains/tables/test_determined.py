"""What another column determines is found, left out of what is learnt, looked up again, and can be asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from table_making import Repeater, assert_rows_come_back, source_of, text_of

from zerosum.domains.tables import conditional_sampling, constraint_search, encodings, layout, transform
from zerosum.domains.tables.data import TableSource
from zerosum.domains.tables.table import concatenate
from zerosum.errors import UserError

CODES = {"CH": ("Bern", "8.5", "west"), "NO": ("Oslo", "5.4", "north"), "IT": ("Rome", "", "west")}
HEADER = ["size", "country", "capital", "millions", "side", "almost"]


def table(path: Path, num: int = 400, exceptions: int = 10) -> Path:
    """Countries by code, with capital, inhabitants (missing for one) and side; `almost` follows them but for some rows."""
    draw = np.random.default_rng(0)
    rows = []
    for number in range(num):
        code = str(draw.choice(list(CODES), p=[0.5, 0.3, 0.2]))
        almost = "other" if number < exceptions else CODES[code][0][:2]
        rows.append([f"{draw.normal():.3f}", code, *CODES[code], almost])
    path.write_text(text_of(HEADER, rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TableSource:
    return source_of(
        table(tmp_path_factory.mktemp("determined") / "a.csv"), heldout=0.0, types={"millions": "continuous"}
    )


def test_found_are_those_without_one_exception_and_of_equals_the_first_is_learnt(source: TableSource) -> None:
    fit = source.transform
    assert {name: part.by for name, part in fit.determined.items()} == {
        "capital": "country",
        "millions": "country",
        "side": "country",
    }
    assert [block.column for block in fit.blocks] == ["size", "country", "almost"]
    assert any("capital from country, millions from country, side from country" in note for note in source.notes)


def test_rows_come_back_whole_from_the_payload_alone(source: TableSource) -> None:
    assert_rows_come_back(source)


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    plain = source_of(table(tmp_path / "a.csv"), heldout=0.0, determined=False)
    assert [block.column for block in plain.transform.blocks] == HEADER


def keyed(path: Path, max_levels: int = 20) -> TableSource:
    """Customers, most of them beyond the places of their column, with a segment, its manager, a side and a year of birth; what
    they spend follows from the segment."""
    draw = np.random.default_rng(0)
    rows = []
    for _ in range(3_000):
        who = int(150 * draw.random() ** 2)
        segment = "gold" if who % 7 == 0 else f"s{who % 3}"
        spent = draw.normal(9_000 if segment == "gold" else 100, 5)
        rows.append([f"c{who}", segment, f"m-{segment}", "ab"[who % 2], str(1940 + who * 7 % 50), f"{spent:.2f}"])
    path.write_text(text_of(["customer", "segment", "manager", "side", "born", "spent"], rows), encoding="utf-8")
    return source_of(path, heldout=0.0, max_levels=max_levels)


def test_keys_beyond_the_places_of_a_column_determine_too(tmp_path: Path) -> None:
    source = keyed(tmp_path / "a.csv")
    assert {name: part.by for name, part in source.transform.determined.items()} == {
        "segment": "customer",
        "side": "customer",
        "born": "customer",
        "manager": "segment",
    }
    # The networks see a category all the same, so that what goes with it is learnt for rare customers too.
    assert [block.column for block in source.rows.blocks] == ["customer", "segment", "side", "spent"]
    info = json.loads(json.dumps(source.info().payload))
    fit = transform.from_payload(info)
    by_chance = fit.decode(torch.randn(4_000, layout.row_width(info), generator=torch.Generator().manual_seed(0)))
    real = {row[:5] for row in zip(*(source.train.format(column) for column in source.train.columns))}
    assert {row[:5] for row in zip(*(by_chance.format(column) for column in by_chance.columns))} <= real
    assert set(fit.shares_kept(by_chance.arrays).values()) == {1.0}


def test_a_rare_level_is_drawn_among_those_that_agree_with_the_row(tmp_path: Path) -> None:
    source = keyed(tmp_path / "a.csv")
    rows = torch.arange(len(source.train))
    back, real = source.transform.decode(source.rows.data(rows, rows)), source.train
    rare = real.arrays["customer"] >= 19
    assert rare.mean() > 0.5
    assert (back.arrays["customer"] != real.arrays["customer"])[rare].mean() > 0.8
    for name in ("segment", "side", "manager"):
        np.testing.assert_array_equal(back.arrays[name], real.arrays[name])
    counts = [np.bincount(table.arrays["customer"], minlength=150) for table in (real, back)]
    np.testing.assert_allclose(*counts, atol=25)
    stream = conditional_sampling.conditional_sampler(Repeater(source), "segment=gold", 0)
    table = concatenate(list(stream.tables(500)))
    assert stream.tally.rate == 1.0  # a customer of another segment gives way
    assert set(table.format(table.column("segment"))) == {"gold"}
    stream = conditional_sampling.conditional_sampler(Repeater(source), "customer=c7", 0)
    table = concatenate(list(stream.tables(500)))
    assert stream.tally.rate == 1.0  # a customer who is asked for does not
    assert set(table.format(table.column("segment"))) == {"gold"}
    table = concatenate(list(conditional_sampling.conditional_sampler(Repeater(source), "born<1945", 0).tables(500)))
    assert table.arrays["born"].max() < 1945


def test_where_no_rare_level_agrees_with_the_whole_row_the_first_columns_decide() -> None:
    found = encodings.Categories(np.array([50, 5, 5, 5]), kept=1)
    places, draw = np.ones(300, dtype=np.int64), np.random.default_rng(0).random(300)
    first, second = np.array([9, 0, 0, 1]), np.array([9, 0, 1, 0])
    like = [(first, np.repeat([0, 1, 2], 100)), (second, np.ones(300, dtype=np.int64))]
    made = found.decode(places, draw, None, like)
    assert set(made[:100]) == {2}
    assert set(made[100:200]) == {3}
    assert set(made[200:]) == {1, 2, 3}
    np.testing.assert_array_equal(found.decode(places, draw, None, []), found.decode(places, draw))


def test_a_level_that_contradicts_the_row_gives_way_where_another_agrees() -> None:
    found = encodings.Categories(np.array([50, 40, 5, 5]), kept=2)
    places, draw = np.repeat([0, 1], 500), np.random.default_rng(0).random(1_000)
    made = found.decode(places, draw, None, [(np.array([0, 1, 1, 1]), np.ones(1_000, dtype=np.int64))])
    np.testing.assert_allclose(np.bincount(made[:500], minlength=4) / 500, [0, 0.8, 0.1, 0.1], atol=0.05)
    assert set(made[500:]) == {1}
    only = np.array([True, False, False, False])
    assert set(found.decode(places[:500], draw[:500], only, [(np.array([0, 1, 1, 1]), np.ones(500))])) == {0}


def test_too_few_rows_are_no_evidence() -> None:
    few = {"by": np.array([0, 0, 1, 1, 2, 2]), "to": np.array([0, 0, 1, 1, 1, 1])}
    assert constraint_search.find_dependencies(few, {"by": 3, "to": 2}) == {}
    many = {name: np.tile(values, 20) for name, values in few.items()}
    found = constraint_search.find_dependencies(many, {"by": 3, "to": 2})
    assert list(found) == ["to"]
    np.testing.assert_array_equal(found["to"].of(np.array([2, 0])), [1, 0])


def test_of_a_chain_all_hang_on_the_first() -> None:
    a = np.tile(np.arange(6), 50)
    found = constraint_search.find_dependencies({"c": a // 3 % 2 * 1.5, "b": a // 2, "a": a}, {"a": 6, "b": 3})
    assert {name: part.by for name, part in found.items()} == {"c": "a", "b": "a"}
    np.testing.assert_array_equal(found["c"].of(np.arange(6)), [0, 0, 0, 1.5, 1.5, 1.5])


def test_a_level_that_no_training_row_has_gets_the_commonest() -> None:
    levels = np.repeat([0, 1, 2], [50, 30, 20])
    found = constraint_search.find_dependencies({"by": levels, "to": np.array([7.0, 8.0, 8.0])[levels]}, {"by": 5})
    np.testing.assert_array_equal(found["to"].of(np.arange(5)), [7, 8, 8, 7, 7])


@pytest.mark.parametrize(
    ("asked", "codes"),
    [("capital=Oslo", {"NO"}), ("millions<8", {"NO"}), ("side=west", {"CH", "IT"}), ("millions=", {"IT"})],
)
def test_what_is_looked_up_can_be_asked_for(source: TableSource, asked: str, codes: set[str]) -> None:
    stream = conditional_sampling.conditional_sampler(Repeater(source), asked, 0)
    found = concatenate(list(stream.tables(500)))
    column = found.column("country")
    assert {column.levels[code] for code in found.arrays["country"]} == codes
    assert bool(stream.given_filters) == (len(codes) == 1)
    assert asked in stream.notes[0]


def test_what_no_row_could_have_is_refused_at_once(source: TableSource) -> None:
    with pytest.raises(UserError, match="millions>9 cannot be: 'millions' follows from 'country'"):
        conditional_sampling.conditional_sampler(Repeater(source), "millions>9", 0)


def test_conditions_that_contradict_each_other_are_refused_at_once(source: TableSource) -> None:
    with pytest.raises(UserError, match="country=CH, capital=Oslo cannot be: no value of 'country' satisfies them all"):
        conditional_sampling.conditional_sampler(Repeater(source), "country=CH,capital=Oslo", 0)
    assert conditional_sampling.conditional_sampler(Repeater(source), "country=NO,capital=Oslo", 0).given_filters
