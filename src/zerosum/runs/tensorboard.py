"""TensorBoard files beside the log, when the extra is installed; nothing otherwise."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Mirror:
    """Copies scalars and previews to TensorBoard event files. Without the package every call does nothing.

    The package is imported with the first scalar. purge_step: a resumed run begins here; what an earlier process wrote
    from this step on is hidden by TensorBoard.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.purge_step: int | None = None
        self.installed = importlib.util.find_spec("tensorboard") is not None
        self._writer: Any = None

    def _open(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder), purge_step=self.purge_step)
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

    def close(self) -> None:
        """Writes what is still in memory."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
