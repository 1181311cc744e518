"""Every recipe plays: a smoke size of it trains on the bundled digits, stays finite and moves both players."""

from __future__ import annotations

import pytest
import torch

from zerosum.domains.images import DOMAIN
from zerosum.engine import Stepped
from zerosum.planning import plan

SMOKE = {
    "mlp": ["generator.widths=[32]", "discriminator.widths=[32]"],
    "conv": ["generator.width=8", "discriminator.width=8"],
    "resnet": ["generator.width=8", "discriminator.width=8"],
    "biggan": ["generator.width=8", "discriminator.width=8"],
    "r3": ["generator.width=16", "discriminator.width=16"],
    "style": ["generator.width=4", "discriminator.width=4"],
    "light": ["generator.width=8", "discriminator.width=8"],
    "sigmoid": ["generator.widths=[32]", "discriminator.widths=[8]"],
}


@pytest.mark.parametrize("name", sorted(DOMAIN.recipes.table))
def test_recipe_trains_at_smoke_size(name: str) -> None:
    kind = DOMAIN.recipes.table[name].generator.kind
    planned = plan.make(plan.TrainRequest("digits", name, settings=[*SMOKE[kind], "batch=16", "steps=6"]))
    assert planned.recipe.why
    assert planned.recipe.sources
    match = plan.training_loop(planned)
    before = {key: [p.clone() for p in network.parameters()] for key, network in match.game.players.items()}
    values = {}
    for event in match.run(planned.recipe.steps):
        if isinstance(event, Stepped):
            values = event.values()
    assert match.step == 6
    assert all(torch.isfinite(torch.tensor(number)) for number in values.values())
    for key, network in match.game.players.items():
        moved = [not torch.equal(p, old) for p, old in zip(network.parameters(), before[key], strict=True)]
        assert sum(moved) >= len(moved) - 1, key  # an embedding row that no batch touched may stay


def test_the_default_recipe_is_conditional_where_there_are_labels() -> None:
    labelled = plan.make(plan.TrainRequest("digits", settings=["steps=1"]))
    unlabelled = plan.make(plan.TrainRequest("digits", settings=["steps=1", "data.labelled=false"]))
    assert (labelled.recipe.name, labelled.recipe.conditional) == ("cgan", True)
    assert (unlabelled.recipe.name, unlabelled.recipe.conditional) == ("dcgan", False)
