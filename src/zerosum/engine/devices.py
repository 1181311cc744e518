"""Where a game is computed and in which precision: processes, and float32 or bfloat16.

Several processes train one game by plain torch.distributed, with one flat sum of the updated player's gradients in each turn.

No wrapper module is used: DistributedDataParallel gives silently wrong gradients for a separate penalty backward.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

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


# --- precision: float32, or bfloat16 by autocast with float32 weights, losses and sums of the penalties

Precision = Literal["float32", "bfloat16"]


def choose(wanted: str, device: torch.device) -> Precision:
    """Resolves "auto": bfloat16 where it is faster, else float32.

    On a GPU that means native bfloat16; on a CPU, AMX tiles. A CPU with AVX512-bf16 but without AMX computes
    convolutions in bfloat16 more slowly than in float32 (measured: 0.6 times), so it gets float32; for networks without
    convolutions see `multiplies_faster`.
    """
    if wanted in ("float32", "bfloat16"):
        return cast(Precision, wanted)
    if wanted != "auto":
        raise ValueError(f"precision must be auto, float32 or bfloat16, got {wanted!r}")
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device.type == "cpu" and has_amx() else "float32"


def has_amx() -> bool:
    """Whether this process may use the CPU's AMX tiles."""
    probe: Callable[[], bool] | None = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(probe()) if probe is not None else False


def multiplies_faster(device: torch.device) -> bool:
    """Whether matrices are multiplied faster in bfloat16 than in float32: on a CPU by AMX or AVX512-bf16 (measured on the
    latter: 2.1 times for 500 x 256 by 256 x 256), on a GPU where `choose` takes it."""
    if device.type != "cpu":
        return choose("auto", device) == "bfloat16"
    probe: Callable[[], bool] | None = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return has_amx() or bool(probe is not None and probe())


def autocast(precision: Precision, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """The context in which a game computes its terms."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
