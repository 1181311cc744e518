"""The game under control: what was played can be replayed and come back to, equal to the last bit."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from typing import Any

import pytest
import torch

from zerosum.engine.game import DISCRIMINATOR, GENERATOR
from zerosum.errors import UserError
from zerosum.lab.game_log import GameLog, read_log
from zerosum.lab.lab_game import LabGame, Snapshots, game_of
from zerosum.lab.settings import LabSettings, limits, parse

SMALL = {"source": "ring", "g_width": 12, "d_width": 12, "batch": 32}
GAMES = [
    SMALL,
    SMALL | {"loss": "relativistic_average", "penalty": "r1+r2", "k": 2, "optimizer": "sgd", "momentum": 0.5},
    SMALL | {"source": "mixture", "simultaneous": True, "optimizer": "rmsprop", "momentum": 0.3, "lr_g": 1e-4},
    {"mode": "dirac", "penalty": "r1"},
]


def same(one: Any, other: Any) -> bool:
    """Whether two nests of mappings, lists and tensors are equal, tensors to the last bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other))
    return bool(one == other)


def state(lab: LabGame) -> dict[str, Any]:
    """All that the future of a game depends on, copied."""
    kept = lab.loop.state_dict()
    return {"step": kept["step"], "tensors": _copied(kept)}


def _copied(nest: Any) -> Any:
    if isinstance(nest, torch.Tensor):
        return nest.clone()
    if isinstance(nest, dict):
        return {key: _copied(value) for key, value in nest.items()}
    return [_copied(value) for value in nest] if isinstance(nest, list | tuple) else nest


MOVES, CHANGED = 44, (6, 14, 31)


def scripted(settings: dict[str, Any], upto: int = MOVES) -> tuple[LabGame, dict[int, dict[str, Any]]]:
    """A game with whole steps, lone moves and changes, and its state after every move (before what is changed there)."""
    lab = LabGame(parse(settings))
    states = {0: state(lab)}
    while lab.step < upto:
        if lab.step in CHANGED:
            lab.change("lr_g", 2e-3 / (1 + lab.step))
        if lab.step == 14:
            lab.change("weight", 0.5)
            if not lab.settings.simultaneous:
                lab.change("k", 3)
        kind = "discriminator" if 9 <= lab.step < 12 else "generator" if lab.step in (12, 33) else "step"
        assert lab.move(kind)
        states[lab.step] = state(lab)
    return lab, states


@pytest.mark.parametrize(
    "settings", GAMES, ids=lambda settings: settings.get("loss") or settings.get("mode") or settings["source"]
)
def test_a_log_replays_and_any_step_can_be_come_back_to_bit_for_bit(settings: dict[str, Any]) -> None:
    lab, states = scripted(settings)
    plain = json.loads(json.dumps(lab.log.to_json()))  # as it is saved and sent
    assert same(state(LabGame.replay(plain)), states[MOVES])
    for step in (33, 3, 43, 13, 0, MOVES):
        lab.rewind(step)
        assert lab.step == step
        assert same(state(lab), states[step]), step
    assert lab.last == MOVES
    assert lab.log.to_json() == plain


def test_states_of_the_test_differ_from_step_to_step() -> None:
    """Else the equalities above would show nothing."""
    _, states = scripted(SMALL)
    networks = [states[step]["tensors"]["networks"] for step in range(MOVES + 1)]
    assert not any(same(one, other) for one, other in itertools.pairwise(networks))
    _, other = scripted(SMALL | {"seed": 1}, upto=1)
    assert not same(other[1]["tensors"]["networks"], states[1]["tensors"]["networks"])


def test_changes_hold_from_their_step_on() -> None:
    lab, _ = scripted(SMALL, 20)
    lab.rewind(6)
    assert lab.settings.lr_g == 2e-3 / 7
    lab.rewind(5)
    assert lab.settings.lr_g == lab.loop.players["generator"].learning.lr == parse(SMALL).lr_g
    lab.rewind(14)
    assert (lab.settings.k, lab.settings.weight) == (3, 0.5)
    assert lab.loop.game.penalties[0].weight == 0.5  # type: ignore[attr-defined]
    assert len(lab.loop.game.turns(14)) == 4
    assert lab.loop.game.reals_per_step == 3


def test_going_on_from_an_earlier_step_forgets_the_later_ones() -> None:
    lab, states = scripted(SMALL)
    lab.rewind(35)
    assert lab.last == MOVES
    lab.move()
    assert (lab.step, lab.last, lab.timeline) == (36, 36, 1)
    assert same(state(lab), states[36])  # the same move as before
    lab.rewind(12)
    lab.change("lr_d", 0.01)
    assert lab.last == 12
    lab.move()
    assert not same(state(lab)["tensors"]["networks"], states[13]["tensors"]["networks"])
    with pytest.raises(UserError, match="steps 0 to 13 were made"):
        lab.rewind(14)
    assert same(state(LabGame.replay(lab.log.to_json())), state(lab))


def test_lone_moves_move_one_player_only() -> None:
    lab = LabGame(parse(SMALL))
    lab.move()
    for mover, other in ((DISCRIMINATOR, GENERATOR), (GENERATOR, DISCRIMINATOR)):
        before = _copied(lab.loop.state_dict()["networks"])
        lab.move(mover)
        after = lab.loop.state_dict()["networks"]
        assert same(after[other], before[other])
        assert not same(after[mover], before[mover])
    with pytest.raises(UserError, match="no move 'both'"):
        lab.move("both")


def test_turns_follow_the_usual_order() -> None:
    lab = LabGame(parse(SMALL | {"k": 2}))
    order = []
    for _ in range(7):
        order.append(lab.next_turn())
        lab.move(order[-1])
    assert order == ["discriminator", "discriminator", "generator"] * 2 + ["discriminator"]
    assert LabGame(parse(SMALL | {"simultaneous": True})).next_turn() == "step"


def test_a_move_that_is_not_finite_is_not_made() -> None:
    """A generator that is as far out as numbers go: the game says what happened and stands where it stood."""
    lab = LabGame(
        parse(SMALL | {"loss": "wasserstein", "optimizer": "sgd", "lr_g": 1.0, "lr_d": 1.0, "penalty": "none"})
    )
    while lab.step < 200 and lab.move():
        pass
    step = lab.step
    assert lab.error is not None
    assert "is not finite in step" in lab.error
    assert "lower the learning rates" in lab.error
    assert step == lab.last < 200
    kept = state(lab)
    assert not lab.move()
    assert lab.step == step
    assert same(state(lab), kept)
    assert same(state(LabGame.replay(lab.log.to_json())), kept)
    lab.rewind(0)
    assert lab.error is None
    assert lab.move("discriminator")


def test_a_step_that_breaks_half_way_is_taken_back_whole() -> None:
    """D has moved when G's loss turns out not to be finite; the game stands where it stood before D moved."""
    lab = LabGame(parse(SMALL))
    for _ in range(3):
        lab.move()
    kept = state(lab)
    game = game_of(lab.loop)
    game.loss = dataclasses.replace(game.loss, generator=lambda real, fake: fake * math.nan)
    assert not lab.move()
    assert "generator's loss is not finite in step 4" in (lab.error or "").lower()
    assert same(state(lab), kept)


# --- snapshots


def test_snapshots_are_few_near_and_not_touched_by_the_game() -> None:
    kept = Snapshots(every=5, dense=4)
    live = {"a": torch.zeros(2)}
    for step in range(0, 5001, 5):
        live["a"].fill_(step)
        kept.keep(step, live)
    assert 4 <= len(kept.steps) < 60
    assert kept.steps[0] == 0
    for step in (1, 7, 1234, 2500, 4000, 4990, 4999, 5000):
        base = kept.before(step)
        age = 5000 - step
        assert 0 < step - base <= max(5, age / 2), (step, base)  # a quarter of the age, rounded up to the next spacing
    assert kept.before(0) == 0
    torch.testing.assert_close(kept.state(5000)["a"], torch.full((2,), 5000.0))
    kept.state(5000)["a"].zero_()
    assert float(kept.state(5000)["a"][0]) == 5000.0
    kept.truncate(100)
    assert max(kept.steps) <= 100


# --- settings and logs as a stranger gives them


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"loss": "hing"}, "loss = 'hing': there is no such choice. Did you mean 'hinge'"),
        ({"source": "rings"}, "Did you mean 'ring'"),
        ({"lr": 1}, "There is no setting 'lr'. Did you mean 'lr_g' or 'lr_d'?"),
        ({"lr_g": 3}, "lr_g = 3: input should be less than or equal to 1"),
        ({"lr_g": "fast"}, "lr_g = 'fast': input should be a valid number"),
        ({"weight": "nan"}, "weight = 'nan': input should be a finite number"),
        ({"k": 2, "simultaneous": "true"}, "set k to 1"),
        ({"source": "drawn"}, 'needs points, as in points="-1;0.5;1"'),
        ({"source": "drawn", "points": "1,2;3"}, "the same number of coordinates"),
        ({"source": "drawn", "points": "1;x"}, "points are numbers"),
        ({"source": "drawn", "points": ";".join(["0"] * 401)}, "there are 401 points; 400 is the most"),
        ({"penalty": "r3"}, "penalty = 'r3'"),
        ({"mode": "gan"}, "mode = 'gan'"),
    ],
)
def test_settings_that_cannot_be_are_named(plain: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(plain)
    assert said in str(caught.value)


def test_settings_come_from_an_address_as_text() -> None:
    found = parse(
        {"source": "drawn", "points": "0;1.5", "k": "3", "simultaneous": "false", "lr_g": "1e-4", "penalty": "r1+r2"}
    )
    assert (found.k, found.simultaneous, found.lr_g, found.latent) == (3, False, 1e-4, 1)
    assert found.penalty_names == ("r1", "r2")
    assert parse({"source": "ring"}).latent == 2
    assert parse(found.model_dump()) == found
    assert set(limits()) == {
        name
        for name, field in LabSettings.model_fields.items()
        if field.annotation in (int, float) and name != "simultaneous"
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": None}, "A log is a JSON object"),
        ({"moves": [["jump", 2]]}, "there is no kind 'jump'"),
        ({"moves": [["step", -1]]}, "a kind and a number"),
        ({"moves": [["step", 10**9]]}, "more than 10,000,000"),
        ({"moves": "step"}, "moves of a log is a list"),
        ({"changes": [{"step": 99, "name": "k", "value": 2}]}, "step = 99 is not within the log's 5 moves"),
        ({"changes": [{"step": 1, "name": "batch", "value": 2}]}, "batch cannot be changed"),
        ({"changes": [{"step": 1, "name": "lr_g", "value": "x"}]}, "lr_g = 'x'"),
        ({"changes": [4]}, "changes: 4 is not a change"),
    ],
)
def test_logs_that_cannot_be_played_are_named(change: dict[str, Any], said: str) -> None:
    plain = {"settings": SMALL, "moves": [["step", 5]], "changes": []} | change
    with pytest.raises(UserError) as caught:
        read_log(plain)
    assert said in str(caught.value)


def test_a_log_is_cut_in_the_middle_of_a_run() -> None:
    log = GameLog(parse(SMALL))
    log.add("step", 5)
    log.add("step", 2)
    log.add("generator")
    log.change(6, "k", 2)
    log.change(7, "k", 4)
    assert log.to_json()["moves"] == [["step", 7], ["generator", 1]]
    log.truncate(6)
    assert (log.length, list(log.moves(4, 9))) == (6, ["step", "step"])
    assert log.settings_at(6).k == 2
    assert log.to_json()["changes"] == [{"step": 6, "name": "k", "value": 2}]
    assert log.unchanged_since(6) == 6
    assert log.unchanged_since(5) == 0
