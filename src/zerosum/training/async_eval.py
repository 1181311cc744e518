"""Evaluation during training: another process evaluates snapshots of the generator, one at a time.

A snapshot is a folder of `evaluations/` in the run folder, named by its step; its result is a JSON file of the same name.
Therefore a killed run loses nothing: snapshots that wait are evaluated when the run is resumed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from zerosum.domain.contract import EvalOptions
from zerosum.errors import Damaged
from zerosum.evaluation.evaluate import merge_records
from zerosum.evaluation.evaluate_saved import SavedEvaluator, SavedScores
from zerosum.formatting import NoProgress
from zerosum.jsonfile import is_log_line, read_object, with_present_names
from zerosum.report import write_report
from zerosum.run_folder import RunFolder
from zerosum.store import step_name, steps_in, write_durably
from zerosum.training.callbacks import RunLogger
from zerosum.training.signals import NICE

FOLDER = "evaluations"
MOST_WAITING = 2
"""Snapshots that may wait while another is evaluated; when there are more, the oldest is dropped with a message."""
GRACE_S = 5.0
PATIENCE_S = 10.0
"""How long the end of a training waits for a process at lowest priority before it restarts it at normal priority."""


@dataclass(frozen=True)
class EvaluationResult:
    """The records of a step, with the samples and seconds of the training when the snapshot was taken."""

    step: int
    samples: int
    seconds: float
    records: list[dict[str, Any]]


class AsyncEvaluation:
    """Evaluates snapshots of one run in another process and logs the results. Call `poll` regularly."""

    def __init__(self, folder: RunFolder, logger: RunLogger, log: Callable[[str], None]) -> None:
        self.root, self.folder, self.logger, self.log = folder.root / FOLDER, folder, logger, log
        self._child: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._snapshot, self._at_own_priority = Path(), False

    @property
    def steps(self) -> set[int]:
        """Steps whose evaluation waits, runs, or has a result that is not logged yet."""
        return {*self._snapshots(), *steps_in(self.root, ".json")}

    def submit(self, step: int, samples: int, seconds: float, publish: Callable[[Path], None]) -> None:
        """Takes a snapshot: `publish` writes the generator into the folder that it receives. A full disk causes a warning."""
        place = self.root / step_name(step)
        temporary = place.with_name(f".{place.name}.part")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            publish(temporary)
            (temporary / "when.json").write_text(json.dumps({"step": step, "samples": samples, "seconds": seconds}))
            shutil.rmtree(place, ignore_errors=True)
            os.replace(temporary, place)
        except OSError as error:
            self.log(f"Warning: the generator of step {step:,} is not evaluated ({error.strerror or error}).")
        waiting = {at: path for at, path in self._snapshots().items() if path != self._snapshot}
        for at in list(waiting)[:-MOST_WAITING]:
            self.log(f"The evaluation of step {at:,} is left out: those before it take too long.")
            shutil.rmtree(waiting[at], ignore_errors=True)
        self._start()

    def poll(self) -> None:
        """Logs new results and starts the next evaluation. Takes some microseconds when there is nothing to do."""
        if self._child is not None and self._child.poll() is not None:
            self._handle_exit(self._child.returncode)
        self._start()
        self.log_results()

    def log_results(self) -> None:
        """Logs new results and removes their files."""
        for path in steps_in(self.root, ".json").values():
            found = self._read_result(path)
            if found is not None:
                self.logger.write_line(
                    "evaluation", found.step, found.samples, found.seconds, {"records": found.records}
                )

    def wait(self, finished: bool) -> None:
        """Waits until all snapshots are evaluated; when the training is not finished, only ends the evaluating process."""
        if not finished:
            self.close()
            return
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        self.poll()
        if self._child is not None:
            self.log(f"Waiting for the evaluation of step {_step(self._snapshot):,} ...")
        begun = time.monotonic()
        while self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(0.2)
            self.poll()
            if self._child is not None and not self._at_own_priority and time.monotonic() - begun > PATIENCE_S:
                self._at_own_priority = True  # a process at lowest priority may get no time on a busy machine
                self.close()
                self._start()

    def discard_after(self, step: int) -> None:
        """Removes snapshots and results of steps after `step`; called when the run went back to `step`."""
        if self._child is not None and _step(self._snapshot) > step:
            self.close()
        for at, path in [*self._snapshots().items(), *steps_in(self.root, ".json").items()]:
            if at > step:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def close(self) -> None:
        """Ends the evaluating process, if there is one; its snapshot stays."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._clear_child()

    # --- the process

    def _start(self) -> None:
        snapshots = self._snapshots()
        if self._child is not None or not snapshots:
            return
        self._snapshot, self._errors = next(iter(snapshots.values())), tempfile.TemporaryFile()  # noqa: SIM115
        command = [sys.executable, "-m", "zerosum.training.eval_worker", str(self.folder.root), str(self._snapshot)]
        command += ["now"] if self._at_own_priority else []
        # One thread and no accelerator: the training uses them.
        environ = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            environ.pop(name, None)
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._errors, env=environ
        )

    def _handle_exit(self, status: int) -> None:
        if status and self._errors is not None:
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            why = lines[-1] if lines else f"its process ended with status {status}"
            self.log(f"Warning: the evaluation of step {_step(self._snapshot):,} failed, training goes on: {why}")
        shutil.rmtree(self._snapshot, ignore_errors=True)
        self._clear_child()

    def _clear_child(self) -> None:
        assert self._child is not None
        for stream in (self._child.stdin, self._errors):
            if stream is not None:
                stream.close()
        self._child, self._errors, self._snapshot = None, None, Path()

    # --- the files

    def _snapshots(self) -> dict[int, Path]:
        return {step: path for step, path in steps_in(self.root).items() if path.is_dir()}

    def _read_result(self, path: Path) -> EvaluationResult | None:
        try:
            content = with_present_names(read_object(path))
            if not is_log_line({**content, "kind": "evaluation"}):
                raise Damaged("it is no result of an evaluation")
            return EvaluationResult(content["step"], content["samples"], content["seconds"], content["records"])
        except (OSError, Damaged, KeyError) as error:
            self.log(f"Warning: {path} cannot be read ({error}); this evaluation is lost.")
            return None
        finally:
            path.unlink(missing_ok=True)


def result_of(snapshot: Path) -> Path:
    """The file of the result of a snapshot."""
    return snapshot.with_name(f"{snapshot.name}.json")


def write_result(
    path: Path, records: Sequence[dict[str, Any]], took_s: float, when: Mapping[str, Any] | None = None
) -> None:
    """Writes a result, which the training logs. when: step, samples and seconds; by default those of the snapshot."""
    when = when or read_object(path.with_suffix("") / "when.json")
    content = {**when, "took_s": round(took_s, 1), "records": list(records)}
    write_durably(path, json.dumps(content).encode())


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


# --- evaluating a run in progress from another process: `zerosum evaluate RUN --every MINUTES`


LOOK_EVERY_S = 1.0


def follow(
    folder: RunFolder,
    every_s: float,
    options: EvalOptions,
    on_result: Callable[[SavedScores], None],
    log: Callable[[str], None],
    data: str | Path | None = None,
) -> list[SavedScores]:
    """Evaluates the newest published generator, at most every `every_s` seconds, until the training in the folder ends, and
    then the last one; without a training, evaluates once. Returns all scores.

    It runs at lowest priority with one thread. A running training logs the results; otherwise they are logged here.
    """
    if folder.busy:
        os.nice(NICE)
    found = list[SavedScores]()
    measurer = SavedEvaluator(folder, options, data=data, threads=1 if folder.busy else None)
    while True:
        begun, busy = time.monotonic(), folder.busy
        newest = measurer.load_generator()
        if not found or found[-1].step != newest[0]:
            found.append(measurer.measure_sampler(*newest))
            _write_scores(folder, found[-1], time.monotonic() - begun)
            on_result(found[-1])
        if not busy:
            _log_remaining_results(folder)
            return found
        if len(found) == 1:
            log(f"Following {folder} until its training ends (Ctrl-C leaves it alone) ...")
        while folder.busy and time.monotonic() - begun < every_s:
            time.sleep(LOOK_EVERY_S)


def _write_scores(folder: RunFolder, scores: SavedScores, took_s: float) -> None:
    """Writes the records as a result, which the process that holds the lock of the folder logs."""
    (folder.root / FOLDER).mkdir(exist_ok=True)
    records = merge_records(folder.lines(), scores.step, scores.plain())
    write_result(
        folder.root / FOLDER / step_name(scores.step, ".json"),
        records,
        took_s,
        _training_state_at(folder, scores.step),
    )


def _training_state_at(folder: RunFolder, step: int) -> Mapping[str, Any]:
    """Step, samples, and the seconds that the newest line of the log up to this step has."""
    seconds = [line["seconds"] for line in folder.lines() if line["step"] <= step and "seconds" in line]
    return {"step": step, "samples": step * folder.recipe().batch, "seconds": seconds[-1] if seconds else 0.0}


def _log_remaining_results(folder: RunFolder) -> None:
    """Logs the results that the ended training did not log, and writes the report again."""
    if folder.busy:  # another training has begun and will log them
        return
    silent = NoProgress()
    with folder.locked():
        AsyncEvaluation(folder, RunLogger(folder, silent), silent.log).log_results()
        write_report(folder.root)
