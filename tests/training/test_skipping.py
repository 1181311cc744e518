"""Updates that are left out: counted, told, and a run that no longer learns ends with an error."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zerosum.api import resume, train
from zerosum.domains.toy import DOMAIN
from zerosum.engine.loop import StepResult, TrainingLoop
from zerosum.errors import UserError
from zerosum.formatting import NoProgress
from zerosum.planning import trial_step
from zerosum.training.checkpointing import RECENT_UPDATES

TOY = DOMAIN.recipes.table["toy"]
SMALL: dict[str, Any] = {
    "steps": 60,
    "batch": 16,
    "threads": 1,
    "data.num": 600,
    "generator.width": 8,
    "discriminator.width": 8,
    "cadence.checkpoint": 20,
    "cadence.preview": 100,
    "on_nonfinite": "skip",
}


@pytest.fixture(autouse=True)
def _quick_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_step, "best_threads", lambda *given: trial_step.StepTime(1, 0.001, 0.001))


class Heard(NoProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def log(self, text: str) -> None:
        self.said.append(text)


def poison(monkeypatch: pytest.MonkeyPatch, hit: Callable[[str, int], bool]) -> None:
    """The gradient norm of these players in these steps is not a number."""
    import zerosum.engine.loop as loop

    real = loop.backward

    def backward(game: Any, player: Any, shares: Any, *rest: Any) -> StepResult:
        outcome = real(game, player, shares, *rest)
        if hit(player.name, shares[0].step):
            outcome.gradient_norm = outcome.gradient_norm * math.nan
        return outcome

    monkeypatch.setattr(loop, "backward", backward)


def status(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "status.json").read_text())
    return found


def test_a_run_of_nan_ends_with_an_error(tmp_path: Path) -> None:
    """Rates with which the first update of the discriminator is the last of all."""
    rates = {f"learning.{player}.lr": 1e30 for player in ("generator", "discriminator")}
    with pytest.raises(
        UserError, match=rf"Training diverged: {RECENT_UPDATES - 1} of the last {RECENT_UPDATES} updates of the disc"
    ) as caught:
        train(recipe=TOY, out=tmp_path / "run", overrides=SMALL | rates)
    assert f"the newest: generator's loss is not finite in step {RECENT_UPDATES}" in str(caught.value)
    found = status(tmp_path / "run")
    assert (found["state"], found["step"]) == ("failed", RECENT_UPDATES)
    assert found["skipped_updates"] == 2 * RECENT_UPDATES - 1
    assert "no longer learns" in found["message"]


def test_a_short_run_of_nan_too(tmp_path: Path) -> None:
    rates = {f"learning.{player}.lr": 1e30 for player in ("generator", "discriminator")}
    with pytest.raises(UserError, match=r"11 of the last 12 updates of the discriminator were left out"):
        train(recipe=TOY, out=tmp_path / "run", overrides=SMALL | rates | {"steps": 12})
    assert status(tmp_path / "run")["state"] == "failed"


def test_one_player_alone_that_no_longer_learns_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One update in ten is finite, too few; the other player learns all the time."""
    poison(monkeypatch, lambda player, step: player == "generator" and step % 10 != 9)
    with pytest.raises(UserError, match=r"45 of the last 50 updates of the generator were left out"):
        train(recipe=TOY, out=tmp_path / "run", overrides=SMALL)


def test_a_few_updates_left_out_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the warning, the status, the log, the report and the protocol; counted on after a resume."""
    poison(monkeypatch, lambda player, step: step % 20 == 3 or (player == "generator" and step == 8))
    heard = Heard()
    run = train(recipe=TOY, out=tmp_path / "run", overrides=SMALL, progress=heard)
    warning = next(said for said in heard.said if "left out" in said)
    assert warning.startswith(
        "Warning: 7 updates were left out in 60 steps, because a loss or gradient was not finite (discriminator 3, generator 4)."
    )
    found = status(tmp_path / "run")
    assert (found["state"], found["skipped_updates"]) == ("finished", 7)
    assert {record["protocol"]["skipped_updates"] for record in run.metrics} == {7}
    assert "7 updates skipped" in (tmp_path / "run" / "report.html").read_text()
    resume(tmp_path / "run", steps=80)
    assert status(tmp_path / "run")["skipped_updates"] == 9


def test_without_any_nothing_is_said(tmp_path: Path) -> None:
    heard = Heard()
    run = train(recipe=TOY, out=tmp_path / "run", overrides=SMALL, progress=heard)
    assert not any("left out" in said for said in heard.said)
    assert status(tmp_path / "run")["skipped_updates"] == 0
    assert "skipped_updates" not in run.metrics[0]["protocol"]
    assert "skipped</b>" not in (tmp_path / "run" / "report.html").read_text()


def test_a_match_counts_for_each_player(monkeypatch: pytest.MonkeyPatch) -> None:
    from domain_games import begun

    match: TrainingLoop = begun("toy", "on_nonfinite=skip")
    poison(monkeypatch, lambda player, step: player == "generator")
    match.train_step()
    match.train_step()
    assert match.skips == {"generator": 2, "discriminator": 0}
    again = begun("toy", "on_nonfinite=skip")
    again.load_state_dict(match.state_dict())
    assert again.skips == match.skips
    assert again.skipped == 2
