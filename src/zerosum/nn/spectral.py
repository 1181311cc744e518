"""Spectral normalisation: every weight divided by its largest singular value (Miyato et al. 2018, arXiv:1802.05957)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

from zerosum.nn.layers import PixelNorm
from zerosum.nn.precision import without_autocast

FIRST_ITERATIONS = 15
"""Iterations of the power method at the start; afterwards one for each turn of a network that learns (see `iterate`)."""
TRANSPOSED = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
SUPPORTED = nn.Conv1d | nn.Conv2d | nn.Conv3d | TRANSPOSED | nn.Linear | nn.Embedding
NORMS = nn.modules.batchnorm._NormBase | nn.GroupNorm | nn.LayerNorm | nn.RMSNorm | PixelNorm
"""Their weights scale channels; they are left as they are."""


class Spectral(nn.Module):
    """weight -> weight / sigma, sigma = u'Wv with the weight as a matrix (out, rest); Miyato et al. 2018, algorithm 1.

    dim: the dimension of the outputs; 0, or 1 for the weight (in, out, ...) of a transposed convolution.

    There are two differences to torch's own parametrization. sigma is computed in float32 under autocast too. And u and v change
    only in `iterate`, which the engine calls once at the start of a turn of the network. So the network is the same for the
    reals, the fakes and the penalties of a turn, for all its micro-batches, in the opponent's turn, in the average and in every
    sample.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, dim: int = 0) -> None:
        super().__init__()
        self.dim = dim
        matrix = self._matrix(weight.detach())
        self.register_buffer("u", normalize(matrix.new_empty(len(matrix)).normal_(), dim=0))
        self.register_buffer("v", normalize(matrix.new_empty(matrix.shape[1]).normal_(), dim=0))
        for _ in range(FIRST_ITERATIONS):
            self.iterate(weight)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight of norm 1. u and v are constants in the gradient; they are copied, since the next turn changes them."""
        with without_autocast(weight.device.type):
            sigma = torch.dot(self.u.clone(), self._matrix(weight) @ self.v.clone())
            return weight / sigma

    def _matrix(self, weight: Tensor) -> Tensor:
        """(out, rest)."""
        return (weight.transpose(0, self.dim) if self.dim else weight).flatten(1)

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        """One iteration of the power method."""
        matrix = self._matrix(weight.detach())
        self.u.copy_(normalize(matrix @ self.v, dim=0))
        self.v.copy_(normalize(self.u @ matrix, dim=0))


def iterate(network: nn.Module) -> None:
    """One iteration of the power method for every weight under spectral normalisation that learns and is in training mode.

    The engine calls it. A training loop of your own must call it before each update."""
    for module in network.modules():
        if not isinstance(module, parametrize.ParametrizationList) or not isinstance(module[0], Spectral):
            continue
        if module.training and module.original.requires_grad:
            module[0].iterate(module.original)


def spectral(network: nn.Module) -> nn.Module:
    """Puts all convolutions (transposed ones too), linear layers and embeddings under spectral normalisation, in place.

    Call it after the weights are initialised: u and v are computed from them. Normalisation layers, biases and scalars stay as
    they are. Raises TypeError for any other layer that has a weight of two or more dimensions, and ValueError for a weight of
    zeros, which has no direction, and for a layer that is parametrized already.
    """
    layers = [(name, module) for name, module in network.named_modules() if not isinstance(module, NORMS)]
    for name, module in layers:
        if isinstance(module, parametrize.ParametrizationList):
            raise ValueError(f"spectral normalisation of {name}: the weight has a parametrization already")
        if not isinstance(module, SUPPORTED):
            _refuse_weights(name, module)
    for name, module in layers:
        if isinstance(module, SUPPORTED):
            if not bool(module.weight.detach().any()):
                raise ValueError(f"spectral normalisation of {name}: all its weights are 0")
            dim = 1 if isinstance(module, TRANSPOSED) else 0
            parametrize.register_parametrization(module, "weight", Spectral(module.weight, dim))
    return network


def _refuse_weights(name: str, module: nn.Module) -> None:
    weights = [key for key, parameter in module.named_parameters(recurse=False) if parameter.dim() > 1]
    if weights:
        known = "Conv1d to Conv3d, ConvTranspose1d to ConvTranspose3d, Linear, Embedding"
        raise TypeError(
            f"spectral normalisation of {name or 'the network'}: the weight {weights[0]} of a {type(module).__name__} is not "
            f"supported. Supported layers: {known}. Build the layer from these, or leave spectral normalisation out."
        )
