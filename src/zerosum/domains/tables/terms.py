"""Loss terms of generators of tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from zerosum.domains.tables.networks import TableGenerator
from zerosum.engine.game import LossContext
from zerosum.engine.optimizers import Schedule
from zerosum.engine.penalties import Penalty


def given_columns(weight: float | Schedule = 1.0, every: int = 1) -> Penalty:
    """The mean, over the given columns of a row, of the cross-entropy of categories and the squared error of numbers; 0 without
    a condition. For generators that do not copy given columns into the row. Xu et al. 2019, arXiv:1907.00503, section 4.3."""

    def function(context: LossContext) -> Tensor:
        generator = context.generator
        if context.fake_condition is None or context.noise is None or not isinstance(generator, TableGenerator):
            raise ValueError("the penalty `given_columns` needs conditions and a generator of tables")
        made = generator.raw(context.noise, context.fake_condition).float()
        num = len(generator.blocks)
        mask, values = context.fake_condition[:, :num], context.fake_condition[:, num:]
        lost = torch.stack([_lost(block, made, values) for block in generator.blocks], 1)
        missed: Tensor = (lost * mask).sum(1) / mask.sum(1).clamp_min(1)
        return missed

    return Penalty("given_columns", function, weight, every, ("generator",), second_order=False)


def _lost(block: Any, made: Tensor, values: Tensor) -> Tensor:
    """(N,): the error of a column's raw values against the given ones."""
    if block.choice is None:
        return (made[:, block.start] - values[:, block.start]).square()
    first, last = block.choice
    lost = cross_entropy(made[:, first:last], values[:, first:last], reduction="none")
    if first > block.start:
        far = (made[:, block.start] - values[:, block.start]).square()
        lost = lost + (far * (1 - values[:, last - 1]) if block.missing else far)
    return lost


TERMS: Mapping[str, Callable[..., Penalty]] = MappingProxyType({"given_columns": given_columns})
