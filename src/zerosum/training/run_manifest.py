"""What is written about a run before its first step: run.json and the reference lines of its curves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import torch

import zerosum
from zerosum.engine.distributed import DistributedContext
from zerosum.engine.duel import Duel
from zerosum.engine.game import Game
from zerosum.engine.losses import value
from zerosum.planning.plan import Plan
from zerosum.run_files import FORMAT


def run_facts(plan: Plan, game: Game, name: str, world: DistributedContext) -> dict[str, Any]:
    """The content of run.json: data, machine, versions, and the sentence told before training."""
    recipe, info = plan.recipe, plan.info
    shape = info.sample.axes | ({"num_classes": info.num_classes} if info.num_classes else {})
    return {
        "format": FORMAT,
        "name": name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "zerosum": zerosum.__version__,
        **machine(world),
        "device": recipe.device,
        "precision": recipe.precision,
        "domain": recipe.domain,
        "source": {"summary": plan.domain.data.describe(info), "shape": shape, **info.to_json()},
        "start": {"from": start.folder, "sha256": dict(start.sha256)} if (start := plan.weights) else None,
        "plan": plan.sentence(),
        "samples_file": plan.domain.media.sample_file,
        "num_parameters": {
            player: sum(p.numel() for p in network.parameters()) for player, network in game.players.items()
        },
    }


def machine(world: DistributedContext) -> dict[str, Any]:
    """What the last bits of a sum depend on."""
    return {"torch": str(torch.__version__), "threads": torch.get_num_threads(), "processes": world.size}


def moved(recorded: Mapping[str, Any], world: DistributedContext) -> list[str]:
    """A warning for each part of the machine that is no longer what run.json recorded."""
    return [
        f"Warning: this run began with {name} = {recorded.get(name)}, now it is {now}: sums may differ in the last bits."
        for name, now in machine(world).items()
        if recorded.get(name) != now
    ]


def references(game: Game) -> dict[str, Any]:
    """The reference lines of the curves: {name: {"value", "label"}}."""
    if not isinstance(game, Duel):
        return {}
    lines = {name: {"value": number, "label": text} for name, (number, text) in game.loss.references.items()}
    if game.loss.probabilistic:
        zero = torch.zeros(1)
        lines["V"] = {"value": float(value(zero, zero)), "label": "-log 4: D cannot tell real from made"}
    return lines
