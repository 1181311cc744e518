"""Networks for sound: a generator of spectrograms that become waves with its discriminator, and the pair of WaveGAN.

Legend: N clips, C channels, T samples, L noise, F frequencies, K frames, P channels of a place: the C log magnitudes of a patch
of neighbouring frequencies and frames; a patch is to the networks what a pixel is to those of images.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from zerosum.domains.audio.signal import ITERATIONS, Sound, Spectrogram
from zerosum.engine.game import DiscriminatorOutput
from zerosum.nn.layers import (
    AnyNorm,
    ConditionalNorm,
    Halve,
    channels_last,
    concat_condition,
    double_then_conv,
    doubling_kernel,
    embedded_size,
    embedding,
    require_condition,
)
from zerosum.nn.sequence_layers import PhaseShuffle

EMBEDDED = 32
"""Features of an embedded class."""
HOP_SECONDS = 0.008
"""Of a spectrogram whose hop is not given; the hop is the nearest power of two in samples."""
LEAST_HOP, MOST_HOP = 16, 1_024
QUIET_END = 38.0
"""Decibels below the loudest frame of a clip: padding, at most `waves.MOST_FLOOR` of the loudness of a recording, is below."""
GRID = 4_096
"""Places that a grid may have before neighbours are joined in patches: the networks take the same time for any rate."""


def spectrogram_of(sound: Sound, hop: int = 0, overlap: int = 2, floor: float = 1e-3) -> Spectrogram:
    """The spectrogram of a recipe. hop: 0 for the power of two nearest to HOP_SECONDS. overlap: windows over hops."""
    if not hop:
        hop = max(LEAST_HOP, min(MOST_HOP, 2 ** round(math.log2(HOP_SECONDS * sound.rate))))
    if hop > max(sound.samples, LEAST_HOP):
        raise ValueError(f"hop must be at most the {sound.samples} samples of a clip, got {hop}")
    return Spectrogram(overlap * hop, hop, floor)


@dataclass(frozen=True)
class Grid:
    """The places of a spectrogram (C, F, K) for networks: (P, height, width), P = C * down * across.

    down, across: frequencies and frames of a patch, powers of two. Frames that are missing to fill the last patch are cropped.
    """

    channels: int
    frequencies: int
    frames: int
    down: int
    across: int

    @staticmethod
    def of(channels: int, frequencies: int, frames: int, places: int = GRID) -> Grid:
        """Patches are doubled along the longer side until there are at most `places`."""
        down = across = 1
        while (height := -(-frequencies // down)) * (width := -(-frames // across)) > places:
            if height >= width:
                down *= 2
            else:
                across *= 2
        return Grid(channels, frequencies, frames, down, across)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return -(-self.frequencies // self.down), -(-self.frames // self.across)

    @property
    def features(self) -> int:
        """P."""
        return self.channels * self.down * self.across

    def patched(self, spectrograms: Tensor) -> Tensor:
        """(N, C, F, K) -> (N, P, height, width); missing frames repeat the last one."""
        height, width = self.size
        missing = height * self.down - self.frequencies, width * self.across - self.frames
        if any(missing):
            spectrograms = pad(spectrograms, (0, missing[1], 0, missing[0]), mode="replicate")
        parts = spectrograms.reshape(-1, self.channels, height, self.down, width, self.across)
        return parts.permute(0, 1, 3, 5, 2, 4).reshape(-1, self.features, height, width)

    def unpatched(self, places: Tensor) -> Tensor:
        """(N, P, height, width) -> (N, C, F, K)."""
        height, width = self.size
        parts = places.reshape(-1, self.channels, self.down, self.across, height, width).permute(0, 1, 4, 2, 5, 3)
        whole = parts.reshape(-1, self.channels, height * self.down, width * self.across)
        return whole[:, :, : self.frequencies, : self.frames]

    def small(self, levels: int) -> tuple[int, int]:
        """Height and width after so many halvings, rounded up."""
        height, width = self.size
        return -(-height // 2**levels), -(-width // 2**levels)


class Doubled(nn.Module):
    """Doubles height and width, a convolution of width 3, a normalisation whose scale and shift depend on the row, LeakyReLU."""

    def __init__(self, before: int, after: int, norm: AnyNorm, style: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1)
        self.norm = ConditionalNorm(norm, after, nn.Linear(style, 2 * after))

    def forward(self, x: Tensor, style: Tensor, kernel: Tensor | None = None) -> Tensor:
        """(N, C, H, W), (N, S) -> (N, C', 2H, 2W). kernel: see `double_then_conv`."""
        return nn.functional.leaky_relu(self.norm(double_then_conv(x, self.conv, kernel), style), 0.2)


class PlaceGenerator(nn.Module):
    """Noise [and a class] to spectrograms: a small grid of features, doubled until it is whole, every layer modulated by both."""

    def __init__(
        self, grid: Grid, latent: int, num_classes: int, widths: Sequence[int], norm: AnyNorm, embedded: int
    ) -> None:
        super().__init__()
        self.grid, self.small = grid, grid.small(len(widths) - 1)
        self.classes = embedding(num_classes, 0, embedded)
        style = latent + embedded_size(self.classes)
        self.first = nn.Linear(style, widths[0] * math.prod(self.small))
        self.first_norm = ConditionalNorm(norm, widths[0], nn.Linear(style, 2 * widths[0]))
        self.levels = nn.ModuleList(Doubled(before, after, norm, style) for before, after in itertools.pairwise(widths))
        self.last = nn.Conv2d(widths[-1], grid.features, 3, padding=1)

    def forward(self, noise: Tensor, condition: Tensor | None = None, kernels: Sequence[Tensor | None] = ()) -> Tensor:
        """(N, L) -> (N, C, F, K) in [-1, 1]. kernels: what `kernels` gives, where several rows are made one by one."""
        style = concat_condition(noise, self.classes, condition)
        x = channels_last(self.first(style).unflatten(1, (-1, *self.small)))
        x = nn.functional.leaky_relu(self.first_norm(x, style), 0.2)
        for level, kernel in zip(self.levels, kernels or (None,) * len(self.levels), strict=True):
            x = level(x, style, kernel)
        height, width = self.grid.size
        x = self.last(x)[:, :, :height, :width]
        return self.grid.unpatched(x.tanh()).contiguous()

    def kernels(self) -> list[Tensor]:
        """Of the levels, see `double_then_conv`."""
        return [channels_last(doubling_kernel(level.conv)) for level in self.levels if isinstance(level, Doubled)]


class SpectrogramGenerator(nn.Module):
    """Noise [and a class] to waves, by way of scaled log magnitudes, of which Griffin-Lim makes waves.

    hop, overlap, floor: of the spectrogram, see `spectrogram_of`. places: see Grid.of. widths: channels of the grids, the
    smallest first; each is twice as high and wide as the one before. shift: the largest shift of a real clip in time, as a
    share of its length. iterations: of Griffin-Lim. half_hops: its frames lie half a hop apart, with magnitudes interpolated
    between those of the game: where windows are two hops long, magnitudes restrict the phases so little that the sound trembles
    at the rate of the hops. "auto": in these windows only. The inner network `codes` makes the spectrograms on which the game is
    played.
    """

    def __init__(
        self,
        sound: Sound,
        *,
        latent: int,
        num_classes: int = 0,
        hop: int = 0,
        overlap: int = 2,
        floor: float = 1e-3,
        places: int = GRID,
        widths: tuple[int, ...] = (128, 64, 32, 16, 16),
        norm: AnyNorm = "batch",
        shift: float = 0.0625,
        iterations: int = ITERATIONS,
        half_hops: bool | Literal["auto"] = False,
    ) -> None:
        super().__init__()
        if not 0 <= shift < 1:
            raise ValueError(f"shift must lie in [0, 1), got {shift}")
        if iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {iterations}")
        self.sound, self.shift, self.iterations = sound, shift, iterations
        self.spectrogram = spectrogram_of(sound, hop, overlap, floor)
        if half_hops == "auto":
            half_hops = self.spectrogram.window == 2 * self.spectrogram.hop and self.spectrogram.hop % 2 == 0
        self.finer = self.spectrogram.at_half_hops if half_hops else None
        frames = self.spectrogram.num_frames(sound.samples)
        self.grid = Grid.of(sound.channels, self.spectrogram.num_frequencies, frames, places)
        self.codes = PlaceGenerator(self.grid, latent, num_classes, widths, norm, EMBEDDED)

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) -> (N, C, T) in [-1, 1].

        The spectrograms are made row by row: Griffin-Lim turns their rounding, which depends on the number of rows, into
        audible differences.
        """
        if torch.compiler.is_exporting() or self.training or len(noise) == 1:
            return self.decode(self.codes(noise, condition))
        conditions = [None] * len(noise) if condition is None else torch.split(condition, 1)
        kernels, rows = self.codes.kernels(), zip(torch.split(noise, 1), conditions, strict=True)
        return self.decode(torch.cat([self.codes(*row, kernels) for row in rows]))

    def decode(self, spectrograms: Tensor) -> Tensor:
        """(N, C, F, K), scaled -> (N, C, T)."""
        transform, magnitudes = self.spectrogram, self.spectrogram.unscaled(spectrograms)
        if self.finer:
            transform, magnitudes = self.finer, transform.magnitudes_at_half_hops(magnitudes)
        waves = transform.griffin_lim(magnitudes, self.sound.samples, self.iterations)
        # A clip that leaves [-1, 1] is scaled as a whole: clamping its peaks would add clicks.
        return waves / waves.abs().amax((1, 2), keepdim=True).clamp_min(1)


def without_quiet_end(spectrograms: Tensor, transform: Spectrogram, decibels: float) -> Tensor:
    """(N, C, F, K) scaled: silence after the last frame whose power is within so many decibels of that of the loudest frame."""
    with torch.no_grad():
        power = transform.unscaled(spectrograms).square().sum((1, 2))
        loud = power >= power.amax(1, keepdim=True) * 10 ** (-decibels / 10)
        kept = loud.flip(1).cummax(1).values.flip(1)[:, None, None].to(spectrograms.dtype)
    return (spectrograms + 1) * kept - 1


class SpectrogramDiscriminator(nn.Module):
    """Spectrograms to logits: halvings, a plane of frequency coordinates, and a projection of the class
    (Miyato and Koyama 2018). Waves are analysed first, with the spectrogram given to `show`, so that files can be scored.

    classifier: whether it predicts the class too, by the output "classes" (N, K), which the penalty `classification` needs.
    quiet_end: all frames after the last one within so many decibels of the loudest are silence to it, in real and in generated
    clips, so that it cannot tell them by the padding of short recordings; 0: it sees everything.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        num_classes: int = 0,
        widths: tuple[int, ...] = (16, 32, 64, 128),
        classifier: bool = False,
        quiet_end: float = 0.0,
    ) -> None:
        super().__init__()
        if quiet_end < 0:
            raise ValueError(f"quiet_end must be at least 0 dB, got {quiet_end:g}")
        self.grid, self.quiet_end = grid, quiet_end
        sizes = (grid.features + 1, *widths)
        self.levels = nn.ModuleList(Halve(*pair) for pair in itertools.pairwise(sizes))
        features = widths[-1] * math.prod(grid.small(len(widths)))
        self.output = nn.Linear(features, 1)
        self.classes = embedding(num_classes, 0, features)
        self.classifier = nn.Linear(features, num_classes) if classifier and num_classes else None
        self._shown: tuple[SpectrogramGenerator, ...] = ()

    def show(self, generator: SpectrogramGenerator) -> None:
        """Sets the generator whose spectrogram is used; it does not become a part of this network."""
        self._shown = (generator,)

    def forward(self, data: Tensor, condition: Tensor | None = None) -> Tensor | DiscriminatorOutput:
        """(N, C, F, K) scaled log magnitudes, or (N, C, T) waves -> (N,), with a classifier as a DiscriminatorOutput."""
        if data.dim() == 3:
            data = self._shown[0].spectrogram.scaled(data)
        if self.quiet_end and self._shown:
            data = without_quiet_end(data, self._shown[0].spectrogram, self.quiet_end)
        x = self._with_height(self.grid.patched(data))
        for level in self.levels:
            x = nn.functional.leaky_relu(level(x), 0.2)
        features = x.flatten(1)
        logits = _projected(self.output, self.classes, features, condition)
        if self.classifier is None:
            return logits
        return DiscriminatorOutput((logits,), outputs={"classes": self.classifier(features)})

    def _with_height(self, places: Tensor) -> Tensor:
        """Adds the plane of frequency coordinates, and fills the grid up so that it can be halved."""
        height, width = places.shape[2:]
        plane = torch.linspace(-1, 1, height, device=places.device, dtype=places.dtype)[:, None].expand(
            len(places), 1, height, width
        )
        x = torch.cat([places, plane], 1)
        times = len(self.levels)
        rows, columns = (size * 2**times for size in self.grid.small(times))
        return channels_last(pad(x, (0, columns - width, 0, rows - height)))


# --- the raw waveform: WaveGAN


KERNEL, STRIDE, STAGES = 25, 4, 5
"""Of every convolution of WaveGAN, and their number."""


class WaveGenerator(nn.Module):
    """Noise [and a class] to waves by transposed convolutions (WaveGAN: Donahue, McAuley and Puckette 2019, arXiv:1802.04208,
    table 3). width: channels of the last layer but one, doubled towards the noise; published: 64."""

    def __init__(self, sound: Sound, *, latent: int, num_classes: int = 0, width: int = 64) -> None:
        super().__init__()
        self.samples = sound.samples
        self.start = -(-sound.samples // STRIDE**STAGES)
        self.classes = embedding(num_classes, 0, EMBEDDED)
        widths = [width * 2**stage for stage in reversed(range(STAGES))]
        self.first = nn.Linear(latent + embedded_size(self.classes), widths[0] * self.start)
        pairs = itertools.pairwise([*widths, sound.channels])
        self.layers = nn.ModuleList(
            nn.ConvTranspose1d(before, after, KERNEL, STRIDE, padding=11, output_padding=1) for before, after in pairs
        )

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) -> (N, C, T) in [-1, 1]."""
        x: Tensor = self.first(concat_condition(noise, self.classes, condition)).unflatten(1, (-1, self.start))
        for layer in self.layers:
            x = layer(x.relu())
        return x[:, :, : self.samples].tanh()


class WaveDiscriminator(nn.Module):
    """Waves to logits by strided convolutions with phase shuffle between them (WaveGAN, arXiv:1802.04208, table 4), and a
    projection of the class where there is one. width: channels of the first layer; published: 64. shuffle: radius."""

    def __init__(self, sound: Sound, *, num_classes: int = 0, width: int = 64, shuffle: int = 2) -> None:
        super().__init__()
        widths = [sound.channels, *(width * 2**stage for stage in range(STAGES))]
        self.layers = nn.ModuleList(nn.Conv1d(*pair, KERNEL, STRIDE, padding=11) for pair in itertools.pairwise(widths))
        self.shuffle = PhaseShuffle(shuffle)
        self.length = -(-sound.samples // STRIDE**STAGES) * STRIDE**STAGES
        features = widths[-1] * self.length // STRIDE**STAGES
        self.output = nn.Linear(features, 1)
        self.classes = embedding(num_classes, 0, features)

    def forward(self, waves: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, C, T) -> (N,)."""
        x = pad(waves, (0, self.length - waves.shape[2]))
        for index, layer in enumerate(self.layers):
            x = nn.functional.leaky_relu(layer(x), 0.2)
            x = self.shuffle(x) if index < STAGES - 1 else x
        return _projected(self.output, self.classes, x.flatten(1), condition)


def _projected(output: nn.Linear, classes: nn.Module | None, features: Tensor, condition: Tensor | None) -> Tensor:
    """(N, F) -> (N,) logits; a class adds its vector times the features, over sqrt(F) (Miyato and Koyama 2018).

    The vectors begin as N(0, 1), so that the class counts as much as all else from the first step, for any number of features.
    """
    logits: Tensor = output(features).squeeze(1)
    if classes is None:
        return logits
    own = classes(require_condition(condition)).to(features.dtype)
    logits = logits + (own * features).sum(1) / features.shape[1] ** 0.5
    return logits


GENERATORS = {"spectrogram": SpectrogramGenerator, "wavegan": WaveGenerator}
DISCRIMINATORS = {"spectrogram": SpectrogramDiscriminator, "wavegan": WaveDiscriminator}
