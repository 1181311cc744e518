"""Every recipe plays, and every loss and penalty of the engine plays with them."""

from __future__ import annotations

import functools

import pytest
import torch

from zerosum import recipe as recipes
from zerosum.domains.toy import DOMAIN
from zerosum.engine import Stepped, TrainingLoop, losses, penalties
from zerosum.planning.plan import settings
from zerosum.recipe import Recipe, part

SMOKE = ["generator.width=8", "discriminator.width=8", "batch=16", "steps=5"]
LOSSES, PENALTIES = sorted(losses.table()), sorted(penalties.table(any_game=True))


@functools.lru_cache
def opened(name: str) -> object:
    return DOMAIN.data.open(part(name, num=400), False)


def played(recipe: Recipe, source: str) -> TrainingLoop:
    """The match after its steps; every number it tells is finite and both players have moved."""
    points = opened(source)
    match = TrainingLoop(DOMAIN.game.build(recipe, DOMAIN.info_of(points)), points, settings(recipe))  # type: ignore[arg-type]
    before = {key: [p.clone() for p in network.parameters()] for key, network in match.game.players.items()}
    values = {}
    for event in match.run(recipe.steps):
        if isinstance(event, Stepped):
            values = event.values()
    assert all(torch.isfinite(torch.tensor(number)) for number in values.values())
    for key, network in match.game.players.items():
        assert any(not torch.equal(p, old) for p, old in zip(network.parameters(), before[key], strict=True)), key
    return match


@pytest.mark.parametrize("source", ["ring", "normal"])
@pytest.mark.parametrize("name", sorted(DOMAIN.recipes.table))
def test_recipe_trains_at_smoke_size(name: str, source: str) -> None:
    recipe = DOMAIN.recipes.table[name]
    assert recipe.why
    assert recipe.sources
    assert played(recipes.override(recipe, SMOKE), source).step == 5


@pytest.mark.parametrize("source", ["ring", "normal"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_plays(loss: str, source: str) -> None:
    played(recipes.override(DOMAIN.recipes.table["toy"], [*SMOKE, f"loss={loss}"]), source)


@pytest.mark.parametrize("source", ["ring", "normal"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_every_penalty_plays(penalty: str, source: str) -> None:
    recipe = recipes.override(DOMAIN.recipes.table["toy"], [*SMOKE, "penalties={}", f"penalties.{penalty}.weight=0.5"])
    match = played(recipe, source)
    assert f"discriminator/{penalty}" in match.values()


@pytest.mark.parametrize("prior", ["normal", "uniform", "truncated_normal"])
def test_every_noise_plays(prior: str) -> None:
    played(recipes.override(DOMAIN.recipes.table["toy"], [*SMOKE, f"prior.kind={prior}", "prior.size=3"]), "ring")


def test_the_recipe_follows_the_dimension() -> None:
    for source, expected in (("normal", "toy-line"), ("grid", "toy")):
        assert DOMAIN.recipes.recommend(DOMAIN.info_of(opened(source)))[0] == expected


def test_a_short_game_already_moves_the_points_to_the_data() -> None:
    """800 steps, whose rate falls to its end with them, halve the distance from a start far off, and more."""
    source = opened("normal")
    recipe = recipes.override(
        DOMAIN.recipes.table["toy-line"], ["generator.width=16", "discriminator.width=16", "batch=64", "steps=800"]
    )
    match = played(recipe, "normal")
    z = torch.randn(4_000, 1, generator=torch.Generator().manual_seed(0))
    info = DOMAIN.info_of(source)
    begun = DOMAIN.game.build(recipe, info).players["generator"]
    assert match.average is not None
    with torch.no_grad():
        start, end = (network(z).sort(0).values - z.sort(0).values for network in (begun, match.average.network))
    assert float(end.abs().mean()) < 0.5 * float(start.abs().mean())
