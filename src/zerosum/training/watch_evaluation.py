"""Evaluating a run in progress again and again, from outside: `zerosum evaluate RUN --every MINUTES`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zerosum.domain.eval_options import EvalOptions
from zerosum.evaluation.evaluate import joined
from zerosum.evaluation.evaluate_saved import SavedEvaluator, SavedScores
from zerosum.progress import NoProgress
from zerosum.report import write_report
from zerosum.run_folder import RunFolder
from zerosum.store import step_name
from zerosum.training.async_eval import FOLDER, AsyncEvaluation, write_result
from zerosum.training.eval_worker import NICE
from zerosum.training.run_logger import RunLogger

LOOK_EVERY_S = 1.0


def follow(
    folder: RunFolder,
    every_s: float,
    choice: EvalOptions,
    tell: Callable[[SavedScores], None],
    say: Callable[[str], None],
    data: str | Path | None = None,
) -> list[SavedScores]:
    """Measures the newest published generator at most every `every_s` seconds until the training at work in the folder ends,
    and its last one then; at once where none is at work. All that was measured.

    It runs at lowest priority with one thread. A training at work logs what it measures; else it is logged here.
    """
    if folder.busy:
        os.nice(NICE)
    found = list[SavedScores]()
    measurer = SavedEvaluator(folder, choice, data=data, threads=1 if folder.busy else None)
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
            say(f"Following {folder} until its training ends (Ctrl-C leaves it alone) ...")
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
        AsyncEvaluation(folder, RunLogger(folder, silent), silent.say).fetch()
        write_report(folder.root)
