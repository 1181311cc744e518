"""The run folder: its files, its lock, its log. Everything in it is JSON, PNG, HTML or safetensors."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import torch

from zerosum.engine.devices import DistributedContext
from zerosum.errors import Damaged, UserError
from zerosum.formatting import in_shell
from zerosum.jsonfile import RunFiles, read_log, read_object
from zerosum.recipe import Recipe, parse
from zerosum.store import checkpoints, restore_moved_checkpoints, step_files, step_name, write_durably

BOUNDARY_KINDS = ("health", "scores")
"""Kinds of log lines that are written at a boundary before it is saved, and again when the run is resumed there."""
IN_MEMORY = "in_memory_data"
"""The subfolder of a run folder for data that were given in memory."""
INCOMPLETE = {IN_MEMORY, ".lock", "previews", "checkpoints", "recipe.json", "references.json", "status.json"}
"""Files left by a run that was killed during setup; safe to delete."""


class RunFolder(RunFiles):
    """A run folder for reading and writing."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._torn = False
        self._place: os.stat_result | None = None

    def preview(self, step: int, ending: str = ".png") -> Path:
        """The preview of a step. ending: that of the domain's previews."""
        return self.previews / step_name(step, ending)

    @property
    def free(self) -> bool:
        """Whether a new run may start here: there is nothing, or only the files of a run that was killed during setup."""
        if not self.root.exists():
            return True
        if not self.root.is_dir() or (self.root / "run.json").exists():
            return False
        if any(p.name not in INCOMPLETE and not p.name.endswith(".part") for p in self.root.iterdir()):
            return False
        if self.checkpoints.is_dir() and any(self.checkpoints.iterdir()):
            return False
        known = {path for _, path in step_files(self.previews)}
        return not self.previews.is_dir() or all(
            path in known or path.stem == "real" or path.name.startswith(".part-") for path in self.previews.iterdir()
        )

    def refuse_unless_free(self) -> None:
        """UserError when a new run cannot start here; it names the content and what to do."""
        if self.free:
            return
        if not self.root.is_dir():
            raise UserError(f"{self} is a file; a run needs a folder. Choose another with --out (in Python out=).")
        if (self.root / "run.json").exists():
            raise UserError(
                f"{self} already holds a run. Go on with `zerosum resume {in_shell(self)}` (in Python "
                f"zerosum.resume({str(self)!r})), or choose another folder with --out (in Python out=)."
            )
        raise UserError(
            f"{self} is not empty and is no run folder; nothing was written. Choose another with --out (in Python "
            "out=)."
        )

    def remove_incomplete(self) -> None:
        """Removes the files of a run that ended during setup."""
        if self.root.is_dir() and self.free:
            shutil.rmtree(self.root)

    def create(self) -> None:
        """Makes the folders; UserError when that is not possible."""
        try:
            self.previews.mkdir(parents=True, exist_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the folder for one training; UserError names the process that holds it. The lock ends with the process."""
        try:
            file = open(self.root / ".lock", "a+")  # noqa: SIM115
        except OSError as error:
            raise self._unwritable(error) from None
        with file:
            if not _acquire(file):
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise UserError(
                    f"Another training is at work in {self.root} (process {holder}). Wait for it, stop it, or use --out (out= in "
                    "Python)."
                )
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def hold(self) -> None:
        """Records the identity of this folder, for `gone`."""
        self._place = os.stat(self.root)

    @property
    def gone(self) -> bool:
        """Whether the folder of `hold` is no longer here: removed or renamed, even if another one has its name."""
        try:
            return self._place is not None and not os.path.samestat(os.stat(self.root), self._place)
        except OSError:
            return True

    @property
    def busy(self) -> bool:
        """Whether a training is running here."""
        try:
            with open(self.root / ".lock") as file:
                return not _acquire(file)
        except OSError:
            return False

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(
            f"Cannot write to {self.root}: {error.strerror or error}. Choose another folder with --out (out=)."
        )

    # --- small files

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a JSON file atomically."""
        write_durably(self.root / name, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    @property
    def has_status(self) -> bool:
        """Whether status.json can be read. It holds progress only, so a run can be resumed without it."""
        try:
            return {"state", "step"} <= self.read("status.json").keys()
        except UserError:
            return False

    def refuse_if_trained(self) -> None:
        """UserError when the checkpoints of this folder are lost: resuming would start again at step 0."""
        if (self.root / "generator.json").exists():
            raise UserError(
                f"{self} has a generator, and its checkpoints are gone: resuming would begin at step 0 again. Restore "
                f"{self.checkpoints}, or train in another folder (zerosum train --out); `zerosum sample {in_shell(self)}` works "
                "as it is."
            )

    def lost_log(self, step: int) -> str:
        """A warning when the log does not reach from the first step to this one; "" when it does."""
        steps = [line["step"] for line in self.lines() if line["kind"] == "train" and line["step"] <= step]
        every = self.recipe().cadence.log
        if steps and min(steps) == 1 and max(steps) > step - max(1, every):
            return ""
        known = f"only steps {min(steps):,} to {max(steps):,}" if steps else "nothing"
        return (
            f"Warning: {self.log_file} has {known} of the {step:,} steps trained, so curves, health and the best generator "
            "know no more. Restore it from a copy if there is one; training goes on."
        )

    def recipe(self) -> Recipe:
        """The full resolved recipe of the run."""
        return parse(self.read("recipe.json"), str(self.root / "recipe.json"))

    # --- the log

    def log(self, line: Mapping[str, Any]) -> None:
        """Appends one line to metrics.jsonl. A number that is not finite becomes null: JSON cannot hold it."""
        text = json.dumps(finite(line)) + "\n"
        # After a line that was cut off (full disk, kill) a new one is started.
        text = "\n" + text if self._torn else text
        self._torn = True
        with open(self.log_file, "a", encoding="utf-8") as file:
            file.write(text)
        self._torn = False

    def lines(self) -> list[dict[str, Any]]:
        """The log; broken lines are left out (see `jsonfile.read_log`). UserError when it cannot be read."""
        try:
            return [line for _, line in read_log(self.log_file) if line is not None]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(
                f"{self.log_file} cannot be read: {error.strerror or error}. Restore it, or remove it."
            ) from None

    def last_records(self) -> list[dict[str, Any]]:
        """The records of the last evaluation, empty when there was none."""
        found = [line["records"] for line in self.lines() if line["kind"] == "evaluation"]
        return found[-1] if found else []

    def rewind(self, step: int) -> None:
        """Removes what was written after the checkpoint of `step`, which will be written again, and half-written files."""
        kept = [x for x in self.lines() if x["step"] < step or (x["step"] == step and x["kind"] not in BOUNDARY_KINDS)]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_durably(self.log_file, text.encode())
        for at, path in step_files(self.previews):
            if at > step and path.is_file():
                path.unlink()
        restore_moved_checkpoints(self.checkpoints)
        for at, path in checkpoints(self.checkpoints).items():
            if at > step:  # a later checkpoint is damaged, else it would have been loaded
                shutil.rmtree(path)
        for path in [*self.root.glob(".*.part"), *self.checkpoints.glob(".*.part"), *self.previews.glob(".part-*")]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


# --- the folder of a new run


@contextlib.contextmanager
def new_run_folder(name: str, out: str | Path | None, world: DistributedContext, device: str) -> Iterator[RunFolder]:
    """The folder of a new run, locked: `out`, or by default runs/<name>, numbered when that is taken. The same on all processes.

    device: of the training, for messages between the processes.
    """
    base = Path("runs") / name
    with contextlib.ExitStack() as held:
        number = 1
        if world.rank == 0 and out is not None:
            held.enter_context(_locked_if_free(RunFolder(Path(out))))
        elif world.rank == 0:
            while not _try_lock(held, RunFolder(_numbered(base, number))):
                number += 1
        chosen = torch.tensor([float(number) if world.rank == 0 else 0.0], device=device)
        world.sum_([chosen])  # all processes use the same folder, and wait until it exists
        yield RunFolder(Path(out) if out is not None else _numbered(base, int(chosen)))


def free_folder(name: str) -> RunFolder:
    """runs/<name>, numbered when that is taken."""
    number = 1
    while not (folder := RunFolder(_numbered(Path("runs") / name, number))).free or folder.busy:
        number += 1
    return folder


def _numbered(base: Path, number: int) -> Path:
    return base if number == 1 else base.with_name(f"{base.name}-{number}")


def _try_lock(held: contextlib.ExitStack, folder: RunFolder) -> bool:
    """Whether the folder is free and was locked by this process."""
    if not folder.free or folder.busy:
        return False
    held.enter_context(_locked_if_free(folder))
    return True


@contextlib.contextmanager
def _locked_if_free(folder: RunFolder) -> Iterator[None]:
    folder.refuse_unless_free()
    folder.create()
    with folder.locked():
        folder.refuse_unless_free()  # another process may have been faster
        yield


def _acquire(file: TextIO) -> bool:
    """Takes the lock; False when another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def finite(item: Any) -> Any:
    """Plain values with None for each number that is not finite, which JSON cannot hold."""
    if isinstance(item, float):
        return item if math.isfinite(item) else None
    if isinstance(item, Mapping):
        return {name: finite(value) for name, value in item.items()}
    return [finite(value) for value in item] if isinstance(item, list | tuple) else item


def refuse_exported(root: Path) -> None:
    """UserError for a folder that `zerosum export` wrote for other programs: what it is, and how it is used."""
    try:
        about = read_object(root / "generator.json")
        kind, given, made = about["format"], about["inputs"], about["output"]
    except (OSError, Damaged, KeyError):
        return
    file, how = {
        "onnx": ("generator.onnx", "onnxruntime.InferenceSession(FILE).run(None, INPUTS)"),
        "torch": ("generator.pt2", "torch.export.load(FILE).module()(*INPUTS)"),
    }.get(kind, ("", ""))
    if file:
        inputs = " and ".join(f"{one['name']} {one['shape']} {one['dtype']}" for one in given)
        raise UserError(
            f"{root} is an export for other programs (--format {kind}): {how.replace('FILE', repr(str(root / file)))} makes "
            f"{made['name']} {made['shape']} of {inputs}; see its generator.json. To sample with zerosum use the run itself, "
            "or an export with --format huggingface."
        )
