"""--devices N: runs the same command in N processes, which find each other by the environment variables of torchrun."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO

from zerosum.engine.devices import environment
from zerosum.training import signals

GRACE_S = 3.0
"""How long the other processes may take to end by themselves after one has failed, and to print why."""


def should_launch(devices: int) -> bool:
    """Whether this process should launch others instead of training itself."""
    return devices > 1 and environment()[1] == 1


def run_processes(devices: int, arguments: list[str]) -> int:
    """Runs `zerosum <arguments>` in `devices` processes and returns the first non-zero exit status, or 0.

    Ctrl-C and SIGTERM are passed on to all of them; when one fails the others are ended. Only the first one prints; the
    messages of the others are printed when the first one ended without a message.
    """
    lifeline, held = os.pipe()  # the other end closes with this process, however it ends
    environ = _environment(devices) | {signals.LIFELINE: str(lifeline)}
    command = [sys.executable, "-m", "zerosum", *arguments]
    errors: list[IO[bytes] | None] = [None, *(tempfile.TemporaryFile() for _ in range(devices - 1))]  # noqa: SIM115
    children: list[subprocess.Popen[bytes]] = []

    def forward(number: int, frame: object) -> None:
        for child in children:
            child.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    for rank in range(devices):
        mine = environ | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        children.append(subprocess.Popen(command, env=mine, stderr=errors[rank], pass_fds=(lifeline,)))
    os.close(lifeline)
    codes, first = _wait_for_all(children)
    os.close(held)
    if codes[0] <= 0:  # the first one succeeded, or was ended by a signal before it could print a message
        _print_errors(errors, codes)
    if first is None:
        return 0
    if codes[first] < 0:
        print(_signal_message(first, -codes[first]), file=sys.stderr)
    return codes[first] if codes[first] > 0 else 128 - codes[first]


def _signal_message(rank: int, number: int) -> str:
    """The message about a process that was ended by a signal."""
    why = ", as Linux does when memory runs out," if number == signal.SIGKILL else ""
    return (
        f"zerosum: process {rank} was ended by {signals.name(number)}{why} and the others with it. What was saved is whole: "
        "go on with `zerosum resume` and the folder of the run."
    )


def _environment(devices: int) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(devices)}
    shared.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
    return shared


def _wait_for_all(children: list[subprocess.Popen[bytes]]) -> tuple[list[int], int | None]:
    """Exit statuses, once all have ended, and which process failed first; a process that was ended by a signal counts before
    those that failed in consequence. GRACE_S after a failure the others are ended."""
    failed_at: float | None = None
    first: int | None = None
    while None in (codes := [child.poll() for child in children]):
        if failed_at is None and any(codes):
            failed_at = time.monotonic()
            first = _first_failed(codes)
        late = 0.0 if failed_at is None else time.monotonic() - failed_at
        for child, code in zip(children, codes, strict=True):
            if code is None and late > GRACE_S:
                # A process that waits for a message of an ended process may never handle SIGTERM.
                child.kill() if late > 2 * GRACE_S else child.terminate()
        time.sleep(0.05)
    done = [child.wait() for child in children]
    return done, _first_failed(done) if first is None else first


def _first_failed(codes: Sequence[int | None]) -> int | None:
    failed = [rank for rank, code in enumerate(codes) if code]
    return min(failed, key=lambda rank: (codes[rank] or 0) > 0, default=None)


def _print_errors(errors: list[IO[bytes] | None], codes: list[int]) -> None:
    for rank, (file, code) in enumerate(zip(errors, codes, strict=True)):
        if file is not None and code:
            file.seek(0)
            text = file.read().decode(errors="replace").strip()
            print(f"process {rank} ended with status {code}:\n{text}", file=sys.stderr)
