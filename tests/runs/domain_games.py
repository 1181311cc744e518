"""One small game of every kind that a domain plays; run as a program it is one of two processes that play them all.

Usage: RANK=.. WORLD_SIZE=2 MASTER_ADDR=.. MASTER_PORT=.. python domain_games.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zerosum import catalog, recipe
from zerosum.engine.loop import Match
from zerosum.engine.processes import World, join
from zerosum.runs import plan, resolve
from zerosum.runs.plan import Plan
from zerosum.store import encode, split

STEPS = 4
SGD = '{"kind":"sgd","lr":0.01,"momentum":0.5}'


@dataclass(frozen=True)
class Case:
    """A source, a recipe of its domain, and what makes it small. slow: needs more digits to agree over processes."""

    source: str
    recipe: str
    settings: tuple[str, ...] = ()


CASES = {
    "toy": Case("ring", "toy", ("generator.width=8", "discriminator.width=8", "data.num=300")),
    "image": Case("digits", "rpgan", ("generator.width=4", "discriminator.width=4")),
}


def planned(name: str, *settings: str) -> Plan:
    """The plan of a case, with nothing tried or timed."""
    case = CASES[name]
    wanted = catalog.recipes()[case.recipe]
    domain = catalog.domain(wanted.domain)
    players = [f"learning.{player}={SGD}" for player in wanted.learning] or [f"learning.generator={SGD}"]
    common = ["batch=6", f"steps={STEPS}", "threads=1", "device=cpu", "precision=float32", *players]
    source_part = recipe.part(case.source, **wanted.data.options)
    full = recipe.override(wanted.changed(data=source_part), [*common, *case.settings, *settings])
    source = domain.open(full.data, False)
    facts = domain.facts(source)
    full, _ = resolve.tuned(resolve.placed(resolve.conditional(full, facts)), domain, facts)
    return Plan(full, domain, source, facts)


def begun(name: str, *settings: str, world: World = World()) -> Match:
    """The match of a case, at step 0."""
    return plan.match(planned(name, *settings), world)


def weights(match: Match) -> dict[str, Tensor]:
    """All parameters and buffers of all players, and the average, by name."""
    networks = {name: player.network.state_dict() for name, player in match.players.items()}
    average = match.average.network.state_dict() if match.average else {}
    tensors, _ = split({"networks": networks, "average": dict(average)})
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def played(match: Match, steps: int = STEPS) -> Match:
    """The match after `steps` more steps."""
    for _ in range(steps):
        match.advance()
    return match


def main(arguments: Sequence[str]) -> None:
    """Plays every case and writes the weights."""
    torch.set_num_threads(1)
    world = join("cpu")
    found = {}
    for name in CASES:
        found |= {f"{name}|{key}": tensor for key, tensor in weights(played(begun(name, world=world))).items()}
    (Path(arguments[0]) / f"rank{world.rank}.safetensors").write_bytes(encode(found))


if __name__ == "__main__":
    main(sys.argv[1:])
