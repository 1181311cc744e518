"""A recipe: the complete, typed, frozen description of a run. To and from JSON and TOML; `--set path=value`."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from zerosum.engine.duel import UpdateRules
from zerosum.engine.optimizers import USES, OptimizerConfig, Schedule
from zerosum.engine.seeds import Prior
from zerosum.errors import Damaged, UserError, nearest, shown, wanted
from zerosum.jsonfile import MOST_BYTES, parse_json, read_bytes, read_json

Number = float | Schedule
MOST_STEPS = 10**12
"""Most steps of a run and of an interval: more than any machine can train."""
Auto = Literal["auto"]
"""A number that is resolved during planning by a rule of the domain, from the data and the length of the run."""


class Frozen(BaseModel):
    """A part of a recipe: unknown fields are errors, values cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Component(BaseModel):
    """A part that a domain builds by name: `kind` and its options, checked by the domain against the constructor."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str

    @model_validator(mode="before")
    @classmethod
    def _a_text_is_the_kind(cls, given: Any) -> Any:
        return {"kind": given} if isinstance(given, str) else given

    @property
    def options(self) -> dict[str, Any]:
        """The options without the kind."""
        return dict(self.model_extra or {})


def part(kind: str, **options: Any) -> Component:
    """A Component with options."""
    return Component.model_validate({"kind": kind, **options})


class PenaltyConfig(BaseModel):
    """Options of one penalty of the engine: weight, every, and what else its function takes."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    weight: Annotated[float, Field(ge=0)] | Schedule | Auto = 1.0
    every: int = Field(1, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _a_number_is_the_weight(cls, given: Any) -> Any:
        number = isinstance(given, int | float) and not isinstance(given, bool)
        return {"weight": given} if number or given == "auto" else given

    @property
    def options(self) -> dict[str, Any]:
        """Keywords of the penalty's maker."""
        return {"weight": self.weight, "every": self.every} | dict(self.model_extra or {})


class AverageConfig(Frozen):
    """The average generator. half_life_samples: rows of real data; 0 switches it off. ramp: see WeightAverage of the engine."""

    half_life_samples: Number | Auto = 20_000.0
    ramp: float | None = 0.05
    every: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _nothing_is_ramped_without_an_average(self) -> AverageConfig:
        if self.half_life_samples == 0 and (self.ramp, self.every) != (0.05, 1):
            raise ValueError("ramp and every have no use without an average (half_life_samples = 0)")
        return self


class Intervals(Frozen):
    """Intervals in steps; 0 is resolved from the length of the run (evaluate: only at the end)."""

    log: int = Field(0, ge=0, le=MOST_STEPS)
    preview: int = Field(0, ge=0, le=MOST_STEPS)
    checkpoint: int = Field(0, ge=0, le=MOST_STEPS)
    evaluate: int = Field(0, ge=0, le=MOST_STEPS)


class InitFrom(Frozen):
    """Transfer learning: the run starts with the weights of another run (see planning.initial_weights).

    from: a run folder, or one with a published generator. freeze: number of the discriminator's first layers that are frozen.
    partial: load the tensors that fit, even where others do not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)
    folder: str = Field(alias="from", min_length=1)
    freeze: int = Field(0, ge=0)
    partial: bool = False

    @model_validator(mode="before")
    @classmethod
    def _a_text_is_the_folder(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and "from" not in given:
            raise ValueError("say where the weights come from: --start runs/NAME, or start.from")
        return {"from": given} if isinstance(given, str) else given


class Recipe(Frozen):
    """Everything a run depends on. threads: of the CPU; 0 chooses between one and all by measuring.

    batch, ema.half_life_samples and a penalty's weight may be "auto": see `Games.resolve_auto`.
    limits: the most of a value of the data that the recipe was measured to work with, by the domain's name of the value ("side"
    of images, in pixels); beyond it the plan says so and names the recipe `beyond_limits`.
    on_nonfinite: what follows a loss or gradient that is not finite: "raise" stops, "skip" leaves the update out,
    "rollback" goes back to the newest checkpoint with half the learning rates.
    """

    name: str
    domain: str = "images"
    why: str = ""
    sources: tuple[str, ...] = ()
    data: Component = Component(kind="digits")
    start: InitFrom | None = None
    generator: Component
    discriminator: Component
    prior: Prior = Prior(64)
    conditional: Literal["auto"] | bool = "auto"
    loss: str = "non_saturating"
    real_label: float = Field(1.0, gt=0.5, le=1.0)
    penalties: dict[str, PenaltyConfig] = {}
    rules: UpdateRules = UpdateRules()
    augment: Component | None = None
    learning: dict[str, OptimizerConfig] = {}
    ema: AverageConfig = AverageConfig()
    steps: int = Field(1000, ge=1, le=MOST_STEPS)
    batch: Annotated[int, Field(ge=1)] | Auto = 64
    micro_batches: int = Field(1, ge=1)
    seed: int = Field(0, ge=0, lt=2**63)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"
    threads: int = Field(0, ge=0)
    on_nonfinite: Literal["raise", "skip", "rollback"] = "raise"
    cadence: Intervals = Intervals()
    limits: dict[str, float] = {}
    beyond_limits: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values, the inverse of `parse`."""
        plain: dict[str, Any] = self.model_dump(mode="json")
        return plain

    def changed(self, **fields: Any) -> Recipe:
        """A recipe with some fields replaced. Only these are checked again: no field of a recipe constrains another one."""
        draft, given = _Draft.model_construct(**dict(self)), {name: _plain(value) for name, value in fields.items()}
        try:
            for name, value in given.items():
                setattr(draft, name, value)
        except ValidationError as error:
            raise UserError(_explain(error, given, "recipe")) from None
        return self.model_copy(update={name: getattr(draft, name) for name in given})

    def unresolved(self) -> list[str]:
        """The paths of numbers that are still "auto"."""
        found = {"batch": self.batch, "ema.half_life_samples": self.ema.half_life_samples}
        found |= {f"penalties.{name}.weight": part.weight for name, part in self.penalties.items()}
        return [path for path, value in found.items() if value == "auto"]

    def with_schedules_in_steps(self) -> Recipe:
        """Every schedule that is a share of the run, in this run's steps."""
        plain = self.to_json()
        in_steps = _in_steps(plain, self.steps)
        return self.changed(**{name: value for name, value in in_steps.items() if value != plain[name]})


class _Draft(Recipe):
    """A recipe whose fields can be replaced one at a time, each checked as in a whole recipe."""

    model_config = ConfigDict(frozen=False, validate_assignment=True)


@overload
def resolved_number(value: int | Auto, path: str) -> int:  # type: ignore[overload-overlap]
    """A count stays a count."""


@overload
def resolved_number(value: Number | Auto, path: str) -> Number:
    """A number or a schedule stays what it is."""


def resolved_number(value: Number | Auto, path: str) -> Number:
    """The number of a recipe whose rules were applied; UserError when it is still "auto"."""
    if isinstance(value, str):
        raise UserError(f'{path} = "auto" is resolved when a run is planned; here it must be a number.')
    return value


def _in_steps(plain: Any, steps: int) -> Any:
    if not isinstance(plain, dict):
        return [_in_steps(item, steps) for item in plain] if isinstance(plain, list) else plain
    if plain.get("over_share") is not None and "over_steps" in plain:
        schedule = Schedule(**plain).resolved(steps)
        return plain | {"over_steps": schedule.over_steps, "over_share": None}
    return {name: _in_steps(item, steps) for name, item in plain.items()}


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def parse(plain: Mapping[str, Any], origin: str = "recipe") -> Recipe:
    """A recipe from plain values; UserError names the field, the value and what is accepted."""
    plain = _with_present_names(plain)
    try:
        return Recipe.model_validate(plain)
    except ValidationError as error:
        raise UserError(_explain(error, plain, origin)) from None


RENAMED = (
    ("ema", "half_life_images", "half_life_samples"),
    ("data", "told", "condition_share"),
    ("discriminator", "told", "condition"),
    ("penalties", "told_columns", "given_columns"),
)
"""(part, name in version 0.1.0, present name) of fields and options."""


def _with_present_names(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """The recipe of a run of an earlier version in the present names."""
    for part, old, new in RENAMED:
        fields = plain.get(part) if isinstance(plain, Mapping) else None
        if isinstance(fields, Mapping) and old in fields and new not in fields:
            plain = {**plain, part: {new if name == old else name: value for name, value in fields.items()}}
    return plain


def read(path: Path) -> Recipe:
    """A recipe from a .json or .toml file."""
    try:
        plain = _toml(path) if path.suffix == ".toml" else read_json(path)
    except OSError as error:
        raise UserError(f"Cannot read the recipe {path}: {error.strerror or error}.") from None
    except Damaged as error:
        raise UserError(f"Cannot read the recipe: {error}.") from None
    return parse(plain, str(path))


def _toml(path: Path) -> Any:
    """The same bounds hold as for JSON."""
    body = read_bytes(path, MOST_BYTES >> 5)
    try:
        text = json.dumps(tomllib.loads(body.decode("utf-8")), default=str)
    except RecursionError:
        raise Damaged(f"{path} is nested too deeply") from None
    except ValueError as error:
        raise Damaged(f"{path} is not valid TOML: {error}") from None
    return parse_json(text, path)


Options = Callable[[str, str], Collection[str] | None]
"""(part, kind) -> the options that a part of this kind takes; None where that is not known."""


def override(recipe: Recipe, settings: Sequence[str], options: Options = lambda part, kind: None) -> Recipe:
    """Applies `path=value` settings, as in `generator.width=96` or `penalties.r1.weight=2`.

    What a setting leaves without a use is dropped, unless it is set as well: options of the old kind that the new one does not
    take (all of them, where `options` does not know the new kind), and what belongs to an augmentation or an average that is
    switched off. `dropped_options` tells which options were dropped.
    """
    before = recipe.to_json()
    plain, paths = recipe.to_json(), []
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise UserError(f"--set wants path=value, for example --set batch=32; got {setting!r}.")
        _assign(plain, path.strip(), _value(text.strip()))
        paths.append(path.strip())
    for path in paths:
        for parent, name in list(_useless(plain, path, options, before)):
            if not any(f"{asked}.".startswith(f"{parent}.{name}.") for asked in paths):
                del _at(plain, parent)[name]
    return parse(plain, "--set")


def dropped_options(before: Recipe, after: Recipe) -> list[str]:
    """A note for each network or augmentation whose kind was changed by settings and lost options of the old kind with it."""
    notes = []
    for name in ("generator", "discriminator", "augment"):
        old, new = getattr(before, name), getattr(after, name)
        lost = sorted(old.options.keys() - new.options.keys()) if old and new and old.kind != new.kind else []
        if lost:
            notes.append(
                f"{name}.kind is {new.kind!r} instead of {old.kind!r}: of the recipe's options, {', '.join(lost)} "
                f"{'is' if len(lost) == 1 else 'are'} dropped."
            )
    return notes


def _useless(plain: dict[str, Any], path: str, options: Options, before: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(path of a part, name of its field) for what has no use now that `path` was set."""
    parent, _, last = path.rpartition(".")
    place = _at(plain, parent)
    if last == "kind" and isinstance(place, dict):
        unused = place.keys() - {"kind"} - _taken(parent, place, options, (_at(before, parent) or {}).get("kind"))
        yield from ((parent, name) for name in unused)
    if path == "augment" and plain["augment"] is None:
        rules, penalties = plain["rules"], plain["penalties"]
        yield from (("rules", name) for name in ("augment_strength", "augment_role") if name in rules)
        named = [name for name, one in penalties.items() if isinstance(one, dict) and "through_augment" in one]
        yield from ((f"penalties.{name}", "through_augment") for name in named)
    if path == "ema.half_life_samples" and place.get(last) == 0:
        yield from (("ema", name) for name in ("ramp", "every") if name in place)


def _taken(part: str, plain: Mapping[str, Any], options: Options, old_kind: str | None) -> set[str]:
    """The fields of a part that its kind has a use for. old_kind: before the settings."""
    if part.startswith("learning."):
        return set(plain) - ({"betas", "momentum", "eps"} - set(USES.get(plain["kind"], ())))
    if part == "prior":
        return set(plain) - ({"limit"} if plain["kind"] != "truncated_normal" else set())
    known = options(part, str(plain["kind"]))
    if known is None and part != "data" and old_kind not in (None, plain["kind"]):
        return set()  # an option of another kind means nothing here
    return set(plain if known is None else known)


def _at(plain: Any, path: str) -> Any:
    for name in path.split(".") if path else ():
        plain = plain.get(name) if isinstance(plain, dict) else None
    return plain


def _value(text: str) -> Any:
    """JSON where it is JSON (numbers, lists, true, null, objects), else the text itself."""
    try:
        return parse_json(text, "--set")
    except Damaged:
        return text


def _assign(plain: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    place = plain
    for depth, name in enumerate(parents):
        if name not in place:
            if depth == 0 or parents[0] not in ("penalties", "learning"):
                raise UserError(f"--set {path}: there is no field {name!r}. {_offer(plain, path, name, place)}")
            place[name] = {}
        if place[name] is None or not isinstance(place[name], dict):
            place[name] = {SHORT[name]: place[name]} if name in SHORT and isinstance(place[name], str) else {}
        place = place[name]
    place[last] = value


def _offer(plain: Mapping[str, Any], path: str, name: str, there: Iterable[str]) -> str:
    """A sentence that offers fields in place of `name`, a part of `path`: near ones of those that are `there`, else the recipe's
    fields with the same last part, else all that are there."""
    last = path.rpartition(".")[2]
    same = sorted(field for field in _flat(plain) if field != path and field.rpartition(".")[2] == last)
    if difflib.get_close_matches(name, list(there), n=1, cutoff=0.6):
        return nearest(name, there)
    return (
        "Did you mean " + " or ".join(map(repr, same[:3])) + "?"
        if same
        else f"Choose from: {', '.join(sorted(there))}."
    )


# Fields for which a text alone may stand, and what it is then.
SHORT = {"data": "kind", "generator": "kind", "discriminator": "kind", "augment": "kind", "start": "from"}

# What pydantic adds to the path of a problem where a field takes one of several types.
TYPE_NAMES = re.compile(r"(constrained-)?(int|float|str|bool)|literal\[.*|Schedule|Adaptive|function-.*|dataclass.*")


def _explain(error: ValidationError, plain: Mapping[str, Any], origin: str) -> str:
    wrong: dict[str, tuple[list[str], list[Any]]] = {}
    lines = []
    for problem in error.errors():
        where = [str(part) for part in problem["loc"] if not TYPE_NAMES.fullmatch(str(part))]
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument", "no_such_attribute"):
            known = _fields_at(where[:-1])
            offer = _offer(plain, ".".join(where), where[-1], known) if known else ""
            lines.append(f"{origin}: there is no field {'.'.join(where)!r}. {offer}".strip())
            continue
        if isinstance(problem["input"], Mapping) and problem["type"] in ("missing", "missing_argument"):
            problem |= {"type": "value_error", "msg": f"{where.pop()} is missing"}
        said = f"{origin}: {'.'.join(where)} = {shown(problem['input'])} is wrong"
        wrong.setdefault(said, (where, []))[1].append(problem)
    lines += [
        f"{said}: {wanted(problems, _fields_at(where, whole=True))}." for said, (where, problems) in wrong.items()
    ]
    return "\n".join(dict.fromkeys(lines))


def _fields_at(path: Sequence[str], whole: bool = False) -> list[str]:
    """The names of the fields below a path; whole: only where it is the path of one thing, and of no table of things."""
    if whole and len(path) != (2 if path and path[0] in ("learning", "penalties") else 1):
        return []
    kind: Any = Recipe
    for name in path:
        field = kind.model_fields.get(name) if hasattr(kind, "model_fields") else None
        kind = {"learning": OptimizerConfig, "penalties": PenaltyConfig, "start": InitFrom}.get(name) or (
            field.annotation if field else kind
        )
    fields = getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", {})
    return [getattr(field, "alias", None) or name for name, field in fields.items()]


def differences(old: Recipe, new: Recipe) -> list[str]:
    """One line for each field that differs: "batch: 64 -> 32"."""
    before, after = _flat(old.to_json()), _flat(new.to_json())
    names = sorted(before.keys() | after.keys())
    return [f"{n}: {before.get(n)!r} -> {after.get(n)!r}" for n in names if before.get(n) != after.get(n)]


def _flat(plain: Any, path: str = "") -> dict[str, Any]:
    if isinstance(plain, dict) and plain:
        return {
            k: v for name, item in plain.items() for k, v in _flat(item, f"{path}.{name}" if path else name).items()
        }
    return {path: plain}
