"""The discriminator of a StyleGAN2-like pair, for any size, grey or colour, rectangular too, written from the papers.

Karras et al. 2020, arXiv:1912.04958 (residual architecture). Legend: N rows, C channels, H height, W width, F features. A
condition is (N,) labels or (N, K) attributes.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.heads import Ending
from zerosum.domains.images.networks.resolution import grid_of, padded
from zerosum.domains.images.networks.style import stage_widths
from zerosum.engine.game import DiscriminatorOutput
from zerosum.nn.conditioning import demanded, embedding
from zerosum.nn.style_layers import EqualConv, EqualLinear, MinibatchDeviation, mapping, normalised


class StyleDiscriminator(nn.Module):
    """Residual halvings down to a small grid, the deviation of the minibatch, one convolution and two linear layers.

    width, max_width: channels at the full size, and at most. group: rows that are compared with each other in training, 0 for
    none; in eval mode rows are judged apart (see MinibatchDeviation). condition: "projection", or "auxiliary" for a classifier
    beside the verdict. mapping_layers: depth of the network between the condition's embedding and the projection.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        num_classes: int = 0,
        num_attributes: int = 0,
        width: int = 32,
        max_width: int = 512,
        group: int = 4,
        condition: Ending = "projection",
        mapping_layers: int = 0,
    ) -> None:
        super().__init__()
        self.shape, self.layout = shape, torch.channels_last
        widths = stage_widths(shape, width, max_width)[::-1]
        self.first = EqualConv(shape.channels, widths[0], 1, active=True)
        self.blocks = nn.Sequential(*(ResidualHalving(a, b) for a, b in itertools.pairwise(widths)))
        self.deviation = MinibatchDeviation(group) if group else nn.Identity()
        (h, w), top = grid_of(shape), widths[-1]
        self.last = EqualConv(top + bool(group), top, 3, active=True)
        self.features = EqualLinear(top * h * w, top, active=True)
        self.head = StyleHead(top, num_classes, num_attributes, condition, mapping_layers)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor | DiscriminatorOutput:
        """(N, C, H, W) [, condition] -> (N,) logits, or a verdict with the classes."""
        x = self.first(padded(images, self.shape).contiguous(memory_format=self.layout))
        x = self.last(self.deviation(self.blocks(x)))
        verdict: Tensor | DiscriminatorOutput = self.head(self.features(x.permute(0, 2, 3, 1).flatten(1)), condition)
        return verdict


class ResidualHalving(nn.Module):
    """(N, I, H, W) -> (N, O, H/2, W/2): two convolutions beside one of the halved input; their sum over sqrt(2)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = EqualConv(before, before, 3, active=True)
        self.second = EqualConv(before, after, 3, down=True, active=True, gain=math.sqrt(0.5))
        self.skip = EqualConv(before, after, 1, down=True, gain=math.sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """H and W must be even."""
        y: Tensor = self.second(self.first(x)) + self.skip(x)
        return y


class StyleHead(nn.Module):
    """(N, F) features -> (N,) logits; with a condition, plus their inner product with its vector over sqrt(F) (Miyato and Koyama
    2018, arXiv:1802.05637). With "auxiliary" the condition is not heard but named: outputs["classes"] (N, K)."""

    def __init__(self, features: int, num_classes: int, num_attributes: int, condition: Ending, depth: int) -> None:
        super().__init__()
        if condition == "auxiliary" and num_attributes:
            raise ValueError("condition = 'auxiliary' names classes, and these data have attributes; use 'projection'")
        told = condition == "projection"
        self.linear = EqualLinear(features, 1)
        self.embed = embedding(num_classes, num_attributes, features) if told else None
        self.classes = EqualLinear(features, num_classes) if num_classes and not told else None
        self.to_vector = mapping(features, features, depth if self.embed else 0, rate=0.01)

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor | DiscriminatorOutput:
        """(N, F) [, condition] -> (N,), or a verdict."""
        logits: Tensor = self.linear(features).squeeze(1)
        if self.classes is not None:
            return DiscriminatorOutput((logits,), outputs={"classes": self.classes(features)})
        if self.embed is None:
            return logits
        vectors = normalised(self.to_vector(normalised(self.embed(demanded(condition)).to(features.dtype))))
        return logits + (vectors * features).sum(1) / math.sqrt(features.shape[1])
