"""A fixed random convolutional network: the feature extractor for data without labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zerosum.errors import UserError
from zerosum.metrics.classifier import NUM_FEATURES, shrunk_size, to_input, weights_sha256


class RandomFeatures(nn.Module):
    """Three strided 5x5 convolutions with LeakyReLU 0.2, a 4x4 average pool and a projection to 64 features.

    shape: (channels, height, width) of the uint8 images (N, C, H, W) that `features` takes. Nothing is trained; weights
    are normal with He scaling, so features are of order 1. `name` is 'random-conv-v1-' and the first 8 digits of `sha256`.
    """

    def __init__(self, shape: tuple[int, int, int], seed: int) -> None:
        super().__init__()
        size = shrunk_size(shape[1], shape[2])
        layers: list[nn.Module] = []
        channels = shape[0]
        for width in (32, 64, 64):
            stride = 2 if max(size) > 4 else 1
            layers += [nn.Conv2d(channels, width, 5, stride, 2), nn.LeakyReLU(0.2)]
            size = ((size[0] - 1) // stride + 1, (size[1] - 1) // stride + 1)
            channels = width
        self.body = nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * channels, NUM_FEATURES)
        )
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in self.parameters():
                spread = (2 / weight[0].numel()) ** 0.5 if weight.ndim > 1 else 0.1
                weight.copy_(torch.randn(weight.shape, generator=generator) * spread)
        self.eval().requires_grad_(False)
        self.sha256 = weights_sha256(self)
        self.name = f"random-conv-v1-{self.sha256[:8]}"

    def features(self, images: Tensor) -> Tensor:
        """Features (N, 64) float32 of uint8 images (N, C, H, W)."""
        projected: Tensor = self.body(to_input(images))
        return projected


def random_features(shape: tuple[int, int, int], seed: int = 0) -> RandomFeatures:
    """The random network for images of shape (channels, height, width); the same seed gives the same weights."""
    if len(shape) != 3 or min(shape) < 1:
        raise UserError(f"random_features: shape {shape}; give (channels, height, width)")
    with torch.random.fork_rng(devices=[]):  # building layers draws weights that are replaced at once
        return RandomFeatures(shape, seed)
