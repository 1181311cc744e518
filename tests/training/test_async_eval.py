"""Evaluation beside a training: logged with its step, no number of the training moved, nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from small_process import PATIENCE_S, alive, until
from zerosum.api import Run, resume, train
from zerosum.formatting import NoProgress
from zerosum.run_folder import RunFolder
from zerosum.store import latest_checkpoint
from zerosum.training import async_eval, eval_worker
from zerosum.training.async_eval import FOLDER, AsyncEvaluation, result_of, write_result
from zerosum.training.callbacks import RunLogger

SMALL = ["batch=32", "generator.width=8", "discriminator.width=8", "data.num=600", "threads=1", "cadence.log=5"]
ASIDE = "zerosum.training.eval_worker"


def evaluations(folder: RunFolder) -> list[dict[str, Any]]:
    return [line for line in folder.lines() if line["kind"] == "evaluation"]


def children(of: int) -> list[int]:
    """Processes that measure whose parent is `of`."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode().split("\0")
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if ASIDE in words and parent == of:
            found.append(int(path.name))
    return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """The same training, without and with evaluations beside it."""
    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(async_eval, "PATIENCE_S", 0.0)  # the machine of the tests may be a busy one
        return pair_in(place)


def pair_in(place: Path) -> tuple[Run, Run]:
    plain = train("ring", out=place / "plain", overrides=["steps=40", *SMALL])
    return plain, train("ring", out=place / "watched", overrides=["steps=40", "cadence.evaluate=25", *SMALL])


def test_results_are_logged_with_their_step(pair: tuple[Run, Run]) -> None:
    lines = evaluations(pair[1].folder)
    assert [line["step"] for line in lines] == [25, 40]
    for line in lines:
        assert line["samples"] == line["step"] * 32
        assert {record["protocol"]["step"] for record in line["records"]} == {line["step"]}
    names = [{record["name"].partition("[")[0] for record in line["records"]} for line in lines]
    assert names[0] < names[1]  # the last one asks the discriminator too
    assert list((pair[1].path / FOLDER).iterdir()) == []


def test_no_number_of_the_training_moves(pair: tuple[Run, Run]) -> None:
    states = [latest_checkpoint(run.folder.checkpoints) for run in pair]
    assert states[0] is not None
    assert states[1] is not None
    for name, network in states[0]["match"]["networks"].items():
        for key, value in network.items():
            assert torch.equal(value, states[1]["match"]["networks"][name][key])
    values = [[line["values"] for line in run.folder.lines() if line["kind"] == "train"] for run in pair]
    for one, two in zip(*values, strict=True):
        assert {k: v for k, v in one.items() if k != "samples_per_s"} == {
            k: v for k, v in two.items() if k != "samples_per_s"
        }


def test_what_was_not_measured_is_measured_when_the_run_goes_on(
    pair: tuple[Run, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_eval, "PATIENCE_S", 0.0)
    run = train("ring", out=tmp_path / "run", overrides=["steps=20", *SMALL])
    aside_of_it = AsyncEvaluation(run.folder, RunLogger(run.folder, NoProgress()), print)
    source = pair[0].path

    def copied(place: Path) -> None:
        for name in ("generator.safetensors", "generator.json"):
            (place / name).write_bytes((source / name).read_bytes())

    aside_of_it.submit(10, 320, 1.5, copied)
    aside_of_it.close()  # as a kill would
    assert aside_of_it.steps == {10}
    assert [line["step"] for line in evaluations(run.folder)] == [20]
    again = resume(run.path, steps=30)
    assert sorted(line["step"] for line in evaluations(again.folder)) == [10, 20, 30]


def snapshot(place: Path) -> None:
    (place / "generator.json").write_text("{}")


def test_waiting_ones_give_way_to_newer_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AsyncEvaluation, "_start", lambda self: None)  # none is measured meanwhile
    said: list[str] = []
    folder = RunFolder(tmp_path)
    found = AsyncEvaluation(folder, RunLogger(folder, NoProgress()), said.append)
    for step in (1, 2, 3, 4):
        found.submit(step, step, 0.0, snapshot)
    assert found.steps == {3, 4}
    assert said == [f"The evaluation of step {step} is left out: those before it take too long." for step in (1, 2)]
    write_result(result_of(tmp_path / FOLDER / "step-00000003"), [], 1.0)
    found.discard_after(3)
    assert found.steps == {3}
    found.poll()
    assert [line["step"] for line in evaluations(folder)] == [3]


def test_a_failure_is_told_in_a_line(tmp_path: Path) -> None:
    said: list[str] = []
    folder = RunFolder(tmp_path)  # no run: the process cannot open it
    found = AsyncEvaluation(folder, RunLogger(folder, NoProgress()), said.append)
    found.submit(7, 7, 0.0, snapshot)
    found.wait(finished=True)
    assert "evaluation of step 7 failed, training goes on:" in said[-1]
    assert "not a run folder" in said[-1]
    assert found.steps == set()


LONG = ["steps=1000000", "cadence.evaluate=50", *SMALL]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nobody_is_left_behind(number: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "zerosum", "train", "ring", "--out", str(tmp_path / "run")]
    for setting in LONG:
        command += ["--set", setting]
    training = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        (child,) = until(lambda: children(training.pid))
        assert os.getpriority(os.PRIO_PROCESS, child) in (0, eval_worker.NICE)  # 0 while it is still starting
        until(lambda: os.getpriority(os.PRIO_PROCESS, child) == eval_worker.NICE)
        training.send_signal(number)
        training.wait(PATIENCE_S)
        until(lambda: not alive(child))
    finally:
        training.kill()
        training.wait()
