"""Spectral normalisation: every weight divided by its largest singular value (Miyato et al. 2018, arXiv:1802.05957)."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

FIRST_ITERATIONS = 15
"""Of the power method, when a weight is first seen; then one whenever a network that learns uses it."""


class Spectral(nn.Module):
    """weight (out, ...) -> weight / sigma, sigma = u'Wv with the weight as a matrix (out, rest); Miyato et al. 2018, algorithm 1.

    torch's own parametrization does the same up to two points that matter here. sigma is computed in float32 under autocast
    too. And a frozen weight stays what it is: the power method goes on only while the weight learns, in training mode, so the
    opponent's turn, the average and every sample see one and the same network.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("u", normalize(matrix.new_empty(len(matrix)).normal_(), dim=0))
        self.register_buffer("v", normalize(matrix.new_empty(matrix.shape[1]).normal_(), dim=0))
        for _ in range(FIRST_ITERATIONS):
            self._iterate(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight of norm 1. u and v are constants in the gradient; they are copied, since the next call moves them."""
        with _in_float32(weight.device.type):
            matrix = weight.flatten(1)
            if self.training and weight.requires_grad and torch.is_grad_enabled():
                self._iterate(matrix.detach())
            sigma = torch.dot(self.u.clone(), matrix @ self.v.clone())
            return weight / sigma

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.u.copy_(normalize(matrix @ self.v, dim=0))
        self.v.copy_(normalize(self.u @ matrix, dim=0))


def _in_float32(device_type: str) -> contextlib.AbstractContextManager[object]:
    """Switches autocast off where it is on; where it is not, nothing stands in the way of exporting the network."""
    on = torch.is_autocast_enabled(device_type)
    return torch.autocast(device_type, enabled=False) if on else contextlib.nullcontext()


def spectral(network: nn.Module) -> nn.Module:
    """Puts all convolutions, linear layers and embeddings of a network under spectral normalisation, in place.

    To be called after the weights were drawn: u and v are found from them. A weight of zeros has no direction and raises
    ValueError.
    """
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            if not bool(module.weight.detach().any()):
                raise ValueError(f"spectral normalisation of {name}: all its weights are 0")
            parametrize.register_parametrization(module, "weight", Spectral(module.weight))
    return network
