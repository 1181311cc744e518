"""Memory of the device: how much is free, how much a piece of work took at most, and running out of it told as advice."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import re
import resource
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from zerosum.errors import UserError
from zerosum.recipe import Recipe, resolved_number

if TYPE_CHECKING:
    from zerosum.domain import DatasetInfo, Domain

STATUS, MEMINFO, RESET = Path("/proc/self/status"), Path("/proc/meminfo"), Path("/proc/self/clear_refs")
LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
"""Of the container, in the newer and in the older place: what it may use, and what it uses."""
EXHAUSTED = re.compile(
    r"out of memory|can't allocate memory|not enough memory|bad_alloc|cannot allocate memory|ALLOC_FAILED"
    r"|could not (create|execute) a (primitive|memory)",  # oneDNN's words when it gets no room for its scratch
    re.IGNORECASE,
)
ASKED = re.compile(r"[Tt]ried to allocate ([\d.]+ ?\w+)")
HALVED = "width"
"""The option of networks whose half makes most layers a quarter."""


@dataclass
class Peak:
    """The most memory that was held at once, in bytes; None where it cannot be measured."""

    num_bytes: int | None = None


@contextlib.contextmanager
def measured(device: torch.device) -> Iterator[Peak]:
    """Fills the Peak it yields: on a GPU what torch reserved, on a CPU the whole process, where Linux tells."""
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            RESET.write_text("5")  # begins a new high-water mark
    yield peak
    peak.num_bytes = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else _field(STATUS, "VmHWM")


def available(device: torch.device) -> int | None:
    """Bytes that this process could still take without anybody being ended for it; None when nobody tells."""
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    found = _field(MEMINFO, "MemAvailable")
    for limit, used in LIMITS:
        with contextlib.suppress(OSError, ValueError):
            left = int(limit.read_text()) - int(used.read_text())
            found = left if found is None else min(found, left)
    most, now = resource.getrlimit(resource.RLIMIT_AS)[0], _field(STATUS, "VmSize")
    if most != resource.RLIM_INFINITY and now is not None:
        found = most - now if found is None else min(found, most - now)
    return found


def release(device: torch.device) -> None:
    """Gives back what nobody holds any more, as far as the allocators do."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # of glibc
        trim(0)


def _field(path: Path, name: str) -> int | None:
    """A value in kB of one of Linux's tables, in bytes."""
    with contextlib.suppress(OSError):
        found = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else None
    return None


@contextlib.contextmanager
def bounded(device: torch.device, num_bytes: int | None = None) -> Iterator[None]:
    """On a CPU: more than `num_bytes` more (default: what is available) fails as an error that can be told.

    Without it Linux grants what it does not have, and ends the process when the memory is used.
    """
    room = available(device) if num_bytes is None else num_bytes
    now = _field(STATUS, "VmSize")
    if device.type != "cpu" or room is None or now is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = now + room if before[0] == resource.RLIM_INFINITY else min(now + room, before[0])
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def exhausted(error: BaseException) -> bool:
    """Whether an error says that there is no more memory, of the GPU or of the machine."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(EXHAUSTED.search(str(error)))


@contextlib.contextmanager
def explain_out_of_memory(advice: str) -> Iterator[None]:
    """For work that may take more memory than there is: its error becomes a UserError with the sizes and this advice."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not exhausted(error):
            raise
        asked, free = ASKED.search(str(error)), available(torch.device("cpu"))
        wanted = f" It asked for {_bytes(asked[1])}." if asked else ""
        room = f" {size(free)} are free." if free is not None else ""
        raise UserError(f"Out of memory.{wanted}{room} {advice}") from None


def size(num_bytes: float) -> str:
    """A number of bytes that a person reads: 412 MB, 3.2 GB."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"


def advice(recipe: Recipe, domain: Domain, info: DatasetInfo, processes: int = 1) -> str:
    """What to change when a recipe does not fit, with the numbers of this recipe put in; the mildest first."""
    batch = resolved_number(recipe.batch, "batch")
    parts, most = recipe.micro_batches, max(1, batch // processes)
    ways = []
    if parts < most:
        ways += [
            ("--fit", "tries which number of micro-batches fits; the game stays the same, except with BatchNorm"),
            (f"--set micro_batches={min(most, 2 * parts)}", f"{-(-most // min(most, 2 * parts))} rows at a time"),
        ]
    if batch > processes and parts < most:
        ways.append((f"--set batch={max(processes, batch // 2)}", "half the rows; the rates may want to be lower too"))
    if thinner := _thinner(recipe):
        ways.append((" ".join(f"--set {name}={width}" for name, width in thinner.items()), "narrower networks"))
    if smaller := domain.data.smaller(info):
        ways.append((f"--set {smaller[0]}", smaller[1]))
    wide = max((len(option) for option, _ in ways), default=0)
    return "\n".join(f"  {option.ljust(wide)}  {meaning}" for option, meaning in ways)


def _thinner(recipe: Recipe) -> dict[str, int]:
    """Half of each width that the recipe states."""
    stated = {"generator": recipe.generator.options, "discriminator": recipe.discriminator.options}
    widths = {f"{player}.{HALVED}": options.get(HALVED) for player, options in stated.items()}
    return {name: width // 2 for name, width in widths.items() if isinstance(width, int) and width >= 8}


def message(
    recipe: Recipe,
    domain: Domain,
    info: DatasetInfo,
    error: BaseException,
    when: str,
    processes: int = 1,
    free: int | None = None,
) -> str:
    """The whole message of a training that ran out of memory. when: "in its first step", "after step 1,200". free: bytes
    before it began; by default those of now."""
    free = available(torch.device(recipe.device)) if free is None else free
    room = f", {size(free)} are free" if free is not None else ""
    asked = ASKED.search(str(error))
    wanted = f" It asked for {_bytes(asked[1])} more." if asked else ""
    rows = f"{recipe.batch} rows" + (f" in {recipe.micro_batches} micro-batches" if recipe.micro_batches > 1 else "")
    shape = "x".join(map(str, info.sample.shape))
    return (
        f"Out of memory {when}: recipe {recipe.name}, {rows} of {shape} on {recipe.device}{room}.{wanted}\n"
        f"Change one of these, or end what else uses the memory:\n{advice(recipe, domain, info, processes)}"
    )


def _bytes(text: str) -> str:
    """The size in an allocator's message: "20.00 GiB" as it is, "64000000000 bytes" shortened."""
    number, _, unit = text.partition(" ")
    return size(float(number)) if unit.startswith("byte") else text


SLACK = 8
"""Allowed numbers for each stored one: initialisations make copies, and filters are not stored."""
NUMBERS, TENSORS = 16_000_000, 1_000
"""Numbers and tensors that are always allowed."""
CREATORS = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full}
METHODS = {Tensor.new_empty, Tensor.new_zeros, Tensor.new_ones, Tensor.new_full}


class AllocationLimitExceeded(MemoryError):
    """The description of a network asks for more memory than its stored weights justify."""


class AllocationLimit(TorchFunctionMode):
    """While entered, counts new tensors before they are allocated.

    Raises AllocationLimitExceeded when they are clearly more, or larger, than the tensors in `stored`."""

    def __init__(self, stored: Iterable[Tensor]) -> None:
        super().__init__()
        sizes = [tensor.numel() for tensor in stored]
        self.stored = f"{sum(sizes):,} numbers in {len(sizes):,} tensors"
        self.numbers, self.tensors = SLACK * sum(sizes) + NUMBERS, SLACK * len(sizes) + TENSORS

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in CREATORS or func in METHODS:
            self._count(kwargs.get("size", args[func in METHODS :]))
        return func(*args, **kwargs)

    def _count(self, size: Any) -> None:
        """size: a tuple, or separate numbers, as the function that creates the tensor takes them."""
        size = size[0] if size and isinstance(size[0], list | tuple) else size
        requested = math.prod(number for number in size if isinstance(number, int))
        self.numbers, self.tensors = self.numbers - requested, self.tensors - 1
        if self.numbers < 0 or self.tensors < 0:
            what = f"a tensor of {'x'.join(map(str, size))}" if self.numbers < 0 else "further tensors"
            raise AllocationLimitExceeded(f"they are {self.stored}, and its description asks for {what}")
