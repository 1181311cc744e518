"""The files that a run writes during training, and the events of its callbacks. A full disk is announced once for each kind of
file and stops no training."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from zerosum.progress import Progress
from zerosum.run_folder import RunFolder
from zerosum.training.callbacks import Callbacks, PreviewMade


class RunLogger:
    """Log lines, previews and the status of one run, written by its first process."""

    def __init__(self, folder: RunFolder, progress: Progress, callbacks: Callbacks | None = None) -> None:
        self.folder, self.progress = folder, progress
        self.callbacks = callbacks or Callbacks(folder.root)
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
        """One line of the log, and its event."""
        with self.writing("the log"):
            self.folder.log({"step": step, "samples": samples, "seconds": round(seconds, 3), "kind": kind, **content})
        self.callbacks.line(step, kind, samples, content)

    def picture(self, step: int, draw: Callable[[Path], None], ending: str = ".png") -> None:
        """A preview, written aside and renamed: a reader never meets half a file."""
        path = self.folder.preview(step, ending)
        aside = path.with_name(f".part-{path.name}")
        with self.writing("a preview"):
            try:
                draw(aside)
                os.replace(aside, path)
            finally:
                aside.unlink(missing_ok=True)
        if path.is_file():
            self.callbacks(PreviewMade(step, self.folder.root, path))

    def status(self, content: Mapping[str, Any]) -> None:
        """How the run stands."""
        with self.writing("status.json"):
            self.folder.write("status.json", content)
