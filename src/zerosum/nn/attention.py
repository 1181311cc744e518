"""Self-attention over positions. Legend: N rows, C channels, P positions, * spatial sizes: (T), (H, W) or (D, H, W)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool1d, max_pool2d, max_pool3d

from zerosum.nn.layers import CONV, channels_last

MAX_POOL: dict[int, Callable[..., Tensor]] = {1: max_pool1d, 2: max_pool2d, 3: max_pool3d}


class SelfAttention(nn.Module):
    """x + gate * attention(x), where every position attends to all others (Zhang et al. 2019, arXiv:1805.08318).

    Queries and keys have C/8 channels, values C/2; keys and values are max-pooled by 2 (Brock et al. 2019). The gate starts at
    0, so that a network uses its neighbourhood first and learns to look further. Written as two matrix products and a softmax,
    because it must have a second derivative, which fused attention does not have.
    """

    def __init__(self, channels: int, dims: int = 2) -> None:
        super().__init__()
        inner, outer, conv = max(1, channels // 8), max(1, channels // 2), CONV[dims]
        self.query = conv(channels, inner, 1, bias=False)
        self.key = conv(channels, inner, 1, bias=False)
        self.value = conv(channels, outer, 1, bias=False)
        self.out = conv(outer, channels, 1, bias=False)
        self.gate = nn.Parameter(torch.zeros(()))

    def weights(self, x: Tensor) -> Tensor:
        """(N, C, *) -> (N, P, P'), P' positions after pooling (halved, rounded up): how much each position attends to each;
        rows sum to 1."""
        scores = _positions(self.query(x)) @ _positions(_pooled(self.key(x))).transpose(1, 2)
        return scores.softmax(2)  # in float32 under autocast too

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *) -> (N, C, *)."""
        values = _positions(_pooled(self.value(x)))
        attended = self.weights(x).to(values.dtype) @ values  # (N, P, C/2)
        attended = channels_last(attended.transpose(1, 2).reshape(-1, attended.shape[2], *x.shape[2:]))
        return torch.addcmul(x, self.gate.to(x.dtype), self.out(attended))


def _pooled(x: Tensor) -> Tensor:
    """Halved, rounded up: no position of an odd size is left out."""
    return MAX_POOL[x.dim() - 2](x, 2, ceil_mode=True)


def _positions(x: Tensor) -> Tensor:
    """(N, C, *) -> (N, P, C)."""
    return x.flatten(2).transpose(1, 2)
