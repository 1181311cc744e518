"""The order of the data and all random numbers are pure functions of seed, step, turn and purpose."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from small_games import Rows, duel, match, play

from zerosum.engine.duel import UpdateRules
from zerosum.engine.loop import Boundary, Settings, Stepped, train
from zerosum.engine.seeds import SeededNoise, derive, rows_at

CPU = torch.device("cpu")


# --- order


@pytest.mark.parametrize(("num_rows", "count"), [(10, 4), (7, 7), (5, 8), (3, 11), (1, 2)])
def test_each_row_once_an_epoch_even_across_straddling_batches(num_rows: int, count: int) -> None:
    stream = torch.cat([rows_at(i * count, count, num_rows, seed=3) for i in range(num_rows * 2)])
    epochs = stream.view(-1, num_rows)
    assert len(epochs) == 2 * count
    assert all(epoch.sort().values.tolist() == list(range(num_rows)) for epoch in epochs)


def test_order_is_a_function_of_position_and_seed_alone() -> None:
    late = rows_at(95, 10, 20, seed=1).clone()
    torch.randperm(5)
    rows_at(0, 40, 20, seed=2)
    assert torch.equal(rows_at(95, 10, 20, seed=1), late)
    assert torch.equal(torch.cat([rows_at(95, 3, 20, seed=1), rows_at(98, 7, 20, seed=1)]), late)
    assert not torch.equal(rows_at(0, 20, 20, seed=1), rows_at(20, 20, 20, seed=1))
    assert not torch.equal(rows_at(0, 20, 20, seed=1), rows_at(0, 20, 20, seed=2))


@pytest.mark.parametrize("rules", [UpdateRules(), UpdateRules(discriminator_steps=3), UpdateRules(simultaneous=True)])
def test_turns_of_a_match_cover_each_epoch_exactly(rules: UpdateRules) -> None:
    source = Rows(12)
    play(match(duel(rules=rules), source, batch=4), 6)
    epochs = torch.cat(source.asked).view(-1, 12)
    assert all(epoch.sort().values.tolist() == list(range(12)) for epoch in epochs)
    assert len(source.asked) == 6 * rules.discriminator_steps


# --- draws

DRAWN: list[tuple[str, dict[str, Any]]] = [
    ("normal", {"shape": (3,)}),
    ("uniform", {"shape": (2, 2)}),
    ("truncated_normal", {"shape": (3,)}),
    ("integers", {"shape": (9, 2)}),
]


@pytest.mark.parametrize(("kind", "how"), DRAWN)
def test_rows_do_not_depend_on_how_the_batch_is_cut(kind: str, how: dict[str, Any]) -> None:
    def drawn(start: int, stop: int, purpose: str = "noise", **changed: int) -> torch.Tensor:
        place = {"seed": 5, "step": 2, "turn": 1} | changed
        return getattr(SeededNoise(**place, start=start, stop=stop, total=11, device=CPU), kind)(purpose, *how["shape"])

    whole = drawn(0, 11)
    for edges in ([0, 5, 11], [0, 1, 2, 9, 11]):
        assert torch.equal(torch.cat([drawn(a, b) for a, b in itertools.pairwise(edges)]), whole)
    others = [drawn(0, 11, "other"), drawn(0, 11, seed=6), drawn(0, 11, step=3), drawn(0, 11, turn=0)]
    assert all(not torch.equal(other, whole) for other in others)
    state = torch.random.get_rng_state()
    drawn(0, 11)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_integers_reach_every_value() -> None:
    drawn = SeededNoise(0, 0, 0, 0, 1000, 1000, CPU).integers("labels", 7)
    counts = torch.bincount(drawn, minlength=7)
    assert counts.min() > 100
    assert len(counts) == 7


def test_derive_is_stable_and_tells_its_parts_apart() -> None:
    """The first eight bytes of SHA-256, little-endian, halved; computed once with sha256sum."""
    assert derive() == int.from_bytes(bytes.fromhex("e3b0c44298fc1c14"), "little") >> 1
    assert derive(1, 23) != derive(12, 3)
    assert 0 <= derive("x") < 2**63


# --- the loop


def test_events_in_order() -> None:
    game = match()
    events = [(type(event), event.step, getattr(event, "last", None)) for event in game.run(2)]
    assert events == [
        (Boundary, 0, False),
        (Stepped, 1, None),
        (Boundary, 1, False),
        (Stepped, 2, None),
        (Boundary, 2, True),
    ]
    assert [(event.step, event.last) for event in game.run(2)] == [(2, True)]
    assert [event.samples for event in game.run(4) if isinstance(event, Stepped)] == [24, 32]


def test_leaving_the_loop_and_coming_back_changes_nothing() -> None:
    straight, halting = play(match(), 5), match()
    for event in halting.run(5):
        if isinstance(event, Stepped):
            break
    play(halting, 5)
    for one, other in zip(*(m.game.players["generator"].parameters() for m in (straight, halting)), strict=True):
        assert torch.equal(one, other)


def test_train_is_the_loop_for_games_of_your_own() -> None:
    game = duel()
    game.players["generator"].eval()
    steps = [event.step for event in train(game, Rows(), steps=2, batch=4, seed=1) if isinstance(event, Stepped)]
    assert steps == [1, 2]
    assert game.players["generator"].training
    with pytest.raises(TypeError, match="batchsize"):
        next(train(game, Rows(), steps=2, batchsize=4))


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"micro_batches": 0}, {"average_every": 0}])
def test_settings_refuse(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        Settings(**wrong)


def test_micro_batches_cannot_outnumber_rows() -> None:
    with pytest.raises(ValueError, match=r"micro_batches \(9\) cannot exceed batch \(8\)"):
        Settings(batch=8, micro_batches=9)
