"""TensorBoard files beside the log, when the extra is installed; nothing otherwise."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Mirror:
    """Copies scalars and previews to TensorBoard event files. Without the package every call does nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None
        self.installed = importlib.util.find_spec("tensorboard") is not None

    def _open(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder))
        return self._writer

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One step's scalars."""
        if self.installed:
            writer = self._open()
            for name, value in values.items():
                writer.add_scalar(name, value, step)

    def picture(self, step: int, path: Path) -> None:
        """A preview PNG."""
        if self.installed:
            import numpy as np
            from PIL import Image

            with Image.open(path) as image:
                self._open().add_image("samples", np.asarray(image.convert("RGB")), step, dataformats="HWC")
