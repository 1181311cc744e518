"""The patch discriminator: one logit for each overlapping square of the picture (Isola et al. 2017, arXiv:1611.07004, section
3.2.2), at one scale or several (Wang et al. 2018, arXiv:1711.11585). No normalisation.

Legend: N rows, C channels, H height, W width; h, w the grid of patches.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, leaky_relu

from zerosum.domains.translation.sides import TranslationTask
from zerosum.engine.game import DiscriminatorOutput
from zerosum.errors import UserError
from zerosum.nn.layers import Halve, doubled_widths

SLOPE = 0.2


class PatchDiscriminator(nn.Module):
    """Halvings by 4x4 convolutions, then one 3x3 and a last 1x1.

    width: channels of the first layer, doubled in each further one, at most 8 times. levels: halvings; with two of them
    the receptive field is 18 pixels, with three 38. condition: whether it sees the input image too. scales: number
    of discriminators, each further one on the picture halved once more; their losses are averaged.
    """

    def __init__(
        self, task: TranslationTask, *, width: int = 32, levels: int = 2, condition: bool = True, scales: int = 1
    ) -> None:
        super().__init__()
        if width < 1 or levels < 1 or scales < 1:
            raise ValueError(f"width, levels and scales must be at least 1, got {width}, {levels} and {scales}")
        if condition and not task.paired:
            raise UserError(
                "These data are not pairs, so the discriminator must not receive the input. Use recipe cut or cyclegan, or "
                "--set discriminator.condition=false."
            )
        self.condition = condition
        channels = task.target.channels + (task.input.channels if condition else 0)
        self.parts = nn.ModuleList(_Part(channels, width, levels) for _ in range(scales))

    def forward(self, data: Tensor, condition: Tensor) -> DiscriminatorOutput:
        """(N, C, H, W), (N, C', H, W) -> logits (N, h, w) for each scale, and every layer's features."""
        x = torch.cat([data, condition.to(data.dtype)], 1) if self.condition else data
        logits, features = [], []
        for scale, part in enumerate(self.parts):
            x = avg_pool2d(x, 2) if scale else x
            seen = part(x)
            logits.append(seen[-1].squeeze(1))
            features += seen[:-1]
        return DiscriminatorOutput(tuple(logits), tuple(features))


class _Part(nn.Module):
    """One scale."""

    def __init__(self, channels: int, width: int, levels: int) -> None:
        super().__init__()
        widths = doubled_widths(width, levels + 1, 8 * width)
        before = [channels, *widths]
        layers: list[nn.Module] = [Halve(before[level], widths[level]) for level in range(levels)]
        self.layers = nn.ModuleList([*layers, nn.Conv2d(before[levels], widths[levels], 3, padding=1)])
        self.last = nn.Conv2d(widths[levels], 1, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        seen = []
        for layer in self.layers:
            x = leaky_relu(layer(x), SLOPE)
            seen.append(x)
        return [*seen, self.last(x)]
