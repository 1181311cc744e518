"""Stopping anywhere loses nothing: the state after an interruption is equal to the last bit, through files on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_games import Rows, critic, duel, generator, match, play, same

from zerosum.engine import losses, penalties
from zerosum.engine.duel import UpdateRules
from zerosum.engine.loop import TrainingLoop
from zerosum.engine.optimizers import USES, OptimizerConfig, Schedule
from zerosum.store import latest_checkpoint, read_checkpoint, save_checkpoint

STEPS = 12
PARTS = ("networks", "optimizers", "average", "game", "step")


def fresh(kind: Any = "adam") -> TrainingLoop:
    """A game with all that a state can hold: batch statistics, dropout, a lazy penalty, an average, kept fakes, schedules,
    and an epoch (30 rows) that ends in the middle of a batch."""
    own = {"betas": (0.5, 0.9), "momentum": 0.5, "eps": 1e-8}
    lr = Schedule(0.02, 0.001, "cosine", STEPS)
    learning = OptimizerConfig(kind, lr=lr, **{name: own[name] for name in USES[kind]})
    game = duel(
        g=generator(norm=True),
        d=critic(dropout=0.3),
        loss=losses.relativistic_average,
        penalties=[penalties.r1(0.5, every=4), penalties.r2(0.5, every=3)],
        rules=UpdateRules(fakes="previous"),
    )
    return match(game, Rows(30), default=learning, micro_batches=2, half_life_samples=40.0)


@pytest.fixture(scope="module")
def straight() -> dict[str, Any]:
    """The state of a run that was never stopped."""
    return play(fresh(), STEPS).state_dict()


def stop_and_go(folder: Path, game: TrainingLoop, stop: int) -> TrainingLoop:
    """Plays on to `stop`, saves, and comes back as another object that knows only the files."""
    save_checkpoint(folder, stop, play(game, stop).state_dict())
    again = fresh()
    torch.manual_seed(stop)  # whatever else drew random numbers in between
    torch.randn(17)
    again.load_state_dict(read_checkpoint(folder / f"step-{stop:08d}"))
    return again


@pytest.mark.parametrize("stops", [(1,), (5,), (6,), (11,), (12,), (1, 2, 3), (4, 5, 11)])
def test_resuming_is_equal_to_the_last_bit(tmp_path: Path, straight: dict[str, Any], stops: tuple[int, ...]) -> None:
    game = fresh()
    for stop in stops:
        game = stop_and_go(tmp_path, game, stop)
    assert same(play(game, STEPS).state_dict(), straight)


def test_two_runs_are_equal_and_another_seed_is_not(straight: dict[str, Any]) -> None:
    assert same(play(fresh(), STEPS).state_dict(), straight)
    other = fresh()
    other.settings = type(other.settings)(**{**vars(other.settings), "seed": 1})
    assert not same(play(other, STEPS).state_dict(), straight)


@pytest.mark.parametrize("kind", ["adamw", "sgd", "rmsprop"])
def test_every_optimizer_resumes(tmp_path: Path, kind: Any) -> None:
    whole = play(fresh(kind), 6).state_dict()
    save_checkpoint(tmp_path, 3, play(fresh(kind), 3).state_dict())
    again = fresh(kind)
    again.load_state_dict(latest_checkpoint(tmp_path) or {})
    assert same(play(again, 6).state_dict(), whole)


@pytest.mark.parametrize("part", PARTS)
def test_no_part_of_the_state_can_be_left_out(tmp_path: Path, straight: dict[str, Any], part: str) -> None:
    """With the part as it was before the first step the run ends elsewhere: each of them is needed."""
    path = save_checkpoint(tmp_path, 6, play(fresh(), 6).state_dict())
    state = read_checkpoint(path)
    assert set(state) == {*PARTS, "skipped", "rate", "terms"}
    again = fresh()
    again.load_state_dict(state | {part: fresh().state_dict()[part]})
    assert not same(play(again, STEPS).state_dict(), straight)


def test_weights_of_another_architecture_are_refused() -> None:
    state = play(fresh(), 1).state_dict()
    other = match(duel(g=generator(norm=False), d=critic()))
    with pytest.raises(RuntimeError, match="Unexpected key"):
        other.load_state_dict(state)


def test_the_average_resumes_with_the_rest(straight: dict[str, Any]) -> None:
    assert straight["average"].keys() == straight["networks"]["generator"].keys()
    assert not same(straight["average"]["0.weight"], straight["networks"]["generator"]["0.weight"])
    assert straight["step"] == STEPS
    assert straight["game"]["rows.fakes"].shape == (8, 4)
