"""The residual generator: downsampling, residual blocks, upsampling with convolutions (Johnson et al. 2016,
arXiv:1603.08155; Zhu et al. 2017, arXiv:1703.10593). It upsamples by resizing, since transposed convolutions leave a
checkerboard pattern.

Legend: N rows, C channels, H height, W width, L latent size.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from zerosum.domains.translation.networks.capabilities import TranslationGenerator
from zerosum.domains.translation.networks.layers import Inlet, Noise, is_local, norm
from zerosum.domains.translation.sides import TranslationTask
from zerosum.nn.layers import AnyNorm


class ResNetBlock(nn.Module):
    """x + norm(3x3(relu(norm(3x3(x)))))."""

    def __init__(self, width: int, kind: AnyNorm) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.norm1, self.norm2 = norm(kind, width), norm(kind, width)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        y: Tensor = x + self.norm2(self.two(self.norm1(self.one(x)).relu()))
        return y


class ResNet(TranslationGenerator):
    """Features at a fraction of the size, changed by residual blocks; the last layer is linear.

    width: channels at full size, doubled at each of `levels` halvings. blocks: residual blocks at the small size.
    edge: side of the first and last convolution. noise: "waves", noise channels in addition to the input, or "none".
    """

    def __init__(
        self,
        task: TranslationTask,
        *,
        latent: int,
        width: int = 32,
        levels: int = 2,
        blocks: int = 4,
        edge: int = 7,
        norm: AnyNorm = "instance",
        noise: Noise = "none",
    ) -> None:
        super().__init__()
        if width < 1 or levels < 0 or blocks < 0 or edge % 2 == 0:
            raise ValueError(f"width >= 1, levels and blocks >= 0, edge odd: got {width}, {levels}, {blocks}, {edge}")
        self.multiple, self.width, wide = 2**levels, width, width * 2**levels
        self.inlet = Inlet(task.input.channels, width, edge, latent, noise, self.multiple)
        self.first = nn.Sequential(_norm(norm, width), nn.ReLU())
        self.down = nn.ModuleList(_conv(width * 2**i, width * 2 ** (i + 1), norm) for i in range(levels))
        self.middle = nn.ModuleList(ResNetBlock(wide, norm) for _ in range(blocks))
        self.up = nn.ModuleList(_conv(width * 2 ** (i + 1), width * 2**i, norm) for i in reversed(range(levels)))
        self.last = nn.Conv2d(width, task.target.channels, edge, padding=edge // 2)
        small = 2**levels
        self.reach = 2 * (edge // 2) + 2 * small * blocks + 4 * (small - 1) if is_local(norm) else None

    def forward(self, noise: Tensor, condition: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """(N, L), (N, C, H, W) -> (N, C', H, W), any H and W."""
        x = self.features(noise, condition, origin)[-1]
        for stage in self.up:
            x = stage(interpolate(x, scale_factor=2, mode="nearest"))
        y: Tensor = self.last(x)
        return y[:, :, : condition.shape[2], : condition.shape[3]]

    def features(self, noise: Tensor, condition: Tensor, origin: tuple[int, int] = (0, 0)) -> list[Tensor]:
        """Features of the encoder: after the first layer, after each halving, and after half and all of the blocks."""
        x = self.first(self.inlet(noise, condition, origin))
        found = [x]
        for stage in self.down:
            x = stage(avg_pool2d(x, 2))
            found.append(x)
        for index, block in enumerate(self.middle):
            x = block(x)
            if index + 1 in (len(self.middle) // 2, len(self.middle)):
                found.append(x)
        return found

    def feature_widths(self) -> list[int]:
        """Channels of each of `features`."""
        wide = self.width * self.multiple
        halves = {len(self.middle) // 2, len(self.middle)} - {0}
        return [*(self.width * 2**i for i in range(len(self.down) + 1)), *(wide for _ in halves)]


def _norm(kind: AnyNorm, channels: int) -> nn.Module:
    return norm(kind, channels)


def _conv(before: int, after: int, kind: AnyNorm) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), norm(kind, after), nn.ReLU())
