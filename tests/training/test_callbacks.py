"""Callbacks: which events come, that a callback can stop a training, and the loggers."""

from __future__ import annotations

import errno
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import zerosum as zs
from zerosum.training import callbacks
from zerosum.training.callbacks import (
    CheckpointSaved,
    EvaluationDone,
    Finished,
    HealthChecked,
    PreviewMade,
    StepLogged,
    TrainingBegun,
    TrainingEvent,
)

QUICK = {"threads": 1, "cadence.log": 2, "cadence.preview": 4, "cadence.checkpoint": 4}


def test_events_come_in_order_with_what_was_written(tmp_path: Path) -> None:
    seen: list[TrainingEvent] = []
    run = zs.train("ring", "toy", steps=8, out=tmp_path / "run", overrides=QUICK, callbacks=[seen.append])
    assert isinstance(seen[0], TrainingBegun)
    assert seen[0].recipe["steps"] == 8
    steps = [event for event in seen if isinstance(event, StepLogged)]
    assert [event.step for event in steps] == [1, 2, 4, 6, 8]
    assert steps[0].values["discriminator/loss"] == run.history["discriminator/loss"][0]
    assert [event.step for event in seen if isinstance(event, CheckpointSaved)] == [4, 8]
    assert all(event.path.is_file() for event in seen if isinstance(event, PreviewMade))
    assert [event.step for event in seen if isinstance(event, HealthChecked)] == [0, 4, 8]
    (done,) = (event for event in seen if isinstance(event, EvaluationDone))
    assert done.records == run.metrics
    assert seen[-1] == Finished(8, run.path, "finished")
    again: list[TrainingEvent] = []
    zs.resume(run, steps=10, callbacks=[again.append])
    assert (type(again[0]), again[0].step) == (TrainingBegun, 8)


def test_a_callback_stops_a_training_that_can_be_resumed(tmp_path: Path) -> None:
    def stop(event: TrainingEvent) -> object:
        return zs.STOP if isinstance(event, StepLogged) and event.step == 4 else None

    run = zs.train("ring", "toy", steps=8, out=tmp_path / "part", overrides=QUICK, callbacks=[stop])
    status = run.folder.read("status.json")
    assert (status["state"], status["message"], run.stopped_by) == ("stopped", "stopped by a callback", 0)
    assert status["step"] < 8
    zs.resume(run)
    whole = zs.train("ring", "toy", steps=8, out=tmp_path / "whole", overrides=QUICK)
    weights = [(path / "generator.safetensors").read_bytes() for path in (run.path, whole.path)]
    assert weights[0] == weights[1]


def test_an_error_of_a_callback_ends_the_training(tmp_path: Path) -> None:
    def fail(event: TrainingEvent) -> None:
        if isinstance(event, StepLogged):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        zs.train("ring", "toy", steps=2, out=tmp_path / "run", overrides=QUICK, callbacks=[fail])


# --- TensorBoard


def tensorboard_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return {tag: [(one.step, one.value) for one in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_tensorboard_reads_the_scalars_and_hides_what_a_resumed_run_repeats(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    logger = callbacks.TensorBoardLogger()
    for event in (
        TrainingBegun(0, tmp_path, {}),
        StepLogged(1, tmp_path, 16, {"a": 1.0, "gone": float("nan")}),
        StepLogged(2, tmp_path, 32, {"a": 2.0}),
        Finished(2, tmp_path, "stopped"),
    ):
        logger(event)
    again = callbacks.TensorBoardLogger()
    again(TrainingBegun(2, tmp_path, {}))
    again(HealthChecked(2, tmp_path, {"diversity": 0.5}, ()))
    again(StepLogged(2, tmp_path, 32, {"a": 20.0}))
    again(Finished(2, tmp_path, "finished"))
    found = tensorboard_scalars(tmp_path / "tensorboard")
    assert found == {"a": [(1, 1.0), (2, 20.0)], "health/diversity": [(2, 0.5)]}


def test_a_full_disk_is_announced_once_and_tensorboard_goes_on_in_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    writer = pytest.importorskip("tensorboard.summary.writer.record_writer")
    said: list[str] = []
    (logger,) = callbacks.loggers(["tensorboard"], said.append)
    logger(TrainingBegun(0, tmp_path, {}))
    logger(StepLogged(1, tmp_path, 1, {"a": 1.0}))

    def full(self: Any, data: bytes) -> None:
        self._writer.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer.RecordWriter, "write", full)
        for step in (2, 3):
            logger(StepLogged(step, tmp_path, step, {"a": 9.0}))
    logger(StepLogged(4, tmp_path, 4, {"a": 4.0}))
    logger(Finished(4, tmp_path, "finished"))
    assert said == ["Warning: the tensorboard log cannot be written (No space left on device); training goes on."]
    assert "Traceback" not in capfd.readouterr().err
    files = sorted((tmp_path / "tensorboard").iterdir())
    assert len(files) >= 2


# --- Weights & Biases, MLflow


class Stub:
    """What the logger uses of wandb."""

    def __init__(self) -> None:
        self.started: dict[str, Any] = {}
        self.logged: list[tuple[int, dict[str, Any]]] = []
        self.ended: list[int] = []

    def init(self, **options: Any) -> Any:
        self.started = options
        self.id = options["id"] or "run-1"
        return self

    def log(self, values: dict[str, Any], step: int) -> None:
        self.logged.append((step, values))

    def finish(self, exit_code: int) -> None:
        self.ended.append(exit_code)


def test_wandb_receives_rising_steps_and_a_resumed_run_goes_on_with_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = Stub()
    module = types.ModuleType("wandb")
    module.__spec__ = types.SimpleNamespace(loader=None)  # type: ignore[assignment]
    module.init, module.Image = stub.init, lambda path: f"image {Path(path).name}"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    run = zs.train("ring", "toy", steps=4, out=tmp_path / "run", overrides=QUICK, log="wandb")
    assert (stub.started["project"], stub.started["name"], stub.started["resume"]) == ("zerosum", "run", "allow")
    assert stub.started["config"]["steps"] == 4
    steps = [step for step, _ in stub.logged]
    assert steps == sorted(steps)
    names = {name for _, values in stub.logged for name in values}
    assert {"discriminator/loss", "samples", "evaluation/step"} <= names
    assert stub.ended == [0]
    zs.resume(run, steps=6, log=["wandb"])
    assert stub.started["id"] == "run-1"


def test_mlflow_keeps_metrics_parameters_and_previews_in_its_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    run = zs.train("ring", "toy", steps=4, out=tmp_path / "run", overrides=QUICK, log="mlflow")
    zs.resume(run, steps=6, log="mlflow")
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("zerosum")
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert found.data.params["batch"] == str(run.recipe.batch)
    assert [one.step for one in client.get_metric_history(found.info.run_id, "discriminator/loss")] == [1, 2, 4, 6]
    assert "D_G_z" in found.data.metrics
    assert client.list_artifacts(found.info.run_id, "previews")


def test_a_logger_whose_package_is_missing_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(zs.UserError, match=r"pip install 'zerosum\[wandb\]'"):
        zs.train("ring", log="wandb", out=tmp_path / "run")
