"""Conditions of a generator of rows: some columns of the row, or nothing.

Legend: N rows, C learnt columns, D places of an encoded row, K = C + D. A condition (N, K) float32 is a mask over the columns
(1: given), then the encoded row with zeros where nothing is given. A condition of zeros gives nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zerosum.domains.tables.layout import Block, condition_width


def condition_on(data: Tensor, mask: Tensor, blocks: Sequence[Block]) -> Tensor:
    """(N, D) encoded rows and (N, C) mask -> (N, K) conditions that give the columns whose mask is 1."""
    return torch.cat([mask, data * spread(mask, blocks)], dim=1)


def spread(mask: Tensor, blocks: Sequence[Block]) -> Tensor:
    """(N, C) -> (N, D): each column's mask at all of its places."""
    # An index rather than repeat_interleave, which ONNX does not know.
    owner = [number for number, block in enumerate(blocks) for _ in range(block.width)]
    return mask[:, torch.tensor(owner, device=mask.device)]


def split(condition: Tensor, blocks: Sequence[Block]) -> tuple[Tensor, Tensor]:
    """(N, K) -> the mask at each place (N, D), and the values given (N, D) with zeros elsewhere."""
    mask, values = condition[:, : len(blocks)], condition[:, len(blocks) :]
    return spread(mask, blocks), values


def no_conditions(payload: Mapping[str, Any], num: int) -> Tensor:
    """(num, K) conditions that give nothing: rows as the table has them."""
    return torch.zeros(num, condition_width(payload))
