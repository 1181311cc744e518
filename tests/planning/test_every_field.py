"""Every field of every recipe: another value is another game, or it is refused, or the plan tells that it changes nothing.

Small games are played for two steps; weights of both players and of the average are compared. A field is tried once for each
kind of part, and the fields of the engine once for each kind of game.
"""

from __future__ import annotations

import functools
import inspect
import json
import typing
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from domain_games import RECIPES, opened
from zerosum import catalog
from zerosum import recipe as recipes
from zerosum.domain import DatasetInfo, Domain
from zerosum.domains.translation.terms import table as translation_terms
from zerosum.engine import penalties
from zerosum.engine.duel import UpdateRules
from zerosum.engine.game import Game
from zerosum.engine.optimizers import OptimizerConfig
from zerosum.engine.seeds import Prior
from zerosum.errors import UserError
from zerosum.planning import plan, unused_settings
from zerosum.planning.plan import Plan
from zerosum.recipe import AverageConfig, Recipe
from zerosum.store import split

STEPS = 2
ELSEWHERE = {
    "name": "a label",
    "why": "a label",
    "sources": "a label",
    "domain": "the domain of all other fields",
    "data": "the options of the readers are tried in tests/domains, those that change nothing below",
    "start": "the weights of another run: tests/planning/test_initial_weights.py",
    "steps": "the length of the game",
    "micro_batches": "the same game, which tests/test_every_recipe.py holds it to",
    "precision": "how the same game is computed",
    "device": "where it is computed",
    "threads": "with how many threads it is computed",
    "on_nonfinite": "what follows numbers that are not finite: tests/training/test_skipping.py, test_rollback.py",
    "cadence": "when it is looked at and saved",
    "limits": "what the plan says of the data: tests/domains/images/test_tuning.py",
    "beyond_limits": "what the plan says of the data",
}
"""Fields that are not part of the game, and why."""
SAME = {
    "rules.batches": "a discriminator that judges rows apart says the same of them in one batch and in two",
    "generator.half_hops": "it says how waves are made of the spectrograms, on which the game is played",
    "generator.iterations": "it says how waves are made of the spectrograms, on which the game is played",
}
"""Fields that are part of the game and may be the same game, and why."""
FIELDS: dict[str, Any] = {
    "conditional": None,  # the other way round
    "loss": "hinge",
    "real_label": 0.8,
    "seed": 1,
    "batch": 7,
    "augment": None,  # its options are tried below
    "penalties": None,  # their options are tried below
    "generator": None,
    "discriminator": None,
    "learning": {
        "kind": "rmsprop",
        "lr": 0.0123,
        "betas": [0.3, 0.7],
        "momentum": 0.5,
        "weight_decay": 0.1,
        "eps": 0.01,
        "clip_value": 1e-9,
        "clip_norm": 1e-9,
    },
    "prior": {"size": 5, "kind": "uniform", "limit": 3.0},
    "rules": {
        "discriminator_steps": 2,
        "simultaneous": True,
        "fakes": "previous",
        "batches": "one",
        "clip_weights": 1e-3,
        "augment_strength": 0.5,
        "augment_role": "compared",
    },
    "ema": {"half_life_samples": 7.0, "ramp": 0.5, "every": 2},
}
"""Another value for each field of the engine."""
OTHERWISE: dict[str, Any] = {"loss": "least_squares", "rules.batches": "two", "rules.simultaneous": False}
"""Where a recipe has that value already."""
OPTIONS: dict[str, Any] = {
    "augment.multipliers": {"blit": 0.1},
    "augment.pipe": ["blit"],
    "augment.policy": ["color"],
    "generator.widths": [16, 8],
    "generator.hop": 64,
    "discriminator.widths": [16, 8],
    "generator.encoder": [8, 8],
    "generator.decoder": [8, 8],
    "generator.blocks": 3,
    "discriminator.blocks": 3,
    "generator.reach": 1,
    "generator.phase": 0.9,
    "generator.pool": 6,
    "generator.levels": 1,
    "generator.vocoder_every": 1,
    "discriminator.periods": [2, 3],
    "discriminator.resolutions": [2.0, 4.0],
}
"""Another value for options of parts, where no rule finds one."""


def made(recipe: Recipe) -> Plan:
    """The plan of a small recipe, with nothing tried or timed."""
    domain = catalog.domain(recipe.domain)
    source = opened(domain.name, recipe.data.model_dump_json())
    info = domain.info_of(source)
    full, _ = plan.resolve_auto(plan.resolve_device(plan.resolve_conditional(recipe, info)), domain, info)
    return Plan(full, domain, source, info)


def small(name: str) -> Recipe:
    case, shipped = RECIPES[name], catalog.recipes()[RECIPES[name].recipe]
    steps = STEPS + (shipped.generator.kind == "latent")  # of which one is the first phase
    recipe = shipped.changed(data=recipes.part(case.source, **shipped.data.options), batch=6, steps=steps)
    common = ("threads=1", "device=cpu", "precision=float32")
    phase = ["generator.phase=0.4"] if recipe.generator.kind == "latent" else []
    return recipes.override(recipe, [*common, *case.settings, *phase])


def weights(recipe: Recipe) -> dict[str, Tensor]:
    match = plan.training_loop(made(recipe))
    for _ in range(recipe.steps):
        match.train_step()
    networks = {name: dict(player.network.state_dict()) for name, player in match.players.items()}
    return split({"networks": networks, "average": dict(match.average.state_dict()) if match.average else {}})[0]


@functools.cache
def whole(name: str) -> dict[str, Tensor]:
    return weights(small(name))


def built(domain: Domain, info: DatasetInfo, recipe: Recipe) -> Game:
    return domain.game.build(made(recipe).recipe, info)


def outcome(name: str, path: str, value: Any) -> str:
    """What comes of another value: "another game", "refused", "told" or "the same"."""
    recipe, domain = small(name), catalog.domain(small(name).domain)
    try:
        changed = recipes.override(recipe, [f"{path}={json.dumps(value)}"], domain.game.options)
        planned = made(changed)
        build = functools.partial(built, domain, planned.info)
        notes = unused_settings.unused_network_options(planned.recipe, [path], recipe, build)
        notes += unused_settings.unused_prior_fields(planned.recipe, [path], planned.source, build)
        if notes:
            return "told" if notes[0].startswith(path) else "another note"
        found = weights(changed)
    except (UserError, ValueError):
        return "refused"
    before = whole(name)
    same = found.keys() == before.keys() and all(
        one.shape == before[key].shape and torch.equal(one, before[key]) for key, one in found.items()
    )
    return "the same" if same else "another game"


# --- the fields


def another(value: Any, hint: Any) -> Any:
    """A value of the type, other than this one."""
    literals = [one for part in (hint, *typing.get_args(hint)) if typing.get_origin(part) is typing.Literal
                for one in typing.get_args(part)]  # fmt: skip
    if literals:
        truth = (True, False) if bool in typing.get_args(hint) else ()
        return next(one for one in ("group", *literals, *truth) if one in (*literals, *truth) and one != value)
    if value == "auto":
        return 24
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1 if value < 4 else 2 * value
    if isinstance(value, float):
        return value / 2 if value else 0.25
    raise AssertionError(f"no other value for {value!r}")


def of_parts(recipe: Recipe) -> Iterator[tuple[str, Any, str]]:
    """(path, another value, what it is tried once for) of each option of a recipe's parts."""
    domain = catalog.domain(recipe.domain)
    for role in ("generator", "discriminator", "augment"):
        part = getattr(recipe, role)
        if part is None:
            continue
        maker = domain.game.parts[role][part.kind]
        target = maker.__init__ if inspect.isclass(maker) else maker
        hints, parameters = typing.get_type_hints(target), inspect.signature(target).parameters
        for option in sorted(domain.game.options(role, part.kind) or ()):
            path, value = f"{role}.{option}", part.options.get(option, parameters[option].default)
            if value is inspect.Parameter.empty:  # the game gives it
                continue
            other = OPTIONS[path] if path in OPTIONS else another(value, hints[option])
            yield path, other, f"{domain.name} {role} {part.kind} {option}"
    makers = {**penalties.table(), **translation_terms()}
    for name, chosen in recipe.penalties.items():
        for option, parameter in inspect.signature(makers[name]).parameters.items() if name in makers else ():
            value = chosen.options.get(option, parameter.default)
            other = 0.7 if option == "weight" else another(value, None)
            yield f"penalties.{name}.{option}", other, f"{domain.name} {name} {option} {recipe.augment is None}"


def of_engine(recipe: Recipe) -> Iterator[tuple[str, Any, str]]:
    """The same for the engine's own fields."""
    kind = recipe.generator.kind
    game = (
        kind if kind in ("cycle", "latent") else f"duel {recipe.rules.simultaneous} {recipe.ema.half_life_samples == 0}"
    )
    if recipe.domain in ("images", "tables"):  # their data have something to tell
        yield "conditional", recipe.conditional is False, f"{recipe.domain} conditional"
    flat = {field: other for field, other in FIELDS.items() if not isinstance(other, dict) and other is not None}
    for field in ("prior", "rules", "ema"):
        flat |= {f"{field}.{name}": other for name, other in FIELDS[field].items()}
    for player in recipe.learning:
        flat |= {f"learning.{player}.{name}": other for name, other in FIELDS["learning"].items()}
    flat["ema.half_life_samples"] = 0.0 if recipe.ema.half_life_samples != 0 else 7.0
    plain = recipe.to_json()
    for path, other in flat.items():
        current = functools.reduce(lambda place, name: place[name], path.split("."), plain)
        yield path, OTHERWISE[path] if current == other and path in OTHERWISE else other, f"{game} {path}"


def cases() -> Iterator[tuple[str, str, Any]]:
    seen: set[str] = set()
    quick_first = sorted(RECIPES, key=lambda name: ("toy" not in name, name == "recipe r3gan"))
    for name in quick_first:
        recipe = small(name)
        for path, value, once in (*of_parts(recipe), *of_engine(recipe)):
            if once not in seen:
                seen.add(once)
                yield name, path, value


CASES = list(cases())


def test_no_field_is_left_out() -> None:
    assert set(Recipe.model_fields) == set(ELSEWHERE) | set(FIELDS)
    for field, kind in (("learning", OptimizerConfig), ("prior", Prior), ("rules", UpdateRules)):
        assert set(FIELDS[field]) == set(kind.__dataclass_fields__)
    assert set(FIELDS["ema"]) == set(AverageConfig.model_fields)


@pytest.mark.parametrize("name", RECIPES)
def test_another_value_is_another_game_or_told(name: str) -> None:
    found = {path: outcome(name, path, value) for recipe, path, value in CASES if recipe == name}
    assert [
        path for path, what in found.items() if what not in ("another game", "refused", "told") and path not in SAME
    ] == []
