"""From what the user asked to a full recipe: source found, recipe chosen, every 'auto' resolved."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from zerosum import catalog
from zerosum import recipe as recipes
from zerosum.domain import Domain
from zerosum.engine.events import NonFinite, Stepped
from zerosum.engine.loop import Match, Settings
from zerosum.engine.precision import choose
from zerosum.engine.processes import World
from zerosum.errors import UserError, nearest
from zerosum.recipe import Part, Recipe

DEFAULT_SOURCE = "digits"
THREADS = torch.get_num_threads()
"""What torch would use by itself; a training may set fewer."""
MUST_GAIN = 1.25
"""How many times faster a step must be with all threads than with one for all to be taken."""


@dataclass(frozen=True)
class Wish:
    """What the user asked for; None means: choose for me."""

    where: str | None = None
    recipe: str | Recipe | None = None
    minutes: float | None = None
    settings: Sequence[str] = ()
    allow_download: bool = False


@dataclass(frozen=True)
class Plan:
    """A run that is ready to begin: nothing is left to be chosen."""

    recipe: Recipe
    domain: Domain
    source: Any
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()
    seconds_per_step: float = field(default=float("nan"))

    def sentence(self) -> str:
        """The one line told before training."""
        r = self.recipe
        return (
            f"{self.facts['name']}: {self.domain.describe(self.facts)}. Recipe {r.name}"
            f"{' with labels' if r.conditional is True else ''}, {r.steps:,} steps of {r.batch} on {r.device} in {r.precision},"
            f" about {duration(self.seconds_per_step * r.steps)}, then the evaluation."
        )


def duration(seconds: float) -> str:
    """A time a person reads: 45 s, 3 min, 2 h 10 min."""
    if seconds != seconds:
        return "an unknown time"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def make(wish: Wish, world: World = World()) -> Plan:
    """Finds the source, chooses the recipe, resolves every 'auto', measures the speed."""
    named, where = _start(wish)
    domain = catalog.domain(named.domain) if named and wish.where is None else recognised(where)
    data = recipes.part(where, **(named.data.options if named else {}))
    first = recipes.override(_bare(named, domain, data), [s for s in wish.settings if s.startswith("data.")])
    source = domain.open(first.data, wish.allow_download)
    facts = domain.facts(source)
    notes = list(facts.get("notes", source.notes))
    if named is None:
        name, why = domain.choose(facts)
        named = domain.recipes[name]
        notes.append(f"Recipe {name}: {why}.")
    recipe = recipes.override(named.changed(data=first.data), [s for s in wish.settings if not s.startswith("data.")])
    recipe, more = _resolve(recipe, facts, world, explicit_batch=any(s.startswith("batch=") for s in wish.settings))
    plan = Plan(recipe, domain, source.to(torch.device(recipe.device)), facts, (*notes, *more))
    return _timed(plan, wish, world)


def reopen(recipe: Recipe, allow_download: bool = False) -> Plan:
    """The plan of an existing run, from its full recipe."""
    _device(recipe.device)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    domain = catalog.domain(recipe.domain)
    source = domain.open(recipe.data, allow_download)
    return Plan(recipe, domain, source.to(torch.device(recipe.device)), domain.facts(source), tuple(source.notes))


def recognised(where: str) -> Domain:
    """The domain of the data; for a path that is there but that no domain recognises, what each has against it."""
    try:
        return catalog.recognise(where)
    except UserError as unknown:
        if not Path(where).expanduser().exists():
            raise
        reasons = []
        for name in catalog.domain_names():
            try:
                catalog.domain(name).open(recipes.part(where), False)
            except UserError as error:
                reasons.append(str(error))
        raise UserError("\n".join(reasons) or str(unknown)) from None


def _start(wish: Wish) -> tuple[Recipe | None, str]:
    """The recipe named, if any, and where the data lie."""
    named = wish.recipe
    if isinstance(named, str):
        if named.endswith((".toml", ".json")):
            named = recipes.read(Path(named))
        else:
            known = catalog.recipes()
            if named not in known:
                raise UserError(f"There is no recipe {named!r}. {nearest(named, known)} See `zerosum recipes`.")
            named = known[named]
    return named, wish.where or (named.data.kind if named else DEFAULT_SOURCE)


def _bare(named: Recipe | None, domain: Domain, data: Part) -> Recipe:
    """Any recipe of the domain, to check settings of the data before the source is known."""
    return (named or next(iter(domain.recipes.values()))).changed(data=data)


def _resolve(recipe: Recipe, facts: dict[str, Any], world: World, explicit_batch: bool) -> tuple[Recipe, list[str]]:
    notes = []
    if recipe.conditional is True and not facts.get("num_classes"):
        raise UserError(
            f"Recipe {recipe.name} needs labels, and {facts['name']} has none. Put classes in sub-folders, or use "
            "--set conditional=false."
        )
    batch = recipe.batch
    if batch > facts["num_rows"]:
        if explicit_batch:
            raise UserError(
                f"batch = {batch} is larger than the data: {facts['num_rows']} training rows. "
                f"Use --set batch={facts['num_rows']} or less."
            )
        batch = facts["num_rows"]
        notes.append(f"The batch is {batch} instead of {recipe.batch}: there are no more training rows.")
    if batch < world.size:
        raise UserError(f"batch = {batch} cannot be shared by {world.size} processes. Use fewer --devices.")
    device = _device(recipe.device)
    resolved = recipe.changed(
        batch=batch,
        conditional=bool(facts.get("num_classes")) if recipe.conditional == "auto" else recipe.conditional,
        device=device,
        precision=choose(recipe.precision, torch.device(device)),
    )
    return resolved, notes


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        here = "auto, cpu" + (", cuda, cuda:0 ..." if torch.cuda.is_available() else "; there is no CUDA device here")
        reason = str(error).splitlines()[0].split(". ")[0][:90]
        raise UserError(f"device = {wanted!r} cannot be used ({reason}). Choose from: {here}.") from None
    return wanted


def settings(recipe: Recipe) -> Settings:
    """The engine's settings of a resolved recipe."""
    return Settings(
        batch=recipe.batch,
        seed=recipe.seed,
        micro_batches=recipe.micro_batches,
        learning=dict(recipe.learning),
        average="generator" if recipe.ema.half_life_images != 0 else None,
        half_life_images=recipe.ema.half_life_images,
        ramp=recipe.ema.ramp,
        average_every=recipe.ema.every,
        precision="bfloat16" if recipe.precision == "bfloat16" else "float32",
        on_nonfinite=recipe.on_nonfinite,
    )


def match(plan: Plan, world: World = World()) -> Match:
    """The game of a plan, on its device, at step 0."""
    game = plan.domain.game(plan.recipe, plan.facts)
    plan.domain.initialise(game, plan.source)
    for network in game.players.values():
        network.to(plan.recipe.device).train()
    return Match(game, plan.source, settings(plan.recipe), world)


def _timed(plan: Plan, wish: Wish, world: World) -> Plan:
    """Measures the time of a step on a game that is thrown away; chooses the threads, and the steps for --minutes."""
    threads, seconds = _threads(plan, world)
    recipe = plan.recipe.changed(threads=threads)
    if wish.minutes is not None:
        if wish.minutes <= 0:
            raise UserError(f"--minutes must be more than 0, got {wish.minutes}.")
        recipe = recipe.changed(steps=max(1, int(wish.minutes * 60 / seconds)))
    return replace(plan, recipe=with_cadence(recipe), seconds_per_step=seconds)


def _threads(plan: Plan, world: World) -> tuple[int, float]:
    """The number of CPU threads and the seconds of a step with them. All of them must be worth it: small networks are
    hardly faster with more than one, and far slower as soon as something else is at work on the machine."""
    wanted, most = plan.recipe.threads, THREADS
    if wanted or plan.recipe.device != "cpu" or most == 1:
        torch.set_num_threads(wanted or most)
        return wanted or most, _seconds_per_step(plan, world)
    torch.set_num_threads(most)
    with_all = _seconds_per_step(plan, world)
    torch.set_num_threads(1)
    alone = _seconds_per_step(plan, world)
    if alone < MUST_GAIN * with_all:
        return 1, alone
    torch.set_num_threads(most)
    return most, with_all


def _seconds_per_step(plan: Plan, world: World, warm_up: int = 4, most: int = 24, budget: float = 1.0) -> float:
    """Mean time of a step after warm-up, over whole rounds of the lazy penalties; the same on all processes."""
    trial, begun = match(plan, world), time.perf_counter()
    mark, counted = begun, 0
    try:
        for event in trial.play(warm_up + most):
            if isinstance(event, Stepped):
                now = time.perf_counter()
                if event.step == warm_up:
                    mark = now
                counted = event.step - warm_up
                if counted >= 4 and counted % 4 == 0 and world.any(now - begun > budget):
                    break
    except NonFinite:
        counted += warm_up  # the training will meet it too, in a folder where it can be told; all processes stop here
        mark = begun
    except UserError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:  # what torch says of sizes that do not fit
        reason = str(error).splitlines()[0]
        raise UserError(
            f"This recipe cannot play its first steps: {reason}\nLook at what was changed in it: `zerosum recipes "
            f"{plan.recipe.name}` shows the original."
        ) from error
    mean = (time.perf_counter() - mark) / max(1, counted) / world.size
    mine = torch.tensor([mean], device=plan.recipe.device)
    world.sum_([mine])
    return float(mine)


def with_cadence(recipe: Recipe) -> Recipe:
    """Chooses what is left at 0: about 250 log lines, 30 previews and 10 checkpoints a run."""
    every, steps = recipe.cadence, recipe.steps
    return recipe.changed(
        cadence={
            "log": every.log or max(1, steps // 250),
            "preview": every.preview or max(1, steps // 30),
            "checkpoint": every.checkpoint or max(1, steps // 10),
            "evaluate": every.evaluate,
        }
    )
