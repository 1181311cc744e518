"""Several processes that play one game: what is left when the launcher or one of them is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from small_run import SETTINGS
from zerosum.run_folder import RunFolder
from zerosum.store import checkpoints

PATIENCE_S = 120


def until(what: Callable[[], bool]) -> None:
    """Waits for it."""
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def children_of(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]


def alive(pid: int) -> bool:
    """Whether a process is at work; one that ended and was not asked for its status is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int], RunFolder]]:
    """A training of two processes at work: launcher, the two processes, its folder."""
    settings = {**SETTINGS, "steps": 10**6, "cadence.checkpoint": 10**6, "cadence.preview": 10**6, "seed": 3}
    chosen = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "zerosum", "train", "ring", "--recipe", "toy", "--devices", "2", *chosen]
    environ = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    folder = RunFolder(tmp_path / "run")
    launcher = subprocess.Popen(
        [*command, "--out", str(folder)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environ
    )
    ranks: list[int] = []
    try:
        until(lambda: len(folder.lines()) > 20 or launcher.poll() is not None)
        ranks += children_of(launcher.pid)
        assert len(ranks) == 2, launcher.stderr and launcher.stderr.read()
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
    launched: tuple[subprocess.Popen[str], list[int], RunFolder],
) -> None:
    launcher, ranks, folder = launched
    assert not checkpoints(folder.checkpoints)
    launcher.send_signal(signal.SIGKILL)
    until(lambda: not any(map(alive, ranks)))
    (saved,) = checkpoints(folder.checkpoints)
    assert saved >= 20
    assert status(folder) == ("stopped", saved)


def test_a_killed_process_is_told_and_is_no_success(
    launched: tuple[subprocess.Popen[str], list[int], RunFolder],
) -> None:
    launcher, ranks, folder = launched
    os.kill(ranks[1], signal.SIGKILL)
    _, told = launcher.communicate(timeout=PATIENCE_S)
    assert launcher.returncode == 128 + signal.SIGKILL
    assert not any(map(alive, ranks))
    assert "Traceback" not in told
    assert "gloo" not in told.lower()
    assert "Another process of this training has ended" in told
    assert "process 1 was ended by SIGKILL" in told
    assert f"zerosum resume {folder}" in told
    assert status(folder)[0] == "failed"
