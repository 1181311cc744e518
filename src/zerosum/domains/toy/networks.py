"""Two small multilayer perceptrons, one for each player.

Legend: N points, L latent size, D dimensions. First argument the number of dimensions, the rest by keyword.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from zerosum.nn.layers import perceptron

Activation = Literal["relu", "leaky_relu", "elu", "silu", "softplus", "tanh"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


def _perceptron(inputs: int, outputs: int, width: int, depth: int, activation: Activation) -> nn.Sequential:
    """`depth` hidden layers of `width` units; with none of them a linear map."""
    if width < 1 or depth < 0:
        raise ValueError(f"width must be at least 1 and depth at least 0, got {width} and {depth}")
    return perceptron([inputs, *[width] * depth, outputs], lambda _: [ACTIVATIONS[activation]()])


class ToyGenerator(nn.Module):
    """Noise to points. The last layer is linear, so a point may lie anywhere."""

    def __init__(
        self, num_dims: int, *, latent: int, width: int = 64, depth: int = 3, activation: Activation = "leaky_relu"
    ) -> None:
        super().__init__()
        self.layers = _perceptron(latent, num_dims, width, depth, activation)

    def forward(self, noise: Tensor) -> Tensor:
        """(N, L) -> (N, D)."""
        points: Tensor = self.layers(noise)
        return points


class ToyDiscriminator(nn.Module):
    """Points to logits; D(x) = sigmoid(logit)."""

    def __init__(
        self, num_dims: int, *, width: int = 64, depth: int = 3, activation: Activation = "leaky_relu"
    ) -> None:
        super().__init__()
        self.layers = _perceptron(num_dims, 1, width, depth, activation)

    def forward(self, points: Tensor) -> Tensor:
        """(N, D) -> (N,)."""
        logits: Tensor = self.layers(points)
        return logits.squeeze(1)


GENERATORS = {"mlp": ToyGenerator}
DISCRIMINATORS = {"mlp": ToyDiscriminator}
