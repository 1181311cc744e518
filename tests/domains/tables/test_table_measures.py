"""Measures of made rows: what each says of rows whose quality is known, and what comes back for a question."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import infos
from zerosum.domain import DatasetInfo
from zerosum.domains.tables import baselines, conditional_metrics, layout, metrics, recipes, scores
from zerosum.domains.tables.data import TableSource, open_source
from zerosum.domains.tables.metrics import TableEvaluator
from zerosum.domains.tables.scores import least_missing, missing_pairs, target_of
from zerosum.domains.tables.table_similarity import NumericMatrix
from zerosum.engine.seeds import Prior
from zerosum.metrics.record import Record
from zerosum.recipe import part


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TableSource:
    """1,500 rows: an age, an income that follows it, a city, and whether they buy, which follows from income and city."""
    random = np.random.default_rng(0)
    age = random.integers(18, 80, size=1_500)
    income = np.round(20_000 + 600 * age + random.normal(0, 6_000, size=1_500), 2)
    city = random.choice(["Bonn", "Graz", "Lyon"], size=1_500, p=[0.6, 0.3, 0.1])
    buys = np.where(income / 50_000 + (city == "Graz") > 1.1, "yes", "no")
    path: Path = tmp_path_factory.mktemp("tables") / "customers.csv"
    lines = [f"{a},{i:.2f},{c},{b}" for a, i, c, b in zip(age, income, city, buys)]
    path.write_text("age,income,city,buys\n" + "\n".join(lines) + "\n")
    return open_source(part(str(path)), False)


@pytest.fixture(scope="module")
def scored(source: TableSource) -> dict[str, dict[str, Record]]:
    """Classical models by name, measured: base name of a measure -> record."""
    evaluator = TableEvaluator(source, 0)
    fits = baselines.fits(source)
    samples = {name: fits[name]().sample(evaluator.num_samples, 1) for name in ("independent", "copula", "copy")}
    return {
        name: {one.name.partition("[")[0]: one for one in evaluator.evaluate(rows, None, None)}
        for name, rows in samples.items()
    }


def test_independent_columns_have_shapes_and_nothing_else(scored: dict[str, dict[str, Record]]) -> None:
    found = scored["independent"]
    assert found["column_shapes"].value > 0.95
    assert found["pair_trends"].value < scored["copula"]["pair_trends"].value - 0.03
    assert found["two_sample"].value > scored["copula"]["two_sample"].value > 0.5
    assert found["learnt_from"].value == pytest.approx(0.5, abs=0.2)
    assert scored["copula"]["learnt_from"].value > 0.72


def test_a_copy_is_found_out(scored: dict[str, dict[str, Record]]) -> None:
    found = scored["copy"]
    assert found["copied_rows"].value == 1
    assert found["copied_rows"].reference == 0
    assert found["closer_to_training"].value == 1
    assert found["closer_to_training"].reference == 0.8  # 1,200 of 1,500 rows
    assert scored["independent"]["copied_rows"].value < 0.02
    assert scored["independent"]["closer_to_training"].value == pytest.approx(0.8, abs=0.06)
    assert found["learnt_from"].value > 0.95


def test_every_record_has_its_controls(scored: dict[str, dict[str, Record]]) -> None:
    record = scored["copula"]["pair_trends"]
    assert set(record.protocol["controls"]) == {"training rows", "columns shuffled", "bootstrap copy"}
    assert record.reference == record.protocol["controls"]["training rows"]
    assert record.reference is not None
    assert record.reference > record.value > record.protocol["controls"]["columns shuffled"]
    assert f"Columns shuffled: {record.protocol['controls']['columns shuffled']:.3f}." in record.meaning
    assert record.protocol["target"] == "buys"
    assert Record.from_json(record.to_json()) == record


def test_what_goes_with_missing_is_measured_and_its_controls_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older, the higher the income, and the more seldom it is known."""
    for name in ("two_sample", "predictive"):  # another subject, and slow
        monkeypatch.setattr(scores, name, lambda *given: 0.5)
    random = np.random.default_rng(0)
    age = random.integers(18, 80, size=3_000)
    income = 20_000 + 600 * age + random.normal(0, 6_000, size=3_000)
    gone = random.random(3_000) < np.where(age > 50, 0.3, 0.05)
    lines = [f"{a},{'' if g else format(i, '.0f')},{'ab'[a % 2]}" for a, i, g in zip(age, income, gone)]
    (tmp_path / "a.csv").write_text("age,income,side\n" + "\n".join(lines))
    source = open_source(part(str(tmp_path / "a.csv")), False)
    rows = baselines.encoded_rows(source)
    found = TableEvaluator(source, 0).evaluate(rows, None, None)
    record = next(one for one in found if one.name.startswith("missing_pairs"))
    assert record.value == record.reference
    assert record.value > 0.85
    controls = record.protocol["controls"]
    assert controls["columns shuffled"] < record.value - 0.1
    assert controls["least numbers missing"] < record.value - 0.1
    assert "Least numbers missing: 0." in record.meaning
    assert "missing_pairs" not in {one.name.partition("[")[0] for one in records_of(open_source(part("wine"), False))}


def test_rows_that_lack_nothing_score_nothing_where_real_ones_do() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(200, 2))
    made = NumericMatrix(("a", "b"), (True, True), values.copy())
    values[:30, 1] = np.nan
    real = NumericMatrix(("a", "b"), (True, True), values)
    assert missing_pairs(real, made) == 0
    assert missing_pairs(real, real) == 1
    assert np.isnan(missing_pairs(made, real))
    wrong = least_missing(real)
    assert np.isnan(wrong.values[:, 1]).sum() == 30
    assert not np.isnan(wrong.values[:30, 1]).all()
    known = values[30:, 1]
    assert np.nanmin(wrong.values[:, 1]) == np.sort(known)[30]


def records_of(source: TableSource) -> list[Record]:
    return TableEvaluator(source, 0).evaluate(baselines.encoded_rows(source), None, None)


def test_quick_numbers(source: TableSource) -> None:
    evaluator = TableEvaluator(source, 0)
    rows = baselines.encoded_rows(source)
    good, flat = (
        evaluator.quick(rows[:256]).values(),
        evaluator.quick(rows[:1].repeat(256, 1) + 1e-4 * torch.randn(256, rows.shape[1])).values(),
    )
    assert good["diversity"] == pytest.approx(1, abs=0.05)
    assert good["column_shapes"] > 0.9
    assert flat["diversity"] < 0.01
    assert flat["column_shapes"] < 0.7


def test_the_target_is_the_last_column_that_can_be_one() -> None:
    values = np.column_stack([np.arange(60) % n for n in (2, 2, 5, 40)] + [np.arange(60) / 7]).astype(float)
    numeric, none = (False, False, False, False, True), slice(0, 0)
    rows = NumericMatrix(("a", "b", "c", "d", "e"), numeric, values)
    assert target_of(rows, rows.rows(none)) == "b"
    rows = NumericMatrix(("c", "d", "e"), numeric[2:], values[:, 2:])
    assert target_of(rows, rows.rows(none)) == "c"
    rows = NumericMatrix(("d", "e"), numeric[3:], values[:, 3:])
    assert target_of(rows, rows.rows(none)) == "e"
    rows = NumericMatrix(("d",), (False,), values[:, 3:4])
    assert target_of(rows, rows.rows(none)) == "d"


def test_a_column_that_the_held_out_rows_cannot_test_is_no_target() -> None:
    common, rare = np.arange(200) % 2, (np.arange(200) % 50 == 0)
    rows = NumericMatrix(("common", "rare"), (False, False), np.column_stack([common, rare]).astype(float))
    assert target_of(rows, rows.rows(slice(0, 0))) == "rare"
    assert target_of(rows, rows) == "common"  # 4 of 200 rows are rare


def test_levels_of_two_held_out_rows_have_no_say_and_the_record_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordered grade that follows from a number, with two grades of a few rows at its ends."""
    monkeypatch.setattr(scores, "two_sample", lambda *given: 0.5)
    random = np.random.default_rng(0)
    x = random.normal(size=600)
    grade = np.digitize(x, [-2.2, -0.5, 0.5, 2.2])
    grade[random.random(600) < 0.2] = 2
    (tmp_path / "a.csv").write_text("x,grade\n" + "\n".join(f"{a:.3f},g{b}" for a, b in zip(x, grade)))
    source = open_source(part(str(tmp_path / "a.csv")), False)
    counts = np.bincount(source.heldout.arrays["grade"], minlength=5)
    assert (np.sort(counts) < 10).tolist() == [True, True, False, False, False]
    rows = baselines.fits(source)["copula"]().sample(500, 0)
    record = next(one for one in TableEvaluator(source, 0).evaluate(rows, None, None) if one.name.startswith("learnt"))
    assert record.protocol["target"] == "grade"
    assert "Target: grade (3 of 5 levels: those that at least 10 of 120 held-out rows have" in record.meaning


# --- questions


def obedient(source: TableSource) -> conditional_metrics.Make:
    """A good answerer: what is told, and the rest of a training row that has it, or of one of the nearest."""
    rows, blocks = baselines.encoded_rows(source), source.rows.blocks

    def make(noise: Tensor, condition: Tensor) -> Tensor:
        mask, values = layout.split(condition, blocks)
        random = torch.Generator().manual_seed(1)
        picked = []
        for is_given, value in zip(mask, values):
            far = ((rows - value).abs() * is_given).sum(1) + 1e-2 * torch.rand(len(rows), generator=random)
            picked.append(rows[far.argmin()])
        return torch.where(mask > 0, values, torch.stack(picked))

    return make


def test_a_good_answerer_and_one_that_does_not_listen(source: TableSource) -> None:
    prior, rows = Prior(4), baselines.encoded_rows(source)
    good, deaf = (
        {one.name.partition("[")[0]: one for one in conditional_metrics.records(source, make, prior, 0)}
        for make in (obedient(source), lambda noise, condition: rows[: len(noise)])
    )
    assert list(good) == list(deaf) == ["asked_returned", "asked_shapes", "asked_numbers", "asked_pairs"]
    assert good["asked_returned"].value == 1
    assert deaf["asked_returned"].value < 0.3
    for name in list(good)[1:]:
        # Half the rows are also what it is held against, so it may do better than the floor.
        assert good[name].value > (good[name].reference or 1) - 0.03, name
        assert deaf[name].value < good[name].value - 0.04, name
        assert f"Rows generated without the condition: {deaf[name].value:.3f}." in deaf[name].meaning


def test_questions_are_of_every_kind_with_enough_rows(source: TableSource) -> None:
    found = conditional_metrics.queries(source)
    levels = [one for one in found if one.kind == "shapes"]
    assert [one.words for one in levels] == [
        *(f"city = level {level}" for level in range(3)), "buys = level 0", "buys = level 1",
    ]  # fmt: skip
    condition = conditional_metrics.conditions_for(levels[1], source, 3)
    blocks = source.rows.blocks
    assert condition.shape == (3, len(blocks) + blocks[-1].stop)
    assert condition[0].nonzero()[:, 0].tolist() == [2, len(blocks) + blocks[2].start + 1]
    numbers = [one for one in found if one.kind == "numbers"]
    assert [one.words for one in numbers] == [
        f"{name} {place}" for name in ("age", "income") for place in ("low", "middle", "high")
    ]
    for one in numbers:
        values = source.train.arrays[one.words.split()[0]]
        assert len(one.rows) == 40
        window = np.sort(values[one.rows])
        assert ((values > window[0]) & (values < window[-1])).sum() <= 40
    pairs = [one for one in found if one.kind == "pairs"]
    assert 3 <= len(pairs) <= conditional_metrics.MOST_OTHERS
    for one in pairs:
        mask = conditional_metrics.conditions_for(one, source, 40)[:, : len(blocks)]
        assert (mask.sum(1) == 2).all()
        for number in one.numbers:
            values = source.train.arrays[blocks[number].column]
            codes = len(np.unique(values[one.rows])) == 1
            assert codes if blocks[number].kind == "category" else np.ptp(values[one.rows]) < np.ptp(values) / 2


def test_a_missing_number_is_asked_for(tmp_path: Path) -> None:
    """Who has no income is young; a generator that gives the least income to whoever is to have none makes them the poorest."""
    random = np.random.default_rng(0)
    age = random.integers(18, 80, size=1_500)
    gone = random.random(1_500) < np.where(age < 40, 0.4, 0.02)
    lines = [f"{a},{'' if g else a * 700 + random.integers(0, 5_000)},{a // 20}" for a, g in zip(age, gone)]
    (tmp_path / "a.csv").write_text("age,income,group\n" + "\n".join(lines))
    source = open_source(part(str(tmp_path / "a.csv")), False)
    rows = baselines.encoded_rows(source)
    good, deaf = (
        {one.name.partition("[")[0]: one for one in conditional_metrics.records(source, make, Prior(4), 0)}
        for make in (obedient(source), lambda noise, condition: rows[: len(noise)])
    )
    assert good["asked_missing"].name == "asked_missing[questions=1,n=500]"
    assert good["asked_returned"].value == 1
    assert good["asked_missing"].value > (good["asked_missing"].reference or 1) - 0.05
    assert deaf["asked_missing"].value < good["asked_missing"].value - 0.2


# --- baselines


def test_samples_of_the_models_are_rows() -> None:
    source = open_source(part("wine"), False)
    fits = baselines.fits(source)
    assert list(fits) == ["independent", "copula", "mixture", "copy"]
    blocks = source.rows.blocks
    for name, fit in fits.items():
        rows = fit().sample(300, 0)
        assert rows.shape == (300, blocks[-1].stop), name
        for first, last in (block.choice for block in blocks if block.choice):
            assert (rows[:, first:last].max(1).values == 1).all(), name
            assert (rows[:, first:last].sum(1) == 1).all(), name
        torch.testing.assert_close(fit().sample(300, 0), rows)


def test_a_copula_keeps_what_is_between_numbers(source: TableSource) -> None:
    real, made = baselines.encoded_rows(source), baselines.fits(source)["copula"]().sample(3_000, 0)
    age, income = (next(b.start for b in source.rows.blocks if b.column == name) for name in ("age", "income"))
    wanted, found = (float(torch.corrcoef(rows[:, [age, income]].T)[0, 1]) for rows in (real, made))
    assert found == pytest.approx(wanted, abs=0.04)


def test_a_copula_keeps_who_is_missing(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=2_000)
    lines = [f"{a:.3f},{'' if a > 0.7 else format(b, '.3f')}" for a, b in zip(x, random.normal(size=2_000))]
    (tmp_path / "a.csv").write_text("x,y\n" + "\n".join(lines))
    source = open_source(part(str(tmp_path / "a.csv")), False)
    made = NumericMatrix.of(source.transform.decode(baselines.fits(source)["copula"]().sample(4_000, 0))).values
    gone = np.isnan(made[:, 1])
    assert gone.mean() == pytest.approx((x > 0.7).mean(), abs=0.02)
    assert made[gone, 0].mean() > made[~gone, 0].mean() + 0.8


# --- rules


def of_rows(num: int) -> DatasetInfo:
    return replace(infos.of_shapes(16), num_rows=num)


def test_few_rows_get_narrow_players(source: TableSource) -> None:
    from zerosum.domains.tables.recipes import TABLE

    for num, batch, width, weight in ((100, 64, 64, 5.0), (1_200, 300, 128, 2.0), (26_000, 500, 256, 1.0)):
        recipe, notes = recipes.resolve_auto(TABLE, of_rows(num))
        assert recipe.batch == batch
        assert recipe.generator.options["width"] == recipe.discriminator.options["width"] == width
        assert recipe.penalties["r1"].weight.start == weight  # type: ignore[union-attr]
        assert recipe.unresolved() == []
        assert len(notes) == 4
        assert f"{num:,} training rows" in notes[1]
    kept, notes = recipes.resolve_auto(TABLE.changed(generator=part("residual", width=32), batch=10), of_rows(26_000))
    assert (kept.generator.options["width"], kept.discriminator.options["width"], kept.batch) == (32, 256, 10)
    assert notes[0].startswith("Width of discriminator 256: 26,000")


@pytest.mark.parametrize("faster", [True, False])
def test_wide_players_multiply_in_the_precision_that_is_faster(faster: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from zerosum.domains.tables.recipes import TABLE

    monkeypatch.setattr(recipes, "multiplies_faster", lambda device: faster)
    here = TABLE.changed(device="cpu")
    many, few = of_rows(26_000), of_rows(1_200)
    found = {
        "wide": recipes.resolve_auto(here, many)[0].precision,
        "narrow": recipes.resolve_auto(here, few)[0].precision,
        "asked": recipes.resolve_auto(here.changed(precision="float32"), many)[0].precision,
        "nowhere yet": recipes.resolve_auto(TABLE, many)[0].precision,
    }
    auto = dict.fromkeys(found, "auto") | {"asked": "float32"}
    assert found == (auto | {"wide": "bfloat16"} if faster else auto)
    assert any("Precision bfloat16" in note for note in recipes.resolve_auto(here, many)[1]) == faster


# --- rows of other programs


def test_rows_of_a_file_are_measured_like_those_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "benchmarks")
    program = importlib.import_module("tables_score")
    table, train = tmp_path / "points.csv", tmp_path / "train.csv"
    rows = [f"{row % 17},{'abc'[row % 3]},{row / 7:.2f}" for row in range(300)]
    table.write_text("x,letter,y\n" + "\n".join(rows) + "\n")
    program.split(str(table), train)
    written = train.read_text().splitlines()
    assert written[0] == "x,letter,y"
    assert len(written) == 241
    assert set(written[1:]) <= set(rows)
    capsys.readouterr()
    program.score(str(table), train)
    printed = {line.split("[")[0]: float(line.split()[1]) for line in capsys.readouterr().out.splitlines()}
    assert (printed["copied_rows"], printed["closer_to_training"]) == (1, 1)


def test_rows_of_all_places_are_compared_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in order of a column: a part of them is drawn, not the first ones."""
    numbers = np.random.default_rng(0).normal(size=1_500) + np.repeat([0, 50], 750)
    lines = [f"{number:.4f},{'b' if number > 25 else 'a'}" for number in numbers]
    (tmp_path / "ordered.csv").write_text("x,kind\n" + "\n".join(lines) + "\n")
    ordered = open_source(part(str(tmp_path / "ordered.csv")), False)
    monkeypatch.setattr(metrics, "MOST_QUICK", 300)
    found = TableEvaluator(ordered, 0).quick(ordered.rows.data(torch.arange(0, 1_200, 4), torch.arange(300))).values()
    assert found["column_shapes"] > 0.9
    assert found["diversity"] == pytest.approx(1.0, abs=0.08)
    monkeypatch.setattr(scores, "MOST_REALS", 300)
    train = NumericMatrix.of(ordered.train)
    made = train.rows(slice(0, 100))  # the first rows themselves, of which a draw of 300 of 1,200 has a quarter
    values = scores.scores_of(made, scores.ReferenceData(train, NumericMatrix.of(ordered.heldout), "kind", 0))
    assert values["closer_to_training[n=100]"] < 0.75
