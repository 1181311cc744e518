"""What a run writes down while it is at work. A full disk is told, once for each kind of file, and stops no training."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from zerosum.progress import Progress
from zerosum.run_folder import RunFolder


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


class TensorBoardLogger:
    """Copies scalars and previews to TensorBoard event files. Without the package every call does nothing.

    The package is imported with the first scalar. purge_step: a resumed run begins here; what an earlier process wrote
    from this step on is hidden by TensorBoard.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.purge_step: int | None = None
        self.installed = importlib.util.find_spec("tensorboard") is not None
        self._writer: Any = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One step's scalars."""
        if self.installed:
            self._add(step, summary={"value": [{"tag": name, "simple_value": x} for name, x in values.items()]})

    def picture(self, step: int, path: Path) -> None:
        """A preview PNG, as it is in the file."""
        if self.installed:
            from PIL import Image

            with Image.open(path) as opened:
                size = {"width": opened.width, "height": opened.height, "colorspace": len(opened.getbands())}
            image = size | {"encoded_image_string": path.read_bytes()}
            self._add(step, summary={"value": [{"tag": "samples", "image": image}]})

    def close(self) -> None:
        """Writes what is still in memory."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _add(self, step: int, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if self._writer is None:
            self._writer = EventFileWriter(str(self.folder))
            if self.purge_step is not None:
                start = SessionLog(status=SessionLog.START)
                self._writer.add_event(Event(wall_time=time.time(), step=self.purge_step, file_version="brain.Event:2"))
                self._writer.add_event(Event(wall_time=time.time(), step=self.purge_step, session_log=start))
        self._writer.add_event(Event(wall_time=time.time(), step=step, **content))
