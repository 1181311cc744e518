"""A run folder that changes under a training, or has lost a part when one goes on: told, and never a silent beginning anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from small_run import SETTINGS, Told, begun, equal, resumed, weights
from zerosum import api
from zerosum.errors import UserError
from zerosum.run_folder import RunFolder
from zerosum.store import checkpoints


class Doing(Told):
    """Does something to the folder after a step."""

    def __init__(self, step: int, act: Callable[[], Any]) -> None:
        super().__init__()
        self.at, self.act = step, act

    def tick(self, step: int, steps: int, values: Any) -> None:
        if step == self.at:
            self.act()


@pytest.mark.parametrize("what", ["removed", "renamed", "replaced"])
def test_a_folder_that_is_no_longer_there_ends_the_training(what: str, tmp_path: Path) -> None:
    folder, away = tmp_path / "run", tmp_path / "away"

    def act() -> None:
        folder.rename(away)
        if what == "removed":
            shutil.rmtree(away)
        elif what == "replaced":
            folder.mkdir()
            (folder / "mine.txt").touch()

    with pytest.raises(
        UserError, match=r"removed or renamed during.*ended after step 5; step 4 was its newest checkpoint"
    ):
        api.train("ring", "toy", overrides=SETTINGS, out=folder, progress=Doing(5, act))
    assert [path.name for path in folder.rglob("*")] == (["mine.txt"] if what == "replaced" else [])
    assert folder.exists() is (what == "replaced")
    if what == "renamed":
        begun(tmp_path / "straight", 8)
        resumed(away, 8)
        assert equal(weights(away), weights(tmp_path / "straight"))


def test_the_status_follows_the_checkpoints(tmp_path: Path) -> None:
    """What a kill leaves is the step of the newest checkpoint, not 0."""
    seen = []

    def look() -> None:
        status = RunFolder(tmp_path / "run").read("status.json")
        seen.append((status["state"], status["step"]))

    with pytest.raises(KeyboardInterrupt):
        api.train(
            "ring", "toy", overrides=SETTINGS, out=tmp_path / "run", progress=Doing(7, lambda: (look(), interrupt()))
        )
    assert seen == [("running", 6)]


def interrupt() -> None:
    """An end that saves nothing, as a kill does."""
    raise KeyboardInterrupt


def test_lost_checkpoints_are_no_new_beginning(tmp_path: Path) -> None:
    folder = RunFolder(begun(tmp_path / "run", 4).path)
    shutil.rmtree(folder.checkpoints)
    log = folder.log_file.read_bytes()
    with pytest.raises(UserError, match=r"its checkpoints are gone: resuming would begin at step 0 again\. Restore "):
        resumed(folder.root, 6)
    with pytest.raises(UserError, match="its checkpoints are gone"):
        api.load(folder.root).evaluate()
    assert folder.log_file.read_bytes() == log
    assert api.load(folder.root).sample(2).shape == (2, 2)


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    settings = SETTINGS | {"cadence.checkpoint": 30}
    with pytest.raises(KeyboardInterrupt):
        api.train("ring", "toy", overrides=settings, out=tmp_path / "run", progress=Doing(7, interrupt))
    assert not checkpoints(tmp_path / "run" / "checkpoints")
    messages = resumed(tmp_path / "run", 5)
    begun(tmp_path / "straight", 5, **{"cadence.checkpoint": 30})
    assert any("going on at step 0 of 40" in text for text in messages)
    assert equal(weights(tmp_path / "run"), weights(tmp_path / "straight"))


@pytest.mark.parametrize(
    ("keep", "message"),
    [(None, "has nothing of the 6"), (0, "has nothing of the 6"), (5, "only steps 1 to 3 of the 6")],
)
def test_a_lost_log_is_told(keep: int | None, message: str, tmp_path: Path) -> None:
    folder = RunFolder(begun(tmp_path / "run", 6).path)
    assert not any("tells" in text for text in resumed(folder.root, 6 + 1))
    shutil.rmtree(folder.checkpoints / "step-00000007")
    lines = folder.log_file.read_bytes().splitlines(keepends=True)
    folder.log_file.unlink() if keep is None else folder.log_file.write_bytes(b"".join(lines[:keep]))
    assert sum(message in text for text in resumed(folder.root, 8)) == 1
