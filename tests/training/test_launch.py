"""Several processes that play one game: what is left when the launcher or one of them is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from forked import Forked
from small_process import alive, ended, settings_of, started, until
from small_run import SETTINGS, begun, weights
from zerosum.run_folder import RunFolder
from zerosum.store import checkpoints
from zerosum.training import launch


def children_of(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]


def in_two(folder: Path, settings: Mapping[str, Any]) -> Forked:
    """A training of two processes."""
    chosen = ["--recipe", "toy", "--devices", 2, *settings_of(settings)]
    return started("train", "ring", "--out", folder, *chosen)


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[tuple[Forked, list[int], RunFolder]]:
    """A training of two processes at work: launcher, the two processes, its folder."""
    settings = {**SETTINGS, "steps": 10**6, "cadence.checkpoint": 10**6, "cadence.preview": 10**6, "seed": 3}
    folder = RunFolder(tmp_path / "run")
    launcher = in_two(folder.root, settings)
    ranks: list[int] = []
    try:
        until(lambda: len(folder.lines()) > 20 or launcher.poll() is not None)
        ranks += children_of(launcher.pid)
        assert len(ranks) == 2, launcher.errors()
        yield launcher, ranks, folder
    finally:
        for pid in [launcher.pid, *ranks]:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        launcher.wait()


def status(folder: RunFolder) -> tuple[str, int]:
    content = json.loads((folder.root / "status.json").read_text(encoding="utf-8"))
    return content["state"], content["step"]


def test_the_processes_end_with_their_launcher_and_save(
    launched: tuple[Forked, list[int], RunFolder],
) -> None:
    launcher, ranks, folder = launched
    assert not checkpoints(folder.checkpoints)
    launcher.send_signal(signal.SIGKILL)
    until(lambda: not any(map(alive, ranks)))
    (saved,) = checkpoints(folder.checkpoints)
    assert saved >= 20
    assert status(folder) == ("stopped", saved)


def test_a_killed_process_is_told_and_is_no_success(
    launched: tuple[Forked, list[int], RunFolder],
) -> None:
    launcher, ranks, folder = launched
    os.kill(ranks[1], signal.SIGKILL)
    code, _, errors = ended(launcher)
    assert code == 128 + signal.SIGKILL
    assert not any(map(alive, ranks))
    assert "Traceback" not in errors
    assert "gloo" not in errors.lower()
    assert "Another process of this training has ended" in errors
    assert "process 1 was ended by SIGKILL" in errors
    assert f"zerosum resume {folder}" in errors
    assert status(folder)[0] == "failed"


def newer(folder: RunFolder, step: int, launcher: Forked) -> None:
    """Waits for a checkpoint of a later step, or for the end of the launcher."""
    until(lambda: max(checkpoints(folder.checkpoints), default=0) > step or launcher.poll() is not None)


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """They stop together by Ctrl-C, go on together, and leave one log, with the weights of one process up to rounding."""
    settings = {**SETTINGS, "steps": 10**6, "cadence.preview": 10**6, "precision": "float32"}
    folder = RunFolder(tmp_path / "run")
    for command in (lambda: in_two(folder.root, settings), lambda: started("resume", folder.root, "--devices", 2)):
        before = max(checkpoints(folder.checkpoints), default=0)
        launcher = command()
        newer(folder, before, launcher)
        launcher.send_signal(signal.SIGINT)
        code, _, errors = ended(launcher)
        assert code == 128 + signal.SIGINT, errors
        assert errors.count(f"zerosum resume {folder}") == 1  # the other process is silent
        assert "Traceback" not in errors
    last = max(checkpoints(folder.checkpoints))
    assert [line["step"] for line in folder.lines() if line["kind"] == "train"] == list(range(1, last + 1))
    assert folder.read("run.json")["processes"] == 2
    begun(tmp_path / "straight", last, **settings)
    alone = weights(tmp_path / "straight")
    for name, tensor in weights(folder.root).items():
        torch.testing.assert_close(
            tensor, alone[name], rtol=1e-3, atol=1e-4, msg=lambda said, name=name: f"{name}: {said}"
        )


def test_an_error_of_all_processes_is_told_once(tmp_path: Path) -> None:
    code, _, errors = ended(in_two(tmp_path / "run", {**SETTINGS, "generator.width": -1}))
    assert code == 2
    assert errors.count("width must be at least 1") == 1
    assert not (tmp_path / "run").exists()


# --- the launcher alone, with processes that do what they are told


def test_only_a_process_that_nobody_launched_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert [launch.should_launch(devices) for devices in (1, 2, 8)] == [False, True, True]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert not launch.should_launch(2)


def processes(*programs: str) -> list[subprocess.Popen[bytes]]:
    return [subprocess.Popen([sys.executable, "-c", program]) for program in programs]


SLEEP = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
DIE = "import os; os.kill(os.getpid(), 9)"


@pytest.mark.parametrize("other", [SLEEP, DEAF], ids=["it hears a polite signal", "it is deaf"])
def test_one_that_fails_ends_the_others(other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "GRACE_S", 0.3)
    codes, first = launch._wait_for_all(processes(other, "raise SystemExit(3)"))
    assert codes[0] in (-signal.SIGTERM, -signal.SIGKILL)
    assert (codes[1], first) == (3, 1)


@pytest.mark.parametrize(("program", "code"), [("", 0), ("raise SystemExit(3)", 3), (DIE, -signal.SIGKILL)])
def test_what_the_processes_end_with(program: str, code: int) -> None:
    assert launch._wait_for_all(processes("", program)) == ([0, code], 1 if code else None)


def test_a_signal_is_the_reason_before_the_failures_that_it_causes() -> None:
    assert launch._first_failed([1, 0, -9, 2]) == 2
    assert launch._first_failed([0, 4, 2]) == 1
    assert launch._first_failed([None, 0]) is None
