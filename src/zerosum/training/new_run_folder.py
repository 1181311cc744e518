"""Where a new run begins: a free folder, taken by one training only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch

from zerosum.engine.distributed import DistributedContext
from zerosum.planning.plan import Plan
from zerosum.run_folder import RunFolder


@contextlib.contextmanager
def claimed(plan: Plan, out: str | Path | None, world: DistributedContext) -> Iterator[RunFolder]:
    """The folder of a new run, locked: the one asked for, or runs/<source>, numbered when that is taken."""
    base = Path("runs") / plan.info.name
    with contextlib.ExitStack() as held:
        number = 1
        if world.rank == 0 and out is not None:
            held.enter_context(_locked_new(RunFolder(Path(out))))
        elif world.rank == 0:
            while not _locks(held, RunFolder(_numbered(base, number))):
                number += 1
        chosen = torch.tensor([float(number) if world.rank == 0 else 0.0], device=plan.recipe.device)
        world.sum_([chosen])  # all processes speak of the same folder, and wait until it is there
        yield RunFolder(Path(out) if out is not None else _numbered(base, int(chosen)))


def _numbered(base: Path, number: int) -> Path:
    return base if number == 1 else base.with_name(f"{base.name}-{number}")


def _locks(held: contextlib.ExitStack, folder: RunFolder) -> bool:
    """Whether the folder is free and now ours."""
    if not folder.free or folder.busy:
        return False
    held.enter_context(_locked_new(folder))
    return True


@contextlib.contextmanager
def _locked_new(folder: RunFolder) -> Iterator[None]:
    folder.refuse_unless_free()
    folder.create()
    with folder.locked():
        folder.refuse_unless_free()  # somebody may have been quicker
        yield
