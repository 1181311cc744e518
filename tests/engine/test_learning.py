"""Optimizers, their schedules, and the average generator, each against a closed form or torch's own step."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from small_games import copied, duel, generator, match, play, same
from torch import nn

from zerosum.engine.optimizers import USES, OptimizerConfig, Schedule, WeightAverage, at
from zerosum.errors import UserError

TORCH = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.5, 0.9), eps=1e-6, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.5, 0.9), eps=1e-6, weight_decay=0.1),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.7, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.7, eps=1e-6, weight_decay=0.1),
}


def _descend(
    network: nn.Module, optimizer: torch.optim.Optimizer, learning: OptimizerConfig | None, steps: int = 4
) -> None:
    for step in range(steps):
        z = torch.randn(6, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        network(z).square().mean().backward()
        if learning:
            learning.schedule(optimizer, step)
        optimizer.step()


@pytest.mark.parametrize("kind", TORCH)
def test_each_kind_steps_as_torch_does(kind: Any) -> None:
    own = {"betas": (0.5, 0.9), "momentum": 0.7, "eps": 1e-6}
    learning = OptimizerConfig(kind, lr=0.01, weight_decay=0.1, **{name: own[name] for name in USES[kind]})
    ours, theirs = generator(), generator()
    _descend(ours, learning.build(ours.parameters()), learning)
    _descend(theirs, TORCH[kind](theirs.parameters()), None)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("adam", "momentum", 0.5),
        ("adamw", "momentum", 0.5),
        ("sgd", "betas", (0.5, 0.9)),
        ("sgd", "eps", 1e-6),
        ("rmsprop", "betas", (0.5, 0.9)),
    ],
)
def test_numbers_that_a_kind_has_no_use_for_are_refused(kind: Any, field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{field} has no use with kind = '{kind}'; it goes with"):
        OptimizerConfig(kind, **{field: value})


def test_momentum_schedule_by_hand() -> None:
    """v <- m_t v + g; w <- w - lr v, with momentum rising from 0.3 to 0.9 over three steps."""
    learning = OptimizerConfig("sgd", lr=0.1, momentum=Schedule(0.3, 0.9, "linear", over_steps=3))
    w = nn.Parameter(torch.tensor([1.0]))
    optimizer = learning.build([w])
    by_hand, velocity = 1.0, 0.0
    for step in range(6):
        (2 * w * w).sum().backward()
        learning.schedule(optimizer, step)
        optimizer.step()
        optimizer.zero_grad()
        velocity = (0.3 + 0.6 * min(1, step / 3)) * velocity + 4 * by_hand
        by_hand -= 0.1 * velocity
        assert w.item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("kind", ["sgd", "rmsprop"])
def test_momentum_may_begin_at_zero(kind: Any) -> None:
    """A momentum that starts at 0 makes no buffer in torch's first step; RMSprop then misses it."""
    learning = OptimizerConfig(kind, lr=0.01, momentum=Schedule(0.0, 0.9, "linear", over_steps=2))
    network = generator()
    _descend(network, learning.build(network.parameters()), learning)
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_betas_and_lr_are_scheduled_as_floats() -> None:
    learning = OptimizerConfig(lr=Schedule(1e-3, 0.0, "linear", 10), betas=(Schedule(0.9, 0.5, "linear", 4), 1))
    optimizer = OptimizerConfig(betas=(0, 0.99)).build([nn.Parameter(torch.zeros(1))])
    learning.schedule(optimizer, 2)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(8e-4)
    assert optimizer.param_groups[0]["betas"] == (0.7, 1.0)
    assert all(isinstance(beta, float) for beta in optimizer.param_groups[0]["betas"])


def test_each_player_has_its_own_learning() -> None:
    slow = OptimizerConfig("sgd", lr=0.0)
    game = match(learning={"generator": slow}, default=OptimizerConfig("sgd", lr=0.1))
    before = {name: copied(network) for name, network in game.game.players.items()}
    play(game, 2)
    moved = {name: not same(copied(network), before[name]) for name, network in game.game.players.items()}
    assert moved == {"generator": False, "discriminator": True}
    assert (game.values()["lr/generator"], game.values()["lr/discriminator"]) == (0.0, 0.1)


def test_the_loop_follows_the_schedule() -> None:
    """lr 0.1 in the first step and 0 from the second on."""
    game = match(default=OptimizerConfig("sgd", lr=Schedule(0.1, 0.0, "linear", over_steps=1)))
    start = copied(game.game.players["generator"])
    after_one = copied(play(game, 1).game.players["generator"])
    assert game.values()["lr/generator"] == 0.1
    assert not same(after_one, start)
    assert same(copied(play(game, 3).game.players["generator"]), after_one)
    assert game.values()["lr/generator"] == 0.0


def test_learning_refuses() -> None:
    with pytest.raises(ValueError, match="adam, adamw, sgd or rmsprop, got 'lion'"):
        OptimizerConfig("lion")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="clip_norm must be more than 0, got -1"):
        OptimizerConfig(clip_norm=-1.0)
    with pytest.raises(ValueError, match="clip_value must be more than 0, got 0"):
        OptimizerConfig(clip_value=0.0)
    with pytest.raises(UserError, match=r"learning: the game has no player 'generatr'. Did you mean 'generator'\?"):
        match(learning={"generatr": OptimizerConfig()})
    with pytest.raises(UserError, match="average: the game has no player 'critic'"):
        match(average="critic")


# --- schedules


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule(2.0), [2, 2, 2, 2, 2, 2]),
        (Schedule(1.0, 0.0, "linear", over_steps=4), [1, 0.75, 0.5, 0.25, 0, 0]),
        (Schedule(1.0, 0.0, "cosine", over_steps=4), [1, 0.5 + 8**-0.5, 0.5, 0.5 - 8**-0.5, 0, 0]),
        (Schedule(1.0, 16.0, "exponential", over_steps=4), [1, 2, 4, 8, 16, 16]),
        (Schedule(-1.0, -16.0, "exponential", over_steps=4), [-1, -2, -4, -8, -16, -16]),
        (Schedule(3.0, warmup_steps=3), [1, 2, 3, 3, 3, 3]),
        (Schedule(1.0, 0.0, "linear", over_steps=4, warmup_steps=2), [0.5, 0.75, 0.5, 0.25, 0, 0]),
    ],
)
def test_schedules(schedule: Schedule, expected: list[float]) -> None:
    assert [schedule(step) for step in range(6)] == pytest.approx(expected)
    assert at(schedule, 1) == schedule(1)
    assert at(0.3, 1) == 0.3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": 1.0, "end": 0.0, "shape": "step"}, "linear, cosine or exponential, got 'step'"),
        ({"start": 1.0, "shape": "linear"}, "linear schedule needs an end"),
        ({"start": 1.0, "end": 0.5}, "constant schedule has no end"),
        ({"start": 1.0, "end": 0.0, "shape": "linear", "over_steps": 0}, "over_steps must be >= 1"),
        ({"start": 1.0, "warmup_steps": -1}, "warmup_steps >= 0"),
        ({"start": 1.0, "end": 0.0, "shape": "exponential"}, "two values of one sign"),
        ({"start": 1.0, "end": -1.0, "shape": "exponential"}, "two values of one sign"),
    ],
)
def test_schedules_refuse(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Schedule(**options)


# --- the average


def test_average_has_its_half_life() -> None:
    """A weight that jumps from 0 to 1 is half way there after one half-life: 1 - 2^(-samples / half-life)."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = WeightAverage(network, ramp=None)
    nn.init.ones_(network.weight)
    found = []
    for step in range(1, 9):
        average.update(network, samples=10, seen=10 * step, half_life=40.0)
        found.append(next(average.network.parameters()).item())
    assert found == pytest.approx([1 - 2 ** (-step / 4) for step in range(1, 9)], rel=1e-5)


def test_ramp_bounds_the_half_life_of_a_young_average() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average, by_hand = WeightAverage(network, ramp=0.5), 0.0
    for step in range(1, 12):
        nn.init.constant_(network.weight, float(step))
        average.update(network, samples=10, seen=10 * step, half_life=30.0)
        decay = 0.5 ** (10 / min(30.0, 0.5 * 10 * step))
        by_hand = decay * by_hand + (1 - decay) * step
        assert next(average.network.parameters()).item() == pytest.approx(by_hand, rel=1e-5)


def test_average_copies_buffers_and_stays_in_float32_eval() -> None:
    network = generator(norm=True).bfloat16()
    average = WeightAverage(network, ramp=None)
    network[1].running_mean.fill_(3.0)
    network[1].num_batches_tracked.fill_(5)
    average.update(network, samples=1, seen=1, half_life=0.0)  # no half-life: a copy
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in average.network.parameters())
    assert not average.network.training
    torch.testing.assert_close(average.network[1].running_mean, torch.full((6,), 3.0))
    assert average.network[1].num_batches_tracked.item() == 5
    for mine, theirs in zip(average.network.parameters(), network.parameters(), strict=True):
        assert torch.equal(mine, theirs.float())
    network[0].weight.data.zero_()
    assert average.network[0].weight.abs().sum() > 0  # nothing is shared with the network


def test_loop_averages_every_second_step_with_a_scheduled_half_life() -> None:
    half_life = Schedule(20.0, 60.0, "linear", over_steps=4)
    game = match(duel(), half_life_samples=half_life, ramp=2.0, average_every=2)
    by_hand = game.game.players["generator"][0].weight.detach().clone()
    for event in game.run(4):
        if hasattr(event, "values") and event.step % 2 == 0:
            decay = 0.5 ** (16 / min(half_life(event.step - 1), 2.0 * 8 * event.step))
            by_hand = decay * by_hand + (1 - decay) * game.game.players["generator"][0].weight.detach()
    assert game.average is not None
    torch.testing.assert_close(game.average.network[0].weight, by_hand)
    assert not math.isclose(by_hand.norm().item(), game.game.players["generator"][0].weight.norm().item())
    assert match(average=None).average is None
