"""From a request to a plan: the data are opened, a recipe is chosen, every "auto" is resolved, and a trial step is played."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from zerosum import catalog, jsonfile, memory
from zerosum import recipe as recipes
from zerosum.domain import DatasetInfo, Domain
from zerosum.engine.devices import DistributedContext, choose
from zerosum.engine.game import Game
from zerosum.engine.loop import Settings, TrainingLoop
from zerosum.engine.optimizers import Schedule
from zerosum.errors import UserError, within
from zerosum.formatting import format_duration
from zerosum.jsonfile import made_of
from zerosum.planning import initial_weights, trial_step, unused_settings
from zerosum.planning.initial_weights import InitialWeights
from zerosum.recipe import Component, Recipe, resolved_number
from zerosum.run_folder import RunFolder

DEFAULT_SOURCE = "digits"
NOTED_PREVIEWS_S = 30.0
"""Previews that take less time in all, in seconds, are not noted."""


@dataclass(frozen=True)
class TrainRequest:
    """What the user asked for. None: it is chosen. fit: whether the batch is cut into micro-batches until it fits into memory."""

    where: str | None = None
    recipe: str | Recipe | None = None
    minutes: float | None = None
    settings: Sequence[str] = ()
    allow_download: bool = False
    fit: bool = False
    domain: str | None = None
    epochs: float | None = None


@dataclass(frozen=True)
class Plan:
    """A run that is ready to begin: its recipe is resolved and does not change any more.

    notes: what is said before training. seconds_of_previews: of all previews together. evaluation_known_s: how long the last
    evaluation on these data took here, None when there was none. evaluation_bound_s: after so many seconds the evaluation of a
    run of given minutes begins no further part; None: it is not bounded. weights: those of another run that it begins with
    (recipe.start); None once it has a checkpoint of its own.
    """

    recipe: Recipe
    domain: Domain
    source: Any
    info: DatasetInfo
    notes: tuple[str, ...] = ()
    seconds_per_step: float = field(default=float("nan"))
    seconds_of_previews: float = 0.0
    evaluation_known_s: float | None = None
    evaluation_bound_s: float | None = None
    weights: InitialWeights | None = None

    def sentence(self) -> str:
        """The line that is shown before training."""
        r = self.recipe
        return (
            f"{self.info.name}: {self.domain.data.describe(self.info)}. Recipe {r.name}"
            f"{condition_words(r, self.info)}, {r.steps:,} steps of {r.batch} on {r.device} in {r.precision},"
            f" about {format_duration(self.seconds_per_step * r.steps + self.seconds_of_previews)} of training,"
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


@memory.explain_out_of_memory(
    "Make the networks or the batch smaller; `zerosum recipes NAME` shows what the recipe has."
)
def make(
    request: TrainRequest,
    world: DistributedContext = DistributedContext(),
    preview_seconds: PreviewSeconds = _no_previews,
) -> Plan:
    """request -> source -> recipe -> trial -> Plan: opens the data, chooses the recipe, resolves every "auto", plays a trial
    step, and measures how long a step and a preview take."""
    _check_request(request)
    named = _named_recipe(request)
    weights = _initial_weights(named, request)
    opened = _open(request, named, weights)
    base, opened, notes = _base_recipe(request, named, weights, opened)
    recipe, more = _with_settings(request, base, opened)
    source = opened.source.to(torch.device(recipe.device))
    plan = Plan(recipe, opened.domain, source, opened.info, (*notes, *more), weights=weights)
    return _with_trial(plan, request, world, base.steps, preview_seconds)


# --- request -> source


@dataclass(frozen=True)
class OpenedData:
    """Opened data: their domain, the data part of the recipe, the source and its description. took_s: the time of opening."""

    domain: Domain
    part: Component
    source: Any
    info: DatasetInfo
    took_s: float


def _check_request(request: TrainRequest) -> None:
    if request.minutes is not None:
        trial_step.check_minutes("--minutes", request.minutes)
    if any(setting.partition("=")[0].strip() == "data" for setting in request.settings):
        raise UserError("--set data=...: name the data themselves, as in `zerosum train photos/`.")


def _named_recipe(request: TrainRequest) -> Recipe | None:
    """The recipe that the request names, as an object, a file or a name; None when one is to be chosen."""
    named = request.recipe
    if not isinstance(named, str):
        return named
    if named.endswith((".toml", ".json")):
        return recipes.read(Path(named))
    return catalog.recipe(named)


def _initial_weights(named: Recipe | None, request: TrainRequest) -> InitialWeights | None:
    """The weights of another run that this one begins with, where the recipe or a setting names such a run."""
    stated = named is not None and named.start is not None
    if not stated and not any(setting.startswith("start") for setting in request.settings):
        return None
    start = initial_weights.requested_start(named, request.settings)
    return initial_weights.load_initial_weights(start.folder) if start else None


def _open(request: TrainRequest, named: Recipe | None, weights: InitialWeights | None) -> OpenedData:
    """Opens the data of the request with the options that the recipe and the settings give for them."""
    where = request.where or (named.data.kind if named else DEFAULT_SOURCE)
    if weights and request.where is None and named is None:
        where = weights.recipe.data.kind
    if not jsonfile.encodable(os.path.abspath(where)):
        raise UserError(
            f"{where}: this path has bytes that are no characters, so that no recipe can name it. Rename it."
        )
    domain = _domain(request, named, where)
    options = initial_weights.matching_data_options(weights) if weights else {}
    part = recipes.part(where, **options | (named.data.options if named else {}))
    settings = [setting for setting in request.settings if setting.startswith("data.")]
    if settings:  # any recipe of the domain serves to check them
        part = recipes.override((named or next(iter(domain.recipes.table.values()))).changed(data=part), settings).data
    return _opened(domain, part, request.allow_download)


def _domain(request: TrainRequest, named: Recipe | None, where: str) -> Domain:
    """The domain of the data: that of the recipe, the one that the request states, or the one that can open them."""
    stated = named.domain if named else request.domain
    if request.domain is not None and stated != request.domain:
        raise UserError(
            f"domain = {request.domain!r}, but the recipe belongs to the domain {stated!r}. Leave out one of them."
        )
    return catalog.domain(stated) if stated is not None else catalog.recognise(where)


def _opened(domain: Domain, part: Component, allow_download: bool) -> OpenedData:
    begun = time.monotonic()
    source, info = domain.open(part, allow_download)
    return OpenedData(domain, part, source, info, time.monotonic() - begun)


# --- source -> recipe


def _base_recipe(
    request: TrainRequest, named: Recipe | None, weights: InitialWeights | None, opened: OpenedData
) -> tuple[Recipe, OpenedData, list[str]]:
    """The recipe before the settings: the one that is named, that of the initial weights, or the one that the domain recommends
    for these data. With it the data, opened anew where a recommended recipe reads them in its own way, and notes."""
    if named is not None:
        return named, opened, list(opened.info.notes)
    if weights is not None:
        recipe = initial_weights.recipe_for_new_data(weights)
        said = f"Recipe {recipe.name}: that of {weights.folder}, whose networks this run begins with."
        return recipe, opened, [*opened.info.notes, said]
    name, why = opened.domain.recipes.recommend(
        opened.info, request.minutes, available_device(_device(request, opened.domain))
    )
    recipe = opened.domain.recipes.table[name]
    if recipe.data.options:  # mirrored, say
        part = recipes.part(opened.part.kind, **recipe.data.options | opened.part.options)
        opened = _opened(opened.domain, part, request.allow_download)
    return recipe, opened, [*opened.info.notes, f"Recipe {name}: {why}."]


def _device(request: TrainRequest, domain: Domain) -> str:
    """The device that the request names, or "auto"."""
    stated = [setting for setting in request.settings if setting.startswith("device=")]
    return recipes.override(next(iter(domain.recipes.table.values())), stated).device if stated else "auto"


def _with_settings(request: TrainRequest, base: Recipe, opened: OpenedData) -> tuple[Recipe, list[str]]:
    """The recipe with the request's settings, its data, device, conditions and a batch that the data suffice for; notes."""
    domain, info = opened.domain, opened.info
    settings = [setting for setting in request.settings if not setting.startswith("data.")]
    recipe = recipes.override(base.changed(data=opened.part), settings, domain.game.options)
    notes = recipes.dropped_options(base, recipe) + unused_condition(recipe, info)
    recipe = catalog.with_absolute_paths(recipe, domain)
    recipe = resolve_device(resolve_conditional(recipe, info))
    recipe, more = resolve_batch(recipe, info, explicit=any(s.startswith("batch=") for s in request.settings))
    if request.epochs is not None:
        recipe = recipe.changed(steps=steps_of_epochs(request.epochs, recipe, domain, info))
    return recipe, [*notes, *more, *_without_effect(recipe, base, opened, request)]


def _without_effect(recipe: Recipe, base: Recipe, opened: OpenedData, request: TrainRequest) -> list[str]:
    """Notes on settings that change nothing for these data. Networks are built for it only where there is such a setting."""
    paths = [setting.partition("=")[0].strip() for setting in request.settings]
    if not any(path.startswith(unused_settings.PARTS) for path in paths):
        return []
    domain, info = opened.domain, opened.info

    def build(recipe: Recipe) -> Game:
        return domain.game.build(resolve_auto(recipe, domain, info)[0], info)

    return [
        *unused_settings.unused_data_options(recipe.data, paths, domain, info, opened.took_s),
        *unused_settings.unused_network_options(recipe, paths, base, build),
        *unused_settings.unused_prior_fields(recipe, paths, opened.source, build),
    ]


# --- recipe -> trial -> plan


def _with_trial(
    plan: Plan, request: TrainRequest, world: DistributedContext, usual_steps: int, preview_seconds: PreviewSeconds
) -> Plan:
    """What only a trial tells: whether the recipe works and fits into memory, how long a step and a preview take, and from
    that the steps of a run of given minutes. One game is built for all of it. usual_steps: those of the recipe itself."""
    stated, info = plan.recipe, plan.info
    resolved, rules = resolve_auto(stated, plan.domain, info)
    check_batch_size(resolved, world)
    if request.fit and world.size > 1:
        raise UserError("--fit tries on one process; with --devices give the number itself: --set micro_batches=2.")
    game, loaded = build_game(replace(plan, recipe=resolved))
    games = [game]
    del game  # a trial that does not fit must be able to give its memory back

    def begin(recipe: Recipe) -> TrainingLoop:
        changed = replace(plan, recipe=recipe)
        return training_loop(changed, world, games.pop() if games else None)

    trial = trial_step.play_trial(resolved, plan.domain, info, begin, request.fit, world.size)
    step_time = trial_step.best_threads(trial.loop, resolved.threads, resolved.device, resolved.steps)
    with trial_step.cpu_threads(step_time.threads):
        per_preview = preview_seconds(replace(plan, recipe=trial.recipe), trial.loop, world)
        cost = trial_step.known_evaluation_cost(info)
    known, bound = None if cost is None else cost.seconds, None
    previews = trial_step.previews_beside(step_time.seconds * resolved.steps, per_preview)
    if request.minutes is not None:
        kept, bound = (
            trial_step.evaluation_reserve(request.minutes, known),
            trial_step.evaluation_bound(request.minutes),
        )
        steps, previews = trial_step.steps_for_minutes(request.minutes, step_time.seconds, per_preview, kept)
        resolved, rules = resolve_auto(stated.changed(steps=steps), plan.domain, info)  # rules may read the steps
    recipe = resolved.changed(threads=step_time.threads, micro_batches=trial.recipe.micro_batches)
    late = unfinished_schedules(recipe) if recipe.steps != usual_steps else []
    recipe = with_cadence(recipe, previews)
    num_previews = 1 + -(-recipe.steps // recipe.cadence.preview)  # one before the first step, and one after the last
    return replace(
        plan,
        recipe=recipe,
        notes=(
            *plan.notes,
            *loaded,
            *rules,
            *late,
            *trial.notes,
            *_busy_notes(step_time, recipe.steps, request.minutes),
            *_preview_notes(recipe, step_time.seconds, per_preview, num_previews),
        ),
        seconds_per_step=step_time.seconds,
        seconds_of_previews=per_preview * num_previews,
        evaluation_known_s=known,
        evaluation_bound_s=bound,
    )


def _busy_notes(step_time: trial_step.StepTime, steps: int, minutes: float | None) -> list[str]:
    """What a busy machine changes: the time, or with --minutes the number of steps."""
    if not step_time.busy:
        return []
    said = (
        f"This machine is busy: other programs take {1 - step_time.alone / step_time.seconds:.0%} of the time of a step, "
        f"{_milliseconds(step_time.seconds)} by the clock and about {_milliseconds(step_time.alone)} alone."
    )
    if minutes is None:
        return [said]
    more = round(steps * step_time.seconds / step_time.alone)
    return [
        f"{said} --minutes counts the clock, so {steps:,} steps fit, and schedules end with them; alone about {more:,} would. "
        f"For those whatever it takes: --steps {more} instead of --minutes."
    ]


def _milliseconds(seconds: float) -> str:
    """'97.9 ms' or '1,234 ms'."""
    return f"{1000 * seconds:,.0f} ms" if seconds >= 0.1 else f"{1000 * seconds:.3g} ms"


def _preview_notes(recipe: Recipe, step_s: float, preview_s: float, num: int) -> list[str]:
    """A note where all previews take longer than all steps, and so long that a person waits."""
    if preview_s * num <= max(NOTED_PREVIEWS_S, step_s * recipe.steps):
        return []
    return [
        f"Previews take about {format_duration(preview_s * num)} of the training, the steps about "
        f"{format_duration(step_s * recipe.steps)}: {num} previews, one every {recipe.cadence.preview:,} step(s). "
        "A larger cadence.preview makes fewer."
    ]


def changed_fields(request: TrainRequest, planned: Recipe) -> list[str]:
    """What the request changes in the recipe that was named or chosen, a line for each field that differs."""
    asked = [setting.partition("=")[0].strip() for setting in request.settings]
    asked += ["steps"] * (request.minutes is not None)
    if planned.start is not None:  # the networks are those of the run that it begins with
        asked += ["generator", "discriminator"]
    lines = recipes.differences(_named_recipe(request) or catalog.recipes().get(planned.name, planned), planned)
    return [line for line in lines if any(line.startswith((f"{name}:", f"{name}.")) for name in asked)]


def settings(recipe: Recipe) -> Settings:
    """The engine's settings of a resolved recipe."""
    recipe = recipe.with_schedules_in_steps()
    return Settings(
        batch=resolved_number(recipe.batch, "batch"),
        seed=recipe.seed,
        micro_batches=recipe.micro_batches,
        learning=dict(recipe.learning),
        average="generator" if recipe.ema.half_life_samples != 0 else None,
        half_life_samples=resolved_number(recipe.ema.half_life_samples, "ema.half_life_samples"),
        ramp=recipe.ema.ramp,
        average_every=recipe.ema.every,
        precision="bfloat16" if recipe.precision == "bfloat16" else "float32",
        on_nonfinite="skip" if recipe.on_nonfinite == "skip" else "raise",
    )


def build_game(plan: Plan) -> tuple[Game, list[str]]:
    """The game of a plan at step 0, on the CPU, and notes on weights that it begins with."""
    game = plan.domain.game.build(plan.recipe, plan.info)
    plan.domain.game.init_from_data(game, plan.source)
    if plan.recipe.start is None:
        return game, []
    return game, initial_weights.apply_initial_weights(game, plan.recipe, plan.info, plan.weights)


def training_loop(
    plan: Plan, world: DistributedContext = DistributedContext(), game: Game | None = None
) -> TrainingLoop:
    """The training loop of a plan at step 0, on its device. game: that of the plan, if it was built already."""
    game = game or build_game(plan)[0]
    for network in game.players.values():
        network.to(plan.recipe.device).train()
    return TrainingLoop(game, plan.source, settings(plan.recipe), world)


# --- every "auto" of a recipe becomes a value


def resolve_conditional(recipe: Recipe, info: DatasetInfo) -> Recipe:
    """Resolves `conditional`: the networks receive labels or attributes where the data have some, unless the recipe says."""
    has_condition = info.condition is not None
    if recipe.conditional is True and not has_condition:
        raise UserError(
            f"Recipe {recipe.name} needs labels, and {info.name} has none. Put classes in sub-folders, or use "
            "--set conditional=false."
        )
    return recipe.changed(conditional=has_condition if recipe.conditional == "auto" else recipe.conditional)


def condition_words(recipe: Recipe, info: DatasetInfo) -> str:
    """ " with labels" or " with attributes" for the sentence of the plan; "" for an unconditional game."""
    kind = _condition_kind(info)
    return f" with {kind}" if recipe.conditional is True and kind else ""


def _condition_kind(info: DatasetInfo) -> str:
    """The kind of condition of the data in one word: "labels", "attributes", or ""."""
    return {"attributes": "attributes", "classes": "labels"}.get(info.condition.kind if info.condition else "", "")


def unused_condition(recipe: Recipe, info: DatasetInfo) -> list[str]:
    """A note where the data have labels or attributes that the recipe does not use."""
    kind = _condition_kind(info)
    if recipe.conditional is not False or not kind:
        return []
    return [f"The {kind} are not used by recipe {recipe.name}; --set conditional=true tells them to both players."]


def resolve_auto(recipe: Recipe, domain: Domain, info: DatasetInfo) -> tuple[Recipe, list[str]]:
    """Applies the domain's rules to each "auto" and converts schedules to steps. UserError for an "auto" without a rule. The
    precision is the faster one of the device, unless the domain has its own rule."""
    recipe, notes = domain.game.resolve_auto(recipe, info)
    recipe = recipe.changed(precision=choose(recipe.precision, torch.device(available_device(recipe.device))))
    if left := recipe.unresolved():
        raise UserError(
            f'{" and ".join(left)} = "auto": the domain {domain.name} has no rule for it. Give a number, as in --set {left[0]}=1.'
        )
    return recipe.with_schedules_in_steps(), list(notes)


def resolve_batch(recipe: Recipe, info: DatasetInfo, explicit: bool) -> tuple[Recipe, list[str]]:
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


def check_batch_size(recipe: Recipe, world: DistributedContext) -> None:
    """UserError when there are more processes than rows of a batch."""
    if resolved_number(recipe.batch, "batch") < world.size:
        raise UserError(f"batch = {recipe.batch} cannot be shared by {world.size} processes. Use fewer --devices.")


def resolve_device(recipe: Recipe) -> Recipe:
    """The recipe with `device` resolved."""
    return recipe.changed(device=available_device(recipe.device))


def available_device(wanted: str) -> str:
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


def unfinished_schedules(recipe: Recipe) -> list[str]:
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
    """Chooses what is left at 0: about 250 log lines, so many previews and 10 checkpoints a run."""
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
    return max(
        1, math.ceil(epochs * info.num_rows / resolved_number(resolve_auto(recipe, domain, info)[0].batch, "batch"))
    )


# --- the plan of an existing run


def _plan_of_recipe(recipe: Recipe, allow_download: bool = False) -> Plan:
    """The plan of an existing run, from its full recipe."""
    available_device(recipe.device)
    domain = catalog.domain(recipe.domain)
    source, info = domain.open(recipe.data, allow_download)
    return Plan(recipe, domain, source.to(torch.device(recipe.device)), info, tuple(source.notes))


def with_data_at(recipe: Recipe, data: str | Path | None) -> Recipe:
    """The recipe with its data at another place, unless that is None."""
    return recipe if data is None else catalog.with_data_moved(recipe, catalog.domain(recipe.domain), data)


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
    catalog.refuse_missing_data(recipe, catalog.domain(recipe.domain), folder)
    recipe = recipe.changed(steps=steps or recipe.steps)
    if anywhere and recipe.device.startswith("cuda") and not torch.cuda.is_available():
        recipe = recipe.changed(device="cpu")
    with made_of(folder.root / "run.json"):
        recorded = str(folder.read("run.json")["source"]["fingerprint"])
    opened = _plan_of_recipe(recipe, allow_download)
    if opened.info.fingerprint != recorded:
        raise UserError(
            f"The data at {recipe.data.kind!r} are not those this run was trained on (fingerprint "
            f"{opened.info.fingerprint[:12]}, recorded {recorded[:12]}). Restore them, or start a new run."
        )
    return replace(opened, weights=initial_weights.weights_to_resume(folder, recipe.start) if recipe.start else None)
