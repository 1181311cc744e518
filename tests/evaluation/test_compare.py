"""Runs beside each other and followed from outside: one protocol, honest stars, different data refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from zerosum.api import Run, train
from zerosum.cli import app
from zerosum.domain.contract import EvalOptions
from zerosum.errors import UserError
from zerosum.evaluation import compare
from zerosum.evaluation.compare import compare_runs, draw
from zerosum.evaluation.evaluate_saved import SavedScores
from zerosum.formatting import format_with_error
from zerosum.report.comparison import side_by_side
from zerosum.training import async_eval
from zerosum.training.async_eval import follow

QUICK = ["steps=6", "batch=16", "threads=1", "data.labelled=false"]


def quiet(text: str) -> None:
    """Says nothing."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    place = tmp_path_factory.mktemp("contest")
    first = train("digits", recipe="mlp", out=place / "first", overrides=QUICK)
    return first, train("digits", recipe="mlp", out=place / "second", overrides=[*QUICK, "seed=5", "steps=60"])


def record(name: str, value: float, error: float | None, better: str = "lower") -> dict[str, Any]:
    return {"name": name, "value": value, "error": error, "better": better, "meaning": "", "protocol": {}}


@pytest.mark.parametrize(
    ("values", "errors", "best"),
    [
        ((1.0, 2.0), (0.1, 0.1), {0}),
        ((1.0, 1.2), (0.1, 0.1), set()),  # 0.2 < 1.96 sqrt(0.02) = 0.277
        ((1.0, 1.2, 9.0), (0.1, 0.1, 0.1), {0, 1}),
        ((1.0, 2.0), (None, 0.1), set()),  # what is not known is not claimed
        ((1.0, 1.0), (0.0, 0.0), set()),
    ],
)
def test_stars_are_given_beyond_the_intervals_only(
    values: tuple[float, ...], errors: tuple[float | None, ...], best: set[int]
) -> None:
    records = [[record("frechet[x,n=9]", *pair)] for pair in zip(values, errors, strict=True)]
    table = side_by_side([str(i) for i in range(len(values))], records)
    assert table.rows[0].best == best
    assert ("equal" in table.sentence) == (len(best) != 1 and None not in errors)


def test_chances_and_what_one_lacks_are_left_out() -> None:
    both = [record("frechet[x,n=9]", 1.0, 0.1), record("memorisation_p[x,n=9]", 0.5, None)]
    table = side_by_side(["a", "b"], [[*both, record("class_accuracy[x,n=9]", 0.5, 0.1)], both])
    assert [row.kind for row in table.rows] == ["Fréchet"]
    assert "left out" in table.notes[0]


def test_numbers_have_the_digits_of_their_errors() -> None:
    assert format_with_error(0.08847, 0.0841) == "0.088 ± 0.084"
    assert format_with_error(21.973, 6.41) == "22.0 ± 6.4"
    assert format_with_error(12345.6, 321.0) == "12,346 ± 321"
    assert format_with_error(0.5, None) == format_with_error(0.5, 0.0) == "0.5"


def test_all_are_measured_alike(runs: tuple[Run, Run], tmp_path: Path) -> None:
    found = compare_runs([run.path for run in runs], EvalOptions(num=64), quiet)
    assert found.table.columns == ("first", "second")
    for one, two in zip(*(entry.records for entry in found.entries), strict=True):
        assert one["name"] == two["name"]
        for key in ("num_fake", "num_real", "seed", "sample_seed", "extractor_sha256", "fingerprint"):
            assert one["protocol"].get(key) == two["protocol"].get(key)
    frechet = found.entries[0].records[0]
    assert frechet["protocol"]["num_fake"] == 64
    assert frechet["error"] > 0
    swapped = compare_runs([run.path for run in reversed(runs)], EvalOptions(num=64), quiet)
    assert swapped.entries[1].records[0]["value"] == frechet["value"]
    draw(found, tmp_path / "both.png")
    with Image.open(tmp_path / "both.png") as image:
        assert image.size[0] > 900


def test_the_verb_prints_and_writes(runs: tuple[Run, Run], tmp_path: Path) -> None:
    out = tmp_path / "all.json"
    arguments = ["compare", *(str(run.path) for run in runs), "--num", "32", "--extractor", "random", "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "Fréchet n=32" in done.output
    assert [one["step"] for one in json.loads(out.read_text())["runs"]] == [6, 60]
    folder = tmp_path / "both"
    done = CliRunner().invoke(app, [*arguments[:-1], str(folder), "--json"])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in folder.iterdir()) == ["compare.json", "compare.png"]
    assert json.loads((folder / "compare.json").read_text()) == json.loads(out.read_text())
    refused = CliRunner().invoke(app, [*arguments[:3], "--out", "page.html"])
    assert isinstance(refused.exception, UserError)


def test_what_cannot_be_compared_is_refused(runs: tuple[Run, Run], tmp_path: Path) -> None:
    other = train("digits", recipe="mlp", out=tmp_path / "other", overrides=[*QUICK, "data.heldout=0.3"])
    with pytest.raises(UserError, match=r"different data: digits \(fingerprint .* same data\.\* settings"):
        compare_runs([runs[0].path, other.path], EvalOptions(), quiet)
    with pytest.raises(UserError, match="at least two"):
        compare_runs([runs[0].path], EvalOptions(), quiet)
    with pytest.raises(UserError, match="given twice"):
        compare_runs([runs[0].path, runs[0].path], EvalOptions(), quiet)


def test_names_are_as_long_as_they_must_be() -> None:
    assert compare._names([Path("/a/x/run"), Path("/a/y/run")]) == ["x/run", "y/run"]
    assert compare._names([Path("/a/x"), Path("/a/y")]) == ["x", "y"]


def test_a_run_at_rest_is_followed_once_and_logged(runs: tuple[Run, Run]) -> None:
    run, written = runs[0], []
    before = {record["name"]: record["value"] for record in run.metrics}
    follow(run.folder, 1.0, EvalOptions(num=48), written.append, quiet)
    assert [one.step for one in written] == [6]
    newest = run.metrics
    assert any(record["name"].endswith(",n=48]") for record in newest)
    kept = {record["name"]: record["value"] for record in newest}
    assert before.items() <= kept.items()  # a second evaluation of a step adds to the first


def test_a_training_at_work_is_left_to_log_what_was_measured(
    runs: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is locked as by a training, which ends when the first result is told."""
    run, written, niceness = runs[0], [], []
    monkeypatch.setattr(async_eval.os, "nice", niceness.append)
    with contextlib.ExitStack() as training:
        training.enter_context(run.folder.locked())

        def tell(found: SavedScores) -> None:
            (waiting,) = (run.path / "evaluations").glob("step-*.json")
            assert not any(record["name"].endswith(",n=56]") for record in run.metrics)
            written.append(json.loads(waiting.read_text()))
            training.close()

        follow(run.folder, 0.0, EvalOptions(num=56), tell, quiet)
    assert niceness == [19]
    assert written[0]["samples"] == 6 * 16
    assert any(record["name"].endswith(",n=56]") for record in run.metrics)
    assert not list((run.path / "evaluations").iterdir())


def test_an_evaluation_as_chosen_adds_to_the_log(runs: tuple[Run, Run]) -> None:
    run = runs[1]
    before = {record["name"] for record in run.metrics}
    records = run.evaluate(options=EvalOptions(num=40))
    assert {record["protocol"]["num_fake"] for record in records if record["name"].startswith("kernel")} == {40}
    assert before | {record["name"] for record in records} == {record["name"] for record in run.metrics}


def test_points_have_nothing_to_choose(tmp_path: Path) -> None:
    small = ["steps=4", "batch=16", "generator.width=8", "discriminator.width=8", "data.num=600", "threads=1"]
    run = train("ring", out=tmp_path / "points", overrides=small)
    with pytest.raises(UserError, match="no --extractor and no --num"):
        run.evaluate(options=EvalOptions(num=40))
