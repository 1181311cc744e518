"""Interpolation between classes: a generator conditioned on 70% of class 3 and 30% of class 8."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from zerosum.errors import UserError


@contextlib.contextmanager
def blended_embeddings(network: nn.Module, weights: Tensor) -> Iterator[Tensor]:
    """A context in which the network's class embeddings return weighted means of their rows; yields labels (N,) for the call.

    weights: (N, K), a row for each row of the batch, each summing to 1. A row that is all in one class gives exactly what
    the label of that class gives. The network may read the batch whole or in parts, in order. UserError when the network reads
    its labels by no embedding.
    """
    tables = [m for m in network.modules() if isinstance(m, nn.Embedding) and m.num_embeddings == weights.shape[1]]
    if not tables:
        raise UserError(
            f"{type(network).__name__} reads its labels by no embedding, so there is nothing between classes."
        )

    used = dict.fromkeys(tables, 0)

    def blend(table: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
        assert isinstance(table, nn.Embedding)
        first, last = used[table], used[table] + len(out)
        used[table] = last % len(weights)
        return (weights[first:last].to(out) @ table.weight).view_as(out)

    hooks = [table.register_forward_hook(blend) for table in tables]
    try:
        yield weights.argmax(1)
    finally:
        for hook in hooks:
            hook.remove()


def interpolate_conditions(a: Tensor, b: Tensor, t: Tensor, num_classes: int) -> Tensor:
    """Conditions t (N,) of the way from a to b: attributes (N, A) as such, labels (N,) as class weights (N, num_classes).

    Labels that are equal on both sides of every row stay labels.
    """
    if a.dim() == 1:
        if torch.equal(a, b):
            return a
        a, b = nn.functional.one_hot(a, num_classes).float(), nn.functional.one_hot(b, num_classes).float()
    t = t.to(a.dtype).view(-1, 1)
    return (1 - t) * a + t * b
