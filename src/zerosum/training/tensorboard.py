"""TensorBoard files beside the log, when the extra is installed; nothing otherwise."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


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
