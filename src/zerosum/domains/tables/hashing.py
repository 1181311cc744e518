"""Random numbers as a pure function of whole numbers, on any device: row 17 of column 3 always has the same number."""

from __future__ import annotations

import torch
from torch import Tensor

GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Constants of SplitMix64 (Steele, Lea and Flood 2014)."""
BITS = 53


def _to_int64(number: int) -> int:
    """A 64-bit number as int64."""
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number


def _shift_right(numbers: Tensor, by: int) -> Tensor:
    """A logical shift to the right, which int64 lacks."""
    return (numbers >> by) & ((1 << (64 - by)) - 1)


def mix(numbers: Tensor) -> Tensor:
    """int64 of any shape -> int64 of the same shape: the output function of SplitMix64, a bijection."""
    numbers = (numbers ^ _shift_right(numbers, 30)) * _to_int64(FIRST)
    numbers = (numbers ^ _shift_right(numbers, 27)) * _to_int64(SECOND)
    return numbers ^ _shift_right(numbers, 31)


def uniform(keys: Tensor, *salts: int) -> Tensor:
    """(...,) int64 keys -> (...,) float64 in (0, 1); other salts give independent numbers."""
    numbers = keys
    for salt in salts:
        numbers = mix(numbers + _to_int64(GOLDEN * (salt + 1)))
    return (_shift_right(mix(numbers), 64 - BITS).double() + 0.5) / (1 << BITS)


def uniforms(keys: Tensor, num: int, *salts: int) -> Tensor:
    """(N,) keys -> (N, num) float64 in (0, 1)."""
    base = mix(keys)[:, None] + torch.arange(num, device=keys.device, dtype=torch.int64) * _to_int64(GOLDEN)
    return uniform(base, *(salts or (0,)))
