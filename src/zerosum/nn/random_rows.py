"""Random numbers that a network draws in training, as a function of the rows of the global batch.

A batch may be computed in parts: micro-batches, and the rows of several processes. A layer that draws its numbers here gets the
same numbers for a row in any division into parts: each part draws the numbers of the whole batch and keeps those of its own
rows. The engine enters `batch_part`; outside of it the numbers come from torch's global generator.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor

Draw = Callable[[int, torch.Generator | None], Tensor]


@dataclass
class _Part:
    start: int
    stop: int
    total: int
    seed: int
    streams: dict[torch.device, torch.Generator] = field(default_factory=dict)

    def stream(self, device: torch.device) -> torch.Generator:
        if device not in self.streams:
            self.streams[device] = torch.Generator(device).manual_seed(self.seed)
        return self.streams[device]


_PART: ContextVar[_Part | None] = ContextVar("part", default=None)


@contextlib.contextmanager
def batch_part(start: int, stop: int, total: int, seed: int) -> Iterator[None]:
    """While entered, networks compute rows start..stop-1 of a batch of `total` rows. seed: the same for all parts of a batch."""
    token = _PART.set(_Part(start, stop, total, seed))
    try:
        yield
    finally:
        _PART.reset(token)


def draw_rows(num: int, device: torch.device, draw: Draw) -> Tensor:
    """(num, ...) random rows on `device`; draw(n, generator) -> (n, ...) draws those of n rows.

    In a part of n rows, num may be k * n (k tensors of n rows, one after the other) or n / k (packs of k consecutive rows).
    For a pack that the part cuts, and for any other number of rows, the numbers do not come from those of the whole batch.
    """
    here = _PART.get()
    if here is None:
        return draw(num, None)
    own, stream = here.stop - here.start, here.stream(device)
    times, rest = divmod(num, own)
    if not rest:
        whole = draw(times * here.total, stream)
        if own == here.total:
            return whole
        return whole.view(times, here.total, *whole.shape[1:])[:, here.start : here.stop].flatten(0, 1)
    pack, rest = divmod(own, num)
    if own == here.total or rest or here.start % pack or here.total % pack:
        return draw(num, stream if own == here.total else None)
    return draw(here.total // pack, stream)[here.start // pack : here.stop // pack]


def normal_rows(num: int, device: torch.device, *shape: int) -> Tensor:
    """(num, *shape) of N(0, 1), float32."""
    return draw_rows(num, device, lambda n, stream: torch.randn(n, *shape, device=device, generator=stream))


def draw_shared(device: torch.device, draw: Callable[[torch.Generator | None], Tensor]) -> Tensor:
    """A random tensor that all rows of the batch share, in every part of it."""
    here = _PART.get()
    return draw(None if here is None else here.stream(device))
