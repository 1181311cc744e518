"""What a domain is: a handful of hooks, all plain functions or tables, and the helpers that most domains want."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from zerosum.engine import losses, penalties, terms
from zerosum.engine.duel import Augment, Duel
from zerosum.engine.game import Batch, Game
from zerosum.engine.loop import Match
from zerosum.engine.seeds import derive
from zerosum.errors import UserError, nearest
from zerosum.metrics.record import Record
from zerosum.recipe import Part, Recipe, settled

Facts = Mapping[str, Any]
"""Plain values that describe a source: shape, classes, ranges. Enough, with a recipe, to build the networks without it."""


class DomainSource(Protocol):
    """Real data of a domain: random access to training rows, and what was found while reading them."""

    @property
    def name(self) -> str: ...
    @property
    def num_rows(self) -> int: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def fingerprint(self) -> str: ...
    def batch(self, indices: Tensor) -> Batch: ...
    def heldout_batch(self, indices: Tensor) -> Batch: ...
    @property
    def num_heldout(self) -> int: ...
    def to(self, device: torch.device) -> DomainSource: ...


class Evaluator(Protocol):
    """Measures samples against the source they should resemble."""

    @property
    def num_samples(self) -> int: ...
    def prepare(self, say: Callable[[str], None]) -> None: ...
    def evaluate(
        self, fakes: Tensor, labels: Tensor | None, judge: Callable[[Tensor, Tensor | None], Tensor] | None
    ) -> Sequence[Record]: ...
    def quick(self, fakes: Tensor) -> Mapping[str, float]: ...


@runtime_checkable
class HistoricEvaluator(Protocol):
    """An evaluator that can also score as papers once did. Such numbers are compared with those papers, never ranked by."""

    @property
    def num_historic(self) -> int: ...
    def historic(self, fakes: Tensor) -> Sequence[Record]: ...


@dataclass(frozen=True)
class Scene:
    """What a picture of samples may show beside them.

    columns: of a grid. facts: of the source. noise: (N, L) that the samples were made of; L = 0 for those of a
    classical model; None for real rows.
    judge: (M, ...) data -> (M,) logits above the neutral one of the run's discriminator; None for real rows and in games
    with labels.
    """

    columns: int
    facts: Facts
    noise: Tensor | None = None
    judge: Callable[[Tensor], Tensor] | None = None


class Baseline(Protocol):
    """A classical model, fitted to training rows."""

    @property
    def summary(self) -> str:
        """What was fitted, in a few words with its numbers: "50 Gaussians, full covariance"."""

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, ...) float32 in the domain's range."""


class Choose(Protocol):
    """The recipe for data that name none, and why: a clause with the numbers that decided."""

    def __call__(self, facts: Facts, minutes: float | None = None, device: str = "cpu") -> tuple[str, str]:
        """minutes: the time there is, None when nobody said. device: where it will train."""


def _as_they_are(samples: Tensor, recipe: Recipe) -> Tensor:
    return samples


def _as_drawn(game: Game, source: Any) -> None:
    """The weights stay what the seed drew."""


def _without_rules(recipe: Recipe, facts: Facts) -> tuple[Recipe, tuple[str, ...]]:
    return recipe, ()


def _nothing_beside(recipe: Recipe, match: Match, fakes: Tensor) -> Sequence[Record]:
    return ()


def _no_baselines(source: Any) -> Mapping[str, Callable[[], Baseline]]:
    return {}


@dataclass(frozen=True)
class Domain:
    """The hooks. `facts` make a run folder self-sufficient: sampling needs no source.

    recognise: is this name or path ours? cheap, never raises.
    open: (data part, allow_download) -> source. facts: source -> plain values. describe: facts -> a few words for one line.
    game: (recipe, facts) -> the game, on the CPU, freshly initialised from the recipe's seed.
    choose: (facts, minutes, device) -> (recipe name, why).
    evaluator: (source, seed) -> Evaluator. Samples reach it, and the writers, in the domain's own range.
    picture: (samples, path, scene): one PNG of many samples. num_shown: how many it wants; 0 for a grid of 80 or so.
    write: (samples, path, facts): samples as files. read: (paths, facts) -> samples for the discriminator.
    within: (samples, recipe) -> the samples within the domain's range, in place or not; by default as they are.
    initialise: (game, source): what the networks want to know of the data before step 0; by default nothing.
    tuned: (recipe, facts) -> the recipe with a number for each "auto", and a note for each: the rule with the numbers put
    in. Of the rules only those for half-lives may look at recipe.steps. By default a recipe must state its numbers.
    beside: (recipe, match, fakes) -> measures that need the game itself, beside those of the evaluator; by default none.
    baselines: source -> name -> a function that fits a classical model to its training rows.
    film: (samples, path, frames per second): the samples one after the other as a moving picture; None where a single
    sample is no picture.
    """

    name: str
    summary: str
    recognise: Callable[[str], bool]
    sources: Callable[[], Mapping[str, Any]]
    open: Callable[[Part, bool], Any]
    facts: Callable[[Any], dict[str, Any]]
    describe: Callable[[Facts], str]
    game: Callable[[Recipe, Facts], Game]
    recipes: Mapping[str, Recipe]
    choose: Choose
    evaluator: Callable[[Any, int], Evaluator]
    picture: Callable[[Tensor, Path, Scene], None]
    write: Callable[[Tensor, Path, Facts], list[Path]]
    read: Callable[[Sequence[Path], Facts], Tensor]
    within: Callable[[Tensor, Recipe], Tensor] = _as_they_are
    initialise: Callable[[Game, Any], None] = _as_drawn
    tuned: Callable[[Recipe, Facts], tuple[Recipe, tuple[str, ...]]] = _without_rules
    beside: Callable[[Recipe, Match, Tensor], Sequence[Record]] = _nothing_beside
    baselines: Callable[[Any], Mapping[str, Callable[[], Baseline]]] = _no_baselines
    num_shown: int = 0
    film: Callable[[Tensor, Path, float], None] | None = None


def make(where: str, kinds: Mapping[str, Callable[..., Any]], part: Part, *first: Any, **given: Any) -> Any:
    """Calls kinds[part.kind](*first, **given, **options) after checking each option against the signature.

    `given` are keywords that the recipe cannot set; those that the callable does not take are left out.
    UserError names the field, the value and the choices.
    """
    if part.kind not in kinds:
        raise UserError(f"{where}.kind: there is no {part.kind!r}. {nearest(part.kind, kinds)}")
    maker = kinds[part.kind]
    target = maker.__init__ if inspect.isclass(maker) else maker
    hints = typing.get_type_hints(target)
    named = [p.name for p in inspect.signature(target).parameters.values() if p.kind is p.KEYWORD_ONLY]
    accepted = [name for name in named if name not in given]
    checked = {name: _checked(where, name, value, accepted, hints) for name, value in part.options.items()}
    try:
        return maker(*first, **{name: value for name, value in given.items() if name in named}, **checked)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{where} ({part.kind}): {error}") from None


def _checked(where: str, name: str, value: Any, accepted: list[str], hints: Mapping[str, Any]) -> Any:
    if name not in accepted:
        raise UserError(f"{where}: there is no option {name!r}. {nearest(name, accepted)}")
    try:
        return TypeAdapter(hints[name]).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise UserError(f"{where}.{name} = {value!r} is wrong: {problem}.") from None


def duel(
    recipe: Recipe,
    generators: Mapping[str, Callable[..., Any]],
    discriminators: Mapping[str, Callable[..., Any]],
    augments: Mapping[str, Callable[..., Augment]],
    shape: Any,
    num_classes: int,
    num_attributes: int = 0,
) -> Duel:
    """The ordinary game of a recipe; networks are initialised from its seed alone, whatever was drawn before."""
    told = recipe.conditional is True
    given = {
        "latent": recipe.prior.size,
        "num_classes": num_classes if told and not num_attributes else 0,
        "num_attributes": num_attributes if told else 0,
    }
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(recipe.seed, "weights"))
        generator = _network("generator", generators, recipe.generator, shape, given)
        discriminator = _network("discriminator", discriminators, recipe.discriminator, shape, given)
    try:
        return Duel(
            generator,
            discriminator,
            loss=_pair(recipe),
            penalties=[_penalty(name, part.options) for name, part in recipe.penalties.items()],
            prior=recipe.prior,
            rules=recipe.rules,
            conditional=bool(given["num_classes"] or given["num_attributes"]),
            augment=make("augment", augments, recipe.augment) if recipe.augment else None,
        )
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"Recipe {recipe.name}: {error}.") from None


def _network(
    role: str, kinds: Mapping[str, Callable[..., Any]], wanted: Part, shape: Any, given: dict[str, int]
) -> Any:
    """One network of a duel. One that was never made for attributes is refused when there are some."""
    maker = kinds.get(wanted.kind)
    if maker is not None and given["num_attributes"] and "num_attributes" not in inspect.signature(maker).parameters:
        raise UserError(f"{role}.kind = {wanted.kind!r} takes no attributes. Use another kind, or conditional=false.")
    return make(role, kinds, wanted, shape, **given)


def _pair(recipe: Recipe) -> losses.Pair:
    pairs = losses.table()
    if recipe.loss not in pairs:
        raise UserError(f"loss: there is no {recipe.loss!r}. {nearest(recipe.loss, pairs)}")
    try:
        return losses.smoothed(pairs[recipe.loss], recipe.real_label) if recipe.real_label < 1 else pairs[recipe.loss]
    except ValueError as error:
        raise UserError(f"real_label = {recipe.real_label}: {error}.") from None


def _penalty(name: str, options: Mapping[str, Any]) -> penalties.Penalty:
    makers = penalties.table() | terms.table()
    if name not in makers:
        raise UserError(f"penalties: there is no {name!r}. {nearest(name, makers)}")
    accepted = inspect.signature(makers[name]).parameters
    for option in options:
        if option not in accepted:
            raise UserError(f"penalties.{name}: there is no option {option!r}. {nearest(option, accepted)}")
    try:
        weight = settled(options["weight"], f"penalties.{name}.weight")
        return makers[name](**{**options, "weight": weight})
    except UserError:
        raise
    except (ValueError, TypeError) as error:
        raise UserError(f"penalties.{name}: {error}.") from None
