"""Callbacks: plain functions that receive the events of a training; loggers are such functions. RunLogger writes the log.

A callback is called in the first process only, after the files of the event were written to the run folder. It may return
STOP: then the training stops as after Ctrl-C: it is saved and can be resumed. An exception of a callback ends the training.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from zerosum.errors import UserError, known_as
from zerosum.formatting import Progress
from zerosum.jsonfile import read_object
from zerosum.run_folder import RunFolder

STOP: Final = "stop"
"""What a callback returns to stop the training."""


@dataclass(frozen=True)
class TrainingEvent:
    """Base of the events. step: steps completed. folder: of the run."""

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
"""An event -> STOP to stop the training; with any other value it continues."""


class Callbacks:
    """The callbacks of a training, called in order. `stopping`: whether one of them has returned STOP."""

    def __init__(self, folder: Path, callbacks: Sequence[Callback] = ()) -> None:
        self.folder, self.callbacks, self.stopping = folder, tuple(callbacks), False

    def __call__(self, event: TrainingEvent) -> None:
        for callback in self.callbacks:
            self.stopping = callback(event) == STOP or self.stopping

    def call_for_line(self, step: int, kind: str, samples: int, content: Mapping[str, Any]) -> None:
        """Calls the callbacks with the event of a log line, if there is an event for its kind."""
        if kind == "train":
            self(StepLogged(step, self.folder, samples, content["values"]))
        elif kind == "health":
            self(HealthChecked(step, self.folder, content["values"], content.get("findings", ())))
        elif kind == "evaluation":
            self(EvaluationDone(step, self.folder, content["records"]))


# --- loggers: callbacks that copy the log of a run to TensorBoard, Weights & Biases or MLflow; a package is imported when used


PROJECT = "zerosum"
"""The project of W&B and the experiment of MLflow, unless WANDB_PROJECT or MLFLOW_EXPERIMENT_NAME name another."""
LONGEST_VALUE = 500
"""Longest value of a parameter, in characters, that every MLflow store accepts."""


def scalars(event: TrainingEvent) -> Mapping[str, float]:
    """The finite scalars of an event by name: of the log, of health checks under "health/", of an evaluation its metrics."""
    values: Mapping[str, Any] = {}
    if isinstance(event, StepLogged):
        values = event.values
    elif isinstance(event, HealthChecked):
        values = {f"health/{name}": value for name, value in event.values.items()}
    elif isinstance(event, EvaluationDone):
        values = {f"evaluation/{record['name']}": record["value"] for record in event.records}
    return {name: float(value) for name, value in values.items() if value is not None and value == value}


class TensorBoardLogger:
    """Scalars and previews as an event file in `tensorboard/` of the run folder.

    When a run is resumed, TensorBoard hides the events that an earlier process wrote for later steps. After a failed write (a
    full disk) the next record begins a new file, so that readers never find an incomplete record.
    """

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._folder, self._first_step = Path(), 0

    def __call__(self, event: TrainingEvent) -> None:
        """Writes what the event holds."""
        if isinstance(event, TrainingBegun):
            self._folder, self._first_step = event.folder / "tensorboard", event.step
        elif isinstance(event, PreviewMade):
            self._picture(event)
        elif isinstance(event, Finished):
            self._close()
        elif (values := scalars(event)) and not isinstance(event, EvaluationDone):
            self._add(event.step, summary={"value": [{"tag": name, "simple_value": x} for name, x in values.items()]})

    def _picture(self, event: PreviewMade) -> None:
        if event.path.suffix != ".png":
            return
        from PIL import Image

        with Image.open(event.path) as opened:
            size = {"width": opened.width, "height": opened.height, "colorspace": len(opened.getbands())}
        image = size | {"encoded_image_string": event.path.read_bytes()}
        self._add(event.step, summary={"value": [{"tag": "samples", "image": image}]})

    def _add(self, step: int, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        if self._file is None:
            self._open()
            start = SessionLog(status=SessionLog.START)
            self._write(Event(wall_time=time.time(), step=self._first_step, file_version="brain.Event:2"))
            self._write(Event(wall_time=time.time(), step=self._first_step, session_log=start))
        self._write(Event(wall_time=time.time(), step=step, **content))

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        now = time.time_ns()  # readers take files by name, the oldest first
        name = f"events.out.tfevents.{now // 10**9:010d}.{socket.gethostname()}.{os.getpid()}.{now}"
        self._file = open(self._folder / name, "xb", buffering=0)  # noqa: SIM115

    def _write(self, event: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        try:
            RecordWriter(self._file).write(event.SerializeToString())
        except OSError:
            self._close()
            raise

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class WandbLogger:
    """Scalars, previews and metrics as a run of Weights & Biases; a resumed training goes on with the same run."""

    def __init__(self) -> None:
        self._run: Any = None
        self._step = 0

    def __call__(self, event: TrainingEvent) -> None:
        """Logs what the event holds. W&B takes rising steps only: a late evaluation is logged at the newest step."""
        if isinstance(event, TrainingBegun):
            self._begin(event)
            return
        self._step = max(self._step, event.step)
        if isinstance(event, PreviewMade):
            import wandb

            self._run.log({"samples": wandb.Image(str(event.path))}, step=self._step)
        elif isinstance(event, Finished):
            self._run.finish(exit_code=int(event.state == "failed"))
        elif values := dict(scalars(event)):
            if isinstance(event, EvaluationDone):
                values["evaluation/step"] = event.step
            self._run.log(values, step=self._step)

    def _begin(self, event: TrainingBegun) -> None:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=event.folder.resolve().name,
            id=_read_run_id(event.folder / "wandb.json"),
            resume="allow",
            config=dict(event.recipe),
            dir=str(event.folder),
        )
        _write_run_id(event.folder / "wandb.json", self._run.id)


class MlflowLogger:
    """Scalars, previews and metrics as a run of MLflow, at the tracking URI that MLflow is set to; a resumed training goes on
    with the same run."""

    def __init__(self) -> None:
        self._client: Any = None
        self._id = ""

    def __call__(self, event: TrainingEvent) -> None:
        """Logs what the event holds."""
        if isinstance(event, TrainingBegun):
            self._begin(event)
        elif isinstance(event, PreviewMade):
            self._client.log_artifact(self._id, str(event.path), "previews")
        elif isinstance(event, Finished):
            self._client.set_terminated(
                self._id, {"finished": "FINISHED", "failed": "FAILED"}.get(event.state, "KILLED")
            )
        elif values := scalars(event):
            from mlflow.entities import Metric

            now = int(1000 * time.time())
            self._client.log_batch(
                self._id, [Metric(_mlflow_name(name), x, now, event.step) for name, x in values.items()]
            )

    def _begin(self, event: TrainingBegun) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient()
        known = _read_run_id(event.folder / "mlflow.json")
        if known is not None:
            self._id = known
            self._client.update_run(known, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        self._id = self._client.create_run(number, run_name=event.folder.resolve().name).info.run_id
        settings = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in _flatten(event.recipe).items()]
        self._client.log_batch(self._id, params=settings)
        _write_run_id(event.folder / "mlflow.json", self._id)


LOGGERS: Mapping[str, tuple[str, Callable[[], Callback]]] = {
    "tensorboard": ("tensorboard", TensorBoardLogger),
    "wandb": ("wandb", WandbLogger),
    "mlflow": ("mlflow", MlflowLogger),
}
"""Name -> (the package, the logger)."""


def check_loggers(names: Sequence[str]) -> None:
    """Raises UserError for an unknown logger, and for a logger whose package is not installed."""
    for name in names:
        package, _ = known_as(name, LOGGERS, "logger")
        if importlib.util.find_spec(package) is None:
            raise UserError(f"log = {name!r} needs the package {package}: pip install 'zerosum[{name}]'.")


def loggers(names: Sequence[str], log: Callable[[str], None]) -> list[Callback]:
    """The named loggers, and TensorBoard's where it is installed. Errors of a logger are reported once and end no training."""
    check_loggers(names)
    installed = importlib.util.find_spec("tensorboard") is not None
    every = dict.fromkeys([*(["tensorboard"] if installed else []), *names])
    return [_warn_on_error(name, LOGGERS[name][1](), log) for name in every]


def _warn_on_error(name: str, logger: Callback, log: Callable[[str], None]) -> Callback:
    announced = False

    def call(event: TrainingEvent) -> None:
        nonlocal announced
        try:
            logger(event)
        except Exception as error:  # a server that does not answer, a full disk
            if not announced:
                reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
                log(f"Warning: the {name} log cannot be written ({reason}); training goes on.")
            announced = True
        else:
            announced = False

    return call


def _mlflow_name(name: str) -> str:
    """A name that MLflow accepts: "D(G(z))" becomes "D_G_z"."""
    return re.sub(r"[^\w\-./ ]+", "_", name).strip("_")


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def _read_run_id(path: Path) -> str | None:
    """The identifier of the logger's run that an earlier process stored in this folder, or None."""
    try:
        return str(read_object(path)["id"])
    except (OSError, ValueError, KeyError):
        return None


def _write_run_id(path: Path, identifier: str) -> None:
    path.write_text(json.dumps({"id": identifier}) + "\n", encoding="utf-8")


# --- the files that a run writes during training


class RunLogger:
    """Writes log lines, previews and the status of one run, in its first process, and calls the callbacks.

    A full disk is reported once for each kind of file and does not stop the training.
    """

    def __init__(self, folder: RunFolder, progress: Progress, callbacks: Callbacks | None = None) -> None:
        self.folder, self.progress = folder, progress
        self.callbacks = callbacks or Callbacks(folder.root)
        self._failing: set[str] = set()

    @contextlib.contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Turns an OSError into a warning that names `what`, printed once until a write succeeds again."""
        try:
            yield
        except OSError as error:
            if what not in self._failing:
                self.progress.log(
                    f"Warning: {what} cannot be written in {self.folder} ({error.strerror or error}); training goes on."
                )
            self._failing.add(what)
        else:
            self._failing.discard(what)

    def write_line(self, kind: str, step: int, samples: int, seconds: float, content: Mapping[str, Any]) -> None:
        """Writes one line of the log and calls the callbacks."""
        with self.writing("the log"):
            self.folder.log({"step": step, "samples": samples, "seconds": round(seconds, 3), "kind": kind, **content})
        self.callbacks.call_for_line(step, kind, samples, content)

    def write_preview(
        self, step: int, draw: Callable[[Path], None], ending: str = ".png", announced: bool = True
    ) -> None:
        """Writes a preview to a temporary file and renames it, so that readers never find an incomplete file.

        announced: whether the callbacks are called.
        """
        path = self.folder.preview(step, ending)
        temporary = path.with_name(f".part-{path.name}")
        with self.writing("a preview"):
            try:
                draw(temporary)
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        if announced and path.is_file():
            self.callbacks(PreviewMade(step, self.folder.root, path))

    def write_status(self, content: Mapping[str, Any]) -> None:
        """Writes status.json."""
        with self.writing("status.json"):
            self.folder.write("status.json", content)
