"""What a run writes down while it is at work. A full disk is told, once for each kind of file, and stops no training."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from zerosum.progress import Progress
from zerosum.run_folder import RunFolder
from zerosum.training.tensorboard import TensorBoardLogger


class RunLogger:
    """Log lines, pictures, status and TensorBoard files of one run, written by its first process."""

    def __init__(self, folder: RunFolder, progress: Progress) -> None:
        self.folder, self.progress = folder, progress
        self._mirror = TensorBoardLogger(folder.root / "tensorboard")
        self._troubled: set[str] = set()

    @contextlib.contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Turns an OSError into a warning that names `what`, told once until it works again."""
        try:
            yield
        except OSError as error:
            if what not in self._troubled:
                self.progress.say(
                    f"Warning: {what} cannot be written in {self.folder} ({error.strerror or error}); training goes on."
                )
            self._troubled.add(what)
        else:
            self._troubled.discard(what)

    def line(self, kind: str, step: int, samples: int, seconds: float, content: Mapping[str, Any]) -> None:
        """One line of the log; scalars of a train line also go to TensorBoard."""
        with self.writing("the log"):
            self.folder.log({"step": step, "samples": samples, "seconds": round(seconds, 3), "kind": kind, **content})
        if kind in ("train", "health"):
            prefix = "" if kind == "train" else "health/"
            with self.writing("the TensorBoard file"):
                self._mirror.scalars(step, {prefix + name: number for name, number in content["values"].items()})

    def picture(self, step: int, draw: Callable[[Path], None], ending: str = ".png") -> None:
        """A preview, written aside and renamed: a reader never meets half a file. Pictures also go to TensorBoard."""
        path = self.folder.preview(step, ending)
        aside = path.with_name(f".part-{path.name}")
        with self.writing("a preview"):
            try:
                draw(aside)
                os.replace(aside, path)
            finally:
                aside.unlink(missing_ok=True)
            if ending == ".png":
                self._mirror.picture(step, path)

    def status(self, content: Mapping[str, Any]) -> None:
        """How the run stands."""
        with self.writing("status.json"):
            self.folder.write("status.json", content)

    def begin_at(self, step: int) -> None:
        """TensorBoard hides what an earlier process of this run wrote from `step` on."""
        self._mirror.purge_step = step

    def close(self) -> None:
        """Flushes what TensorBoard still holds."""
        with self.writing("the TensorBoard file"):
            self._mirror.close()
