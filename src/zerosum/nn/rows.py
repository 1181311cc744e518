"""Random numbers that a network draws in training, as a function of the rows of the global batch.

A batch may be computed in parts: micro-batches, and the rows of several processes. A layer that draws its numbers here gets
the same ones for a row whatever the parts are: each part draws those of the whole batch and keeps those of its own rows. The
engine says which rows are computed; outside of it numbers come from torch's own generator.
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
def part(start: int, stop: int, total: int, seed: int) -> Iterator[None]:
    """Within, networks compute rows start..stop-1 of a batch of `total` rows. seed: the same for all parts of the batch."""
    token = _PART.set(_Part(start, stop, total, seed))
    try:
        yield
    finally:
        _PART.reset(token)


def drawn(num: int, device: torch.device, draw: Draw) -> Tensor:
    """(num, ...) random rows on `device`; draw(n, generator) -> (n, ...) draws those of n rows.

    Of a part with n rows, num may be k * n (k tensors of n rows, one after the other) or n / k (k neighbours judged as one).
    A pack of neighbours that the part cuts, and any other number of rows, get numbers of their own.
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
    return drawn(num, device, lambda n, stream: torch.randn(n, *shape, device=device, generator=stream))


def drawn_once(device: torch.device, draw: Callable[[torch.Generator | None], Tensor]) -> Tensor:
    """A random tensor that all rows of the batch share."""
    here = _PART.get()
    return draw(None if here is None else here.stream(device))
