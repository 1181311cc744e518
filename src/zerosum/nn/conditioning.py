"""How a network hears its condition: class labels (N,) int64 or attributes (N, K) float32.

Legend: N rows, C channels, H height, W width, F features, K classes or attributes. Where there are attributes, labels play
no part.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zerosum.nn.layers import Norm, norm2d


def embedding(num_classes: int, num_attributes: int, features: int) -> nn.Embedding | nn.Linear | None:
    """A learned map from the condition to (N, F): a row for each class, or a linear map of the attributes without bias;
    None for a network without a condition. Its values begin as N(0, 1) for standardised attributes and for classes."""
    if num_attributes:
        linear = nn.Linear(num_attributes, features, bias=False)
        nn.init.normal_(linear.weight, std=num_attributes**-0.5)
        return linear
    return nn.Embedding(num_classes, features) if num_classes else None


def demanded(condition: Tensor | None) -> Tensor:
    """The condition; ValueError where a conditional network was called without one."""
    if condition is None:
        raise ValueError("this network is conditional: it needs labels or attributes")
    return condition


def joined(x: Tensor, embed: nn.Module | None, condition: Tensor | None) -> Tensor:
    """(N, L) -> (N, L + F): the embedded condition beside x (Mirza and Osindero 2014, arXiv:1411.1784); x alone without an
    embedding."""
    if embed is None:
        return x
    return torch.cat([x, embed(demanded(condition)).to(x.dtype)], 1)


class ConditionalNorm(nn.Module):
    """A normalisation whose scale and shift depend on the row: norm(x) * (1 + g(c)) + b(c).

    to_affine maps the condition c of a row to (N, 2C), g and b; None leaves the plain normalisation. With an embedding of
    labels that starts at 0 it is conditional batch normalisation (Dumoulin et al. 2017, arXiv:1610.07629; Miyato and Koyama
    2018), with a linear map of a vector the one of BigGAN (Brock et al. 2019, arXiv:1809.11096).
    """

    def __init__(self, kind: Norm, channels: int, to_affine: nn.Module | None) -> None:
        super().__init__()
        self.norm = norm2d(kind, channels)
        self.to_affine = to_affine

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, C, H, W), what `to_affine` takes -> (N, C, H, W)."""
        x = self.norm(x)
        if self.to_affine is None:
            return x
        gain, shift = self.to_affine(demanded(condition)).to(x.dtype)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(x + shift, x, gain)


def silent(to_affine: nn.Module | None) -> nn.Module | None:
    """The same map with all weights 0: the condition says nothing before training."""
    if to_affine is not None:
        for parameter in to_affine.parameters():
            nn.init.zeros_(parameter)
    return to_affine
