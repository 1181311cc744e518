"""Going back after a divergence: to where, with which rates, how often, and that a stop in between changes nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from zerosum.api import Run, resume, train
from zerosum.domains.toy import DOMAIN
from zerosum.engine.loop import NonFinite, TrainingLoop
from zerosum.errors import UserError
from zerosum.report import write_report
from zerosum.run_folder import RunFolder
from zerosum.store import latest_checkpoint, split
from zerosum.training import diagnostics
from zerosum.training.checkpointing import MOST_ROLLBACKS
from zerosum.training.diagnostics import GRADIENT_LEAST, GRADIENT_PATIENCE, GradientWatch, RunMonitor

TOY = DOMAIN.recipes.table["toy"]
TRAIN_STEP = TrainingLoop.train_step
SMALL: dict[str, Any] = {
    "steps": 12,
    "batch": 16,
    "threads": 1,
    "data.num": 600,
    "generator.width": 8,
    "discriminator.width": 8,
    "cadence.checkpoint": 3,
    "cadence.preview": 100,
    "cadence.log": 1,
    "on_nonfinite": "rollback",
}


def diverging(monkeypatch: pytest.MonkeyPatch, step: int, above: float) -> None:
    """The update of `step` meets a number that is not finite as long as the rate is larger than `above`."""

    def train_step(self: TrainingLoop, turns: Any = None, observer: Any = None) -> None:
        if self.step == step and self.rate > above:
            raise NonFinite("generator", "loss", step, {"loss": math.nan})
        TRAIN_STEP(self, turns, observer)

    monkeypatch.setattr(TrainingLoop, "train_step", train_step)


def state(folder: RunFolder) -> dict[str, Any]:
    found = latest_checkpoint(folder.checkpoints)
    assert found is not None
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    (tensors, plain), (others, others_plain) = split(one["match"]), split(other["match"])
    return plain == others_plain and all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


def status(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "status.json").read_text())
    return found


def test_it_goes_back_with_half_the_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the newest checkpoint, and to the one before when that one led to the same end."""
    diverging(monkeypatch, step=7, above=0.3)
    run = train(recipe=TOY, out=tmp_path / "run", overrides=SMALL)
    assert (status(tmp_path / "run")["state"], status(tmp_path / "run")["rollbacks"]) == ("finished", 2)
    events = [line for line in run.folder.lines() if line["kind"] == "rollback"][-1]["rollbacks"]
    assert [(event["failed_step"], event["to_step"], event["rate"]) for event in events] == [(8, 6, 0.5), (8, 3, 0.25)]
    assert events[0]["reason"].startswith("generator's loss is not finite in step 8")
    rates = {line["step"]: line["values"]["lr/generator"] for line in run.folder.lines() if line["kind"] == "train"}
    schedule = run.recipe.learning["generator"].lr
    assert callable(schedule)
    assert rates[3] == pytest.approx(schedule(2))
    assert rates[4] == pytest.approx(schedule(3) / 4)
    assert rates[12] == pytest.approx(schedule(11) / 4)
    assert {"rollbacks": 2, "rate": 0.25}.items() <= run.metrics[0]["protocol"].items()
    steps = [line["step"] for line in run.folder.lines() if line["kind"] == "train"]
    assert steps == sorted(set(steps))  # what was played in vain is not in the log


def test_a_stop_before_or_after_a_rollback_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop leaves a checkpoint between those of the cadence; the rollback must not lead to it."""
    diverging(monkeypatch, step=7, above=0.6)
    straight = train(recipe=TOY, out=tmp_path / "straight", overrides=SMALL)
    for stop in (7, 8):
        out = tmp_path / f"stopped-{stop}"
        assert _stopped_at(stop, out, monkeypatch).stopped_by
        assert state(RunFolder(out))["match"]["step"] == stop
        resumed = resume(out)
        assert same(state(resumed.folder), state(straight.folder)), stop
        assert status(out)["rollbacks"] == 1
    assert state(straight.folder)["match"]["rate"] == 0.5


def _stopped_at(step: int, out: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that was asked to stop after `step` steps (counted when they are reached for good)."""
    import os
    import signal

    play = TrainingLoop.train_step

    def train_step(self: TrainingLoop, turns: Any = None, observer: Any = None) -> None:
        play(self, turns, observer)
        if self.step == step and (out / "run.json").exists():
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingLoop, "train_step", train_step)
        return train(recipe=TOY, out=out, overrides=SMALL)


def test_a_kill_after_a_rollback_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was decided lies on disk before the next step is played."""
    diverging(monkeypatch, step=7, above=0.3)
    straight = train(recipe=TOY, out=tmp_path / "straight", overrides=SMALL)
    play = TrainingLoop.train_step

    def killed(self: TrainingLoop, turns: Any = None, observer: Any = None) -> None:
        if self.rate == 0.25:
            raise SystemExit("killed")
        play(self, turns, observer)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingLoop, "train_step", killed)
        with pytest.raises(SystemExit):
            train(recipe=TOY, out=tmp_path / "killed", overrides=SMALL)
    kept = state(RunFolder(tmp_path / "killed"))
    assert (kept["match"]["step"], kept["match"]["rate"], len(kept["rollbacks"])) == (3, 0.25, 2)
    resumed = resume(tmp_path / "killed")
    assert same(state(resumed.folder), state(straight.folder))
    assert status(tmp_path / "killed")["rollbacks"] == status(tmp_path / "straight")["rollbacks"] == 2


def test_before_the_first_checkpoint_it_goes_back_to_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverging(monkeypatch, step=1, above=0.6)
    run = train(recipe=TOY, out=tmp_path / "run", overrides=SMALL)
    (event,) = [line for line in run.folder.lines() if line["kind"] == "rollback"]
    assert (event["step"], event["rollbacks"][0]["to_step"]) == (0, 0)
    halved = {player: {"lr": run.recipe.learning[player].lr} for player in ("generator", "discriminator")}
    for learning in halved.values():
        learning["lr"] = {**learning["lr"].__dict__, "start": 2e-3, "end": 2e-5}  # type: ignore[union-attr]
    slow = TOY.changed(learning={name: {**TOY.to_json()["learning"][name], **lr} for name, lr in halved.items()})
    diverging(monkeypatch, step=1, above=2.0)  # from here on never
    other = train(recipe=slow, out=tmp_path / "slow", overrides=SMALL)
    for name, tensor in state(run.folder)["match"]["networks"]["generator"].items():
        torch.testing.assert_close(tensor, state(other.folder)["match"]["networks"]["generator"][name])


def test_after_a_few_times_it_stops_with_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diverging(monkeypatch, step=4, above=0.0)
    with pytest.raises(UserError) as caught:
        train(recipe=TOY, out=tmp_path / "run", overrides=SMALL)
    said = str(caught.value)
    assert said.startswith("Training diverged: generator's loss is not finite in step 5")
    assert f"It went back {MOST_ROLLBACKS} times before:" in said
    for step, rate in ((3, "0.5"), (0, "0.25"), (3, "0.125"), (0, "0.0625")):
        assert f"step 5: back to step {step} with rates times {rate}\n" in said
    assert "--on-nonfinite" not in said
    assert said.endswith("step 3.")
    assert status(tmp_path / "run")["state"] == "failed"
    with pytest.raises(UserError, match="It went back 4 times"):  # the limit is not begun anew
        resume(tmp_path / "run")


def test_without_the_option_it_stops_at_once_and_offers_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diverging(monkeypatch, step=4, above=0.6)
    with pytest.raises(UserError, match="--on-nonfinite rollback") as caught:
        train(recipe=TOY, out=tmp_path / "run", overrides={**SMALL, "on_nonfinite": "raise"})
    assert "It went back" not in str(caught.value)


def test_a_game_that_really_diverges_is_brought_home(tmp_path: Path) -> None:
    """Least squares by plain gradient descent: at this rate each step overshoots more than the last, at half of it none does."""
    wild = TOY.changed(
        loss="least_squares",
        penalties={},
        learning={name: {"kind": "sgd", "lr": RATE} for name in ("generator", "discriminator")},
    )
    plain = {**SMALL, "steps": 60, "cadence.checkpoint": 10, "cadence.log": 10}
    with pytest.raises(UserError, match="diverged"):
        train(recipe=wild, out=tmp_path / "wild", overrides={**plain, "on_nonfinite": "raise"})
    run = train(recipe=wild, out=tmp_path / "tamed", overrides=plain)
    found = status(tmp_path / "tamed")
    assert found["state"] == "finished"
    assert found["rollbacks"] == 1
    assert torch.isfinite(run.sample(16)).all()
    page = write_report(tmp_path / "tamed").read_text(encoding="utf-8")
    assert "Went back" in page


RATE = 2.0


def test_the_checkpoints_of_the_cadence_are_spared(tmp_path: Path) -> None:
    """Two newer ones, by the clock or by stops, do not push it out."""
    from zerosum.formatting import NoProgress
    from zerosum.training.checkpointing import CheckpointManager

    folder = RunFolder(tmp_path)
    folder.create()
    saver = CheckpointManager(folder, NoProgress(), cadence=10)
    for step in (0, 10, 20, 22, 24, 27):
        saver.save(step, {"match": {"step": step}}, lambda: None)
    kept = sorted(int(path.name[5:]) for path in folder.checkpoints.iterdir())
    assert kept == [10, 20, 24, 27]
    found = [saver.newest_state(), saver.rollback_state(None), saver.rollback_state(10), saver.rollback_state(20)]
    assert [state["match"]["step"] for state in found if state] == [27, 20, 20, 10]


# --- a sign that comes before


def test_a_gradient_that_stays_far_above_its_median_is_warned_of() -> None:
    watch = GradientWatch()
    for number in range(GRADIENT_LEAST + GRADIENT_PATIENCE):
        watch.update({"generator/gradient_norm": 1.0 + 0.1 * (number % 3), "discriminator/gradient_norm": 2.0})
    assert watch.values()["gradient_excess/discriminator"] == pytest.approx(1.0)
    for _ in range(GRADIENT_PATIENCE - 1):
        watch.update({"generator/gradient_norm": 400.0, "discriminator/gradient_norm": 2.0})
    assert watch.values()["gradient_excess/generator"] < 2  # one calm line among the newest is enough
    watch.update({"generator/gradient_norm": 400.0, "discriminator/gradient_norm": None})
    excess = watch.values()["gradient_excess/generator"]
    assert excess == pytest.approx(400 / 1.1, rel=0.01)
    (finding,) = diagnostics.examine(watch.values())
    assert (finding.level, finding.title) == ("warning", "Growing gradients")
    assert "The generator's gradient stays 364 times above" in finding.sentence
    assert diagnostics.examine({"gradient_excess/generator": 19.0})[0].level == "none"
    assert diagnostics.examine({"gradient_excess/generator": 21.0})[0].level == "warning"


def test_a_gradient_that_grows_slowly_is_warned_of() -> None:
    """By a twelfth from one line to the next: its running median follows, its beginning does not."""
    watch = GradientWatch()
    for number in range(80):
        watch.update({"discriminator/gradient_norm": 2 * 1.08**number, "generator/gradient_norm": 3.0})
    values = watch.values()
    assert values["gradient_excess/discriminator"] < 20
    assert values["gradient_growth/discriminator"] == pytest.approx(1.08**70, rel=0.01)
    assert values["gradient_growth/generator"] == 1
    (finding,) = diagnostics.examine(values)
    assert "what it was at the beginning" in finding.sentence


def test_a_resumed_run_remembers_its_gradients() -> None:
    lines = [
        {"kind": "train", "values": {"generator/gradient_norm": 1.0 if number < GRADIENT_LEAST + 1 else 500.0}}
        for number in range(GRADIENT_LEAST + 1 + GRADIENT_PATIENCE)
    ]
    straight, resumed = RunMonitor(100), RunMonitor(100)
    for line in lines:
        straight.update(line["values"])  # type: ignore[arg-type]
    resumed.restore(lines)
    titles = [[one.title for one in checkup.check(50, {})] for checkup in (straight, resumed)]
    assert titles == [["Growing gradients"], ["Growing gradients"]]
    assert len(resumed.new_messages(50, resumed.check(51, {}))) == 1
    assert resumed.new_messages(52, resumed.check(52, {})) == []
