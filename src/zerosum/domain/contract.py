"""A domain: five parts, each a small record of functions and tables, and the types that they exchange with others.

Optional fields are the capabilities of the domain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy.typing as npt
import torch
from torch import Tensor, nn

from zerosum.data.images.pictures import PICTURES, Size
from zerosum.domain import info as infos
from zerosum.domain.factory import options_of
from zerosum.domain.info import DatasetInfo, Label, OtherCondition
from zerosum.engine.game import GENERATOR, Batch, Game
from zerosum.engine.loop import TrainingLoop
from zerosum.engine.seeds import Prior
from zerosum.errors import UserError
from zerosum.metrics.record import Record
from zerosum.recipe import Component, Recipe


class WithOptions(Protocol):
    """A SampleRequest, WriteOptions or PreviewContext: what holds values of a domain's own options by name."""

    @property
    def options(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class SampleRequest:
    """A request of `zerosum sample`. num: None for the domain's default. options: the given values of the domain's own options by
    name. labels: names or numbers of classes, in turn; attributes: requested values in the units of the data. A domain's own
    function gets samples of these from `GeneratorHandle.conditions` (`Media.sample_conditional`)."""

    num: int | None
    seed: int
    out: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[Label, ...] = ()
    attributes: Mapping[str, float] = field(default_factory=dict)

    @property
    def conditional(self) -> bool:
        """Whether classes or attributes are asked for."""
        return bool(self.labels or self.attributes)


@dataclass(frozen=True)
class SampleOption:
    """An option of `zerosum sample` that a domain declares.

    name: in `SampleRequest.options`; the flag is --name, with "-" for "_". kind: "text"; "flag", which takes no value; "number",
    in [least, most]; "paths", files or folders, which may be repeated. help: one line, without the name of the domain. default:
    the value without the flag. metavar: what the help shows for the value. writing: whether it only affects how samples are
    written, so that it can be combined with the general options (--label, --truncation ...).
    """

    name: str
    kind: Literal["text", "flag", "number", "paths"]
    help: str
    default: Any = None
    metavar: str = ""
    least: float | None = None
    most: float | None = None
    writing: bool = False

    @property
    def flag(self) -> str:
        """The flag on the command line."""
        return flag_of(self.name)

    def value(self, given: WithOptions) -> Any:
        """Its value, or the default where it is not given."""
        return given.options.get(self.name, self.default)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the flag: what the command line needs."""
        return asdict(self) | {"flag": self.flag}


def flag_of(name: str) -> str:
    """The flag of an option."""
    return f"--{name.replace('_', '-')}"


SIZE = SampleOption(
    "size",
    "text",
    "size of the written images, N pixels along the longer side or height and width.",
    metavar="N|HEIGHTxWIDTH",
    writing=True,
)
"""The option --size of domains whose samples are pictures."""


def picture_size(given: WithOptions) -> Size | None:
    """The value of SIZE, None where it is not given; UserError for an invalid size."""
    text = SIZE.value(given)
    return None if text is None else Size.parsed(text)


# --- types that a domain and the rest of the program exchange


class DomainSource(Protocol):
    """Real data of a domain: random access to training rows, and notes from reading them."""

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


@dataclass(frozen=True)
class QuickMetrics:
    """Metrics of a few fakes that are cheap to compute; None for those that were not computed.

    diversity: mean distance between fakes, over that between real rows. contrast: mean deviation within a fake, over that
    within a real row. classes_found, modes_found: how many of num_classes, num_modes the fakes show. others: further numbers by
    name, which are logged and drawn but not judged.
    """

    diversity: float | None = None
    contrast: float | None = None
    classes_found: float | None = None
    num_classes: float | None = None
    modes_found: float | None = None
    num_modes: float | None = None
    others: Mapping[str, float] = field(default_factory=dict)

    def values(self) -> dict[str, float]:
        """All numbers that were measured, by name."""
        named = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "others"}
        return {name: value for name, value in named.items() if value is not None} | dict(self.others)


class Evaluator(Protocol):
    """Evaluates samples against the source that they should resemble."""

    @property
    def num_samples(self) -> int: ...
    def prepare(self, log: Callable[[str], None]) -> None: ...
    def evaluate(
        self, fakes: Tensor, labels: Tensor | None, judge: Callable[[Tensor, Tensor | None], Tensor] | None
    ) -> Sequence[Record]: ...
    def quick(self, fakes: Tensor) -> QuickMetrics: ...


@dataclass(frozen=True)
class EvalOptions:
    """Options of an evaluation: the feature extractor and the number of samples.

    extractor: its name, empty for the source's own. num: samples on each side, 0 for the source's own number.

    weights: a file for extractors that need one. trust: whether such a file may be one that runs code. download: whether
    weights may be fetched.
    """

    extractor: str = ""
    num: int = 0
    weights: Path | None = None
    trust: bool = False
    download: bool = False


@dataclass(frozen=True)
class PreviewContext:
    """What a preview may show besides the samples.

    columns: of a grid. info: of the data set. noise: (N, L) that the samples were made of; L = 0 for those of a
    classical model; None for real rows.
    judge: (M, ...) data -> (M,) logits above the neutral one of the run's discriminator; None for real rows and in games
    with labels. condition: (N, ...) of the samples or rows; None in unconditional games.
    options: values of the domain's own options of `zerosum sample` that say how samples are written, by name.
    """

    columns: int
    info: DatasetInfo
    noise: Tensor | None = None
    judge: Callable[[Tensor], Tensor] | None = None
    condition: Tensor | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WriteOptions:
    """How samples are written to files. names: of each sample's class as store.class_file_names gives them; () where they have
    none. options: values of the domain's own options of `zerosum sample` that say how samples are written, by name. notes: a list
    to which the domain may add sentences for the user."""

    names: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Write(Protocol):
    """Writes samples (N, ...) in the domain's range to files."""

    def __call__(
        self, samples: Tensor, path: Path, info: DatasetInfo, options: WriteOptions = WriteOptions()
    ) -> list[Path]:
        """The files written, by the path's ending; a folder of single ones without an ending, where the domain has such."""


class Baseline(Protocol):
    """A classical model, fitted to training rows."""

    @property
    def summary(self) -> str:
        """What was fitted, in a few words with its numbers: "50 Gaussians, full covariance"."""

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, ...) float32 in the domain's range."""


@runtime_checkable
class PairedBaseline(Protocol):
    """A simple map from inputs to outputs, fitted to training pairs: measured on the conditions of the evaluator. It stands in
    place of a Baseline where an evaluator has conditions."""

    @property
    def summary(self) -> str:
        """What was fitted, as that of a Baseline."""

    def outputs(self, conditions: Tensor, seed: int) -> Tensor:
        """(N, ...) float32 in the domain's range, one for each condition."""


class RecommendRecipe(Protocol):
    """Recommends a recipe for data, with the reason: a clause with the numbers that decided."""

    def __call__(self, info: DatasetInfo, minutes: float | None = None, device: str = "cpu") -> tuple[str, str]:
        """minutes: the time available for training; None if not given. device: that of the training."""


class GeneratorHandle(Protocol):
    """What `Media.sample` receives: a loaded generator and its conditions."""

    network: nn.Module
    prior: Prior
    info: DatasetInfo
    device: torch.device
    examples: Batch | None

    def noise(self, num: int, seed: int = 0) -> Tensor:
        """(num, L) float32."""

    def conditions(self, num: int, seed: int) -> Tensor | None:
        """The conditions that are asked for; else as in the training data, or those of the examples in turn; None for an
        unconditional game."""

    def make(self, noise: Tensor, condition: Tensor | None, batch: int = 512) -> Tensor:
        """(N, ...) float32 on the CPU, before `Media.postprocess`."""


@dataclass(frozen=True)
class SampleResult:
    """The result of `Media.sample`: the files written, the number of samples, and notes for the user."""

    paths: Sequence[Path]
    num: int
    notes: tuple[str, ...] = ()


# --- the parts of a domain


@dataclass(frozen=True)
class Data:
    """How data of the domain are found, opened and described.

    can_open: whether a name or path is data of this domain. Quick, never raises.
    open: (data part of the recipe, allow_download) -> source. UserError for data that cannot be read.
    info: source -> DatasetInfo.
    describe: DatasetInfo -> a few words for one line.
    sources: name -> what is known of each named source.
    payload: the type of `DatasetInfo.payload`: a dataclass with a field for each key, or dict for any.
    looks_like: whether an existing path that no domain can open is probably meant as data of this domain, by its ending or its
    folders; then `open` raises the error. Never raises.
    paths: options of `data`, beside the kind, whose value is a path when it is a text.
    arrays: the shapes of arrays in .npy and .npz files that can be read, in words; "" if none.
    examples: source -> at most 64 rows whose conditions previews and samples are made under in turn; they are stored with the
    published generator. Needed exactly if the condition is an OtherCondition with `examples`; None for other data.
    read_like: DatasetInfo -> options of `data` that make other data fit the networks of a generator trained on this data set.
    smaller: DatasetInfo -> (setting, what it saves, in words) that makes samples of the same data smaller, for advice when memory
    runs out; None if there is no such setting.
    """

    can_open: Callable[[str], bool]
    open: Callable[[Component, bool], Any]
    info: Callable[[Any], DatasetInfo]
    describe: Callable[[DatasetInfo], str]
    sources: Callable[[], Mapping[str, Any]] = dict
    payload: type = dict
    looks_like: Callable[[Path], bool] = lambda path: False
    paths: tuple[str, ...] = ()
    arrays: str = ""
    examples: Callable[[Any], Batch | None] | None = None
    read_like: Callable[[DatasetInfo], Mapping[str, Any]] = lambda info: {}
    smaller: Callable[[DatasetInfo], tuple[str, str] | None] = lambda info: None


@dataclass(frozen=True)
class Games:
    """How the game of a recipe is built.

    build: (recipe, info) -> the game on the CPU, initialised from the recipe's seed alone.
    build_generator: the same for its generator alone; by default that of the game.
    init_from_data: (game, source) -> None; initialises the networks from the data before step 0.
    resolve_auto: (recipe, info) -> the recipe with a number for each "auto", and a note for each with the rule. Only rules for
    half-lives may depend on recipe.steps.
    parts: "generator", "discriminator", "augment" -> kind -> class or function that makes it, as a recipe names it.
    """

    build: Callable[[Recipe, DatasetInfo], Game]
    build_generator: Callable[[Recipe, DatasetInfo], nn.Module] | None = None
    init_from_data: Callable[[Game, Any], None] = lambda game, source: None
    resolve_auto: Callable[[Recipe, DatasetInfo], tuple[Recipe, tuple[str, ...]]] = lambda recipe, info: (recipe, ())
    parts: Mapping[str, Mapping[str, Callable[..., Any]]] = field(default_factory=dict)

    def options(self, part: str, kind: str) -> frozenset[str] | None:
        """The options that a recipe may set of a part of this kind; None if `parts` does not have it."""
        maker = self.parts.get(part, {}).get(kind)
        return None if maker is None else options_of(maker)

    def generator(self, recipe: Recipe, info: DatasetInfo) -> nn.Module:
        """The generator of a game, freshly initialised."""
        if self.build_generator is not None:
            return self.build_generator(recipe, info)
        return self.build(recipe, info).players[GENERATOR]


def _no_baselines(source: Any) -> Mapping[str, Callable[[], Baseline | PairedBaseline]]:
    return {}


@dataclass(frozen=True)
class Evaluation:
    """How samples are measured.

    evaluator: (source, seed) -> Evaluator. It gets samples in the domain's own range.
    extra_metrics: (recipe, loop, fakes) -> records that need the game itself.
    baselines: source -> name -> function that fits a classical model to the training rows, or to the training pairs.
    configure: (evaluator, options) -> the same evaluator with another extractor or number of samples; None if nothing can be
    chosen.
    conditions: evaluator -> (num_samples, ...) conditions under which the samples for `Evaluator.evaluate` are made, held-out
    inputs for example; None, or a function that returns None, for those that the generator is sampled with.
    historic: (evaluator, sample) -> records of the scores of old papers, which are compared with those papers and never ranked
    by; `sample(num)` makes so many samples. None if there are none.
    num_quick: samples that are made for `Evaluator.quick` and the scores of the discriminator at each preview; fewer where a
    sample takes long; a function where it depends on the data.
    best_metric: the name of a value of `Evaluator.quick`, lower is better, by which the best generator of a run is stored next to
    the last one; "" if none can rank two generators. A function where it depends on the data.
    """

    evaluator: Callable[[Any, int], Evaluator]
    extra_metrics: Callable[[Recipe, TrainingLoop, Tensor], Sequence[Record]] = lambda recipe, loop, fakes: ()
    baselines: Callable[[Any], Mapping[str, Callable[[], Baseline | PairedBaseline]]] = _no_baselines
    configure: Callable[[Any, EvalOptions], Evaluator] | None = None
    conditions: Callable[[Any], Tensor | None] | None = None
    historic: Callable[[Any, Callable[[int], Tensor]], Sequence[Record]] | None = None
    best_metric: str | Callable[[DatasetInfo], str] = ""
    num_quick: int | Callable[[DatasetInfo], int] = 256

    def best_metric_of(self, info: DatasetInfo) -> str:
        """The name of the value by which the best generator for these data is stored."""
        return self.best_metric if isinstance(self.best_metric, str) else self.best_metric(info)

    def num_quick_of(self, info: DatasetInfo) -> int:
        """The number of samples that are made for `Evaluator.quick` for these data."""
        return self.num_quick if isinstance(self.num_quick, int) else self.num_quick(info)

    @property
    def has_baselines(self) -> bool:
        """Whether classical models can be fitted; no data are read for it."""
        return self.baselines is not _no_baselines


SOUND_ENDING = ".wav"
"""Of the files that `Media.sound` writes."""


@dataclass(frozen=True, eq=False)
class Windows:
    """The parts of a recording that are scored: they may overlap, and are cut out when they are needed.

    whole: (..., L), the recording, at least as long as a sample. size: places of a window along the last axis. starts: the first
    place of each. rate: places a second.
    """

    whole: Tensor
    size: int
    starts: Sequence[int]
    rate: float

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: slice) -> Tensor:
        """Some windows, (N, ..., size)."""
        return torch.stack([self.whole[..., start : start + self.size] for start in self.starts[rows]])


@dataclass(frozen=True, eq=False)
class ScoredFile:
    """The windows of a recording, and the discriminator's score of each in [0, 1]."""

    name: str
    windows: Windows
    scores: Sequence[float]


@dataclass(frozen=True)
class Media:
    """How samples are shown, written and read.

    preview: (samples, path, context) -> None; writes one file that shows many samples, with the ending `preview_ending`.
    preview_ending: of previews, ".png" for example; the report shows pictures (.png), sound (.wav, .mp3, .ogg, .flac), films
    (.mp4, .webm) and text (.txt, .csv).
    write: (samples, path, info, options) -> the files written.
    read: (paths, info) -> samples for the discriminator.
    num_shown: how many samples a preview wants; 0 for a grid of 80 or so.
    postprocess: (samples, recipe) -> the samples brought into the domain's range, in place or as new tensors.
    tile: (info, options) -> (height, width) in pixels of each sample in a picture of many; UserError for options that cannot be.
    None if the number of samples does not change the size of the picture.
    film: (samples, path, frames per second) -> None; writes the samples one after the other as a moving picture. None if a
    single sample is no picture.
    sound: (samples, path, context) -> None; writes the samples one after the other as one .wav file. None if a sample is no
    sound. The first `num_heard` samples of each preview are kept beside it and are played in the report.
    windows: (file, info, seconds) -> the name and the windows of each recording in a file, for data that are longer than a
    sample; seconds: between the beginnings of two windows, 0 to choose them. None: the samples of `read` are scored.
    scored: (scored files, path, info) -> None; writes a .png of the windows of files with the discriminator's scores, for
    `zerosum judge --out`. It takes the files one after the other, all of them. None if there is none.
    sample: (generator, info, request) -> the result of the domain's own function for `zerosum sample`: streams, whole files; None
    to use the general function.
    transform: (generator, info, input, request) -> the output for one input in memory, both as numpy arrays of the values that
    files hold, with `sample_options` in the request. None where a generator takes no files as inputs.
    sample_options: the options of `zerosum sample` that are this domain's own; `sample` finds their values in the request.
    sample_conditional: whether `sample` makes its samples under `GeneratorHandle.conditions`, so that --label and --attributes go
    together with its options; otherwise the general function makes samples with these.
    sample_name: the file in the run folder that `zerosum sample` writes by default; "": samples, with the first of `endings`.
    pixels: whether samples are pictures, (C, H, W) in [-1, 1].
    similarity: samples -> one (N, F) tensor or several, whose distances say how alike two samples are; None if there is none.
    endings: of the files that `write` can write; "" stands for a folder of single files. () for any.
    """

    preview: Callable[[Tensor, Path, PreviewContext], None]
    write: Write
    read: Callable[[Sequence[Path], DatasetInfo], Tensor]
    num_shown: int = 0
    postprocess: Callable[[Tensor, Recipe], Tensor] = lambda samples, recipe: samples
    tile: Callable[[DatasetInfo, WriteOptions], tuple[int, int]] | None = None
    film: Callable[[Tensor, Path, float], None] | None = None
    sound: Callable[[Tensor, Path, PreviewContext], None] | None = None
    num_heard: int = 10
    windows: Callable[[Path, DatasetInfo, float], Iterable[tuple[str, Windows]]] | None = None
    scored: Callable[[Iterable[ScoredFile], Path, DatasetInfo], None] | None = None
    sample: Callable[[GeneratorHandle, DatasetInfo, SampleRequest], SampleResult | None] = lambda *_: None
    transform: Callable[[GeneratorHandle, DatasetInfo, npt.NDArray[Any], SampleRequest], npt.NDArray[Any]] | None = None
    sample_options: tuple[SampleOption, ...] = ()
    sample_conditional: bool = False
    sample_name: str = ""
    pixels: bool = False
    similarity: Callable[[Tensor], Sequence[Tensor]] | None = None
    endings: tuple[str, ...] = ()
    preview_ending: str = ".png"

    @property
    def draws(self) -> bool:
        """Whether previews are pictures, so that samples can be laid out on a sheet."""
        return self.preview_ending in PICTURES

    @property
    def sample_file(self) -> str:
        """The name of the file that `zerosum sample` writes by default."""
        return self.sample_name or f"samples{self.endings[0] if self.endings else self.preview_ending}"


@dataclass(frozen=True)
class Recipes:
    """table: the domain's recipes by name. recommend: (info, minutes, device) -> (name of the recipe for data that name none,
    why)."""

    table: Mapping[str, Recipe]
    recommend: RecommendRecipe


@dataclass(frozen=True)
class Domain:
    """One kind of data, with all that is needed to train on it. name: in commands and files. summary: one line about the
    data that can be used."""

    name: str
    summary: str
    data: Data
    game: Games
    evaluation: Evaluation
    media: Media
    recipes: Recipes

    def open(self, data: Component, allow_download: bool) -> tuple[Any, DatasetInfo]:
        """The source and its checked DatasetInfo; UserError names the domain and the field where it is wrong."""
        source = self.data.open(data, allow_download)
        return source, self.info_of(source)

    def info_of(self, source: Any) -> DatasetInfo:
        """The checked DatasetInfo of a source."""
        try:
            info = infos.check(self.data.info(source), self.data.payload)
        except UserError:
            raise
        except (TypeError, ValueError) as error:
            raise UserError(f"The domain {self.name!r} describes its data wrongly: {error}.") from error
        needed = isinstance(info.condition, OtherCondition) and info.condition.examples
        if needed and self.data.examples is None:
            raise UserError(
                f"The domain {self.name!r} describes its data wrongly: condition.examples is true, but it has no Data.examples."
            )
        return info

    def info_from_json(self, plain: object, where: object) -> DatasetInfo:
        """The DatasetInfo in a file; UserError names the file and the field that is wrong."""
        try:
            return DatasetInfo.from_json(plain, self.data.payload)
        except ValueError as error:
            raise UserError(
                f"{where}: in the description of its data {error}. Restore the file from a copy, or train again."
            ) from None


# --- the stages of an evaluation


@dataclass
class Watch:
    """The progress of one evaluation.

    log: called with the name of each stage. budget_s: seconds after which no stage begins; None for no limit. left_out: the
    stages that did not begin for lack of time. once_s: seconds of the stages that are done once for the same data and then
    kept, which the budget does not count.
    """

    log: Callable[[str], None]
    budget_s: float | None = None
    begun: float = field(default_factory=lambda: time.monotonic())
    once_s: float = 0.0
    _once_since: float | None = None
    left_out: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.begun

    def turn(self, once: bool) -> None:
        """Ends the current stage and begins the next."""
        now = time.monotonic()
        if self._once_since is not None:
            self.once_s += now - self._once_since
        self._once_since = now if once else None


_WATCH: ContextVar[Watch | None] = ContextVar("evaluation", default=None)


@contextmanager
def watched(log: Callable[[str], None], budget_s: float | None = None) -> Iterator[Watch]:
    """Announces the stages of the evaluations within, and bounds their time."""
    watch = Watch(log, budget_s)
    token = _WATCH.set(watch)
    try:
        yield watch
    finally:
        _WATCH.reset(token)


def stage(name: str, needed: bool = False, once: bool = False) -> bool:
    """Whether the next part of an evaluation is to be done; call it before that part. needed: it is done however late it is.
    once: it is done once for the same data, and its result is kept.

    Without `watched` every part is done and nothing is said.
    """
    watch = _WATCH.get()
    if watch is None:
        return True
    watch.turn(once)
    if not needed and watch.budget_s is not None and watch.seconds - watch.once_s > watch.budget_s:
        watch.left_out.append(name)
        return False
    watch.log(name)
    return True
