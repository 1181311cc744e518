"""A finished run goes on by the command that its report names, and for a time that is asked for."""

from __future__ import annotations

import html
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import small_run
import zerosum as zs
from zerosum.cli import app
from zerosum.errors import UserError
from zerosum.run_folder import RunFolder
from zerosum.store import step_name


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("my runs")
    np.save(folder / "images.npy", np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8))
    zs.train(str(folder / "images.npy"), "mlp", out=folder / "run", overrides={"steps": 8, "batch": 8})
    return folder / "run"


def test_the_report_names_a_command_that_goes_on(run: Path) -> None:
    page = (run / "report.html").read_text()
    found = re.search(r"Go on training</dt><dd><code>([^<]*)", page)
    assert found is not None
    words = shlex.split(html.unescape(found[1]))
    assert words == ["zerosum", "resume", str(run), "--steps", "16"]
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, result.output
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["step"], status["steps"]) == ("finished", 16, 16)


def test_minutes_become_steps_at_the_speed_so_far(run: Path) -> None:
    """10 steps took 5 s: 0.05 minutes, 3 s, are 6 steps more."""
    status = json.loads((run / "status.json").read_text())
    step = status["step"]
    (run / "status.json").write_text(json.dumps(status | {"seconds": step / 2}))
    result = CliRunner().invoke(app, ["resume", str(run), "--minutes", "0.05"])
    assert result.exit_code == 0, result.output
    assert json.loads((run / "status.json").read_text())["step"] == step + 6


@pytest.mark.parametrize("body", ["", '{"state": "fin', "[]", "{}"])
def test_a_damaged_status_is_written_anew(run: Path, body: str) -> None:
    before = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(body)
    result = CliRunner().invoke(app, ["resume", str(run)])
    assert result.exit_code == 0, result.output
    after = json.loads((run / "status.json").read_text())
    assert [after[name] for name in ("state", "step", "steps")] == ["finished", before["step"], before["steps"]]


def test_minutes_become_steps_without_the_status(run: Path) -> None:
    (run / "status.json").write_text("{")
    step = max(line["step"] for line in RunFolder(run).lines())
    result = CliRunner().invoke(app, ["resume", str(run), "--minutes", "1e-9"])
    assert result.exit_code == 0, result.output
    assert json.loads((run / "status.json").read_text())["step"] == step + 1


@pytest.mark.parametrize(
    ("status", "minutes", "words"),
    [
        (
            {"state": "stopped", "step": 0, "seconds": 0.0},
            1.0,
            "no speed recorded yet, so --minutes cannot become steps. Give --steps",
        ),
        ({"step": 8, "seconds": 1.0}, -1.0, "--minutes must be more than 0 and at most 525,600, got -1"),
        ({"step": 8, "seconds": 1.0}, float("nan"), "--minutes must be more than 0 and at most 525,600, got nan"),
    ],
)
def test_minutes_that_cannot_become_steps(run: Path, status: dict[str, float], minutes: float, words: str) -> None:
    before = (run / "status.json").read_text()
    (run / "status.json").write_text(json.dumps(status))
    with pytest.raises(UserError, match=words):
        zs.resume(run, minutes=minutes)
    (run / "status.json").write_text(before)


def test_minutes_and_steps_do_not_go_together(run: Path) -> None:
    result = CliRunner().invoke(app, ["resume", str(run), "--minutes", "1", "--steps", "20"])
    assert "--minutes and --steps both set the length" in str(result.exception)


def test_a_disk_that_is_full_from_the_start_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zerosum.training.checkpointing.save_checkpoint", full)
    result = small_run.Told()
    settings = {**small_run.SETTINGS, "steps": 2, "cadence.checkpoint": 2}
    with pytest.raises(UserError, match=r"nothing is saved\. .*Free some space, then: train again") as error:
        zs.train("ring", "toy", overrides=settings, out=tmp_path / "run", progress=result)
    assert "resume" not in str(error.value)
    assert len([text for text in result.said if "Step 2 is NOT saved" in text]) == 1


def test_a_run_of_the_version_before_goes_on(run: Path) -> None:
    """It named the half-life and the counts of the log otherwise, and its generator has format 1."""
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["ema"]["half_life_images"] = recipe["ema"].pop("half_life_samples")
    (run / "recipe.json").write_text(json.dumps(recipe))
    log = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(log.replace('"samples":', '"images":').replace("samples_per_s", "images_per_s"))
    card = json.loads((run / "generator.json").read_text())
    (run / "generator.json").write_text(json.dumps({**card, "format": 1}))
    with pytest.raises(UserError, match=r"format 1.*zerosum resume"):
        zs.load(run)
    (run / "evaluations").mkdir(exist_ok=True)
    waiting = {"step": recipe["steps"], "images": 64, "seconds": 1.0, "took_s": 0.1, "records": [{"name": "waiting"}]}
    (run / "evaluations" / f"{step_name(recipe['steps'])}.json").write_text(json.dumps(waiting))
    steps = recipe["steps"] + 2
    went_on = zs.resume(run, steps=steps)
    assert went_on.recipe.steps == steps
    lines = went_on.folder.lines()
    assert lines[0]["samples"] == 0
    assert [x["samples"] for x in lines if x.get("records") == [{"name": "waiting"}]] == [64]
    assert lines[-1]["step"] == steps
    assert all("images" not in line for line in lines)
    assert json.loads((run / "generator.json").read_text())["format"] == 2
