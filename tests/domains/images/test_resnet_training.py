"""Residual pairs in play: resuming with spectral norm, what a turn may touch, the average, publishing, every penalty, classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import infos
from zerosum import recipe as recipes
from zerosum.domains.images import DOMAIN
from zerosum.engine.game import Batch
from zerosum.engine.loop import TrainingLoop
from zerosum.generation import sampler
from zerosum.planning import plan as plans
from zerosum.planning.plan import Plan
from zerosum.store import read_checkpoint, save_checkpoint, split

INFO = infos.of_images(8, rows=30, condition=infos.classes(3))
STEPS = 6


class Made:
    """30 generated images of three classes: flat ones, each class with a brightness of its own."""

    num_rows = 30

    def batch(self, indices: Tensor) -> Batch:
        labels = indices % 3
        grain = torch.randn(30, 1, 8, 8, generator=torch.Generator().manual_seed(1))[indices] * 0.1
        return Batch((labels.float() / 2 - 0.5).view(-1, 1, 1, 1) + grain, labels)


def match(kind: str = "sngan", *settings: str) -> TrainingLoop:
    recipe = recipes.override(
        DOMAIN.recipes.table[kind].changed(conditional=True, batch=8, steps=STEPS, device="cpu", precision="float32"),
        ["generator.width=4", "discriminator.width=4", "ema.half_life_samples=40", *settings],
    )
    plan = Plan(recipe, DOMAIN, Made(), INFO)
    return plans.training_loop(plan)


def play(game: TrainingLoop, steps: int) -> TrainingLoop:
    for _ in game.run(steps):
        pass
    return game


def tensors(state: Any) -> dict[str, Tensor]:
    return split(state)[0]


def equal(one: Any, other: Any) -> bool:
    a, b = tensors(one), tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


HARD = (
    "penalties.r1.weight=1",
    "penalties.r1.every=2",
    "micro_batches=2",
    "generator.attention=8",
    "generator.spectral=true",
)


@pytest.mark.parametrize("kind", ["sngan", "biggan-s"])
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_resuming_is_equal_to_the_last_bit(tmp_path: Path, kind: str, stop: int) -> None:
    straight = play(match(kind, *HARD), STEPS).state_dict()
    save_checkpoint(tmp_path, stop, play(match(kind, *HARD), stop).state_dict())
    again = match(kind, *HARD)
    torch.manual_seed(stop)
    again.load_state_dict(read_checkpoint(tmp_path / f"step-{stop:08d}"))
    assert equal(play(again, STEPS).state_dict(), straight)


def test_the_vectors_of_the_power_method_are_part_of_the_state() -> None:
    state = play(match("sngan"), 3).state_dict()
    names = [name for name in state["networks"]["discriminator"] if name.endswith(("0.u", "0.v"))]
    assert len(names) >= 10
    again = match("sngan")
    again.load_state_dict(state)
    for name in names:
        kept = state["networks"]["discriminator"][name]
        state["networks"]["discriminator"][name] = torch.nn.functional.normalize(torch.randn_like(kept), dim=0)
    other = match("sngan")
    other.load_state_dict(state)
    assert not equal(play(again, 4).state_dict(), play(other, 4).state_dict())


def test_a_turn_of_one_player_leaves_the_other_as_it_was() -> None:
    game = play(match("biggan-s", "generator.spectral=true"), 2)
    for mover, other in (("generator", "discriminator"), ("discriminator", "generator")):
        before = {key: value.clone() for key, value in game.game.players[other].state_dict().items()}
        mine = {key: value.clone() for key, value in game.game.players[mover].state_dict().items()}
        game.train_step([turn for turn in game.game.turns(game.step) if turn.players == (mover,)])
        assert all(torch.equal(value, before[key]) for key, value in game.game.players[other].state_dict().items())
        assert not all(torch.equal(value, mine[key]) for key, value in game.game.players[mover].state_dict().items())


def test_every_penalty_goes_through_spectral_norm_and_attention() -> None:
    names = ["r1", "r2", "gradient_penalty", "zero_centred", "dragan"]
    game = play(match("biggan-s", *(f"penalties.{name}.weight=0.1" for name in names)), 2)
    values = game.values()
    for name in names:
        assert values[f"discriminator/{name}"] > 0


def test_bfloat16_leaves_the_vectors_and_the_penalties_in_float32() -> None:
    hard = ("generator.spectral=true", "penalties.r1.weight=1", "penalties.r2.weight=1", "precision=bfloat16")
    game = play(match("biggan-s", *hard), 3)
    assert all(torch.isfinite(torch.tensor(number)) for number in game.values().values())
    for network in game.game.players.values():
        assert {t.dtype for t in network.state_dict().values() if t.is_floating_point()} == {torch.float32}


def test_a_published_generator_makes_the_same_images_for_any_batch(tmp_path: Path) -> None:
    game = play(match("biggan-s"), STEPS)
    assert game.average is not None
    recipe = DOMAIN.recipes.table["biggan-s"].changed(conditional=True)
    recipe = recipes.override(recipe, ["generator.width=4", "discriminator.width=4"])
    sampler.publish(tmp_path, game.average.network, recipe, INFO, STEPS)
    loaded, _, _ = sampler.load(tmp_path)
    ours = sampler.Sampler(game.average.network, recipe.prior, INFO, True)
    images = ours.sample(20, seed=3)
    assert torch.equal(loaded.sample(20, seed=3), images)
    torch.testing.assert_close(loaded.sample(20, seed=3, batch=7), images, rtol=1e-5, atol=1e-6)


def test_an_auxiliary_classifier_teaches_both_players() -> None:
    """AC-GAN on three flat classes: D learns to name them, G to be named as it was asked to."""
    game = match("sngan", "discriminator.condition=auxiliary", "penalties.classification.weight=2", "batch=24")
    play(game, 80)
    generator, discriminator = game.game.players["generator"].eval(), game.game.players["discriminator"].eval()
    real = Made().batch(torch.arange(30))
    with torch.no_grad():
        fakes = generator(torch.randn(30, 64, generator=torch.Generator().manual_seed(0)), real.condition)
        on_real, on_fake = (discriminator(x).outputs["classes"].argmax(1) == real.condition for x in (real.data, fakes))
    assert on_real.float().mean() > 0.95
    assert on_fake.float().mean() > 0.6  # a generator that hears nothing would be right in a third
    assert fakes[real.condition == 2].mean() - fakes[real.condition == 0].mean() > 0.4
