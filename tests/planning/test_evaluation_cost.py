"""The time of an evaluation: its stages are told, bounded where the run was given minutes, and remembered."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from zerosum.api import train
from zerosum.domain import contract as eval_stages
from zerosum.domains.toy import DOMAIN
from zerosum.evaluation import evaluate
from zerosum.planning import trial_step


class Clock:
    """Seconds that pass when somebody says so."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(eval_stages, "time", clock)
    monkeypatch.setattr(evaluate, "time", clock)
    return clock


def test_no_stage_begins_once_the_time_is_up(clock: Clock) -> None:
    said: list[str] = []
    with eval_stages.watched(said.append, budget_s=5.0) as watch:
        assert eval_stages.stage("first")
        clock.now = 5.0
        assert eval_stages.stage("second")
        clock.now = 5.1
        assert not eval_stages.stage("third")
        assert eval_stages.stage("fourth", needed=True)
    assert said == ["first", "second", "fourth"]
    assert watch.left_out == ["third"]
    assert eval_stages.stage("fifth")  # nobody watches any more
    assert said == ["first", "second", "fourth"]


def test_what_is_done_once_for_the_data_is_not_counted(clock: Clock) -> None:
    with eval_stages.watched(lambda name: None, budget_s=5.0) as watch:
        eval_stages.stage("classifier", needed=True, once=True)
        clock.now = 100.0
        assert eval_stages.stage("first")
        assert watch.once_s == 100.0
        clock.now = 106.0
        assert not eval_stages.stage("second")
    assert watch.once_s == 100.0


def test_stages_of_a_short_evaluation_are_not_told(clock: Clock) -> None:
    said: list[str] = []
    with evaluate.log_stages(said.append):
        eval_stages.stage("early")
        clock.now = evaluate.QUIET_S + 0.1
        eval_stages.stage("late")
    assert said == ["  late ..."]


def _data(fingerprint: str) -> Any:
    """What is read of a DatasetInfo."""
    return SimpleNamespace(fingerprint=fingerprint)


def test_times_are_remembered_by_data_and_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    one, other = _data("a" * 64), _data("b" * 64)
    assert trial_step.known_evaluation_cost(one) is None
    trial_step.store_evaluation_cost(one, trial_step.EvaluationCost(12.345, 5))
    trial_step.store_evaluation_cost(other, trial_step.EvaluationCost(3.0))
    trial_step.store_evaluation_cost(one, trial_step.EvaluationCost(8.0, 7))
    assert trial_step.known_evaluation_cost(one) == trial_step.EvaluationCost(8.0, 7)
    assert trial_step.known_evaluation_cost(other) == trial_step.EvaluationCost(3.0, 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    assert trial_step.known_evaluation_cost(one) is None


@pytest.mark.parametrize(
    "content", ["", "[", "[1]", '{"a threads=1": "x"}', '{"a threads=1": [1, "x"]}', "[" * 100_000]
)
def test_a_damaged_memory_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path))
    (tmp_path / "evaluation-cost.json").write_text(content)
    assert trial_step.known_evaluation_cost(_data("a")) is None
    trial_step.store_evaluation_cost(_data("a"), trial_step.EvaluationCost(1.0))
    assert trial_step.known_evaluation_cost(_data("a")) == trial_step.EvaluationCost(1.0)


def test_a_run_tells_both_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """And the next plan for the same data knows the second of them."""
    from zerosum.formatting import ProgressLines
    from zerosum.planning.plan import TrainRequest, make

    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path / "cache"))
    small = ["threads=1", "data.num=2000", "batch=64"]
    train(
        recipe=DOMAIN.recipes.table["toy"],
        out=tmp_path / "run",
        overrides=[*small, "steps=3"],
        progress=ProgressLines(sys.stderr),
    )
    assert re.search(r"Training took \d+ s in all, the evaluation \d+ s\.", capsys.readouterr().err)
    planned = make(TrainRequest(None, DOMAIN.recipes.table["toy"], settings=[*small, "steps=3"]))
    assert planned.evaluation_known_s is not None
    assert "of evaluation, as last time on these data." in planned.sentence()
    (memory,) = [note for note in planned.notes if note.startswith("Memory")]
    assert "; the evaluation took " in memory
