"""--devices N: the same command in N processes, joined by torchrun's variables."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import IO

from zerosum.engine.processes import environment

GRACE_S = 3.0
"""How long the others may take to end by themselves once one has failed; they usually do, and say why."""


def needed(devices: int) -> bool:
    """Whether this process should launch others instead of training itself."""
    return devices > 1 and environment()[1] == 1


def processes(devices: int, arguments: list[str]) -> int:
    """Runs `zerosum <arguments>` in `devices` processes and returns the first non-zero exit status, or 0.

    Ctrl-C and SIGTERM are passed on to all of them; when one fails the others are ended. Only the first one speaks; what
    the others had to say is shown when it failed without a word of its own.
    """
    environ = _environment(devices)
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
        children.append(subprocess.Popen(command, env=mine, stderr=errors[rank]))
    codes = _wait(children)
    if codes[0] <= 0:  # the first one was fine, or was ended before it could say what is wrong
        _tell(errors, codes)
    return next((code if code > 0 else 128 - code for code in codes if code), 0)


def _environment(devices: int) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(devices)}
    shared.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
    return shared


def _wait(children: list[subprocess.Popen[bytes]]) -> list[int]:
    """Exit statuses, once all have ended; a failure of one gives the others GRACE_S, then they are ended."""
    failed_at: float | None = None
    while None in (codes := [child.poll() for child in children]):
        if failed_at is None and any(codes):
            failed_at = time.monotonic()
        late = 0.0 if failed_at is None else time.monotonic() - failed_at
        for child, code in zip(children, codes, strict=True):
            if code is None and late > GRACE_S:
                # One that waits for a message of the dead never comes to handle a polite signal.
                child.kill() if late > 2 * GRACE_S else child.terminate()
        time.sleep(0.05)
    return [child.wait() for child in children]


def _tell(errors: list[IO[bytes] | None], codes: list[int]) -> None:
    for rank, (file, code) in enumerate(zip(errors, codes, strict=True)):
        if file is not None and code:
            file.seek(0)
            text = file.read().decode(errors="replace").strip()
            print(f"process {rank} ended with status {code}:\n{text}", file=sys.stderr)
