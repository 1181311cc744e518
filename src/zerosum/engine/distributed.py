"""Several processes that train one game: plain torch.distributed, one flat sum of the updated player's gradients in each turn.

No wrapper module is used: DistributedDataParallel gives silently wrong gradients for a separate penalty backward.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from zerosum.errors import UserError

PEER_LOST = re.compile(r"connection|closed by peer|broken pipe|time(d )?out|remote process", re.IGNORECASE)
"""What gloo and NCCL say when a process no longer answers."""


class ProcessLost(UserError):
    """Another process of this training has ended, so this one cannot go on."""


@contextlib.contextmanager
def _communication() -> Iterator[None]:
    """For messages to the others: an error that says that one of them has ended becomes ProcessLost."""
    try:
        yield
    except RuntimeError as error:
        if not PEER_LOST.search(str(error)):
            raise
        raise ProcessLost("Another process of this training has ended, so this one cannot go on.") from error


@dataclass(frozen=True)
class DistributedContext:
    """This process among `size`. With size 1 every method is the identity."""

    rank: int = 0
    size: int = 1

    def rows(self, total: int) -> tuple[int, int]:
        """First and last+1 row of the global batch that this process computes."""
        return self.rank * total // self.size, (self.rank + 1) * total // self.size

    def parts(self, total: int, micro_batches: int) -> list[tuple[int, int]]:
        """First and last+1 row of each micro-batch that this process computes, in order; none is empty."""
        first, last = self.rows(total)
        edges = [first + (last - first) * part // micro_batches for part in range(micro_batches + 1)]
        return [(start, stop) for start, stop in itertools.pairwise(edges) if stop > start]

    def sum_(self, tensors: list[Tensor]) -> None:
        """Replaces each tensor by its sum over processes, in one flat float32 message."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1).float() for tensor in tensors])
        with _communication():
            dist.all_reduce(flat)
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any process; all processes get the same answer."""
        if self.size == 1:
            return flag
        counted = torch.tensor([float(flag)], device=self._device())
        with _communication():
            dist.all_reduce(counted)
        return bool(counted.item() > 0)

    def gather_rows(self, rows: Tensor) -> Tensor:
        """(N_total, ...): the processes' rows in rank order. Row counts may differ between processes."""
        if self.size == 1:
            return rows
        parts: list[Tensor] = [torch.empty(0)] * self.size
        count = torch.tensor([len(rows)], device=rows.device)
        counts = [torch.zeros_like(count) for _ in range(self.size)]
        with _communication():
            dist.all_gather(counts, count)
        longest = int(max(int(c) for c in counts))
        padded = torch.zeros(longest, *rows.shape[1:], dtype=rows.dtype, device=rows.device)
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with _communication():
            dist.all_gather(parts, padded)
        return torch.cat([part[: int(c)] for part, c in zip(parts, counts, strict=True)])

    def barrier(self) -> None:
        """Waits for all processes."""
        if self.size > 1:
            with _communication():
                dist.barrier()

    def _device(self) -> torch.device:
        return torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")


def environment() -> tuple[int, int, int]:
    """(rank, world size, local rank) from torchrun's variables, else SLURM's, else a single process."""
    for rank, size, local in (
        ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
        ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    ):
        if rank in os.environ and size in os.environ:
            return int(os.environ[rank]), int(os.environ[size]), int(os.environ.get(local, "0"))
    return 0, 1, 0


def join(device: str) -> DistributedContext:
    """Joins the processes that the launcher started; a single process joins nothing.

    gloo on the CPU, NCCL on GPUs. MASTER_ADDR and MASTER_PORT must be set for more than one process.
    """
    rank, size, local = environment()
    if size == 1:
        return DistributedContext()
    if device.startswith("cuda"):
        torch.cuda.set_device(local)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", rank=rank, world_size=size)
    return DistributedContext(rank, size)


def leave() -> None:
    """Leaves the process group, if this process is in one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
