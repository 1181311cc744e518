"""Starts a program as two processes of one training, over gloo on this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from torch import Tensor

from forked import Forked
from zerosum.store import decode


def played_in_two(program: Path, folder: Path, timeout_s: float, *arguments: str) -> list[dict[str, Tensor]]:
    """Runs `program FOLDER ARGUMENTS` as ranks 0 and 1; the tensors of rank0.safetensors and rank1.safetensors."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
    common = os.environ | address | {"WORLD_SIZE": "2"}
    started = [Forked(str(program), str(folder), *arguments, environ=common | {"RANK": str(rank)}) for rank in range(2)]
    try:
        errors = [process.communicate(timeout_s)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(errors)
    paths = [folder / f"rank{rank}.safetensors" for rank in range(2)]
    return [decode(path.read_bytes(), path) for path in paths]
