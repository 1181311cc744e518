"""Where a run begins: one training in a folder, folders that are taken, and numbers behind names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from small_run import SETTINGS, Told, begun, resumed
from zerosum import api
from zerosum.errors import UserError
from zerosum.run_folder import RunFolder


def trained(out: Path | None = None, **settings: Any) -> Path:
    """The folder of a run of two steps."""
    return api.train("ring", "toy", overrides={**SETTINGS, **settings}, out=out, progress=Told(2)).path


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_second_training_in_a_folder_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    with folder.locked():
        assert folder.busy
        with pytest.raises(UserError, match=rf"at work in {folder} \(process {os.getpid()}\)\. Wait for it, stop it"):
            trained(folder.root)
    assert not folder.busy
    assert trained(folder.root) == folder.root


def test_a_run_at_work_is_not_resumed(tmp_path: Path) -> None:
    folder = RunFolder(begun(tmp_path / "run", 4).path)
    before = files(folder.root)
    with folder.locked(), pytest.raises(UserError, match="Another training is at work"):
        resumed(folder.root, 6)
    assert {**files(folder.root), ".lock": b""} == {**before, ".lock": b""}
    resumed(folder.root, 6)
    assert RunFolder(folder.root).read("status.json")["step"] == 6


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty and is no run folder; nothing was written"):
        trained(tmp_path)
    assert files(tmp_path) == {"thesis.txt": b"mine"}
    with pytest.raises(UserError, match=r"thesis\.txt is a file; a run needs a folder"):
        trained(tmp_path / "thesis.txt")


def test_a_run_is_not_trained_over(tmp_path: Path) -> None:
    before = files(trained(tmp_path / "run"))
    with pytest.raises(
        UserError,
        match=r"already holds a run\. Go on with `zerosum resume .*zerosum\.resume\(.*--out \(in Python out=\)",
    ):
        trained(tmp_path / "run")
    assert files(tmp_path / "run") == before


def test_a_run_without_a_folder_of_its_own_is_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a finished run, and beside one that is at work and has written nothing yet."""
    monkeypatch.chdir(tmp_path)
    assert trained() == Path("runs/ring")
    busy = RunFolder(Path("runs/ring-2"))
    busy.create()
    with busy.locked():
        assert trained() == Path("runs/ring-3")
    assert trained() == Path("runs/ring-2")


def test_the_lock_ends_when_a_training_fails(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        trained(tmp_path / "run", batch=0)
    assert not RunFolder(tmp_path / "run").busy
    assert trained(tmp_path / "run") == tmp_path / "run"
