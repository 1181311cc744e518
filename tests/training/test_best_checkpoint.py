"""The best generator beside the last: which look it is of, and that stops, kills and rollbacks leave the right one."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from zerosum.api import Run, load, resume, train
from zerosum.domains.toy import DOMAIN
from zerosum.engine.loop import NonFinite, TrainingLoop
from zerosum.evaluation import training_evaluator

TOY, ADVANCE = DOMAIN.recipes.table["toy"], TrainingLoop.train_step
SMALL: dict[str, Any] = {
    "steps": 12,
    "batch": 16,
    "threads": 1,
    "data.num": 600,
    "generator.width": 8,
    "discriminator.width": 8,
    "cadence.checkpoint": 4,
    "cadence.preview": 1,
    "on_nonfinite": "rollback",
}


def ranked(monkeypatch: pytest.MonkeyPatch, scores: Mapping[int, float]) -> None:
    """The looks of a training have these scores by their step; 9 elsewhere."""
    health = training_evaluator.TrainingEvaluator.health_values

    def scored(self: training_evaluator.TrainingEvaluator) -> Any:
        values, bins = health(self)
        return values | {"score": scores.get(self.loop.step, 9.0)}, bins

    named = replace(DOMAIN, evaluation=replace(DOMAIN.evaluation, best_metric="score"))
    monkeypatch.setattr("zerosum.domains.toy.DOMAIN", named)
    monkeypatch.setattr(training_evaluator.TrainingEvaluator, "health_values", scored)


def about(run: Path) -> tuple[int, float, int]:
    """(step, value) of the best, and the step that its generator says."""
    found = json.loads((run / "best" / "best.json").read_text())
    return found["step"], found["value"], json.loads((run / "best" / "generator.json").read_text())["step"]


def stopped(at: int, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def advance(self: TrainingLoop, turns: Any = None, observer: Any = None) -> None:
        ADVANCE(self, turns, observer)
        if self.step == at and (out / "run.json").exists():
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingLoop, "train_step", advance)
        train(recipe=TOY, out=out, overrides=SMALL)


def test_the_lowest_look_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an untrained generator, not a later equal one, not one that is no number; and it can be sampled from."""
    ranked(monkeypatch, {0: 0.0, 1: 5.0, 3: 2.0, 5: math.nan, 7: 2.0, 12: 3.0})
    out = tmp_path / "run"
    run = train(recipe=TOY, out=out, overrides=SMALL)
    assert about(out) == (3, 2.0, 3)
    best = load(out / "best")
    assert best.sample(4).shape == (4, 2)
    stopped(3, tmp_path / "stopped", monkeypatch)
    for name, tensor in load(tmp_path / "stopped").sampler.network.state_dict().items():
        torch.testing.assert_close(tensor, best.sampler.network.state_dict()[name], rtol=0, atol=0)
    assert not torch.equal(best.sample(4), run.sample(4))


def test_without_a_name_nothing_is_kept(tmp_path: Path) -> None:
    train(recipe=TOY, out=tmp_path / "run", overrides=SMALL | {"steps": 2})
    assert not (tmp_path / "run" / "best").exists()


@pytest.mark.parametrize("stop", [3, 4, 6, 11])
def test_a_stopped_run_ends_with_the_same_best(stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranked(monkeypatch, {2: 5.0, 4: 4.0, 6: 3.0, 8: 7.0})
    out = tmp_path / "run"
    stopped(stop, out, monkeypatch)
    resume(out)
    assert about(out) == (6, 3.0, 6)


def test_a_kill_between_checkpoints_brings_the_former_best_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best of step 6 is of a future that is lost: the checkpoint is of step 5. Later looks are worse than that of 2."""
    ranked(monkeypatch, {2: 5.0, 6: 3.0, 7: 2.0})
    out = tmp_path / "run"
    stopped(5, out, monkeypatch)
    before = (out / "best" / "generator.safetensors").read_bytes()
    later = tmp_path / "later"
    shutil.copytree(out, later)
    resume(later)
    assert about(later) == (7, 2.0, 7)
    # As if it had been killed after step 7 with the checkpoint of step 5 as its newest.
    killed = tmp_path / "killed"
    shutil.copytree(later, killed)
    shutil.rmtree(killed / "checkpoints")
    shutil.copytree(out / "checkpoints", killed / "checkpoints")
    for name in ("status.json",):
        shutil.copy(out / name, killed / name)
    ranked(monkeypatch, {2: 5.0, 6: 6.0, 7: 7.0})
    resume(killed)
    assert about(killed) == (2, 5.0, 2)
    assert (killed / "best" / "generator.safetensors").read_bytes() == before


def test_a_rollback_forgets_the_best_of_what_was_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {2: 5.0, 5: 4.0, 6: 1.0}

    def advance(self: TrainingLoop, turns: Any = None, observer: Any = None) -> None:
        if self.step == 7 and self.rate == 1:
            scores.update({5: 6.0, 6: 6.0})  # played again with other rates, these looks are worse
            raise NonFinite("generator", "loss", 7, {"loss": math.nan})
        ADVANCE(self, turns, observer)

    ranked(monkeypatch, scores)
    monkeypatch.setattr(TrainingLoop, "train_step", advance)
    train(recipe=TOY, out=tmp_path / "run", overrides=SMALL)
    assert about(tmp_path / "run") == (2, 5.0, 2)


def test_overtaken_bests_are_removed_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those are kept to which a rollback could still lead; here checkpoints of steps 8 and 12 remain."""
    ranked(monkeypatch, {step: 20.0 - step for step in range(13)})
    out = tmp_path / "run"
    train(recipe=TOY, out=out, overrides=SMALL)
    assert about(out)[:2] == (12, 8.0)
    oldest = min(int(path.name.split("-")[1]) for path in (out / "checkpoints").glob("step-*"))
    kept = sorted(int(path.name.split("-")[1]) for path in (out / "best" / "earlier").iterdir())
    assert kept[-1] == 11
    assert kept[0] <= 8
    assert len(kept) <= 12 - kept[0]
    assert kept[0] >= min(oldest, 8) - 5


def test_an_evaluation_of_a_stopped_run_moves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranked(monkeypatch, {4: 5.0})
    out = tmp_path / "run"
    stopped(4, out, monkeypatch)
    assert about(out) == (4, 5.0, 4)
    Run(load(out).folder).evaluate()
    assert about(out) == (4, 5.0, 4)
