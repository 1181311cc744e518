"""Evaluation beside the training: snapshots of the generator that another process measures, one at a time.

A snapshot is a folder of `evaluations/` in the run folder, named by its step; its result is a JSON file of the same name.
So nothing is lost by a kill: what was not measured then is measured when the run goes on.
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
from zerosum.evaluation.evaluate import joined
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
"""Snapshots that wait beside the one being measured; when there are more, the oldest of them is left out and told."""
GRACE_S = 5.0
PATIENCE_S = 10.0
"""So long the end of a training waits for a process at lowest priority, before it starts one at its own."""


@dataclass(frozen=True)
class EvaluationResult:
    """A result: records of a step, and samples and seconds of the training when the snapshot was taken."""

    step: int
    samples: int
    seconds: float
    records: list[dict[str, Any]]


class AsyncEvaluation:
    """The evaluations of one run that are made aside and logged when they arrive. `look` is to be called now and then."""

    def __init__(self, folder: RunFolder, logger: RunLogger, log: Callable[[str], None]) -> None:
        self.root, self.folder, self.logger, self.log = folder.root / FOLDER, folder, logger, log
        self._child: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._at, self._hurried = Path(), False

    @property
    def steps(self) -> set[int]:
        """Steps that wait, are being measured, or are measured and not yet fetched."""
        return {*self._snapshots(), *steps_in(self.root, ".json")}

    def submit(self, step: int, samples: int, seconds: float, publish: Callable[[Path], None]) -> None:
        """Takes a snapshot: `publish` writes the generator into the folder that it is given. A full disk is told."""
        place = self.root / step_name(step)
        aside = place.with_name(f".{place.name}.part")
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            publish(aside)
            (aside / "when.json").write_text(json.dumps({"step": step, "samples": samples, "seconds": seconds}))
            shutil.rmtree(place, ignore_errors=True)
            os.replace(aside, place)
        except OSError as error:
            self.log(f"Warning: the generator of step {step:,} is not evaluated ({error.strerror or error}).")
        waiting = {at: path for at, path in self._snapshots().items() if path != self._at}
        for at in list(waiting)[:-MOST_WAITING]:
            self.log(f"The evaluation of step {at:,} is left out: those before it take too long.")
            shutil.rmtree(waiting[at], ignore_errors=True)
        self._start()

    def look(self) -> None:
        """Logs what has arrived and starts the next evaluation. Costs some microseconds when there is nothing to do."""
        if self._child is not None and self._child.poll() is not None:
            self._ended(self._child.returncode)
        self._start()
        self.fetch()

    def fetch(self) -> None:
        """Logs what has arrived."""
        for path in steps_in(self.root, ".json").values():
            found = self._fetched(path)
            if found is not None:
                self.logger.line("evaluation", found.step, found.samples, found.seconds, {"records": found.records})

    def wait(self, finished: bool) -> None:
        """Waits until nothing is left to measure; of a training that is not finished, only ends the process that measures."""
        if not finished:
            self.close()
            return
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        self.look()
        if self._child is not None:
            self.log(f"Waiting for the evaluation of step {_step(self._at):,} ...")
        begun = time.monotonic()
        while self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(0.2)
            self.look()
            if self._child is not None and not self._hurried and time.monotonic() - begun > PATIENCE_S:
                self._hurried = True  # at lowest priority it may starve on a busy machine, and now we wait for it
                self.close()
                self._start()

    def forget(self, step: int) -> None:
        """Drops what belongs to steps after `step`: the run went back, and they are about to happen again."""
        if self._child is not None and _step(self._at) > step:
            self.close()
        for at, path in [*self._snapshots().items(), *steps_in(self.root, ".json").items()]:
            if at > step:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def close(self) -> None:
        """Ends the process that measures, if there is one; its snapshot stays."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._release()

    # --- the process

    def _start(self) -> None:
        snapshots = self._snapshots()
        if self._child is not None or not snapshots:
            return
        self._at, self._errors = next(iter(snapshots.values())), tempfile.TemporaryFile()  # noqa: SIM115
        command = [sys.executable, "-m", "zerosum.training.eval_worker", str(self.folder.root), str(self._at)]
        command += ["now"] if self._hurried else []
        # One thread, and no accelerator: those belong to the training.
        environ = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            environ.pop(name, None)
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._errors, env=environ
        )

    def _ended(self, status: int) -> None:
        if status and self._errors is not None:
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            why = lines[-1] if lines else f"its process ended with status {status}"
            self.log(f"Warning: the evaluation of step {_step(self._at):,} failed, training goes on: {why}")
        shutil.rmtree(self._at, ignore_errors=True)
        self._release()

    def _release(self) -> None:
        assert self._child is not None
        for stream in (self._child.stdin, self._errors):
            if stream is not None:
                stream.close()
        self._child, self._errors, self._at = None, None, Path()

    # --- the files

    def _snapshots(self) -> dict[int, Path]:
        return {step: path for step, path in steps_in(self.root).items() if path.is_dir()}

    def _fetched(self, path: Path) -> EvaluationResult | None:
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
    """Where the result of a snapshot goes."""
    return snapshot.with_name(f"{snapshot.name}.json")


def write_result(
    path: Path, records: Sequence[dict[str, Any]], took_s: float, when: Mapping[str, Any] | None = None
) -> None:
    """Leaves a result for the training to log. when: step, samples and seconds; by default as the snapshot tells."""
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
    tell: Callable[[SavedScores], None],
    log: Callable[[str], None],
    data: str | Path | None = None,
) -> list[SavedScores]:
    """Measures the newest published generator at most every `every_s` seconds until the training at work in the folder ends,
    and its last one then; at once where none is at work. All that was measured.

    It runs at lowest priority with one thread. A training at work logs what it measures; else it is logged here.
    """
    if folder.busy:
        os.nice(NICE)
    found = list[SavedScores]()
    measurer = SavedEvaluator(folder, options, data=data, threads=1 if folder.busy else None)
    while True:
        begun, busy = time.monotonic(), folder.busy
        newest = measurer.generator()
        if not found or found[-1].step != newest[0]:
            found.append(measurer.measured(*newest))
            _keep(folder, found[-1], time.monotonic() - begun)
            tell(found[-1])
        if not busy:
            _fetch(folder)
            return found
        if len(found) == 1:
            log(f"Following {folder} until its training ends (Ctrl-C leaves it alone) ...")
        while folder.busy and time.monotonic() - begun < every_s:
            time.sleep(LOOK_EVERY_S)


def _keep(folder: RunFolder, measured: SavedScores, took_s: float) -> None:
    """Leaves the records for whoever holds the folder to log."""
    (folder.root / FOLDER).mkdir(exist_ok=True)
    records = joined(folder.lines(), measured.step, measured.plain())
    write_result(
        folder.root / FOLDER / step_name(measured.step, ".json"), records, took_s, _when(folder, measured.step)
    )


def _when(folder: RunFolder, step: int) -> Mapping[str, Any]:
    """Step, samples, and the seconds that the newest line of the log up to this step has."""
    seconds = [line["seconds"] for line in folder.lines() if line["step"] <= step and "seconds" in line]
    return {"step": step, "samples": step * folder.recipe().batch, "seconds": seconds[-1] if seconds else 0.0}


def _fetch(folder: RunFolder) -> None:
    """Logs what nobody logged, now that the training has ended, and writes the report anew."""
    if folder.busy:  # another one has begun: it will
        return
    silent = NoProgress()
    with folder.locked():
        AsyncEvaluation(folder, RunLogger(folder, silent), silent.log).fetch()
        write_report(folder.root)
