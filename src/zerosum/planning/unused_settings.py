"""Finds settings without an effect on these data, by building the networks, or opening the data, without them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from zerosum.domain import DatasetInfo, Domain
from zerosum.engine.game import Game
from zerosum.errors import UserError, shown
from zerosum.recipe import Component, Recipe, parse
from zerosum.recipe import part as part_of

NETWORKS = ("generator", "discriminator")
PARTS = ("generator.", "discriminator.", "prior.", "data.")
"""Prefixes of the settings that are checked."""
QUICK_S = 2.0
"""After this time no further option of the data is checked."""
MOST_ROWS = 20_000
"""Options of larger data, and of those that took longer than QUICK_S to open, are not checked: they would be opened again."""
PRIVATE = frozenset(vars(nn.Module()))


def unused_network_options(
    recipe: Recipe, paths: Sequence[str], usual: Recipe, build: Callable[[Recipe], Game]
) -> list[str]:
    """A note for each option of a network among `paths` without which the networks would be the same. usual: the recipe before
    the settings. build: makes the game of a recipe."""
    settings = [path for path in paths if path.partition(".")[0] in NETWORKS and path.count(".") == 1]
    if not (settings := [path for path in settings if not path.endswith(".kind")]):
        return []
    game, notes = build(recipe), []
    for path in settings:
        other = _without(recipe, path, usual)
        if other is not None and _same_networks(game, build, other):
            part, _, option = path.partition(".")
            value = getattr(recipe, part).options[option]
            notes.append(f"{path} = {shown(value)} changes nothing: for these data the {part} is the same without it.")
    return notes


def unused_prior_fields(
    recipe: Recipe, paths: Sequence[str], source: Any, build: Callable[[Recipe], Game]
) -> list[str]:
    """A note for each field of the prior among `paths` where the output of the generator does not depend on the noise."""
    requested = [path for path in paths if path.startswith("prior.")]
    if not requested:
        return []
    generator = build(recipe).players["generator"].eval()
    condition = source.batch(torch.arange(2)).condition if recipe.conditional is True else None
    conditions = () if condition is None else (condition.cpu(),)
    with torch.no_grad():
        one, other = (generator(torch.full((2, recipe.prior.size), value), *conditions) for value in (-1.0, 1.0))
    if not torch.equal(one, other):
        return []
    return [
        f"{path} changes nothing: a generator of kind {recipe.generator.kind!r} makes no use of noise."
        for path in requested
    ]


def unused_data_options(
    part: Component, paths: Sequence[str], domain: Domain, info: DatasetInfo, took_s: float
) -> list[str]:
    """A note for each option of the data among `paths` without which they would be the same, as long as they open quickly.
    took_s: the time in which they were opened."""
    if info.num_rows > MOST_ROWS or took_s > QUICK_S:
        return []
    begun, notes = time.monotonic(), list[str]()
    for path in paths:
        option = path.removeprefix("data.")
        if path == option or option not in part.options or time.monotonic() - begun > QUICK_S:
            continue
        rest = {name: value for name, value in part.options.items() if name != option}
        try:
            _, other = domain.open(part_of(part.kind, **rest), False)
        except UserError:
            continue
        if _comparable(info, option) == _comparable(other, option):
            notes.append(
                f"data.{option} = {shown(part.options[option])} changes nothing: these data are the same without it."
            )
    return notes


def _comparable(info: DatasetInfo, option: str) -> DatasetInfo:
    """The parts of a data set that are compared: all but its notes and the value of the option itself."""
    return replace(info, notes=(), payload={name: value for name, value in info.payload.items() if name != option})


def _without(recipe: Recipe, path: str, usual: Recipe) -> Recipe | None:
    """The recipe with the option as it was before; None where it already was so."""
    part, _, option = path.partition(".")
    plain = recipe.to_json()
    if option not in plain[part]:
        return None
    before = usual.to_json()[part]
    kept = {name: value for name, value in plain[part].items() if name != option}
    if before["kind"] == plain[part]["kind"] and option in before:
        if before[option] == plain[part][option]:
            return None
        kept[option] = before[option]
    return parse(plain | {part: kept})


def _same_networks(game: Game, build: Callable[[Recipe], Game], other: Recipe) -> bool:
    """Whether the other recipe's networks have the same modules, plain attributes and weights."""
    try:
        built = build(other)
    except UserError:
        return False
    return all(_same_module(game.players[name], built.players[name]) for name in game.players)


def _same_module(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = dict(one.named_modules()), dict(other.named_modules())
    if mine.keys() != theirs.keys() or any(
        _plain_attributes(mine[name]) != _plain_attributes(theirs[name]) for name in mine
    ):
        return False
    tensors, others = one.state_dict(), other.state_dict()
    return tensors.keys() == others.keys() and all(
        tensor.shape == others[name].shape and torch.equal(tensor, others[name]) for name, tensor in tensors.items()
    )


def _plain_attributes(module: nn.Module) -> tuple[str, dict[str, Any]]:
    """The name of its class and its plain attributes; parametrised modules have a class each."""
    kept = {name: value for name, value in vars(module).items() if name not in PRIVATE and _is_plain(value)}
    return type(module).__name__, kept


def _is_plain(value: Any) -> bool:
    return (
        all(map(_is_plain, value)) if isinstance(value, tuple | list) else isinstance(value, str | int | float | None)
    )
