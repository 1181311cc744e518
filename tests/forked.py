"""Python modules and programs run in processes of their own, forked from a process that has loaded torch.

A new interpreter loads torch and, with the first step of an optimizer, torch._dynamo: three seconds of processor time each.
The process that is forked loads them once for a worker of pytest; nothing of zerosum is loaded in it.
A test of what a new interpreter does (help without torch, a signal during an import, the processes of `--devices`) starts one.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["torch._dynamo", "scipy.optimize", "typer", "pydantic", "numpy", "PIL.Image"])


TESTS = Path(__file__).parent
"""pytest puts it and its folders on sys.path; a program finds them there only when it lies in one of them."""


def _make_measures_of_points_small() -> None:
    """As in conftest.py: transport between a thousand points takes seconds."""
    from zerosum.domains.toy import measures

    measures.W2_POINTS, measures.MMD_POINTS = 50, 100


def _run(arguments: Sequence[str], folder: str, environ: Mapping[str, str], files: tuple[str, str]) -> None:
    for number, name in zip((1, 2), files, strict=True):
        with open(name, "wb") as file:
            os.dup2(file.fileno(), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    places = [place for place in environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    installed = [place for place in sys.path if place and not Path(place).is_relative_to(TESTS)]
    sys.path[:] = [*places, *(place for place in installed if place not in places)]
    import torch

    torch.set_num_threads(1)
    gc.set_threshold(50_000, 10, 10)  # as in conftest.py
    gc.freeze()
    for kind in environ.get("PYTHONWARNINGS", "").split(","):
        if kind == "ignore":
            warnings.simplefilter("ignore")
    first, *others = arguments
    if first == "-m":
        sys.argv = others
        if others[0] == "zerosum" and others[1] in ("train", "resume"):
            _make_measures_of_points_small()
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.path.insert(0, "")
        exec(compile(others[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.path.insert(0, str(Path(first).parent))
        sys.argv = [*arguments]
        runpy.run_path(first, run_name="__main__")


class Forked:
    """A process like subprocess.Popen([python, *arguments]), with its output in two temporary files."""

    def __init__(self, *arguments: str, folder: Path | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self._files = tempfile.TemporaryDirectory(prefix="zerosum-tests-")
        self._names = tuple(str(Path(self._files.name) / name) for name in ("out", "error"))
        chosen = {**environ, "OMP_NUM_THREADS": "1"}
        place = str(folder or Path.cwd())
        self._process = _CONTEXT.Process(target=_run, args=(arguments, place, chosen, self._names))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, or the negative number of the signal that ended it; None while it is at work."""
        return self._process.exitcode

    poll = returncode.fget

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end; subprocess.TimeoutExpired when it does not come in time."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it with SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def errors(self) -> str:
        """What it has written to stderr so far."""
        return Path(self._names[1]).read_text(encoding="utf-8")

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for its end; stdout and stderr."""
        self.wait(timeout)
        return Path(self._names[0]).read_text(encoding="utf-8"), self.errors()
