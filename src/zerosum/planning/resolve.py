"""Every 'auto' of a recipe becomes a value: device, precision, labels, the domain's rules, schedules, cadence."""

from __future__ import annotations

import math
from typing import Any

import torch

from zerosum.domain import DatasetInfo, Domain
from zerosum.engine.distributed import DistributedContext
from zerosum.engine.optimizers import Schedule
from zerosum.errors import UserError, within
from zerosum.nn.precision import choose
from zerosum.recipe import Recipe, settled


def conditional(recipe: Recipe, info: DatasetInfo) -> Recipe:
    """Whether the players are told labels or attributes: where there are some, unless the recipe says."""
    told = info.condition is not None
    if recipe.conditional is True and not told:
        raise UserError(
            f"Recipe {recipe.name} needs labels, and {info.name} has none. Put classes in sub-folders, or use "
            "--set conditional=false."
        )
    return recipe.changed(conditional=told if recipe.conditional == "auto" else recipe.conditional)


def told(recipe: Recipe, info: DatasetInfo) -> str:
    """What the players are told, in the words of the plan's sentence."""
    kind = _kind(info)
    return f" with {kind}" if recipe.conditional is True and kind else ""


def _kind(info: DatasetInfo) -> str:
    """What the players can be told, in one word; empty for nothing, and for what has no name of its own."""
    return {"attributes": "attributes", "classes": "labels"}.get(info.condition.kind if info.condition else "", "")


def unused(recipe: Recipe, info: DatasetInfo) -> list[str]:
    """A note where there is something to tell the players that the recipe does not tell them."""
    kind = _kind(info)
    if recipe.conditional is not False or not kind:
        return []
    return [f"The {kind} are not used by recipe {recipe.name}; --set conditional=true tells them to both players."]


def resolve_auto(recipe: Recipe, domain: Domain, info: DatasetInfo) -> tuple[Recipe, list[str]]:
    """The domain's rules applied to what is "auto", and schedules in steps; UserError for what no rule speaks of. The
    precision is what is fast on the device, if the domain has no rule of its own."""
    recipe, notes = domain.game.resolve_auto(recipe, info)
    recipe = recipe.changed(precision=choose(recipe.precision, torch.device(device(recipe.device))))
    if left := recipe.unsettled():
        raise UserError(
            f'{" and ".join(left)} = "auto": the domain {domain.name} has no rule for it. Give a number, as in --set {left[0]}=1.'
        )
    return recipe.with_schedules_in_steps(), list(notes)


def batch(recipe: Recipe, info: DatasetInfo, explicit: bool) -> tuple[Recipe, list[str]]:
    """A batch that was stated is no larger than the data."""
    rows = info.num_rows
    if recipe.batch == "auto" or recipe.batch <= rows:
        return recipe, []
    if explicit:
        raise UserError(
            f"batch = {recipe.batch} is larger than the data: {rows} training rows. Use --set batch={rows} or less."
        )
    note = f"The batch is {rows} instead of {recipe.batch}: there are no more training rows."
    return recipe.changed(batch=rows), [note]


def shared(recipe: Recipe, world: DistributedContext) -> None:
    """UserError when there are more processes than rows of a batch."""
    if settled(recipe.batch, "batch") < world.size:
        raise UserError(f"batch = {recipe.batch} cannot be shared by {world.size} processes. Use fewer --devices.")


def placed(recipe: Recipe) -> Recipe:
    """The device that is there."""
    return recipe.changed(device=device(recipe.device))


def device(wanted: str) -> str:
    """A device that can be used; UserError when it is not here."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        here = "auto, cpu" + (", cuda, cuda:0 ..." if torch.cuda.is_available() else "; there is no CUDA device here")
        reason = str(error).splitlines()[0].split(". ")[0][:90]
        raise UserError(f"device = {wanted!r} cannot be used ({reason}). Choose from: {here}.") from None
    return wanted


def unfinished(recipe: Recipe) -> list[str]:
    """A note for each schedule that would still be under way when the run ends."""
    return [
        f"{path} will come only to {schedule(recipe.steps):.4g}: its schedule takes {schedule.over_steps:,} steps, the run "
        f"{recipe.steps:,}. With over_share = 1 in place of over_steps it ends with the run."
        for path, schedule in _schedules(recipe.to_json(), "")
        if schedule.shape != "constant" and schedule.over_steps > recipe.steps
    ]


def _schedules(plain: Any, path: str) -> list[tuple[str, Schedule]]:
    if not isinstance(plain, dict):
        return []
    if {"over_steps", "over_share"} <= plain.keys():
        return [(path, Schedule(**plain))]
    return [found for name, item in plain.items() for found in _schedules(item, f"{path}.{name}".lstrip("."))]


def with_cadence(recipe: Recipe, num_previews: int = 30) -> Recipe:
    """Chooses what is left at 0: about 250 log lines, 30 previews and 10 checkpoints a run."""
    every, steps = recipe.cadence, recipe.steps
    # So few that each costs time: rounded up, so that there are no more.
    previews = steps // num_previews if num_previews >= 30 else -(-steps // num_previews)
    return recipe.changed(
        cadence={
            "log": every.log or max(1, steps // 250),
            "preview": every.preview or max(1, previews),
            "checkpoint": every.checkpoint or max(1, steps // 10),
            "evaluate": every.evaluate,
        }
    )


def steps_of_epochs(epochs: float, recipe: Recipe, domain: Domain, info: DatasetInfo) -> int:
    """The steps of so many passes over the training rows: epochs x rows / batch, rounded up."""
    within("epochs", epochs, 0, 1e9, above=True)
    return max(1, math.ceil(epochs * info.num_rows / settled(resolve_auto(recipe, domain, info)[0].batch, "batch")))
