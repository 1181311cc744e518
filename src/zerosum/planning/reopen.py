"""The plan of an existing run, from its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from zerosum import catalog, data_paths
from zerosum.errors import UserError
from zerosum.jsonfile import made_of
from zerosum.planning import initial_weights, resolve
from zerosum.planning.plan import Plan
from zerosum.recipe import Recipe
from zerosum.run_folder import RunFolder


def reopen(recipe: Recipe, allow_download: bool = False) -> Plan:
    """The plan of an existing run, from its full recipe."""
    resolve.device(recipe.device)
    domain = catalog.domain(recipe.domain)
    source, info = domain.open(recipe.data, allow_download)
    return Plan(recipe, domain, source.to(torch.device(recipe.device)), info, tuple(source.notes))


def with_data_at(recipe: Recipe, data: str | Path | None) -> Recipe:
    """The recipe with its data at another place, unless that is None."""
    return recipe if data is None else data_paths.moved(recipe, catalog.domain(recipe.domain), data)


def plan_of(
    folder: RunFolder,
    allow_download: bool,
    steps: int | None = None,
    anywhere: bool = False,
    recipe: Recipe | None = None,
) -> Plan:
    """The plan of an existing run; UserError when its data are gone, or are no longer those that it was trained on.

    anywhere: on the CPU when the run's device is not here. recipe: that of the folder, unless its data have moved.
    """
    recipe = recipe or folder.recipe()
    data_paths.check(recipe, catalog.domain(recipe.domain), folder)
    recipe = recipe.changed(steps=steps or recipe.steps)
    if anywhere and recipe.device.startswith("cuda") and not torch.cuda.is_available():
        recipe = recipe.changed(device="cpu")
    with made_of(folder.root / "run.json"):
        recorded = str(folder.read("run.json")["source"]["fingerprint"])
    plan = reopen(recipe, allow_download)
    if plan.info.fingerprint != recorded:
        raise UserError(
            f"The data at {recipe.data.kind!r} are not those this run was trained on (fingerprint "
            f"{plan.info.fingerprint[:12]}, recorded {recorded[:12]}). Restore them, or start a new run."
        )
    return replace(plan, weights=initial_weights.again(folder, recipe.start) if recipe.start else None)
