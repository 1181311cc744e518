"""The run folder: its files, its lock, its log. Everything in it is JSON, PNG, HTML or safetensors."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zerosum.engine.state import write_durably
from zerosum.errors import UserError
from zerosum.recipe import Recipe, parse

FORMAT = 1
BOUNDARY_KINDS = ("health", "scores", "evaluation")
"""Kinds of log lines written at a boundary; the others belong to the step before it."""


class RunFolder:
    """Paths and small files of one run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints = root / "checkpoints"
        self.previews = root / "previews"
        self.log_file = root / "metrics.jsonl"
        self.report = root / "report.html"

    def __str__(self) -> str:
        return str(self.root)

    # --- opening

    @classmethod
    def open(cls, root: Path) -> RunFolder:
        """An existing run folder of this format."""
        folder = cls(root)
        if not (root / "run.json").is_file():
            raise UserError(
                f"{root} is not a run folder: it has no run.json. Runs lie where `zerosum train` said, by default in runs/."
            )
        found = folder.read("run.json").get("format")
        if found != FORMAT:
            raise UserError(
                f"{root} was written in run format {found!r}; this version of zerosum reads format {FORMAT}."
            )
        return folder

    def create(self) -> None:
        """Makes the folders; UserError says why it cannot."""
        try:
            self.previews.mkdir(parents=True, exist_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.root}: {error.strerror or error}. Choose another folder with --out."
            ) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for one training; a second one is told who holds it. The lock ends with the process."""
        try:
            file = open(self.root / ".lock", "a+")  # noqa: SIM115
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.root}: {error.strerror or error}. Choose another folder with --out."
            ) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise UserError(
                    f"Another training is at work in {self.root} (process {holder}). Wait for it, stop it, or use --out."
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    # --- small files

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a JSON file atomically."""
        write_durably(self.root / name, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    def read(self, name: str) -> dict[str, Any]:
        """Reads a JSON file; UserError when it is missing or broken."""
        path = self.root / name
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path} is missing: the run folder is incomplete.") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}.") from None
        return content

    def recipe(self) -> Recipe:
        """The full resolved recipe of the run."""
        return parse(self.read("recipe.json"), str(self.root / "recipe.json"))

    # --- the log

    def log(self, line: Mapping[str, Any]) -> None:
        """Appends one line to metrics.jsonl."""
        with open(self.log_file, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """The log; a last line cut off by a kill is left out."""
        found = []
        if self.log_file.exists():
            for text in self.log_file.read_text(encoding="utf-8").splitlines():
                try:
                    found.append(json.loads(text))
                except ValueError:
                    break
        return found

    def rewind(self, step: int) -> None:
        """Drops what was logged after the checkpoint of `step`: it is about to happen again."""
        kept = [x for x in self.lines() if x["step"] < step or (x["step"] == step and x["kind"] not in BOUNDARY_KINDS)]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_durably(self.log_file, text.encode())
        for path in self.previews.glob("step-*.png"):
            if int(path.stem.split("-")[1]) > step:
                path.unlink()
