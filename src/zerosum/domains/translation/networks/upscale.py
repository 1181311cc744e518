"""The generator of super-resolution: residual blocks on the grid of the small image (Lim et al. 2017, arXiv:1707.02921; Shi et
al. 2016, arXiv:1609.05158).

Legend: N rows, C channels, H height, W width, S scale, L latent size.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from zerosum.domains.translation.networks.capabilities import AdjustableGenerator
from zerosum.domains.translation.networks.layers import pad_to_multiple
from zerosum.domains.translation.sides import TranslationTask
from zerosum.nn.layers import channels_last

KEPT = 0.99
"""The share by which the weights of the first phase are kept in each step of their average."""


class Upscaler(AdjustableGenerator):
    """An image that was enlarged by interpolation -> the same image plus details.

    Each block of S x S pixels becomes one place with all of its values as channels, so that the convolutions work on the grid of
    the small image. The last layer begins at zero: at first the interpolation is returned.

    width: channels. blocks: residual blocks of two convolutions. phase: share of the steps in which only the pixel distance is
    trained; the average of its weights is kept in the buffers `first.*` as the generator of strength 0.
    """

    default_strength = 0.5  # at 1 even surfaces show a faint grid of blocks

    def __init__(
        self, task: TranslationTask, *, latent: int, width: int = 48, blocks: int = 6, phase: float = 0.6
    ) -> None:
        super().__init__()
        if width < 1 or blocks < 1 or not 0 < phase <= 1:
            raise ValueError(f"width and blocks >= 1, 0 < phase <= 1: got {width}, {blocks}, {phase}")
        if task.scale < 2 or task.input.channels != task.target.channels:
            raise ValueError("this generator needs images that were made smaller: --set data.scale=4")
        self.multiple, self.phase = task.scale, phase
        channels = task.target.channels * task.scale**2
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2 * blocks))
        self.tail = nn.Conv2d(width, channels, 3, padding=1)
        with torch.no_grad():
            for parameter in self.tail.parameters():
                parameter.zero_()
        self.reach = task.scale * (2 * blocks + 2) + task.scale - 1
        for name, value in self.named_parameters():
            self.register_buffer(_kept(name), value.detach().clone())

    def forward(self, noise: Tensor, condition: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """(N, L), (N, C, H, W) -> (N, C, H, W), any H and W."""
        whole = pad_to_multiple(condition, self.multiple)
        x = first = self.head(channels_last(pixel_unshuffle(whole, self.multiple)))
        for one, two in zip(self.body[::2], self.body[1::2], strict=True):
            x = x + two(one(x).relu())
        y: Tensor = whole + pixel_shuffle(self.tail(x + first), self.multiple)
        return y[:, :, : condition.shape[2], : condition.shape[3]]

    @torch.no_grad()
    def keep(self) -> None:
        """Takes the weights into the average of the first phase."""
        for name, value in self.named_parameters():
            self.get_buffer(_kept(name)).lerp_(value, 1 - KEPT)

    def with_strength(self, strength: float) -> Upscaler:
        """A copy with weights between those of the pixel distance (0) and those of the adversarial game (1)."""
        made = copy.deepcopy(self)
        with torch.no_grad():
            for name, value in made.named_parameters():
                value.lerp_(made.get_buffer(_kept(name)), 1 - strength)
        return made


def _kept(name: str) -> str:
    return f"first_{name.replace('.', '_')}"
