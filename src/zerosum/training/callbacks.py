"""Callbacks: plain functions that receive the events of a training; loggers are such functions.

A callback is called in the first process only, after what the event tells of was written to the run folder. It may return
STOP: then the training stops as after Ctrl-C, saved and ready to be resumed. Its exceptions end the training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

STOP: Final = "stop"
"""What a callback returns to stop the training."""


@dataclass(frozen=True)
class TrainingEvent:
    """What all events tell. step: steps completed. folder: of the run."""

    step: int
    folder: Path


@dataclass(frozen=True)
class TrainingBegun(TrainingEvent):
    """Before the first step, or when a run is resumed at `step`. recipe: all settings, plain values."""

    recipe: Mapping[str, Any]


@dataclass(frozen=True)
class StepLogged(TrainingEvent):
    """A line of the log was written, every `cadence.log` steps. samples: number trained on. values: scalars by name."""

    samples: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class PreviewMade(TrainingEvent):
    """A preview was written to `path`."""

    path: Path


@dataclass(frozen=True)
class HealthChecked(TrainingEvent):
    """The samples of a preview were examined. values: scalars by name. findings: warnings, as plain values."""

    values: Mapping[str, float]
    findings: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class CheckpointSaved(TrainingEvent):
    """A checkpoint and the generator were written to the run folder."""


@dataclass(frozen=True)
class EvaluationDone(TrainingEvent):
    """An evaluation of the generator of `step` was logged; one made by another process arrives later. records: each a metric
    with its value and protocol, plain values."""

    records: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Finished(TrainingEvent):
    """The last event. state: "finished", "stopped" or "failed". message: the reason, where there is one."""

    state: str
    message: str = ""


Callback = Callable[[TrainingEvent], object]
"""An event -> STOP to stop the training; anything else goes on."""


class Callbacks:
    """The callbacks of a training, called in order. `stopping`: whether one of them has asked to stop."""

    def __init__(self, folder: Path, callbacks: Sequence[Callback] = ()) -> None:
        self.folder, self.callbacks, self.stopping = folder, tuple(callbacks), False

    def __call__(self, event: TrainingEvent) -> None:
        for callback in self.callbacks:
            self.stopping = callback(event) == STOP or self.stopping

    def line(self, step: int, kind: str, samples: int, content: Mapping[str, Any]) -> None:
        """The event of a line of the log, where there is one for its kind."""
        if kind == "train":
            self(StepLogged(step, self.folder, samples, content["values"]))
        elif kind == "health":
            self(HealthChecked(step, self.folder, content["values"], content.get("findings", ())))
        elif kind == "evaluation":
            self(EvaluationDone(step, self.folder, content["records"]))
