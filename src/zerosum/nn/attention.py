"""Self-attention over the places of an image. Legend: N rows, C channels, H height, W width."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d


class SelfAttention(nn.Module):
    """x + gate * attention(x), where every place looks at all others (Zhang et al. 2019, arXiv:1805.08318).

    Queries and keys have C/8 channels, values C/2; keys and values are max-pooled by 2 (Brock et al. 2019). The gate begins at
    0, so that a network starts with what is near and learns to look further. Written as two matrix products and a softmax, for
    it must have a second derivative, which fused attention has not.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner, outer = max(1, channels // 8), max(1, channels // 2)
        self.query = nn.Conv2d(channels, inner, 1, bias=False)
        self.key = nn.Conv2d(channels, inner, 1, bias=False)
        self.value = nn.Conv2d(channels, outer, 1, bias=False)
        self.out = nn.Conv2d(outer, channels, 1, bias=False)
        self.gate = nn.Parameter(torch.zeros(()))

    def weights(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, H*W, ceil(H/2)*ceil(W/2)): how much each place looks at each; rows add up to 1."""
        scores = _places(self.query(x)) @ _places(_pooled(self.key(x))).transpose(1, 2)
        return scores.softmax(2)  # in float32 under autocast too

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        values = _places(_pooled(self.value(x)))
        seen = self.weights(x).to(values.dtype) @ values  # (N, H*W, C/2)
        seen = (
            seen.transpose(1, 2).reshape(-1, seen.shape[2], *x.shape[2:]).contiguous(memory_format=torch.channels_last)
        )
        return torch.addcmul(x, self.gate.to(x.dtype), self.out(seen))


def _pooled(x: Tensor) -> Tensor:
    """Halved, rounded up: no place of an odd grid is left out."""
    return max_pool2d(x, 2, ceil_mode=True)


def _places(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H*W, C)."""
    return x.flatten(2).transpose(1, 2)
