"""What a domain is: a handful of hooks, all plain functions or tables, and the helpers that most domains want."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zerosum.domain.factory import (
    both,
    duel,
    generator,
    make,
    network,
    options_of,
    pair,
    penalties_of,
    penalty_maker,
    seeded,
)
from zerosum.domain.protocols import (
    Baseline,
    Choose,
    ConditionedEvaluator,
    DomainSource,
    Evaluator,
    Facts,
    GeneratorHandle,
    HasBestMetric,
    HistoricEvaluator,
    PreviewContext,
    SampleRequest,
    SampleResult,
    Write,
    WriteOptions,
)
from zerosum.engine.duel import GENERATOR
from zerosum.engine.game import Batch, Game
from zerosum.engine.loop import TrainingLoop
from zerosum.metrics.record import Record
from zerosum.recipe import Component, Recipe

__all__ = [
    "Baseline",
    "Choose",
    "ConditionedEvaluator",
    "Domain",
    "DomainSource",
    "Evaluator",
    "Facts",
    "GeneratorHandle",
    "HasBestMetric",
    "HistoricEvaluator",
    "PreviewContext",
    "SampleRequest",
    "SampleResult",
    "Write",
    "WriteOptions",
    "both",
    "duel",
    "generator",
    "make",
    "network",
    "pair",
    "penalties_of",
    "penalty_maker",
    "seeded",
]


def _as_they_are(samples: Tensor, recipe: Recipe) -> Tensor:
    return samples


def _as_drawn(game: Game, source: Any) -> None:
    """The weights stay what the seed drew."""


def _without_rules(recipe: Recipe, facts: Facts) -> tuple[Recipe, tuple[str, ...]]:
    return recipe, ()


def _nothing_beside(recipe: Recipe, match: TrainingLoop, fakes: Tensor) -> Sequence[Record]:
    return ()


def _claims_nothing(path: Path) -> bool:
    return False


def _no_examples(source: Any) -> Batch | None:
    return None


def _as_usual(maker: GeneratorHandle, facts: Facts, wanted: SampleRequest) -> SampleResult | None:
    return None


def _no_baselines(source: Any) -> Mapping[str, Callable[[], Baseline]]:
    return {}


@dataclass(frozen=True)
class Domain:
    """The hooks. `facts` make a run folder self-sufficient: sampling needs no source.

    recognise: is this name or path ours? cheap, never raises.
    claims: does this path, which no domain recognises, look like our data all the same, by its ending or its folders? Then our
    `open` alone says what is wrong with it. Never raises; by default no. arrays: the shapes of arrays in .npy files that are
    read, in words.
    open: (data part, allow_download) -> source. facts: source -> plain values. describe: facts -> a few words for one line.
    game: (recipe, facts) -> the game, on the CPU, freshly initialised from the recipe's seed. generator: the same of its
    generator alone, for those who sample; by default that of the game.
    choose: (facts, minutes, device) -> (recipe name, why).
    evaluator: (source, seed) -> Evaluator. Samples reach it, and the writers, in the domain's own range.
    picture: (samples, path, scene): one PNG of many samples. num_shown: how many it wants; 0 for a grid of 80 or so.
    write: (samples, path, facts, form): samples as files. tile: facts -> (height, width) that each sample takes in a picture of
    many; None where the number does not change the picture's size. read: (paths, facts) -> samples for the discriminator.
    within: (samples, recipe) -> the samples within the domain's range, in place or not; by default as they are.
    initialise: (game, source): what the networks want to know of the data before step 0; by default nothing.
    tuned: (recipe, facts) -> the recipe with a number for each "auto", and a note for each: the rule with the numbers put
    in. Of the rules only those for half-lives may look at recipe.steps. By default a recipe must state its numbers.
    beside: (recipe, match, fakes) -> measures that need the game itself, beside those of the evaluator; by default none.
    baselines: source -> name -> a function that fits a classical model to its training rows.
    film: (samples, path, frames per second): the samples one after the other as a moving picture; None where a single
    sample is no picture.
    examples: source -> at most 64 rows, with conditions that facts cannot describe (images to be translated, say). They are
    stored with the published generator; previews and samples are made under them in turn. By default none.
    draw: (facts, number, seed) -> conditions as the data have them, where these are neither labels nor attributes; facts
    then say "conditioned": True.
    parts: "generator", "discriminator", "augment" -> kind -> what makes it: with a new kind, options that it does not take are
    dropped.
    produce: (maker, facts, wanted) -> what `zerosum sample` makes in the domain's own way: streams, whole files; None for the
    usual way. sample_name: the file in the run's folder where samples go unless told. pixels: whether samples are
    pictures, (C, H, W) in [-1, 1]. paths: options of `data`, beside the kind, that are paths when they are texts.
    likeness: samples -> one (N, F) or several, whose distances say how alike two samples are; None where nothing is said of it.
    """

    name: str
    summary: str
    recognise: Callable[[str], bool]
    sources: Callable[[], Mapping[str, Any]]
    open: Callable[[Component, bool], Any]
    facts: Callable[[Any], dict[str, Any]]
    describe: Callable[[Facts], str]
    game: Callable[[Recipe, Facts], Game]
    recipes: Mapping[str, Recipe]
    choose: Choose
    evaluator: Callable[[Any, int], Evaluator]
    picture: Callable[[Tensor, Path, PreviewContext], None]
    write: Write
    read: Callable[[Sequence[Path], Facts], Tensor]
    within: Callable[[Tensor, Recipe], Tensor] = _as_they_are
    initialise: Callable[[Game, Any], None] = _as_drawn
    tuned: Callable[[Recipe, Facts], tuple[Recipe, tuple[str, ...]]] = _without_rules
    beside: Callable[[Recipe, TrainingLoop, Tensor], Sequence[Record]] = _nothing_beside
    baselines: Callable[[Any], Mapping[str, Callable[[], Baseline]]] = _no_baselines
    num_shown: int = 0
    tile: Callable[[Facts], tuple[int, int]] | None = None
    film: Callable[[Tensor, Path, float], None] | None = None
    examples: Callable[[Any], Batch | None] = _no_examples
    draw: Callable[[Facts, int, int], Tensor | None] | None = None
    produce: Callable[[GeneratorHandle, Facts, SampleRequest], SampleResult | None] = _as_usual
    parts: Mapping[str, Mapping[str, Callable[..., Any]]] = field(default_factory=dict)
    sample_name: str = "samples.png"
    pixels: bool = False
    claims: Callable[[Path], bool] = _claims_nothing
    generator: Callable[[Recipe, Facts], nn.Module] | None = None
    paths: tuple[str, ...] = ()
    likeness: Callable[[Tensor], Sequence[Tensor]] | None = None
    arrays: str = ""
    endings: tuple[str, ...] = ()

    def options(self, part: str, kind: str) -> frozenset[str] | None:
        """The options that a recipe may set of a part of this kind; None where `parts` does not know it."""
        maker = self.parts.get(part, {}).get(kind)
        return None if maker is None else options_of(maker)

    def generator_of(self, recipe: Recipe, facts: Facts) -> nn.Module:
        """The generator of a game, freshly initialised."""
        return self.generator(recipe, facts) if self.generator else self.game(recipe, facts).players[GENERATOR]
