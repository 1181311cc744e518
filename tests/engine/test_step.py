"""A player's update: micro-batches, the guard against non-finite numbers, limits on the gradient."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from small_games import SGD, Rows, copied, critic, duel, generator, heads, match, play, same
from torch import Tensor, nn

from zerosum.engine import losses, penalties
from zerosum.engine.duel import Duel, UpdateRules
from zerosum.engine.loop import NonFinite, TrainingLoop
from zerosum.engine.optimizers import OptimizerConfig

PENALTIES = {**penalties.table(any_game=True), "none": None}


# --- micro-batches


@pytest.mark.parametrize("loss", losses.table())
@pytest.mark.parametrize("name", PENALTIES)
def test_micro_batches_play_the_same_game(loss: str, name: str) -> None:
    """Three uneven parts of a batch of 8 end where the whole batch ends, after steps with and without the penalty."""
    maker = PENALTIES[name]
    ends = []
    for micro in (1, 3):
        parts = [maker(0.5, every=2)] if maker else []
        game = match(duel(d=heads(), loss=losses.table()[loss], penalties=parts), micro_batches=micro)
        ends.append(play(game, 3))
    _assert_equal_play(*ends)


@pytest.mark.parametrize(
    "rules", [UpdateRules(batches="one"), UpdateRules(fakes="previous"), UpdateRules(simultaneous=True)]
)
def test_micro_batches_under_other_rules(rules: UpdateRules) -> None:
    ends = [
        play(match(duel(loss=losses.relativistic_average, rules=rules), micro_batches=micro), 3) for micro in (1, 2)
    ]
    _assert_equal_play(*ends)


def test_rehearsing_leaves_no_trace_in_running_statistics() -> None:
    """A loss that couples rows judges each share once more beforehand; BatchNorm must count two calls a share, not four."""
    d = critic(norm=True)
    play(match(duel(d=d, loss=losses.relativistic_average), micro_batches=2), 1)
    assert d[1].num_batches_tracked.item() == 4


def _assert_equal_play(one: TrainingLoop, other: TrainingLoop) -> None:
    for name in ("discriminator", "generator"):
        pairs = zip(one.game.players[name].parameters(), other.game.players[name].parameters(), strict=True)
        for left, right in pairs:
            torch.testing.assert_close(left, right, rtol=0, atol=2e-6)
        for term, value in one._results[name].values().items():
            torch.testing.assert_close(value, other._results[name].values()[term], rtol=1e-5, atol=2e-6)


# --- the guard


class Poison(nn.Module):
    """Passes rows on; when armed, its forward value, or only its gradient, is NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.armed = ""

    def forward(self, x: Tensor) -> Tensor:
        if self.armed == "value":
            return x * math.nan
        return x + (x - x.detach()).abs().sqrt() if self.armed == "gradient" else x  # 0 forward, 0 * inf backward


def poisoned(**settings: Any) -> tuple[TrainingLoop, Poison, Poison]:
    """A match whose players can be poisoned at their ends; both have BatchNorm before that."""
    in_g, in_d = Poison(), Poison()
    g, d = nn.Sequential(generator(norm=True), in_g), nn.Sequential(in_d, critic(norm=True))
    return match(Duel(g, d, prior=3, penalties=[penalties.r1(1.0)]), **settings), in_g, in_d


@pytest.mark.parametrize("where", ["value", "gradient"])
def test_guard_names_the_discriminator_before_its_update(where: str) -> None:
    game, _, in_d = poisoned()
    play(game, 2)
    before = game.state_dict()
    kept = {name: copied(network) for name, network in game.game.players.items()}
    in_d.armed = where
    with pytest.raises(NonFinite) as caught:
        play(game, 5)
    error = caught.value
    term = "loss" if where == "value" else "r1"  # R1 looks at D's gradient for its input
    assert (error.player, error.term, error.step) == ("discriminator", term, 2)
    assert f"discriminator's {term} is not finite in step 3 (" in str(error)
    assert not math.isfinite(error.values[term])
    assert all(same(copied(network), kept[name]) for name, network in game.game.players.items())
    assert game.step == before["step"] == 2


@pytest.mark.parametrize("where", ["value", "gradient"])
def test_guard_names_the_generator(where: str) -> None:
    game, in_g, _ = poisoned()
    play(game, 1)
    kept = copied(game.game.players["generator"])
    hook = in_g.register_forward_pre_hook(
        lambda module, _: setattr(module, "armed", where if torch.is_grad_enabled() else "")
    )
    with pytest.raises(NonFinite) as caught:  # D's turn makes its fakes without a graph, so only G's turn is poisoned
        play(game, 5)
    hook.remove()
    assert (caught.value.player, caught.value.term) == ("generator", "loss" if where == "value" else "gradient")
    assert caught.value.step == 1
    assert same(copied(game.game.players["generator"]), kept)


def test_skip_leaves_the_update_out_and_counts_it() -> None:
    """Neither weights nor running statistics nor the optimizer of the player at fault move; the other side plays on."""
    game, _, in_d = poisoned(on_nonfinite="skip")
    play(game, 2)
    d, g = game.players["discriminator"], game.players["generator"]
    kept, kept_g = copied(d.network), copied(g.network)
    momentum = [state["momentum_buffer"].clone() for state in d.optimizer.state.values()]
    in_d.armed = "gradient"
    play(game, 3)
    assert same(copied(d.network), kept)
    assert all(torch.equal(a, b["momentum_buffer"]) for a, b in zip(momentum, d.optimizer.state.values(), strict=True))
    assert game.step == 3
    assert game.skipped == 2  # D's penalty, and G's error that passes through D
    assert game.values()["skipped_updates"] == 2
    assert same(copied(g.network), kept_g)
    in_d.armed = ""
    play(game, 4)
    assert game.skipped == 2
    assert not same(copied(d.network), kept)


def test_simultaneous_guard_updates_neither() -> None:
    game, in_g, _ = poisoned()
    game.game.rules = UpdateRules(simultaneous=True)
    in_g.register_forward_pre_hook(
        lambda module, _: setattr(module, "armed", "value" if torch.is_grad_enabled() else "")
    )
    kept = copied(game.game.players["discriminator"])
    with pytest.raises(NonFinite, match="generator's loss"):
        play(game, 1)
    assert same(copied(game.game.players["discriminator"]), kept)


# --- limits


def _gradients(network: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def test_clip_by_value_clamps_entries_and_tells_their_share() -> None:
    free = play(match(), 1)
    raw = _gradients(free.game.players["discriminator"])
    c = raw.abs().median().item() * 1.01
    game = play(match(learning={"discriminator": OptimizerConfig("sgd", lr=0.05, momentum=0.5, clip_value=c)}), 1)
    torch.testing.assert_close(_gradients(game.game.players["discriminator"]), raw.clamp(-c, c))
    share = (raw.abs() > c).float().mean().item()
    assert 0.3 < share < 0.6
    assert game.values()["discriminator/clipped"] == pytest.approx(share)
    assert game.values()["discriminator/gradient_norm"] == pytest.approx(raw.norm().item())  # before the limit
    assert "generator/clipped" not in game.values()


@pytest.mark.parametrize(("factor", "clipped"), [(0.5, 1.0), (2.0, 0.0)])
def test_clip_by_norm_scales_the_whole_gradient(factor: float, clipped: float) -> None:
    raw = _gradients(play(match(), 1).game.players["discriminator"])
    limit = raw.norm().item() * factor
    game = play(match(learning={"discriminator": OptimizerConfig("sgd", lr=0.05, momentum=0.5, clip_norm=limit)}), 1)
    torch.testing.assert_close(_gradients(game.game.players["discriminator"]), raw * min(1.0, factor))
    assert game.values()["discriminator/clipped"] == clipped


def test_clip_by_value_then_norm() -> None:
    raw = _gradients(play(match(), 1).game.players["discriminator"])
    c = raw.abs().median().item()
    limit = raw.clamp(-c, c).norm().item() / 2
    learning = OptimizerConfig("sgd", lr=0.05, momentum=0.5, clip_value=c, clip_norm=limit)
    game = play(match(learning={"discriminator": learning}), 1)
    torch.testing.assert_close(_gradients(game.game.players["discriminator"]), raw.clamp(-c, c) / 2)
    assert game.values()["discriminator/clipped"] == 1.0


# --- the names of what is told


def test_values_by_name() -> None:
    game = match(duel(penalties=[penalties.r1(2.0, every=2), penalties.r2(1.0)]), Rows(), learning={"generator": SGD})
    seen = [event.values() for event in game.run(2) if hasattr(event, "values")]
    always = {"D(x)", "D(G(z))", "accuracy/real", "accuracy/fake", "V", "lr/discriminator", "lr/generator"}
    always |= {f"discriminator/{name}" for name in ("loss", "r2", "total", "gradient_norm")}
    always |= {"generator/loss", "generator/gradient_norm"}
    assert set(seen[0]) == always | {"discriminator/r1"}
    assert set(seen[1]) == set(seen[0])  # the lazy penalty keeps its newest value
    assert seen[1]["discriminator/r1"] == seen[0]["discriminator/r1"]
    first = seen[0]
    assert first["discriminator/total"] == pytest.approx(sum(first[f"discriminator/{n}"] for n in ("loss", "r1", "r2")))
    assert first["V"] == pytest.approx(-first["discriminator/loss"], rel=1e-5)
    assert first["lr/generator"] == 0.05
