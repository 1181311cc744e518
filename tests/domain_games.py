"""One small game of every kind that a domain plays, and of every recipe; run as a program it is one of two processes that
play them all.

Usage: RANK=.. WORLD_SIZE=2 MASTER_ADDR=.. MASTER_PORT=.. python domain_games.py FOLDER cases|recipes
"""

from __future__ import annotations

import contextlib
import functools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum import catalog, recipe
from zerosum.engine.devices import DistributedContext, join
from zerosum.engine.game import Batch
from zerosum.engine.loop import TrainingLoop
from zerosum.engine.seeds import SeededNoise
from zerosum.planning import plan, trial_step
from zerosum.planning.plan import Plan
from zerosum.store import encode, split

STEPS = 4
EIGHT = ("batch=8",)
ROUNDING = Tensor.float
SGD = '{"kind":"sgd","lr":0.001,"momentum":0.5}'


@dataclass(frozen=True)
class Case:
    """A source, a recipe of its domain, and what makes it small.

    exact: whether rows are cut without any loss: not where a discriminator packs rows or drops units. noisy: whether the
    generator listens to its noise.
    """

    source: str
    recipe: str
    settings: tuple[str, ...] = ()
    exact: bool = True
    noisy: bool = True


_MADE = tempfile.TemporaryDirectory()


def discs() -> str:
    """The path of 96 discs with transparency around them, written for this process."""
    path, distance = Path(_MADE.name, "discs.npy"), np.hypot(*(np.indices((8, 8)) - 3.5))
    pixels = np.zeros((96, 8, 8, 4), np.uint8)
    pixels[..., :3] = np.random.default_rng(0).integers(0, 256, (96, 1, 1, 3))
    pixels[..., 3] = np.clip(255 * (3.7 - distance), 0, 255)
    np.save(path, pixels)
    return str(path)


QUIET = (
    "data.num=24",
    "generator.widths=[8,8,4,4,4]",
    "generator.iterations=4",
    "discriminator.widths=[4,4,4,8]",
)
"""What makes a game of sound small."""
FROM_MEL = (
    "data.num=24",
    "data.seconds=0.2",
    "generator.crop=16",
    "generator.iterations=2",
    "generator.width=8",
    "generator.blocks=1",
    "discriminator.width=2",
)
RAW = ("data.num=24", "generator.width=2", "discriminator.width=2")

SPOKEN = (
    "data.num=24",
    "generator.width=8",
    "generator.blocks=2",
    "generator.text_width=8",
    "generator.text_blocks=1",
    "generator.duration_blocks=1",
    "generator.crop=16",
    "generator.iterations=2",
    "generator.phase=0.5",
    "generator.vocoder_width=8",
    "generator.vocoder_blocks=1",
    "discriminator.widths=[4,4]",
    "discriminator.vocoder_width=2",
)
"""What makes a game of speech small."""
VOLUMES = ("data.num=24", "data.heldout=0", "generator.widths=[8,4,4,4]", "discriminator.widths=[4,4,8]")
SLICES = (*VOLUMES, "data.size=16")
CLIPS = (
    "data.num=24",
    "data.frames=5",
    "data.size=16",
    "prior.size=24",
    "generator.width=4",
    "generator.hidden=16",
    "discriminator.width=4",
    "discriminator.most=8",
    "discriminator.features=8",
)
"""What makes a game of clips small."""
LARGER = (
    "data.num=2",
    "data.crop=32",
    "generator.width=8",
    "generator.blocks=1",
    "generator.phase=0.5",
    "discriminator.width=4",
)
"""What makes a game of super-resolution small."""
MAPPED = ("data.num=8", "data.heldout=2", "generator.width=4", "generator.levels=2", "discriminator.width=4")

CASES = {
    "toy": Case("ring", "toy", ("generator.width=8", "discriminator.width=8", "data.num=300")),
    "image": Case("digits", "rpgan", ("generator.width=4", "discriminator.width=4")),
    "image with transparency": Case(
        discs(), "rpgan", ("generator.width=4", "discriminator.width=4", "data.alpha=keep", "augment=ada")
    ),
    "table": Case("wine", "table", ("generator.width=16", "discriminator.width=16")),
    "table, packed": Case("wine", "ctgan", ("generator.width=16", "discriminator.width=16"), exact=False),
    "points": Case("shapes", "points", ("data.num=60", "data.points=32")),
    "points in phases": Case("chairs", "points-latent", ("data.num=60", "data.points=32", "generator.phase=0.5")),
    "sound": Case("tones", "clips", (*QUIET, "generator.norm=group")),
    "masked sound": Case(
        "tones", "clips", (*QUIET, "generator.norm=group", "augment=masks", "penalties.r1.through_augment=true")
    ),
    "raw sound": Case("tones", "wavegan", RAW),
    "sound from mel spectrograms": Case("tones", "vocoder", FROM_MEL, noisy=False),
    "speech": Case("beeps", "speech", SPOKEN, noisy=False),
    "volumes": Case("phantoms", "volumes", (*VOLUMES, "data.size=16")),
    "slices": Case("phantoms", "slices", (*SLICES, "data.classes=true")),
    "label maps": Case("phantoms", "labels", (*MAPPED, "data.rows=patches", "data.size=8")),
    "clips": Case("moving-digits", "video", CLIPS),
    "pairs": Case("digit-outlines", "pix2pix", ("generator.width=8", "discriminator.width=8")),
    "super-resolution": Case("photographs", "upscale", LARGER, noisy=False),
    "cycle": Case("digit-styles", "cyclegan", ("generator.width=8", "discriminator.width=8"), noisy=False),
    "contrast": Case("digit-styles", "cut", ("generator.width=8", "discriminator.width=8"), noisy=False),
}
EXACT = [name for name, case in CASES.items() if case.exact]

SOURCES = {
    "images": "digits",
    "tables": "wine",
    "toy": "ring",
    "points": "shapes",
    "audio": "tones",
    "medical": "phantoms",
    "video": "moving-digits",
    "translation": "digit-styles",
}
SMALL = {
    "mlp": ("generator.widths=[32]", "discriminator.widths=[32]"),
    "goodfellow2014": ("generator.widths=[32]", "discriminator.widths=[32]"),
    "r3gan": ("generator.width=16", "discriminator.width=16"),
    "points": ("data.num=40", "data.points=16"),
    "points-latent": ("data.num=40", "data.points=16", "generator.phase=0.5"),
    **dict.fromkeys(("table", "ctgan"), ("generator.width=16", "discriminator.width=16")),
    **dict.fromkeys(("pix2pix", "pix2pix-2017"), ("generator.width=4", "discriminator.width=4")),
    "clips": QUIET,
    "wavegan": RAW,
    "speech": SPOKEN,
    "vocoder": FROM_MEL,
    "video": CLIPS,
    "upscale": LARGER,
    "volumes": VOLUMES,
    "slices": SLICES,
    "labels": MAPPED,
    "cyclegan": ("generator.width=4", "generator.blocks=1", "discriminator.width=4"),
    "cut": ("generator.width=4", "generator.blocks=1", "discriminator.width=4", "generator.features=8"),
    "single": ("generator.width=4", "generator.blocks=1", "discriminator.width=4", "generator.features=8"),
}
"""What makes a recipe small, where it is not."""


def case_of(recipe: recipe.Recipe) -> Case:
    """The case of a shipped recipe: on its own data where they come along."""
    source = recipe.data.kind if recipe.data.kind not in ("mnist", "cifar10") else SOURCES[recipe.domain]
    return Case(source, recipe.name, SMALL.get(recipe.name, ()))


RECIPES = {f"recipe {recipe.name}": case_of(recipe) for recipe in catalog.recipes().values()}
OTHERS = [name for name, case in RECIPES.items() if case.recipe not in {CASES[exact].recipe for exact in EXACT}]
"""Recipes that no exact case plays: micro-batches and processes are compared in those."""


def parted(name: str) -> tuple[str, ...]:
    """Settings with which parts of 4 rows can play the game of a recipe: packs of 4 rows, and no batch normalisation."""
    match = begun(name, *EIGHT)
    packs = ("discriminator.pack=4",) if hasattr(match.game.players["discriminator"], "pack") else ()
    norms = any("BatchNorm" in module for module in trial_step.batch_dependent_modules(match.game, [(0, 4), (4, 8)]))
    return (*EIGHT, *packs, *(("generator.norm=group",) if norms else ()))


def planned(name: str, *settings: str) -> Plan:
    """The plan of a case, with nothing tried or timed."""
    case = (CASES | RECIPES)[name]
    wanted = catalog.recipes()[case.recipe]
    domain = catalog.domain(wanted.domain)
    players = [f"learning.{player}={SGD}" for player in wanted.learning] or [f"learning.generator={SGD}"]
    common = ["batch=6", f"steps={STEPS}", "threads=1", "device=cpu", "precision=float32", *players]
    source_part = recipe.part(case.source, **wanted.data.options)
    full = recipe.override(wanted.changed(data=source_part), [*common, *case.settings, *settings])
    source = opened(domain.name, full.data.model_dump_json())
    info = domain.info_of(source)
    full, _ = plan.resolve_auto(plan.resolve_device(plan.resolve_conditional(full, info)), domain, info)
    return Plan(full, domain, source, info)


@functools.cache
def opened(domain: str, data: str) -> Any:
    """A source, opened once."""
    return catalog.domain(domain).data.open(recipe.Component.model_validate_json(data), False)


def begun(name: str, *settings: str, world: DistributedContext = DistributedContext()) -> TrainingLoop:
    """The match of a case, at step 0."""
    return plan.training_loop(planned(name, *settings), world)


class Doubled:
    """A source in float64."""

    def __init__(self, source: Any) -> None:
        self.source = source

    @property
    def num_rows(self) -> int:
        return int(self.source.num_rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def batch(self, indices: Tensor) -> Batch:
        rounding, Tensor.float = Tensor.float, ROUNDING  # type: ignore[method-assign]
        rows = self.source.batch(indices)
        Tensor.float = rounding  # type: ignore[method-assign]
        condition = rows.condition
        return Batch(
            rows.data.double(),
            condition.double() if condition is not None and condition.is_floating_point() else condition,
        )


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """Within, numbers drawn are float64 and what the engine rounds to float32 stays as it is: what is left of differences is
    an error and no rounding, which instance normalisation would blow up within a few steps."""
    kept = Tensor.float, SeededNoise.normal, SeededNoise.uniform
    Tensor.float = lambda self: self if self.dtype == torch.float64 else kept[0](self)  # type: ignore[method-assign]
    SeededNoise.normal = lambda self, *args, **named: kept[1](self, *args, **named).double()  # type: ignore[method-assign]
    SeededNoise.uniform = lambda self, *args, **named: kept[2](self, *args, **named).double()  # type: ignore[method-assign]
    try:
        yield
    finally:
        Tensor.float, SeededNoise.normal, SeededNoise.uniform = kept  # type: ignore[method-assign]


def exactly(name: str, *settings: str, world: DistributedContext = DistributedContext()) -> dict[str, Tensor]:
    """The weights of a case that was played in float64."""
    with in_float64():
        match = begun(name, *settings, world=world)
        for network in match.game.players.values():
            network.double()
        if match.average:
            match.average.network.double()
        match.source = Doubled(match.source)
        if hasattr(match.game, "source"):  # it reads rows of its own
            match.game.source = match.source
        return weights(played(match, STEPS if name in CASES else 2))


def weights(match: TrainingLoop) -> dict[str, Tensor]:
    """All parameters and buffers of all players, and the average, by name."""
    networks = {name: player.network.state_dict() for name, player in match.players.items()}
    average = match.average.network.state_dict() if match.average else {}
    tensors, _ = split({"networks": networks, "average": dict(average)})
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def close(left: dict[str, Tensor], right: dict[str, Tensor], **tolerance: float) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, right[name], **tolerance, msg=lambda said, name=name: f"{name}: {said}")


def played(match: TrainingLoop, steps: int = STEPS) -> TrainingLoop:
    """The match after `steps` more steps."""
    for _ in range(steps):
        match.train_step()
    return match


def main(arguments: Sequence[str]) -> None:
    """Plays every exact case, or every other recipe, and writes the weights."""
    torch.set_num_threads(1)
    world = join("cpu")
    found = {}
    for name in EXACT if arguments[1] == "cases" else OTHERS:
        settings = () if name in CASES else parted(name)
        found |= {f"{name}|{key}": tensor for key, tensor in exactly(name, *settings, world=world).items()}
    (Path(arguments[0]) / f"rank{world.rank}.safetensors").write_bytes(encode(found))


if __name__ == "__main__":
    main(sys.argv[1:])
