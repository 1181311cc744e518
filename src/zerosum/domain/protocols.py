"""The types that a domain and the rest of the program exchange: sources, evaluators, baselines, previews, samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zerosum.domain.info import DatasetInfo
from zerosum.engine.duel import Prior
from zerosum.engine.game import Batch
from zerosum.metrics.record import Record


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


@dataclass(frozen=True)
class QuickMetrics:
    """Numbers of a few fakes that cost little; None for what was not measured.

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
    """Measures samples against the source they should resemble."""

    @property
    def num_samples(self) -> int: ...
    def prepare(self, say: Callable[[str], None]) -> None: ...
    def evaluate(
        self, fakes: Tensor, labels: Tensor | None, judge: Callable[[Tensor, Tensor | None], Tensor] | None
    ) -> Sequence[Record]: ...
    def quick(self, fakes: Tensor) -> QuickMetrics: ...


@dataclass(frozen=True)
class PreviewContext:
    """What a picture of samples may show beside them.

    columns: of a grid. info: of the data set. noise: (N, L) that the samples were made of; L = 0 for those of a
    classical model; None for real rows.
    judge: (M, ...) data -> (M,) logits above the neutral one of the run's discriminator; None for real rows and in games
    with labels. condition: (N, ...) what the samples were made under, or the rows were told; None in games without.
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
    """How samples are written to files. names: of each sample's class, fit for files' names (data.filenames); () where they have
    none. options: values of the domain's own options of `zerosum sample` that say how samples are written, by name."""

    names: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


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


class RecommendRecipe(Protocol):
    """The recipe for data that name none, and why: a clause with the numbers that decided."""

    def __call__(self, info: DatasetInfo, minutes: float | None = None, device: str = "cpu") -> tuple[str, str]:
        """minutes: the time there is, None when nobody said. device: where it will train."""


class GeneratorHandle(Protocol):
    """A generator at hand for `produce`."""

    network: nn.Module
    prior: Prior
    info: DatasetInfo
    device: torch.device
    examples: Batch | None

    def noise(self, num: int, seed: int = 0) -> Tensor:
        """(num, L) float32."""

    def conditions(self, num: int, seed: int) -> Tensor | None:
        """Conditions as the training data have them, or those of the examples in turn; None for a game without."""

    def make(self, noise: Tensor, condition: Tensor | None, batch: int = 512) -> Tensor:
        """(N, ...) float32 on the CPU, before `Media.postprocess`."""


@dataclass(frozen=True)
class SampleResult:
    """What came of it: the files, how many samples, and what there is to tell of them."""

    paths: Sequence[Path]
    num: int
    notes: tuple[str, ...] = ()
