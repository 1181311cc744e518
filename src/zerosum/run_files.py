"""The files of a run folder, for reading: their names, the check of the format, and JSON files. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from zerosum.errors import Damaged, UserError
from zerosum.jsonfile import read_object

FORMAT = 1
WHERE = "A run folder is written by `zerosum train`, by default in runs/; give the path of one, such as runs/digits."


class RunFiles:
    """Paths of one run, and its small files as plain values."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints = root / "checkpoints"
        self.previews = root / "previews"
        self.log_file = root / "metrics.jsonl"
        self.report = root / "report.html"

    def __str__(self) -> str:
        return str(self.root)

    def __fspath__(self) -> str:
        return str(self.root)

    @classmethod
    def open(cls, root: Path) -> Self:
        """An existing run folder of this format; UserError when `root` is none."""
        folder = cls(root)
        if not root.is_dir():
            raise UserError(f"There is no folder {root}. {WHERE}")
        if not (root / "run.json").is_file():
            raise UserError(f"{root} is not a run folder: it has no run.json. {WHERE}")
        about = folder.read("run.json")
        if about.get("format") != FORMAT:
            raise UserError(
                f"{root} was written in run format {about.get('format')!r}; this version of zerosum reads format {FORMAT}. "
                f"Use the version that wrote it (zerosum {about.get('zerosum', 'unknown')})."
            )
        return folder

    def read(self, name: str) -> dict[str, Any]:
        """Reads a JSON file; UserError when it is missing or broken."""
        path = self.root / name
        try:
            return read_object(path)
        except FileNotFoundError:
            raise UserError(
                f"{path} is missing: the run folder is incomplete. Restore it from a copy, or train again."
            ) from None
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error}. Restore it from a copy, or train again.") from None
        except Damaged as error:
            raise UserError(f"{error}. Restore it from a copy, or train again.") from None
