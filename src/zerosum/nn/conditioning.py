"""How a network uses its condition: class labels (N,) int64 or attributes (N, K) float32.

Legend: N rows, C channels, F features, K classes or attributes, * spatial sizes: (T), (H, W) or (D, H, W). Where there are
attributes, labels are ignored.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zerosum.nn.layers import AnyNorm, norm


def embedding(num_classes: int, num_attributes: int, features: int) -> nn.Embedding | nn.Linear | None:
    """A learned map from the condition to (N, F): a row for each class, or a linear map of the attributes without bias;
    None for a network without a condition. Its values start as N(0, 1) for standardised attributes and for classes."""
    if num_attributes:
        linear = nn.Linear(num_attributes, features, bias=False)
        nn.init.normal_(linear.weight, std=num_attributes**-0.5)
        return linear
    return nn.Embedding(num_classes, features) if num_classes else None


def embedded_size(embed: nn.Embedding | nn.Linear | None) -> int:
    """F of an embedding; 0 without one."""
    return 0 if embed is None else embed.weight.shape[isinstance(embed, nn.Embedding)]


def require_condition(condition: Tensor | None) -> Tensor:
    """The condition; ValueError where a conditional network was called without one."""
    if condition is None:
        raise ValueError("this network is conditional: it needs labels or attributes")
    return condition


def concat_condition(x: Tensor, embed: nn.Module | None, condition: Tensor | None) -> Tensor:
    """(N, L) -> (N, L + F): x and the embedded condition (Mirza and Osindero 2014, arXiv:1411.1784); x alone without an
    embedding."""
    if embed is None:
        return x
    return torch.cat([x, embed(require_condition(condition)).to(x.dtype)], 1)


class ConditionalNorm(nn.Module):
    """A normalisation whose scale and shift depend on the row: norm(x) * (1 + g(c)) + b(c).

    to_affine maps the condition c of a row to (N, 2C), g and b; None leaves the plain normalisation. With an embedding of
    labels that starts at 0 it is conditional batch normalisation (Dumoulin et al. 2017, arXiv:1610.07629; Miyato and Koyama
    2018), with a linear map of a vector the one of BigGAN (Brock et al. 2019, arXiv:1809.11096).
    """

    def __init__(self, kind: AnyNorm, channels: int, to_affine: nn.Module | None, dims: int = 2) -> None:
        super().__init__()
        self.norm = norm(kind, channels, dims)
        self.to_affine = to_affine

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, C, *), what `to_affine` takes -> (N, C, *)."""
        x = self.norm(x)
        if self.to_affine is None:
            return x
        affine = self.to_affine(require_condition(condition)).to(x.dtype)
        gain, shift = affine.view(*affine.shape, *[1] * (x.dim() - 2)).chunk(2, 1)
        return torch.addcmul(x + shift, x, gain)


def zero_init(to_affine: nn.Module | None) -> nn.Module | None:
    """The same map with all parameters set to 0: the condition has no effect before training."""
    if to_affine is not None:
        for parameter in to_affine.parameters():
            nn.init.zeros_(parameter)
    return to_affine
