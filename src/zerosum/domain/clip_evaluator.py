"""The evaluator of clips, of sound or video: the real clips to compare with, their features, controls, and what cannot judge.

Legend: N clips, ``...`` the shape of one clip, D features, K classes.
"""

from __future__ import annotations

import abc
import functools
import re
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from zerosum.domain.contract import EvalOptions, QuickMetrics, stage
from zerosum.domain.info import ClassCondition, Condition
from zerosum.domain.kit import MeasuredSource
from zerosum.engine.seeds import generator
from zerosum.errors import UserError
from zerosum.metrics.feature_networks import cached_classifier, random_features
from zerosum.metrics.record import CLEAR, MetricInfo, Record, share_error, unclear

Judge = Callable[[Tensor, Tensor | None], Tensor]
Controls = Mapping[str, tuple[Tensor, Tensor | None]]
REAL = "training clips"
FEWEST_HELDOUT, FEWEST = 64, 16
"""With fewer held-out clips, samples are compared with one half of the training clips; with fewer than FEWEST clips a side no
distances are computed."""


class ClipSource(MeasuredSource, Protocol):
    """What a ClipEvaluator needs of a source."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def condition(self) -> Condition | None: ...


@dataclass(frozen=True)
class Extractor:
    """Turns pictures, (N, C, H, W) uint8, into features (N, D). logits: features -> (N, K), of classifiers."""

    name: str
    sha256: str
    features: Callable[[Tensor], Tensor] = field(repr=False)
    logits: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)


class Lesson(NamedTuple):
    """What a classifier learns: pictures (N, C, H, W) uint8 and their classes (N,). fingerprint: stands for both."""

    pictures: Tensor
    labels: Tensor
    fingerprint: str


Source = TypeVar("Source", bound=ClipSource)
Found = TypeVar("Found", bound=Sized)


class ClipEvaluator(abc.ABC, Generic[Source, Found]):
    """Computes the metrics of generated clips (N, ...). Found: all that is compared of some clips; its length is their number.

    They are compared with held-out clips; the reference of each metric is the value of as many training clips. With fewer than
    FEWEST_HELDOUT held-out clips, one half of the training clips is compared with, and the other half gives the reference.
    Features of pictures are those of a classifier of the source's labels, trained once and kept in `cache_dir`; where there are
    no labels, of a fixed network with random weights.

    noun: the clips in messages. most_samples: of a side. overlapping: whether neighbouring clips have parts in common.
    classifier: its word in names; learns_from: what it sees, in words. meanings: of the metrics. must_fail: metric -> the
    controls that it must score clearly worse than real clips. clear: metric -> the least such difference, from the value of real
    clips, where it is not that of a share. of_heldout: metrics whose reference is the value of the clips compared with.
    """

    noun: ClassVar[str]
    most_samples: ClassVar[int]
    overlapping: ClassVar[bool]
    classifier: ClassVar[str]
    classifier_steps: ClassVar[int]
    learns_from: ClassVar[str]
    meanings: ClassVar[Mapping[str, MetricInfo]]
    must_fail: ClassVar[Mapping[str, tuple[str, ...]]]
    of_heldout: ClassVar[tuple[str, ...]]
    clear: ClassVar[Mapping[str, Callable[[float], float]]] = {}

    def __init__(
        self, source: Source, seed: int, options: EvalOptions = EvalOptions(), cache_dir: Path | None = None
    ) -> None:
        self.source, self.seed, self.options, self.cache_dir = source, seed, options, cache_dir
        self._held = source.num_heldout >= FEWEST_HELDOUT
        most = source.num_heldout if self._held else source.num_rows // 2
        if options.num and not FEWEST <= options.num <= most:
            raise UserError(f"--num {options.num}: as many real clips are compared with; give {FEWEST} to {most:,}.")
        if options.extractor not in ("", "classifier", "random"):
            raise UserError(
                f"--extractor {options.extractor!r}: {self.noun} have the extractors classifier and random."
            )
        if options.extractor == "classifier" and self._num_classes < 2:
            raise UserError(f"--extractor classifier: {source.name} has no labels to train one on. Use random.")
        self.num_samples = max(1, min(options.num or self.most_samples, most))

    @property
    def _num_classes(self) -> int:
        condition = self.source.condition
        return condition.num_classes if isinstance(condition, ClassCondition) else 0

    def prepare(self, log: Callable[[str], None]) -> None:
        """Trains or loads the classifier and measures real clips, once."""
        log("Preparing the measures (up to half a minute, the first time for these data) ...")
        assert len(self._real)

    def adjusted(self, options: EvalOptions) -> ClipEvaluator[Source, Found]:
        """The same measures with another extractor or another number of samples."""
        return type(self)(self.source, self.seed, options, self.cache_dir)

    def evaluate(self, fakes: Tensor, labels: Tensor | None, judge: Judge | None) -> list[Record]:
        """All metrics of (N, ...) fakes. labels (N,): the requested classes."""
        fakes = fakes[: self.num_samples].detach().cpu().float()
        labels = None if labels is None or labels.dim() != 1 else labels[: len(fakes)].cpu()
        stage("features of the clips", needed=True)
        found = self._features_of(fakes, labels)
        measured = {REAL: self._reference_values}
        measured |= self._control_values if stage("controls", once=True) else {}
        records = []
        for name, value in self._values(found).items():
            values = {group: own[name] for group, own in measured.items() if name in own}
            records.append(self._record(name, value, len(found), values))
        return self._finished(records, fakes, labels, found, judge)

    # --- what each kind of clips has of its own

    @abc.abstractmethod
    def quick(self, fakes: Tensor) -> QuickMetrics:
        """Health values."""

    @property
    @abc.abstractmethod
    def _picture_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the pictures whose features are computed."""

    @abc.abstractmethod
    def _lesson(self) -> Lesson:
        """What the classifier learns."""

    @abc.abstractmethod
    def _features_of(self, clips: Tensor, labels: Tensor | None) -> Found:
        """All that is compared of clips (N, ...) on the CPU. labels (N,): the classes asked for."""

    @abc.abstractmethod
    def _make_controls(self, clips: Tensor, labels: Tensor | None) -> Controls:
        """Control -> (clips, the classes asked for), made of real clips (N, ...)."""

    @abc.abstractmethod
    def _values(self, found: Found) -> dict[str, float]:
        """Name of a metric -> its value for these clips, compared with the real ones."""

    @abc.abstractmethod
    def _extractor_of(self, name: str) -> str:
        """The name of the extractor of a metric; "" for one that needs none."""

    @property
    @abc.abstractmethod
    def _facts(self) -> Mapping[str, Any]:
        """Further entries of the protocol: of the clips."""

    @property
    @abc.abstractmethod
    def _length(self) -> str:
        """The part of the names of metrics that tells clips of different lengths apart, with a comma; "" for none."""

    @abc.abstractmethod
    def _finished(
        self, records: list[Record], fakes: Tensor, labels: Tensor | None, found: Found, judge: Judge | None
    ) -> list[Record]:
        """The records of `_values`, and those of measures that need more: copies, the discriminator."""

    # --- real clips and controls, computed once

    def _rows(self, held: bool, part: int) -> tuple[Tensor, Tensor | None]:
        """num_samples real clips and their classes. Without held-out clips, part 0 and part 1 are disjoint halves; a single clip
        is both. Halves of overlapping clips are those before and after the middle, which share as few parts as possible."""
        num = self.source.num_heldout if held else self.source.num_rows
        first, stop = 0, num
        if self.overlapping and not self._held and num > 1:
            first, stop = (0, num - num // 2) if part == 0 else (num - num // 2, num)
        order = first + torch.randperm(stop - first, generator=generator(self.seed, "evaluate", self.noun))
        start = 0 if self._held or self.overlapping or num < 2 * self.num_samples else part * self.num_samples
        rows = order[start : start + self.num_samples]
        batch = self.source.heldout_batch(rows) if held else self.source.batch(rows)
        labels = batch.condition.cpu() if batch.condition is not None and self._num_classes else None
        return batch.data.detach().cpu().float(), labels

    @functools.cached_property
    def _extractor(self) -> Extractor:
        if self._num_classes < 2 or self.options.extractor == "random":
            network = random_features(self._picture_shape)
            return Extractor(network.name, network.sha256, network.features)
        stage(f"classifier of {self.learns_from}", needed=True, once=True)
        lesson = self._lesson()
        model, sha256 = cached_classifier(
            lesson.pictures,
            lesson.labels,
            lesson.fingerprint,
            self.cache_dir,
            num_classes=self._num_classes,
            steps=self.classifier_steps,
        )
        plain = re.sub(r"[^A-Za-z0-9_]+", "-", self.source.name).strip("-")
        return Extractor(f"{plain}-{self.classifier}-{sha256[:8]}", sha256, model.features, model.head)

    @functools.cached_property
    def _real(self) -> Found:
        """The clips that others are compared with."""
        return self._features_of(*self._rows(self._held, 0))

    @functools.cached_property
    def _real_values(self) -> Mapping[str, float]:
        """Metric -> the value of the clips that others are compared with."""
        return self._values(self._real)

    @functools.cached_property
    def _reference_values(self) -> Mapping[str, float]:
        """Metric -> the value of training clips."""
        return self._values(self._features_of(*self._rows(False, 1)))

    @functools.cached_property
    def _control_values(self) -> Mapping[str, Mapping[str, float]]:
        """Control -> metric -> value."""
        clips, labels = self._rows(False, 1)
        if len(clips) < FEWEST:
            return {}
        made = self._make_controls(clips, labels)
        return {name: self._values(self._features_of(*group)) for name, group in made.items()}

    # --- records

    def _record(self, name: str, value: float, num: int, values: Mapping[str, float]) -> Record:
        """values: of training clips, and of controls unless they were left out."""
        extractor = self._extractor_of(name)
        better, sentence = self.meanings[name]
        record = Record(
            f"{name}[{extractor and f'{extractor},'}{self._length}n={num}]",
            value,
            self._protocol(num, extractor),
            better,
            sentence,
            self._real_values.get(name) if name in self.of_heldout else values.get(REAL),
            share_error(value, num) if name == "class_accuracy" else None,
        )
        if (few := len(self._real)) < FEWEST:
            return record.mark_unreliable(f"{few} real clips are too few; {FEWEST} are needed.")
        return self._with_controls(record, name, values)

    def _with_controls(self, record: Record, name: str, values: Mapping[str, float]) -> Record:
        """The record with the values of controls, and with the reason if real clips do not score clearly better than those
        that must fail."""
        failing = {control: values[control] for control in self.must_fail.get(name, ()) if control in values}
        record = record.with_controls({control: value for control, value in values.items() if control != REAL})
        if not failing:
            return record
        real = values[REAL]
        clear = self.clear[name](real) if name in self.clear else CLEAR
        return record.mark_unreliable(unclear({REAL: real, **failing}, record.better, "Training clips", clear=clear))

    def _protocol(self, num_fake: int, extractor: str) -> dict[str, Any]:
        own = extractor == self._extractor.name
        return {
            "source": self.source.name,
            "fingerprint": self.source.fingerprint,
            "extractor": extractor or None,
            "extractor_sha256": self._extractor.sha256 if own else None,
            "num_real": len(self._real),
            "num_fake": num_fake,
            **self._facts,
            "split": "held out" if self._held else "one half of the training clips",
            "seed": self.seed,
            "torch": torch.__version__,
        }
