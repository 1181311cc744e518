"""Runs by the command line alone: trained, stopped by Ctrl-C, resumed, killed, resumed again and sampled; two in one folder."""

from __future__ import annotations

import csv
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from forked import Forked
from small_process import alive, ended, settings_of, started, until
from small_run import SETTINGS, begun, equal, weights
from zerosum.run_folder import RunFolder
from zerosum.store import checkpoints

LONG = {**SETTINGS, "steps": 10**6, "cadence.preview": 10**6, "data.num": 200}


def newest(folder: Path) -> int:
    return max(checkpoints(folder / "checkpoints"), default=0)


def at_work(process: Forked, folder: Path, step: int) -> None:
    """Waits until a training has a checkpoint of this step or a later one."""
    until(lambda: newest(folder) >= step or process.poll() is not None)
    assert process.poll() is None, ended(process)


def test_stopped_killed_and_resumed_is_the_uninterrupted_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    training = started("train", "ring", "--recipe", "toy", "--out", run, *settings_of(LONG))
    at_work(training, run, 4)
    training.send_signal(signal.SIGINT)
    code, out, errors = ended(training)
    stopped = newest(run)
    assert code == 128 + signal.SIGINT
    assert f"zerosum resume {run}" in errors
    assert "Traceback" not in errors
    assert RunFolder(run).read("status.json")["step"] == stopped

    training = started("resume", run)
    at_work(training, run, stopped + 4)
    training.kill()
    assert ended(training)[0] == -signal.SIGKILL
    killed = newest(run)
    assert killed >= stopped + 4
    assert not alive(training.pid)

    training = started("resume", run)
    at_work(training, run, killed + 2)
    training.send_signal(signal.SIGTERM)
    code, out, errors = ended(training)
    assert code == 128 + signal.SIGTERM
    assert f"going on at step {killed:,} of" in errors
    begun(tmp_path / "straight", newest(run), **LONG)
    assert equal(weights(run), weights(tmp_path / "straight"))

    code, out, errors = ended(started("sample", run, "--num", 7, "--seed", 1, "--out", tmp_path / "points.csv"))
    assert code == 0, errors
    rows = list(csv.reader((tmp_path / "points.csv").open()))
    assert len(rows) == 7 + 1
    assert str(tmp_path / "points.csv") in out


@pytest.fixture
def busy(tmp_path: Path) -> Callable[[], Forked]:
    """Starts a training without an end in tmp_path/run."""
    return lambda: started("train", "ring", "--recipe", "toy", "--out", tmp_path / "run", *settings_of(LONG))


def test_of_two_trainings_in_one_folder_one_is_refused(busy: Callable[[], Forked], tmp_path: Path) -> None:
    """They start at once; whichever comes second ends with the number of the other's process, and changes nothing."""
    both = [busy(), busy()]
    try:
        until(lambda: any(process.poll() is not None for process in both))
        loser, winner = sorted(both, key=lambda process: process.poll() is None)
        code, out, errors = ended(loser)
        assert (code, out) == (2, "")
        assert "Traceback" not in errors
        place = tmp_path / "run"
        assert (
            f"Another training is at work in {place} (process {winner.pid})" in errors
            or "already holds a run" in errors
        )
        at_work(winner, place, 2)
        code, _, errors = ended(started("resume", place))
        assert code == 2
        assert f"(process {winner.pid}). Wait for it, stop it, or use --out (out= in Python)." in errors
        winner.kill()  # the lock ends with the process
        winner.wait()
        assert not RunFolder(place).busy
    finally:
        for process in both:
            process.kill()
            process.wait()
