"""Random numbers as a function of (seed, step, turn, purpose) and the order of the data as a function of (seed, position): no
random state needs saving.

Numbers are drawn for the global batch and then cut to the rows of one micro-batch, so that N processes or M micro-batches
compute the same training as one.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


def derive(*parts: int | str) -> int:
    """A 63-bit seed that is stable across machines and Python versions: SHA-256 over the parts."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded from the parts. The CPU's stream is the same on every device."""
    return torch.Generator().manual_seed(derive(*parts))


@dataclass(frozen=True)
class SeededNoise:
    """Random numbers of one turn for rows start..stop-1 of a batch of `total` rows."""

    seed: int
    step: int
    turn: int
    start: int
    stop: int
    total: int
    device: torch.device

    @property
    def num_rows(self) -> int:
        """Rows of this micro-batch."""
        return self.stop - self.start

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """(num_rows, *shape) of N(0, 1), float32."""
        return self._cut(torch.randn(self.total, *shape, generator=self._generator(purpose)))

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        """(num_rows, *shape) of U[0, 1), float32."""
        return self._cut(torch.rand(self.total, *shape, generator=self._generator(purpose)))

    def truncated_normal(self, purpose: str, *shape: int, limit: float = 2.0) -> Tensor:
        """(num_rows, *shape) of N(0, 1) conditioned on |z| <= limit, by the inverse error function."""
        bound = torch.special.erf(torch.tensor(limit / 2**0.5, dtype=torch.float64))
        uniform = torch.rand(self.total, *shape, generator=self._generator(purpose), dtype=torch.float64)
        return self._cut((torch.erfinv((2 * uniform - 1) * bound) * 2**0.5).float())

    def integers(self, purpose: str, high: int, *shape: int) -> Tensor:
        """(num_rows, *shape) int64, uniform over 0..high-1."""
        return self._cut(torch.randint(high, (self.total, *shape), generator=self._generator(purpose)))

    def _generator(self, purpose: str) -> torch.Generator:
        return generator(self.seed, self.step, self.turn, purpose)

    def _cut(self, rows: Tensor) -> Tensor:
        return rows[self.start : self.stop].to(self.device, non_blocking=True)


MAX_NOISE_SIZE = 65_536
"""Largest number of noise values per row; a recipe that asks for more would exhaust the memory."""


@dataclass(frozen=True)
class Prior:
    """The distribution of the noise z, (N, L) float32: normal, uniform on [-1, 1], or truncated normal (|z| <= limit)."""

    __pydantic_config__ = {"extra": "forbid"}  # a recipe with a misspelt field is refused
    size: int
    kind: Literal["normal", "uniform", "truncated_normal"] = "normal"
    limit: float = 2.0

    def __post_init__(self) -> None:
        if self.kind not in ("normal", "uniform", "truncated_normal"):
            raise ValueError(f"prior kind must be normal, uniform or truncated_normal, got {self.kind!r}")
        if not 1 <= self.size <= MAX_NOISE_SIZE or not self.limit > 0:
            raise ValueError(
                f"prior size must lie in 1 to {MAX_NOISE_SIZE:,} and its limit above 0, got {self.size} and {self.limit}"
            )
        if self.kind != "truncated_normal" and self.limit != Prior.limit:
            raise ValueError(f"a prior limit has no use with kind = {self.kind!r}; it goes with truncated_normal")

    def draw(self, rng: SeededNoise, purpose: str = "noise") -> Tensor:
        """(N, L) float32."""
        if self.kind == "uniform":
            return rng.uniform(purpose, self.size) * 2 - 1
        if self.kind == "truncated_normal":
            return rng.truncated_normal(purpose, self.size, limit=self.limit)
        return rng.normal(purpose, self.size)


@functools.lru_cache(maxsize=2)
def _permutation(num_rows: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(num_rows, generator=generator(seed, "order", epoch))


def rows_at(position: int, count: int, num_rows: int, seed: int) -> Tensor:
    """The order of the data, (count,) int64 row numbers: entries position .. position+count-1 of an endless shuffled stream.

    The stream is a new permutation of all rows in each epoch; a batch may straddle two epochs, so no row is dropped.
    """
    parts = []
    while count > 0:
        epoch, offset = divmod(position, num_rows)
        part = _permutation(num_rows, seed, epoch)[offset : offset + count]
        parts.append(part)
        position += len(part)
        count -= len(part)
    return parts[0] if len(parts) == 1 else torch.cat(parts)
