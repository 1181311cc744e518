"""U-Net: an encoder and a decoder with skip connections (Ronneberger et al. 2015, arXiv:1505.04597; as a generator:
Isola et al. 2017, arXiv:1611.07004).

Legend: N rows, C channels, H height, W width, L latent size.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, silu

from zerosum.domains.translation.networks.capabilities import TranslationGenerator
from zerosum.domains.translation.networks.layers import Inlet, Noise, is_local, norm
from zerosum.domains.translation.sides import TranslationTask
from zerosum.nn.layers import AnyNorm, doubled_widths

Up = Literal["nearest", "bilinear"]


class UNetBlock(nn.Module):
    """3x3 convolution, normalisation, SiLU."""

    def __init__(self, before: int, after: int, kind: AnyNorm) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(before, after, 3, padding=1), norm(kind, after)

    def forward(self, x: Tensor) -> Tensor:
        """Same height and width."""
        return silu(self.norm(self.conv(x)))


class UNet(TranslationGenerator):
    """Features at every scale, halved by means and upsampled again; the last layer is linear.

    width: channels at full size, doubled at each level up to width * widest. levels: halvings. depth: convolutions of
    each level, in the encoder and in the decoder. noise: "waves", noise channels in addition to the input (prior.size of
    them), or "none".
    """

    def __init__(
        self,
        task: TranslationTask,
        *,
        latent: int,
        width: int = 24,
        levels: int = 3,
        widest: int = 4,
        depth: int = 1,
        norm: AnyNorm = "group",
        noise: Noise = "waves",
        up: Up = "nearest",
    ) -> None:
        super().__init__()
        if width < 1 or levels < 1 or depth < 1 or widest < 1:
            raise ValueError(
                f"width, levels, depth and widest must be at least 1: {width}, {levels}, {depth}, {widest}"
            )
        widths = doubled_widths(width, levels + 1, width * widest)
        self.up, self.multiple = up, 2**levels
        self.inlet = Inlet(task.input.channels, width, 3, latent, noise, self.multiple)
        self.first = _norm_activation(width, norm)
        self.down = nn.ModuleList(_stage(widths[i], widths[i + 1], depth, norm) for i in range(levels))
        self.narrow = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 1) for i in range(levels))
        self.back = nn.ModuleList(_stage(widths[i], widths[i], depth, norm) for i in range(levels))
        self.last = nn.Conv2d(width, task.target.channels, 3, padding=1)
        around = sum(2 * depth * 2**level for level in range(1, levels)) + depth * 2**levels + depth
        phase = (2**levels - 1) * (2 if up == "bilinear" else 1)
        self.reach = 2 + around + phase if is_local(norm) else None

    def forward(self, noise: Tensor, condition: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """(N, L), (N, C, H, W) -> (N, C', H, W), any H and W."""
        x = self.first(self.inlet(noise, condition, origin))
        kept = [x]
        for stage in self.down:
            x = stage(avg_pool2d(x, 2))
            kept.append(x)
        # A 1x1 convolution commutes with upsampling and is cheaper before it; a sum is cheaper than a concatenation.
        for level in reversed(range(len(self.back))):
            x = self.back[level](kept[level] + self._upsample(self.narrow[level](x)))
        y: Tensor = self.last(x)
        return y[:, :, : condition.shape[2], : condition.shape[3]]

    def _upsample(self, x: Tensor) -> Tensor:
        if self.up == "nearest":
            return interpolate(x, scale_factor=2, mode="nearest")
        return interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _norm_activation(width: int, kind: AnyNorm) -> nn.Sequential:
    return nn.Sequential(norm(kind, width), nn.SiLU())


def _stage(before: int, after: int, depth: int, kind: AnyNorm) -> nn.Sequential:
    return nn.Sequential(*(UNetBlock(before if i == 0 else after, after, kind) for i in range(depth)))
