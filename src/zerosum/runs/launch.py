"""--devices N: the same command in N processes, joined by torchrun's variables."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

from zerosum.engine.processes import environment


def needed(devices: int) -> bool:
    """Whether this process should launch others instead of training itself."""
    return devices > 1 and environment()[1] == 1


def processes(devices: int, arguments: list[str]) -> int:
    """Runs `zerosum <arguments>` in `devices` processes and returns the first non-zero exit status, or 0.

    A signal is passed on to all of them; when one fails the others are ended.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    threads = str(max(1, (os.cpu_count() or 1) // devices))
    shared = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(devices)}
    shared.setdefault("OMP_NUM_THREADS", threads)
    command = [sys.executable, "-m", "zerosum", *arguments]
    children = [
        subprocess.Popen(command, env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(devices)
    ]

    def forward(number: int, frame: object) -> None:
        for child in children:
            child.send_signal(number)

    # A terminal sends Ctrl-C to the whole group by itself; SIGTERM reaches only the parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, forward)
    return _wait(children)


def _wait(children: list[subprocess.Popen[bytes]]) -> int:
    while True:
        codes = [child.poll() for child in children]
        failed = [code for code in codes if code]
        if failed:
            time.sleep(1.0)  # the others usually fail by themselves and say why
            for child in children:
                if child.poll() is None:
                    child.terminate()
            for child in children:
                child.wait()
            return abs(failed[0])
        if all(code == 0 for code in codes):
            return 0
        time.sleep(0.05)
