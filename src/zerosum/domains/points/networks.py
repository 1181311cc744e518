"""Networks for clouds: a generator and a discriminator of points, and the networks of a game on the codes of an
auto-encoder.

Legend: N clouds, P points, L noise, C code, K classes, F features. Layers that all points share are `Linear` on (N, P,
F), which on a CPU is two to three times as fast as a convolution of width 1. The first argument is the number of
points, the rest are keywords.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zerosum.nn.layers import concat_condition, embedded_size, embedding, perceptron, require_condition

EMBEDDED = 16
"""Features of an embedded class."""


def _perceptron(sizes: Sequence[int], norm: bool = False, last: bool = False) -> nn.Sequential:
    """Linear layers with LeakyReLU 0.2 (after LayerNorm with `norm`) between them; `last`: after the last one too."""
    return perceptron(sizes, lambda width: [*([nn.LayerNorm(width)] if norm else []), nn.LeakyReLU(0.2)], last)


class ProjectionHead(nn.Module):
    """Features to a logit; a class adds the mean of its vector times the features (Miyato and Koyama 2018)."""

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__()
        self.output = nn.Linear(features, 1)
        self.classes = embedding(num_classes, 0, features)

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """(N, F) -> (N,)."""
        logits: Tensor = self.output(features).squeeze(1)
        if self.classes is None:
            return logits
        logits = logits + (self.classes(require_condition(condition)).to(features.dtype) * features).mean(1)
        return logits


class PointGenerator(nn.Module):
    """Noise to a whole cloud by a perceptron (r-GAN, Achlioptas et al. 2018, arXiv:1707.02392, appendix)."""

    def __init__(
        self, num_points: int, *, latent: int, num_classes: int = 0, widths: tuple[int, ...] = (128, 256, 512)
    ) -> None:
        super().__init__()
        self.classes = embedding(num_classes, 0, EMBEDDED)
        self.layers = _perceptron([latent + embedded_size(self.classes), *widths, num_points * 3])

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) -> (N, P, 3)."""
        points: Tensor = self.layers(concat_condition(noise, self.classes, condition))
        return points.reshape(len(points), -1, 3)


class PointDiscriminator(nn.Module):
    """PointNet: shared layers, the maximum and the mean over the points, a perceptron (Qi et al. 2017,
    arXiv:1612.00593). It takes any number of points in any order."""

    def __init__(
        self, num_points: int, *, num_classes: int = 0, widths: tuple[int, ...] = (64, 128, 256), head: int = 128
    ) -> None:
        super().__init__()
        self.points = _perceptron([3, *widths], last=True)
        self.head = _perceptron([2 * widths[-1], head], last=True)
        self.judging = ProjectionHead(head, num_classes)

    def forward(self, clouds: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, P, 3) -> (N,)."""
        features = self.points(clouds)
        logits: Tensor = self.judging(self.head(torch.cat([features.amax(1), features.mean(1)], 1)), condition)
        return logits


class CodeGenerator(nn.Module):
    """Noise to a standardised code."""

    def __init__(self, latent: int, code: int, num_classes: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.classes = embedding(num_classes, 0, EMBEDDED)
        self.layers = _perceptron([latent + embedded_size(self.classes), *widths, code])

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) -> (N, C)."""
        codes: Tensor = self.layers(concat_condition(noise, self.classes, condition))
        return codes


class LatentGenerator(nn.Module):
    """An auto-encoder of clouds and a generator of its codes (l-GAN, Achlioptas et al. 2018, arXiv:1707.02392, section
    4).

    phase: the share of the run in which the auto-encoder is trained. seen: number of points that the encoder receives; the
    decoder generates all of them. encoder, decoder, widths: hidden units of encoder, decoder and code generator. Buffers
    `mean` and `spread` are those of the codes of the training shapes, by which codes are standardised.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self,
        num_points: int,
        *,
        latent: int,
        num_classes: int = 0,
        phase: float = 0.15,
        code: int = 128,
        seen: int = 128,
        encoder: tuple[int, ...] = (64, 128),
        decoder: tuple[int, ...] = (256, 512),
        widths: tuple[int, ...] = (256, 256),
    ) -> None:
        super().__init__()
        if not 0 < phase < 1:
            raise ValueError(f"phase must lie in (0, 1), got {phase}")
        if seen < 1:
            raise ValueError(f"seen must be at least 1, got {seen}")
        self.phase, self.seen, self.code = phase, min(seen, num_points), code
        self.encoder = _perceptron([3, *encoder, code], norm=True)
        self.decoder = _perceptron([code, *decoder, num_points * 3])
        self.codes = CodeGenerator(latent, code, num_classes, widths)
        self.register_buffer("mean", torch.zeros(code))
        self.register_buffer("spread", torch.ones(code))

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) -> (N, P, 3)."""
        return self.decode(self.codes(noise, condition))

    def encode(self, clouds: Tensor) -> Tensor:
        """(N, P, 3) -> (N, C), not standardised: the maximum over the points of the features of the shared layers."""
        codes: Tensor = self.encoder(clouds).amax(1)
        return codes

    def rebuild(self, codes: Tensor) -> Tensor:
        """(N, C), not standardised -> (N, P, 3)."""
        points: Tensor = self.decoder(codes)
        return points.reshape(len(points), -1, 3)

    def standardised(self, clouds: Tensor) -> Tensor:
        """(N, P, 3) -> (N, C) as the code generator makes them; of larger clouds the first `seen` points are used."""
        return (self.encode(clouds[:, : self.seen]) - self.mean) / self.spread

    def decode(self, codes: Tensor) -> Tensor:
        """(N, C), standardised -> (N, P, 3)."""
        return self.rebuild(self.mean + self.spread * codes)


class LatentDiscriminator(nn.Module):
    """Codes to logits. Clouds are encoded first, by the generator of `set_encoder`, so that files can be scored."""

    def __init__(
        self, num_points: int, *, code: int, num_classes: int = 0, widths: tuple[int, ...] = (256, 512)
    ) -> None:
        super().__init__()
        self.layers = _perceptron([code, *widths], last=True)
        self.judging = ProjectionHead(widths[-1], num_classes)
        self._encoder_owner: tuple[LatentGenerator, ...] = ()

    def set_encoder(self, generator: LatentGenerator) -> None:
        """Sets the generator whose encoder is used; it does not become a submodule of this network."""
        self._encoder_owner = (generator,)

    def forward(self, data: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, C) codes or (N, P, 3) clouds -> (N,)."""
        codes = self._encoder_owner[0].standardised(data) if data.dim() == 3 else data
        logits: Tensor = self.judging(self.layers(codes), condition)
        return logits


GENERATORS = {"mlp": PointGenerator, "latent": LatentGenerator}
DISCRIMINATORS = {"pointnet": PointDiscriminator, "latent": LatentDiscriminator}
