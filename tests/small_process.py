"""The command line as processes of their own: started, waited for, and asked about."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from forked import Forked

PATIENCE_S = 240
"""How long a test waits on a busy machine before it gives up; nothing is asserted about time."""


def started(*arguments: Any, folder: Path | None = None) -> Forked:
    """`python -m zerosum ARGUMENTS` in a process of its own, in a folder."""
    return Forked(
        "-m", "zerosum", *map(str, arguments), folder=folder, environ=os.environ | {"PYTHONWARNINGS": "ignore"}
    )


def ended(process: Forked) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a process."""
    try:
        out, error = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    return process.wait(), out, error


def settings_of(settings: Mapping[str, Any]) -> Sequence[str]:
    """`--set NAME=VALUE` for each."""
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


def until(what: Callable[[], Any]) -> Any:
    """Waits until it is true, and returns it."""
    end = time.monotonic() + PATIENCE_S
    while not (found := what()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
    return found


def alive(pid: int) -> bool:
    """Whether a process is at work; one that ended and was not asked for its status is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
