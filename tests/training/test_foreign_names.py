"""What others put into a run folder: copies of checkpoints, pictures and results stay, and stop nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from small_run import begun, equal, resumed, weights
from zerosum.errors import UserError
from zerosum.formatting import NoProgress
from zerosum.report.previews import collect_pictures
from zerosum.run_folder import RunFolder
from zerosum.store import checkpoints, steps_in
from zerosum.training.async_eval import AsyncEvaluation
from zerosum.training.callbacks import RunLogger


def test_a_copy_of_a_checkpoint_stops_no_resume(tmp_path: Path) -> None:
    begun(tmp_path / "run", 4)
    shutil.copytree(tmp_path / "run", tmp_path / "plain")
    folder = RunFolder(tmp_path / "run")
    newest = folder.checkpoints / "step-00000004"
    foreign = [
        *(folder.checkpoints / name for name in ("step-00000004.bak", "step-00000099 (copy)", "step-x", "step-99")),
        folder.previews / "step-00000099-mine.png",
        folder.previews / "step-99.png",
        folder.previews / "step-00000099.png",  # a folder of that name
        folder.root / "evaluations" / "step-old.json",
        folder.root / "evaluations" / "step-00000099.json.bak",
        folder.root / "evaluations" / "step-00000099 2.json",
    ]
    for path in foreign:
        shutil.copytree(newest, path)
    (folder.checkpoints / "step-00000098").write_text("a file", encoding="utf-8")
    assert list(checkpoints(folder.checkpoints)) == [2, 4]
    assert [picture.step for picture in collect_pictures(folder.root).fakes] == [0]
    background = AsyncEvaluation(folder, RunLogger(folder, NoProgress()), lambda text: None)
    assert background.steps == set()
    for path in (tmp_path / "run", tmp_path / "plain"):
        resumed(path, 9)
    assert equal(weights(tmp_path / "run"), weights(tmp_path / "plain"))
    assert [path.name for path in foreign if not path.is_dir()] == []
    assert list(checkpoints(folder.checkpoints)) == list(checkpoints(tmp_path / "plain" / "checkpoints"))


def test_names_are_exact(tmp_path: Path) -> None:
    for name in ("step-00000010", "step-123456789", "step-0000000010", "step-10", "step-0000001O", "step-00000011.png"):
        (tmp_path / name).mkdir()
    assert list(steps_in(tmp_path)) == [10, 123456789]
    assert list(steps_in(tmp_path, ".png")) == [11]
    assert steps_in(tmp_path / "missing") == {}


def test_pictures_of_somebody_are_no_remains_of_a_training(tmp_path: Path) -> None:
    """A folder with previews/ of its own is not free: what begins there and fails would remove it."""
    folder = RunFolder(tmp_path)
    folder.create()
    (folder.previews / "step-00000000.png").touch()
    (folder.previews / ".part-real.png").touch()
    assert folder.free
    (folder.previews / "holiday.png").touch()
    assert not folder.free
    folder.remove_incomplete()
    assert (folder.previews / "holiday.png").exists()
    with pytest.raises(UserError, match="not empty and is no run folder"):
        folder.refuse_unless_free()
