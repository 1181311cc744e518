"""From what the user asked to a full recipe: source found, recipe chosen, every 'auto' resolved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from zerosum import catalog, data_paths, memory
from zerosum import recipe as recipes
from zerosum.domain import DatasetInfo, Domain
from zerosum.engine.distributed import DistributedContext
from zerosum.engine.game import Game
from zerosum.engine.loop import Settings, TrainingLoop
from zerosum.errors import UserError
from zerosum.formatting import format_duration
from zerosum.planning import evaluation_cost, fit_memory, initial_weights, resolve, timing, unused_settings
from zerosum.planning.initial_weights import InitialWeights
from zerosum.recipe import Component, Recipe, settled

DEFAULT_SOURCE = "digits"


@dataclass(frozen=True)
class TrainRequest:
    """What the user asked for; None means: choose for me. fit: cut the batch into micro-batches until it fits into memory."""

    where: str | None = None
    recipe: str | Recipe | None = None
    minutes: float | None = None
    settings: Sequence[str] = ()
    allow_download: bool = False
    fit: bool = False


@dataclass(frozen=True)
class Plan:
    """A run that is ready to begin: nothing is left to be chosen.

    evaluation_known_s: how long the last evaluation on these data took here, None when there was none. evaluation_bound_s:
    after so long the evaluation of a run of given minutes begins no further part; None: it is not bounded.
    beginning: the weights it starts from, where these are another run's (recipe.start); None once it has its own.
    """

    recipe: Recipe
    domain: Domain
    source: Any
    info: DatasetInfo
    notes: tuple[str, ...] = ()
    seconds_per_step: float = field(default=float("nan"))
    seconds_looking: float = 0.0
    evaluation_known_s: float | None = None
    evaluation_bound_s: float | None = None
    beginning: InitialWeights | None = None

    def sentence(self) -> str:
        """The one line told before training."""
        r = self.recipe
        return (
            f"{self.info.name}: {self.domain.data.describe(self.info)}. Recipe {r.name}"
            f"{resolve.told(r, self.info)}, {r.steps:,} steps of {r.batch} on {r.device} in {r.precision},"
            f" about {format_duration(self.seconds_per_step * r.steps + self.seconds_looking)} of training,"
            f" then {self._evaluation()}."
        )

    def _evaluation(self) -> str:
        if self.evaluation_known_s is not None:
            return f"about {format_duration(self.evaluation_known_s)} of evaluation, as last time on these data"
        most = self.evaluation_bound_s
        return (
            "the evaluation"
            if most is None
            else f"at most about {format_duration(most)} of evaluation (more where a measure is prepared for these data, once)"
        )


PreviewSeconds = Callable[[Plan, TrainingLoop, DistributedContext], float]
"""(plan, a loop that is thrown away, the processes) -> seconds that a preview takes, the same on all processes."""


def _no_previews(plan: Plan, trial: TrainingLoop, world: DistributedContext) -> float:
    return 0.0


@memory.told("Make the networks or the batch smaller; `zerosum recipes NAME` shows what the recipe has.")
def make(
    wish: TrainRequest, world: DistributedContext = DistributedContext(), preview_seconds: PreviewSeconds = _no_previews
) -> Plan:
    """Finds the source, chooses the recipe, tries its first step, measures the speed, resolves every 'auto'."""
    if wish.minutes is not None:
        timing.refuse_minutes("--minutes", wish.minutes)
    if any(s.partition("=")[0].strip() == "data" for s in wish.settings):
        raise UserError("--set data=...: name the data themselves, as in `zerosum train photos/`.")
    named, where = _start(wish)
    start = initial_weights.asked(named, wish.settings)
    beginning = initial_weights.read(start.folder) if start else None
    if beginning and wish.where is None and named is None:
        where = beginning.recipe.data.kind  # more of the same
    domain = catalog.domain(named.domain) if named else catalog.recognise(where)
    size = initial_weights.reading(beginning) if beginning else {}
    data = recipes.part(where, **size | (named.data.options if named else {}))
    before = [s for s in wish.settings if s.startswith(("data.", "device="))]
    first = recipes.override(_bare(named, domain, data), before)
    source, info = domain.open(first.data, wish.allow_download)
    notes = list(info.notes)
    if named is None and beginning:
        named = initial_weights.recipe_of(beginning)
        notes.append(f"Recipe {named.name}: that of {beginning.folder}, whose networks this run begins with.")
    if named is None:
        name, why = domain.recipes.recommend(info, wish.minutes, resolve.device(first.device))
        named = domain.recipes.table[name]
        first = first.changed(data=recipes.part(where, **named.data.options | first.data.options))
        if named.data.options:  # the recipe reads the data in its own way: mirrored, say
            source, info = domain.open(first.data, wish.allow_download)
            notes = list(info.notes)
        notes.append(f"Recipe {name}: {why}.")
    asked = [s for s in wish.settings if not s.startswith("data.")]
    recipe = recipes.override(named.changed(data=first.data), asked, domain.game.options)
    notes += recipes.dropped_options(named, recipe) + resolve.unused(recipe, info)
    recipe = data_paths.stored(recipe, domain)
    recipe = resolve.placed(resolve.conditional(recipe, info))
    recipe, more = resolve.batch(recipe, info, explicit=any(s.startswith("batch=") for s in wish.settings))
    more += _idle(recipe, named, domain, source, info, wish)
    plan = Plan(recipe, domain, source.to(torch.device(recipe.device)), info, (*notes, *more), beginning=beginning)
    return _measured(plan, wish, world, named.steps, preview_seconds)


def _idle(
    recipe: Recipe, usual: Recipe, domain: Domain, source: Any, info: DatasetInfo, wish: TrainRequest
) -> list[str]:
    """Notes on settings that change nothing for these data."""

    def build(recipe: Recipe) -> Game:
        return domain.game.build(resolve.tuned(recipe, domain, info)[0], info)

    paths = [setting.partition("=")[0].strip() for setting in wish.settings]
    in_networks = unused_settings.networks(recipe, paths, usual, build) + unused_settings.prior(
        recipe, paths, source, build
    )
    return unused_settings.data(recipe.data, paths, domain, info) + in_networks


def _measured(
    plan: Plan, wish: TrainRequest, world: DistributedContext, usual: int, preview_seconds: PreviewSeconds
) -> Plan:
    """What only a trial tells: whether the recipe works and fits, and the time of a step, which --minutes turns into steps.

    The rules are applied twice: for the trial, and again when the number of steps is known. usual: steps of the recipe.
    """
    asked, info = plan.recipe, plan.info

    def begin(recipe: Recipe) -> TrainingLoop:
        return match(replace(plan, recipe=recipe), world)

    trial, _ = resolve.tuned(asked, plan.domain, info)
    resolve.shared(trial, world)
    if wish.fit and world.size > 1:
        raise UserError("--fit tries on one process; with --devices give the number itself: --set micro_batches=2.")
    moved = initial_weights.begin(plan.domain.game.build(trial, info), trial, info, plan.beginning)
    trial, told = fit_memory.rehearsed(trial, plan.domain, info, begin, wish.fit, world.size)
    pace = timing.best(lambda: begin(trial), trial.threads, trial.device, trial.steps)
    steps, looks = asked.steps, timing.MOST_LOOKS
    per_look = preview_seconds(replace(plan, recipe=trial), begin(trial), world)
    cost, bound = evaluation_cost.known(info), None
    known = None if cost is None else cost.seconds
    if wish.minutes is not None:
        kept, bound = timing.reserved(wish.minutes, known), timing.evaluation_bound(wish.minutes)
        steps, looks = timing.planned(wish.minutes, pace.seconds, per_look, kept)
    asked = asked.changed(steps=steps, threads=pace.threads, micro_batches=trial.micro_batches)
    recipe, rules = resolve.tuned(asked, plan.domain, info)
    late = resolve.unfinished(recipe) if steps != usual else []
    notes = (*plan.notes, *moved, *rules, *late, *told)
    recipe = resolve.with_cadence(recipe, looks)
    looking = per_look * (1 + -(-recipe.steps // recipe.cadence.preview))  # before the first step, and after the last
    notes += tuple(_busy(pace, recipe.steps, wish.minutes))
    plan = replace(plan, evaluation_known_s=known, evaluation_bound_s=bound)
    return replace(plan, recipe=recipe, notes=notes, seconds_per_step=pace.seconds, seconds_looking=looking)


def _busy(pace: timing.StepTime, steps: int, minutes: float | None) -> list[str]:
    """What a busy machine changes: the time, or with --minutes the number of steps."""
    if not pace.busy:
        return []
    said = (
        f"This machine is busy: other programs take {1 - pace.alone / pace.seconds:.0%} of the time of a step, "
        f"{1000 * pace.seconds:.3g} ms by the clock and about {1000 * pace.alone:.3g} ms alone."
    )
    if minutes is None:
        return [said]
    more = round(steps * pace.seconds / pace.alone)
    return [
        f"{said} --minutes counts the clock, so {steps:,} steps fit, and schedules end with them; alone about {more:,} would. "
        f"For those whatever it takes: --steps {more} instead of --minutes."
    ]


def _start(wish: TrainRequest) -> tuple[Recipe | None, str]:
    """The recipe named, if any, and where the data lie."""
    named = wish.recipe
    if isinstance(named, str):
        if named.endswith((".toml", ".json")):
            named = recipes.read(Path(named))
        else:
            named = catalog.recipe(named)
    return named, wish.where or (named.data.kind if named else DEFAULT_SOURCE)


def settled_beside(wish: TrainRequest, planned: Recipe) -> list[str]:
    """What was asked to be otherwise than in the recipe that was named or chosen, a line for each field that differs."""
    asked = [setting.partition("=")[0].strip() for setting in wish.settings] + ["steps"] * (wish.minutes is not None)
    if planned.start is not None:  # the networks are those of the run that it begins with
        asked += ["generator", "discriminator"]
    lines = recipes.differences(_start(wish)[0] or catalog.recipes().get(planned.name, planned), planned)
    return [line for line in lines if any(line.startswith((f"{name}:", f"{name}.")) for name in asked)]


def _bare(named: Recipe | None, domain: Domain, data: Component) -> Recipe:
    """Any recipe of the domain, to check settings of the data before the source is known."""
    return (named or next(iter(domain.recipes.table.values()))).changed(data=data)


def settings(recipe: Recipe) -> Settings:
    """The engine's settings of a resolved recipe."""
    recipe = recipe.with_schedules_in_steps()
    return Settings(
        batch=settled(recipe.batch, "batch"),
        seed=recipe.seed,
        micro_batches=recipe.micro_batches,
        learning=dict(recipe.learning),
        average="generator" if recipe.ema.half_life_images != 0 else None,
        half_life_images=settled(recipe.ema.half_life_images, "ema.half_life_images"),
        ramp=recipe.ema.ramp,
        average_every=recipe.ema.every,
        precision="bfloat16" if recipe.precision == "bfloat16" else "float32",
        on_nonfinite="skip" if recipe.on_nonfinite == "skip" else "raise",
    )


def match(plan: Plan, world: DistributedContext = DistributedContext()) -> TrainingLoop:
    """The game of a plan, on its device, at step 0."""
    game = plan.domain.game.build(plan.recipe, plan.info)
    plan.domain.game.init_from_data(game, plan.source)
    initial_weights.begin(game, plan.recipe, plan.info, plan.beginning)
    for network in game.players.values():
        network.to(plan.recipe.device).train()
    return TrainingLoop(game, plan.source, settings(plan.recipe), world)
