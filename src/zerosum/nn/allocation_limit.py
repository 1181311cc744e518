"""A limit on the memory that building a network from an untrusted description may take."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

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
