"""Networks made from a stranger's description: no more memory is asked for than their weights justify."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

SLACK = 8
"""So many numbers for each stored one: initialisations make copies, and filters are not stored."""
NUMBERS, TENSORS = 16_000_000, 1_000
"""Numbers and tensors that are made without asking."""
MAKERS = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full}
METHODS = {Tensor.new_empty, Tensor.new_zeros, Tensor.new_ones, Tensor.new_full}


class TooMuch(MemoryError):
    """A description asks for more than there are weights for."""


class Bounded(TorchFunctionMode):
    """While entered, new tensors are counted before they get memory; TooMuch when they are clearly more, or larger, than the
    tensors in `stored`."""

    def __init__(self, stored: Iterable[Tensor]) -> None:
        super().__init__()
        sizes = [tensor.numel() for tensor in stored]
        self.stored = f"{sum(sizes):,} numbers in {len(sizes):,} tensors"
        self.numbers, self.tensors = SLACK * sum(sizes) + NUMBERS, SLACK * len(sizes) + TENSORS

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in MAKERS or func in METHODS:
            self._count(kwargs.get("size", args[func in METHODS :]))
        return func(*args, **kwargs)

    def _count(self, size: Any) -> None:
        """size: a tuple, or numbers one after the other, as the function that makes the tensor takes them."""
        size = size[0] if size and isinstance(size[0], list | tuple) else size
        asked = math.prod(number for number in size if isinstance(number, int))
        self.numbers, self.tensors = self.numbers - asked, self.tensors - 1
        if self.numbers < 0 or self.tensors < 0:
            what = f"a tensor of {'x'.join(map(str, size))}" if self.numbers < 0 else "further tensors"
            raise TooMuch(f"they are {self.stored}, and its description asks for {what}")
