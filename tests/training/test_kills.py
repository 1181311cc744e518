"""Kills: at every file-system call of what a run writes, and at random moments of a training."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from published import generator
from small_run import begun, equal
from zerosum import store
from zerosum.api import load
from zerosum.generation.sampler import publish
from zerosum.run_folder import RunFolder
from zerosum.store import checkpoints, latest_checkpoint, save_checkpoint, write_durably

CALLS = ("open", "fsync", "replace", "mkdir", "unlink", "rmdir")


class Killed(BaseException):
    """The process is no more: from here on nothing it does reaches the disk."""


class Disk:
    """Counts calls that change a disk, of the module os and writing into files; at call `at` and from then on none is made.

    A write that is killed leaves half of what it was to write.
    """

    def __init__(self, patch: pytest.MonkeyPatch, at: int) -> None:
        self.at, self.made, self.log = at, 0, list[str]()
        for name in CALLS:
            patch.setattr(os, name, self.counted(name, getattr(os, name)))
        patch.setattr(store, "open", self.opened, raising=False)

    def counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **named: Any) -> Any:
            self.count(name)
            if name == "fsync":
                self.log.append("fsync folder" if os.path.isdir(f"/proc/self/fd/{args[0]}") else "fsync file")
            elif name == "replace":
                self.log.append("replace")
            return call(*args, **named)

        return act

    def count(self, name: str) -> None:
        self.made += 1
        if self.made >= self.at:
            raise Killed(name)

    def opened(self, path: Path, mode: str, **named: Any) -> Any:
        self.count("open")
        file = open(path, mode, **named)  # noqa: SIM115
        write = file.write

        def half(body: bytes) -> int:
            try:
                self.count("write")
            except Killed:
                write(body[: len(body) // 2])
                file.flush()
                raise
            return write(body)

        return Writing(file, half)


class Writing:
    """A file whose write is another."""

    def __init__(self, file: Any, write: Callable[[bytes], int]) -> None:
        self.file, self.write = file, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> Writing:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


def at_every_call(
    prepare: Callable[[Path], Any], act: Callable[[Path], Any], check: Callable[[Path], Any], where: Path
) -> int:
    """Does `act` in a fresh folder again and again, killed at its first call, its second ... until it comes to its end; after
    each kill `check` must hold. The number of calls."""
    for at in range(1, 500):
        folder = where / str(at)
        folder.mkdir(parents=True)
        prepare(folder)
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, at)
            try:
                act(folder)
            except Killed:
                ended = False
            else:
                ended = True
        check(folder)
        if ended:
            return disk.made
    raise AssertionError("it never ended")


def state(number: float) -> dict[str, Any]:
    return {"number": number, "w": torch.full((5,), number)}


def save(folder: Path, step: int, number: float) -> None:
    save_checkpoint(folder, step, state(number))


@pytest.mark.parametrize(
    ("before", "saved"),
    [
        ([(1, 1.0)], (2, 2.0)),
        ([(1, 1.0), (2, 2.0)], (3, 3.0)),
        ([(1, 1.0)], (1, 9.0)),
        ([(1, 1.0), (2, 2.0)], (2, 9.0)),
    ],
    ids=["a second", "a third, the first is removed", "the only one anew", "the newest anew"],
)
def test_a_checkpoint_at_every_call(before: list[tuple[int, float]], saved: tuple[int, float], tmp_path: Path) -> None:
    """There is always one, it is the newest before or the new one, and the next save leaves nothing half."""

    def prepare(folder: Path) -> None:
        for step, number in before:
            save(folder, step, number)

    def check(folder: Path) -> None:
        found = latest_checkpoint(folder)
        assert found is not None
        assert found["number"] in (before[-1][1], saved[1])
        assert torch.equal(found["w"], state(found["number"])["w"])
        save(folder, 7, 7.0)
        assert list(checkpoints(folder)) == [saved[0] if saved[0] in checkpoints(folder) else before[-1][0], 7]
        assert [path.name for path in folder.iterdir() if path.name[0] == "."] == []

    calls = at_every_call(prepare, lambda folder: save(folder, *saved), check, tmp_path)
    assert calls >= 3 * 5 + 4  # three files: opened, written, flushed, renamed, folder flushed; and their folder


def test_a_published_generator_at_every_call(tmp_path: Path) -> None:
    """What lies there is always a generator: the old one or the new one."""
    old, new = generator(tmp_path / "old", "mlp"), generator(tmp_path / "new", "mlp", seed=1)
    made = [run.sample(2).sum() for run in (old, new)]

    def act(folder: Path) -> None:
        publish(folder / "run", new.sampler.network, new.recipe, new.sampler.info, 9)

    def check(folder: Path) -> None:
        assert load(folder / "run").sample(2).sum() in made

    calls = at_every_call(lambda folder: shutil.copytree(old.path, folder / "run"), act, check, tmp_path / "calls")
    assert calls >= 2 * 6


def test_going_back_at_every_call(tmp_path: Path) -> None:
    """What `resume` removes of the time after the checkpoint: killed in between, it can be resumed all the same."""
    begun(tmp_path / "run", 6)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000006")
    lines = RunFolder(tmp_path / "run").lines()
    kept = [line for line in lines if line["step"] < 4 or (line["step"] == 4 and line["kind"] == "train")]
    assert len(kept) < len(lines)

    def check(folder: Path) -> None:
        assert RunFolder(folder / "run").lines() in (lines, kept)
        assert latest_checkpoint(folder / "run" / "checkpoints") is not None

    def act(folder: Path) -> None:
        RunFolder(folder / "run").rewind(4)

    at_every_call(lambda folder: shutil.copytree(tmp_path / "run", folder / "run"), act, check, tmp_path / "calls")


def test_renames_are_flushed(tmp_path: Path) -> None:
    """A file is on the disk before it has its name, and the name is on the disk before anything else happens."""
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, 10**6)
        write_durably(tmp_path / "a.json", b"{}")
        assert disk.log == ["fsync file", "replace", "fsync folder"]
        disk.log.clear()
        save(tmp_path / "checkpoints", 1, 1.0)
        assert disk.log == ["fsync file", "replace", "fsync folder"] * 3 + ["replace", "fsync folder"]


def test_a_training_killed_at_random_moments(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The script beside this file; `--kills 50` for a long one."""
    kills = request.config.getoption("--kills")
    result = subprocess.run(
        [sys.executable, str(Path(__file__).parents[1] / "kill_loop.py"), str(tmp_path), "--kills", str(kills)],
        capture_output=True,
        text=True,
        timeout=600 + 60 * kills,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "killed" in result.stdout


def test_the_comparison_can_fail() -> None:
    tensors = {"a": torch.zeros(2), "b": torch.ones(1)}
    assert equal(tensors, dict(tensors))
    assert not equal(tensors, {"a": tensors["a"]})
    assert not equal(tensors, tensors | {"a": torch.tensor([0.0, 1e-30])})
