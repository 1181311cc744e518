"""Two processes that play every small game, started once for all tests that look at what they wrote."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from torch import Tensor

from zerosum.store import decode


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """What each of two processes wrote."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
    program = [sys.executable, str(Path(__file__).with_name("domain_games.py")), str(folder)]
    common = os.environ | address | {"WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(program, env=common | {"RANK": str(rank)}, **pipes) for rank in range(2)]
    try:
        told = [process.communicate(timeout=300)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(told)
    paths = [folder / f"rank{rank}.safetensors" for rank in range(2)]
    return [decode(path.read_bytes(), path) for path in paths]
