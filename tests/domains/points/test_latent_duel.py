"""The game in phases: who learns when, what the second phase plays with, and that stopping or cutting changes nothing."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zerosum import recipe as recipes
from zerosum.domains.points import DOMAIN, networks
from zerosum.domains.points.distances import chamfer, chamfer_matrix
from zerosum.domains.points.game import LatentDuel
from zerosum.engine import Stepped, TrainingLoop, losses
from zerosum.errors import UserError
from zerosum.planning.plan import settings
from zerosum.recipe import Recipe, part
from zerosum.store import read_checkpoint, save_checkpoint

pytest.importorskip("trimesh")

SMALL = {
    "points-latent": [
        "generator.seen=8", "generator.code=6", "generator.encoder=[8]", "generator.decoder=[8]", "generator.widths=[8]",
        "generator.phase=0.5", "discriminator.widths=[8]",
    ],
    "points": ["generator.widths=[8]", "discriminator.widths=[8]", "discriminator.head=8"],
}  # fmt: skip
STEPS = 6


@functools.lru_cache
def opened(name: str) -> Any:
    return DOMAIN.data.open(part(name, num=20, points=16), False)


def small(name: str = "points-latent", *more: str, source: str = "chairs") -> Recipe:
    common = ["batch=8", f"steps={STEPS}", "prior.size=4"]
    recipe = recipes.override(DOMAIN.recipes.table[name], [*SMALL[name], *common, *more])
    return recipe.changed(conditional=bool(opened(source).class_names))


def match_of(recipe: Recipe, source: str = "chairs") -> TrainingLoop:
    game = DOMAIN.game.build(recipe, DOMAIN.info_of(opened(source)))
    DOMAIN.game.init_from_data(game, opened(source))
    for network in game.players.values():
        network.train()
    return TrainingLoop(game, opened(source), settings(recipe))


def play(match: TrainingLoop, steps: int) -> TrainingLoop:
    while match.step < steps:
        match.train_step()
    return match


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("source", ["chairs", "shapes"])
@pytest.mark.parametrize("name", sorted(DOMAIN.recipes.table))
def test_recipe_trains_at_smoke_size(name: str, source: str) -> None:
    recipe = small(name, source=source)
    assert recipe.why
    assert recipe.sources
    match = match_of(recipe, source)
    before = {key: [p.clone() for p in network.parameters()] for key, network in match.game.players.items()}
    values: dict[str, float] = {}
    for event in match.run(STEPS):
        if isinstance(event, Stepped):
            values = event.values()
    assert all(torch.isfinite(torch.tensor(number)) for number in values.values())
    assert {"discriminator/r1", "discriminator/r2", "generator/loss"} <= values.keys()
    for key, network in match.game.players.items():
        moved = [not torch.equal(p, old) for p, old in zip(network.parameters(), before[key], strict=True)]
        assert sum(moved) >= len(moved) // 2, key  # pairing reals with fakes cancels the slope of most biases


def changed(match: TrainingLoop, before: dict[str, Tensor]) -> set[str]:
    """The parts of the whole generator, and D, whose weights are other than before."""
    now = state(match)
    return {name.split(".")[0] for name in now if not torch.equal(now[name], before[name])}


def state(match: TrainingLoop) -> dict[str, Tensor]:
    found = {name: p.clone() for name, p in match.game.players["generator"].named_parameters()}
    return found | {f"D.{name}": p.clone() for name, p in match.game.players["discriminator"].named_parameters()}


def test_the_phases_move_their_own_parts_and_no_others() -> None:
    match = match_of(small())
    assert [len(match.game.turns(step)) for step in range(STEPS)] == [1, 1, 1, 2, 2, 2]
    begun = state(match)
    assert changed(play(match, 3), begun) == {"encoder", "decoder"}
    middle = state(match)
    assert changed(play(match, STEPS), middle) == {"codes", "D"}


def test_codes_of_the_training_shapes_are_standardised_and_the_decoder_knows_how() -> None:
    game = play(match_of(small()), STEPS).game
    assert isinstance(game, LatentDuel)
    codes = game._stored_codes().data
    assert codes.shape == (20, 6)
    torch.testing.assert_close(codes.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(codes.std(0, correction=0), torch.ones(6), atol=1e-4, rtol=0)
    whole, clouds = game.latent_generator, opened("chairs").data
    assert not torch.equal(whole.mean, torch.zeros(6))
    # A cloud that is rebuilt from its standardised code is the one rebuilt from its code.
    torch.testing.assert_close(whole.decode(whole.standardised(clouds)), whole.rebuild(whole.encode(clouds[:, :8])))


def test_the_kept_codes_are_made_anew_when_weights_are_loaded() -> None:
    first = play(match_of(small()), STEPS)
    other = play(match_of(small("points-latent", "seed=1")), STEPS)
    assert isinstance(other.game, LatentDuel)
    assert isinstance(first.game, LatentDuel)
    old = other.game._stored_codes().data
    other.load_state_dict(first.state_dict())
    assert not torch.equal(other.game._stored_codes().data, old)
    torch.testing.assert_close(other.game._stored_codes().data, first.game._stored_codes().data)


def test_kept_codes_do_not_outlive_the_auto_encoder_they_are_of() -> None:
    match = play(match_of(small()), STEPS)
    assert isinstance(match.game, LatentDuel)
    match.step = 0  # as a game does that is taken back
    match.train_step()
    assert match.game._codes is None


@pytest.mark.parametrize("source", ["chairs", "shapes"])
@pytest.mark.parametrize("stops", [(2,), (3,), (4,), (1, 3, 5)])
def test_resuming_is_equal_to_the_last_bit(tmp_path: Path, stops: tuple[int, ...], source: str) -> None:
    """Before, at, and after the change of phase, through files on disk."""
    straight = play(match_of(small(source=source), source), STEPS).state_dict()
    match = match_of(small(source=source), source)
    for stop in stops:
        path = save_checkpoint(tmp_path, stop, play(match, stop).state_dict())
        match = match_of(small(source=source), source)
        torch.manual_seed(stop)
        match.load_state_dict(read_checkpoint(path))
    assert same(play(match, STEPS).state_dict(), straight)


@pytest.mark.parametrize("loss", ["relativistic", "relativistic_average", "non_saturating"])
@pytest.mark.parametrize("name", sorted(DOMAIN.recipes.table))
def test_micro_batches_play_the_same_game(name: str, loss: str) -> None:
    """By gradient descent, whose steps are as close as the gradients (Adam's are the sign of noise where these vanish)."""
    assert loss in losses.table()
    sgd = [f'learning.{player}={{"kind":"sgd","lr":0.05}}' for player in ("generator", "discriminator")]
    one = play(match_of(small(name, f"loss={loss}", *sgd, source="shapes"), "shapes"), STEPS)
    two = play(match_of(small(name, f"loss={loss}", *sgd, "micro_batches=2", source="shapes"), "shapes"), STEPS)
    for player, network in one.game.players.items():
        for (key, a), b in zip(
            network.state_dict().items(), two.game.players[player].state_dict().values(), strict=True
        ):
            torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4, msg=lambda text, key=key: f"{key}: {text}")


def test_the_discriminator_judges_clouds_as_it_judges_their_codes() -> None:
    game = play(match_of(small()), STEPS).game
    assert isinstance(game, LatentDuel)
    clouds, judge = opened("chairs").data[:5], game.players["discriminator"]
    torch.testing.assert_close(judge(clouds), judge(game.latent_generator.standardised(clouds)))
    assert not any(name.startswith("encoder") for name, _ in judge.named_parameters())


def test_a_label_changes_the_shape_and_the_verdict() -> None:
    match = play(match_of(small(source="shapes"), "shapes"), STEPS)
    generator, judge = match.game.players["generator"], match.game.players["discriminator"]
    noise, labels = torch.randn(3, 4), torch.tensor([0, 1, 2])
    made = generator(noise, labels)
    assert made.shape == (3, 16, 3)
    assert not torch.equal(made, generator(noise, (labels + 1) % 4))
    assert not torch.equal(judge(made, labels), judge(made, (labels + 1) % 4))
    with pytest.raises(ValueError, match="conditional"):
        generator(noise)


def test_pointnet_takes_points_in_any_order_and_number() -> None:
    torch.manual_seed(0)
    judge = networks.PointDiscriminator(16, widths=(8, 8), head=8)
    clouds = torch.rand(4, 16, 3)
    mixed = clouds[:, torch.randperm(16)]
    torch.testing.assert_close(judge(clouds), judge(mixed))
    assert judge(torch.rand(4, 9, 3)).shape == (4,)


@torch.no_grad()
def rebuilding(match: TrainingLoop, clouds: Tensor) -> float:
    """The mean Chamfer distance between clouds and what is rebuilt of them."""
    game = match.game
    assert isinstance(game, LatentDuel)
    return float(chamfer(game.latent_generator.rebuild(game.latent_generator.encode(clouds)), clouds).mean())


def test_a_short_first_phase_rebuilds_better_than_one_shape_for_all() -> None:
    """100 steps bring the error below that of the best single answer: the code tells one chair from another."""
    recipe = small(
        "points-latent", "steps=200", "generator.encoder=[32]", "generator.decoder=[64]", "generator.code=32"
    )
    clouds = opened("chairs").data
    best = float(chamfer_matrix(clouds, clouds).mean(0).min())
    match = match_of(recipe)
    assert rebuilding(match, clouds) > best
    assert rebuilding(play(match, 100), clouds) < 0.85 * best


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('generator={"kind":"mlp"}', "`latent` can only be combined with `latent`"),
        ("generator.phase=1.5", "phase must lie in"),
        ("generator.width=3", "there is no option 'width'"),
        ("loss=best", "there is no 'best'"),
    ],
)
def test_what_does_not_go_together_is_refused(setting: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        match_of(small("points-latent", setting))
