"""The ordinary game: who moves, what each side sees, which fakes, which noise, which conditions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_games import (
    CLASSES,
    FEATURES,
    LATENT,
    SGD,
    Conditional,
    Rows,
    copied,
    critic,
    duel,
    generator,
    match,
    noise,
    play,
    same,
)
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from zerosum.engine import losses
from zerosum.engine.duel import Duel, UpdateRules
from zerosum.engine.game import Batch, DiscriminatorOutput, MicroBatch
from zerosum.engine.loop import TrainingLoop
from zerosum.engine.optimizers import OptimizerConfig
from zerosum.engine.seeds import Prior, SeededNoise


def turn(game: TrainingLoop, index: int) -> None:
    """Plays one turn of the current step."""
    turns = game.game.turns(game.step)
    game._run_turn(turns[index], game._micro_batches(index, turns[index], sum(t.reals for t in turns[:index])))


# --- who may learn


def test_only_the_mover_moves() -> None:
    """With BatchNorm and dropout in both: in G's turn nothing of D moves, buffers included, though G gets a gradient
    through D; and the other way round."""
    game = match(Duel(generator(norm=True, dropout=0.3), critic(norm=True, dropout=0.3), prior=LATENT))
    d, g = game.game.players["discriminator"], game.game.players["generator"]
    before_d, before_g = copied(d), copied(g)
    turn(game, 0)
    assert same(copied(g), before_g)
    assert not any(torch.equal(copied(d)[name], before_d[name]) for name in ("0.weight", "4.weight", "1.running_mean"))
    before_d = copied(d)
    turn(game, 1)
    assert same(copied(d), before_d)
    assert not any(torch.equal(copied(g)[name], before_g[name]) for name in ("0.weight", "4.weight", "1.running_mean"))
    assert game._results["generator"].gradient_norm > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in g.parameters() if p.dim() > 1)


def test_a_frozen_backbone_stays_frozen_and_flags_come_back() -> None:
    d = critic()
    d[0].requires_grad_(False)
    game, backbone = match(duel(d=d)), copied(d[0])
    play(game, 3)
    assert same(copied(d[0]), backbone)
    assert [p.requires_grad for p in d.parameters()] == [False, False, True, True]
    assert all(p.requires_grad for p in game.game.players["generator"].parameters())


def test_flags_come_back_after_an_error() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("broken")

    game = match(duel(g=nn.Sequential(generator(), Broken())))
    with pytest.raises(RuntimeError, match="broken"):
        turn(game, 0)
    assert all(p.requires_grad for player in game.game.players.values() for p in player.parameters())


def test_a_player_without_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'discriminator' has no parameter"):
        match(duel(d=critic().requires_grad_(False)))


# --- turns


def test_k_discriminator_steps() -> None:
    """k turns of D, then one of G; each D turn sees new reals and new noise, and a step draws k batches."""
    calls: list[str] = []
    g, d = generator(), critic()
    g.register_forward_hook(lambda *_: calls.append("g"))
    d.register_forward_hook(lambda *_: calls.append("d"))
    source = Rows(50)
    game = play(match(duel(g=g, d=d, rules=UpdateRules(discriminator_steps=3)), source), 2)
    assert calls == (["g", "d", "d"] * 3 + ["g", "d"]) * 2
    assert len(source.asked) == 6
    assert torch.cat(source.asked[:6]).unique().numel() == 48
    assert game.game.reals_per_step == 3


def test_simultaneous_takes_both_gradients_at_the_same_parameters() -> None:
    g, d, source = generator(), critic(), Rows()
    by_hand_g, by_hand_d = generator(), critic()
    game = match(duel(g=g, d=d, rules=UpdateRules(simultaneous=True)), source, default=OptimizerConfig("sgd", lr=0.1))
    play(game, 1)
    real, z = source.data[source.asked[0]], noise(0, 0)
    fake = by_hand_g(z)
    on_d = cross_entropy(by_hand_d(real), torch.ones(8, 1)) + cross_entropy(by_hand_d(fake.detach()), torch.zeros(8, 1))
    on_g = cross_entropy(by_hand_d(fake), torch.ones(8, 1))
    slopes_d = torch.autograd.grad(on_d, list(by_hand_d.parameters()))
    slopes_g = torch.autograd.grad(on_g, list(by_hand_g.parameters()))
    _assert_descended(d, by_hand_d, slopes_d)
    _assert_descended(g, by_hand_g, slopes_g)


def test_alternating_lets_the_generator_answer_the_new_discriminator() -> None:
    g, d, source = generator(), critic(), Rows()
    by_hand_g, by_hand_d = generator(), critic()
    play(match(duel(g=g, d=d), source, default=OptimizerConfig("sgd", lr=0.1)), 1)
    real, fake = source.data[source.asked[0]], by_hand_g(noise(0, 0)).detach()
    on_d = cross_entropy(by_hand_d(real), torch.ones(8, 1)) + cross_entropy(by_hand_d(fake), torch.zeros(8, 1))
    _assert_descended(d, by_hand_d, torch.autograd.grad(on_d, list(by_hand_d.parameters())))
    on_g = cross_entropy(d(by_hand_g(noise(0, 1))), torch.ones(8, 1))
    _assert_descended(g, by_hand_g, torch.autograd.grad(on_g, list(by_hand_g.parameters())))


def _assert_descended(after: nn.Module, before: nn.Module, slopes: Any) -> None:
    for new, old, slope in zip(after.parameters(), before.parameters(), slopes, strict=True):
        torch.testing.assert_close(new.detach(), (old - 0.1 * slope).detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"discriminator_steps": 0}, "discriminator_steps must be at least 1, got 0"),
        ({"simultaneous": True, "discriminator_steps": 2}, "set discriminator_steps = 1"),
        ({"fakes": "old"}, "fresh or previous, got 'old'"),
        ({"batches": "three"}, "two or one, got 'three'"),
        ({"clip_weights": -0.1}, "clip_weights must be more than 0, got -0.1"),
    ],
)
def test_rules_refuse(rules: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        UpdateRules(**rules)


# --- which fakes, how many batches


@pytest.mark.parametrize("micro", [1, 3])
def test_previous_fakes_are_exactly_those_of_the_last_generator_turn(micro: int) -> None:
    made: list[Tensor] = []
    judged: list[Tensor] = []
    g, d = generator(), critic()
    g.register_forward_hook(lambda _m, _i, out: made.append(out.detach()))
    d.register_forward_hook(lambda _m, i, _o: judged.append(i[0].detach()))
    game = match(duel(g=g, d=d, rules=UpdateRules(fakes="previous", discriminator_steps=2)), micro_batches=micro)
    play(game, 1)
    last = torch.cat(made[-micro:])
    made.clear()
    judged.clear()
    for index in range(2):
        turn(game, index)
        assert torch.equal(torch.cat(judged[1::2]), last)
        judged.clear()
    assert not made


def test_one_batch_and_two_are_equal_without_batch_statistics() -> None:
    ends = [
        play(match(duel(rules=UpdateRules(batches=kind))), 3).game.players["discriminator"] for kind in ("two", "one")
    ]
    for one, other in zip(*(end.parameters() for end in ends), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_one_batch_is_one_call() -> None:
    sizes: list[int] = []
    d = critic()
    d.register_forward_hook(lambda _m, i, _o: sizes.append(len(i[0])))
    play(match(duel(d=d, rules=UpdateRules(batches="one"), loss=losses.relativistic)), 1)
    assert sizes == [16, 16]


# --- conditions


def test_conditions_reach_both_players_with_their_rows() -> None:
    g, d, source = Conditional(LATENT, FEATURES), Conditional(FEATURES, 1), Rows(labelled=True)
    play(match(Duel(g, d, prior=LATENT, conditional=True), source), 1)
    first, second = (asked % CLASSES for asked in source.asked)
    assert [heard.tolist() for heard in g.heard] == [first.tolist(), second.tolist()]
    assert [heard.tolist() for heard in d.heard] == [first.tolist(), first.tolist(), second.tolist()]


def test_kept_fakes_keep_their_conditions() -> None:
    g, d, source = Conditional(LATENT, FEATURES), Conditional(FEATURES, 1), Rows(labelled=True)
    game = match(Duel(g, d, prior=LATENT, conditional=True, rules=UpdateRules(fakes="previous")), source)
    play(game, 2)
    reals = [(asked % CLASSES).tolist() for asked in source.asked]
    assert [heard.tolist() for heard in d.heard[3:5]] == [reals[2], reals[1]]


def test_unlabelled_data_give_no_condition() -> None:
    play(match(duel(conditional=True)), 1)  # plain networks: a second argument would be an error


# --- noise


def test_noise_differs_between_turns_steps_and_seeds() -> None:
    drawn = [noise(*place) for place in ((0, 0), (0, 1), (1, 0))] + [noise(0, 0, seed=1)]
    assert all(not torch.equal(drawn[i], drawn[j]) for i in range(4) for j in range(i))
    seen: list[Tensor] = []
    g = generator()
    g.register_forward_hook(lambda _m, i, _o: seen.append(i[0]))
    play(match(duel(g=g)), 2)
    assert all(
        torch.equal(z, noise(step, index))
        for z, (step, index) in zip(seen, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True)
    )


def test_priors() -> None:
    """Moments over 40,000 numbers: standard error of the mean 0.005 or less."""
    rng = SeededNoise(0, 0, 0, 0, 4000, 4000, torch.device("cpu"))
    normal, uniform = Prior(10).draw(rng), Prior(10, "uniform").draw(rng)
    cut = Prior(10, "truncated_normal", limit=1.5).draw(rng)
    assert all(z.shape == (4000, 10) and z.dtype == torch.float32 for z in (normal, uniform, cut))
    for z, deviation in ((normal, 1.0), (uniform, 3**-0.5), (cut, 0.7426)):  # 1 - 2 c phi(c) / (2 Phi(c) - 1) at 1.5
        assert z.mean().item() == pytest.approx(0, abs=0.02)
        assert z.std().item() == pytest.approx(deviation, abs=0.015)
    assert normal.abs().max() > 3.5
    assert 0.999 < uniform.abs().max() <= 1
    assert 1.499 < cut.abs().max() <= 1.5


@pytest.mark.parametrize("wrong", [{"size": 0}, {"size": 3, "kind": "gauss"}, {"size": 3, "limit": 0.0}])
def test_priors_refuse(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="prior"):
        Prior(**wrong)


# --- the rest


def test_augmentation_acts_on_what_the_discriminator_sees_and_passes_the_error() -> None:
    calls: list[tuple[str, float]] = []
    judged: list[Tensor] = []

    def negate(x: Tensor, rng: SeededNoise, purpose: str, strength: float) -> Tensor:
        calls.append((purpose, strength))
        return -strength * x

    d, source = critic(), Rows()
    d.register_forward_hook(lambda _m, i, _o: judged.append(i[0].detach()))
    game = play(match(duel(d=d, augment=negate, rules=UpdateRules(augment_strength=0.5)), source), 1)
    assert calls == [("augment real", 0.5), ("augment fake", 0.5), ("augment fake", 0.5)]
    assert torch.equal(judged[0], -0.5 * source.data[source.asked[0]])
    assert game._results["generator"].gradient_norm > 0


def test_observed_values() -> None:
    game = duel(d=_Fixed())
    share = MicroBatch(Rows().batch(torch.arange(4)), SeededNoise(0, 0, 0, 0, 4, 4, torch.device("cpu")), 0)
    assert game.log_values() == {}
    game.terms("discriminator", share)
    seen = {name: round(float(number), 6) for name, number in game.log_values().items()}
    d = round(torch.tensor(2.0).sigmoid().item(), 6)
    real, fake = torch.tensor([2.0]), torch.tensor([2.0])
    v = round(losses.value(real, fake).item(), 6)
    assert seen == {"D(x)": d, "D(G(z))": d, "accuracy/real": 1.0, "accuracy/fake": 0.0, "V": v}
    hinge = duel(d=_Fixed(), loss=losses.hinge)
    hinge.terms("discriminator", share)
    assert "V" not in hinge.log_values()


class _Fixed(nn.Module):
    """A critic of two heads whose mean logit is 2."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput((self.bias.expand(len(x)), 3 * self.bias.expand(len(x), 5)))


def test_bfloat16_step_keeps_weights_and_terms_in_float32() -> None:
    game = play(match(precision="bfloat16", default=SGD), 2)
    assert all(p.dtype == torch.float32 for network in game.game.players.values() for p in network.parameters())
    assert all(term.dtype == torch.float32 for outcome in game._results.values() for term in outcome.terms.values())


def test_replay_decides_what_the_discriminator_is_shown() -> None:
    """The discriminator's fakes are what `replay` gives; the generator's own are not touched."""
    shown: list[Tensor] = []

    def constant(fakes: Batch, share: MicroBatch) -> Batch:
        shown.append(fakes.data)
        return Batch(torch.full_like(fakes.data, 0.25), fakes.condition)

    g, d = generator(), critic()
    seen: list[Tensor] = []
    d.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach().clone()))
    match(Duel(g, d, prior=LATENT, replay=constant), batch=6).train_step()
    assert len(shown) == 1
    _, replayed, fresh = seen
    torch.testing.assert_close(replayed, torch.full_like(replayed, 0.25))
    assert not torch.equal(shown[0], replayed)
    assert not torch.equal(fresh, replayed)
