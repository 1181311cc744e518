"""Every shipped recipe plays one game: cut into micro-batches, and shared by two processes, it ends where the whole batch ends.

In float64, where rounding would hide an error; with the first step, in which every lazy penalty is due, and one without them.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
from torch import Tensor

from domain_games import OTHERS, RECIPES, begun, close, exactly, parted
from zerosum.planning import trial_step

GAMES = "recipes"
PARTS = [(0, 4), (4, 8)]
BATCH_NORM = {"dcgan", "cgan", "lsgan", "wgan-gp", "sngan", "biggan-s", "fewshot", "clips"}
"""Recipes with batch normalisation, which sees the rows of a part together."""


@functools.cache
def whole(name: str) -> dict[str, Tensor]:
    return exactly(name, *parted(name))


@pytest.mark.parametrize("name", OTHERS)
def test_micro_batches_play_the_game_of_the_whole_batch(name: str) -> None:
    close(exactly(name, *parted(name), "micro_batches=2"), whole(name))


@pytest.mark.parametrize("name", OTHERS)
def test_two_processes_play_the_game_of_one(name: str, two: list[dict[str, Tensor]]) -> None:
    for found in two:
        close({key.partition("|")[2]: t for key, t in found.items() if key.startswith(f"{name}|")}, whole(name))


@pytest.mark.parametrize("name", RECIPES)
def test_what_sees_the_rows_of_a_part_alone_is_known(name: str) -> None:
    """As it is shipped: the plan names it."""
    match = begun(name, "batch=8")
    found = trial_step.batch_dependent_modules(match.game, PARTS)
    recipe = name.partition(" ")[2]
    assert any("BatchNorm" in module for module in found) is (recipe in BATCH_NORM)
    assert [module for module in found if "BatchNorm" not in module] == (
        ["discriminator (TableDiscriminator)"] if recipe == "ctgan" else []
    )


def test_the_documentation_names_the_recipes_with_batch_normalisation() -> None:
    text = (Path(__file__).parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
    sentence = text.partition("BatchNorm normalises each micro-batch")[2].partition("in the generator")[0]
    assert set(re.findall(r"`([a-z0-9-]+)`", sentence)) == BATCH_NORM
