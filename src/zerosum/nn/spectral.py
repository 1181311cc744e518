"""Spectral normalisation: every weight divided by its largest singular value (Miyato et al. 2018, arXiv:1802.05957)."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

FIRST_ITERATIONS = 15
"""Of the power method, when a weight is first seen; then one for each turn of a network that learns (see `iterate`)."""


class Spectral(nn.Module):
    """weight (out, ...) -> weight / sigma, sigma = u'Wv with the weight as a matrix (out, rest); Miyato et al. 2018, algorithm 1.

    Two points differ from torch's own parametrization. sigma is computed in float32 under autocast too. And u and v change in
    `iterate` alone, which the engine calls once when a turn of the network begins. So the reals, the fakes and the penalties of
    a turn, all micro-batches of it, the opponent's turn, the average and every sample see one and the same network.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("u", normalize(matrix.new_empty(len(matrix)).normal_(), dim=0))
        self.register_buffer("v", normalize(matrix.new_empty(matrix.shape[1]).normal_(), dim=0))
        for _ in range(FIRST_ITERATIONS):
            self.iterate(weight)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight of norm 1. u and v are constants in the gradient; they are copied, since the next turn moves them."""
        with _in_float32(weight.device.type):
            sigma = torch.dot(self.u.clone(), weight.flatten(1) @ self.v.clone())
            return weight / sigma

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        """One iteration of the power method."""
        matrix = weight.detach().flatten(1)
        self.u.copy_(normalize(matrix @ self.v, dim=0))
        self.v.copy_(normalize(self.u @ matrix, dim=0))


def iterate(network: nn.Module) -> None:
    """One iteration of the power method for every weight of the network that learns and is under spectral normalisation, in
    training mode. A network that is trained without the engine wants it before each update."""
    for module in network.modules():
        if not isinstance(module, parametrize.ParametrizationList) or not isinstance(module[0], Spectral):
            continue
        if module.training and module.original.requires_grad:
            module[0].iterate(module.original)


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
