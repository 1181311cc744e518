"""Scaled log-mel spectrograms: what a vocoder is given, and what is made from text.

Legend: N clips, C channels, T samples, B mel bands, F frequencies, K frames.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.domains.audio.signal import Spectrogram, mel_filters
from zerosum.nn.layers import without_autocast

HOP_SECONDS = 0.0116
"""The hop is the power of two nearest to it, in samples: 256 at 22,050 Hz, 64 at 8 kHz."""
WINDOW_HOPS = 4
BANDS, FEWER_BANDS, FEWER_BELOW = 80, 64, 8_000
"""Mel bands, and those at rates up to FEWER_BELOW."""
LEAST = 1e-7
"""Added to band means before they are divided."""
FLOOR = 1e-4
"""The magnitude in a band that becomes -1; that of a sine of amplitude 1 is at most 1, which becomes 1."""


@dataclass(frozen=True)
class MelSpectrogram:
    """The log-mel spectrogram of a sampling rate: magnitudes of short-time spectra, averaged in `bands` mel bands, in the
    scale of `Spectrogram.scaled`. The frames are those of `spectrogram`."""

    rate: int
    bands: int
    spectrogram: Spectrogram

    @staticmethod
    def of(rate: int) -> MelSpectrogram:
        """That of all recipes at this rate."""
        wanted = HOP_SECONDS * rate
        hop = min((2**power for power in range(4, 13)), key=lambda size: abs(size - wanted))
        bands = BANDS if rate > FEWER_BELOW else FEWER_BANDS
        return MelSpectrogram(rate, bands, Spectrogram(WINDOW_HOPS * hop, hop, FLOOR))

    def shape(self, channels: int, samples: int) -> tuple[int, int, int]:
        """(C, B, K) of waves (C, T)."""
        return channels, self.bands, self.spectrogram.num_frames(samples)

    def scaled(self, waves: Tensor) -> Tensor:
        """(N, C, T) -> (N, C, B, K), from -1 (FLOOR and less) to 1."""
        with without_autocast(waves.device.type):
            magnitudes = self.spectrogram.magnitudes(waves)
            return self.spectrogram.to_scale(self._filters(magnitudes) @ magnitudes)

    def scaled_frames(self, extended: Tensor) -> Tensor:
        """(N, C, (K - 1) H + W) -> (N, C, B, K): as `scaled`, of whole frames: the samples beyond the ends are given too."""
        with without_autocast(extended.device.type):
            magnitudes = self.spectrogram.magnitudes_of_frames(extended)
            return self.spectrogram.to_scale(self._filters(magnitudes) @ magnitudes)

    def nearest_magnitudes(self, scaled: Tensor, iterations: int = 50) -> Tensor:
        """(N, C, B, K) -> (N, C, F, K): magnitudes whose band means are nearest to the given ones, at least 0, by multiplicative
        steps (Lee and Seung 2001) from the smooth magnitudes."""
        with without_autocast(scaled.device.type):
            bands = self.spectrogram.unscaled(scaled)
            filters = self._filters(bands)
            found, aim = self.magnitudes(scaled), filters.T @ bands
            for _ in range(iterations):
                found = found * aim / (filters.T @ (filters @ found)).clamp_min(1e-9)
            return found

    def magnitudes(self, scaled: Tensor) -> Tensor:
        """(N, C, B, K) -> (N, C, F, K): smooth magnitudes with about these band means, each bin between those of the nearest
        bands; positive."""
        with without_autocast(scaled.device.type):
            bands = self.spectrogram.unscaled(scaled).clamp_min(FLOOR / 10)
            return (self._interpolation(bands) @ bands.log()).exp()

    def with_bands(self, magnitudes: Tensor, scaled: Tensor, steps: int = 12) -> Tensor:
        """(N, C, F, K) positive magnitudes, (N, C, B, K) -> (N, C, F, K): multiplied by smooth factors, so that their band means
        come near to those of the mel spectrogram."""
        with without_autocast(scaled.device.type):
            wanted = self.spectrogram.unscaled(scaled) + LEAST
            filters, smooth = self._filters(wanted), self._interpolation(wanted)
            for _ in range(steps):
                magnitudes = magnitudes * (smooth @ (wanted / (filters @ magnitudes + LEAST)).log()).exp()
            return magnitudes

    def _filters(self, like: Tensor) -> Tensor:
        """(B, F)."""
        return mel_filters(self.rate, self.spectrogram.window, self.bands).to(like)

    def _interpolation(self, like: Tensor) -> Tensor:
        """(F, B), rows that sum to 1."""
        return interpolation(self.rate, self.spectrogram.window, self.bands).to(like)


@functools.cache
def interpolation(rate: int, window: int, bands: int) -> Tensor:
    """(F, B) float32: each bin as a mean of the bands around it; the weights sum to 1."""
    filters = mel_filters(rate, window, bands).double()
    centres = (filters * torch.arange(window // 2)).sum(1)
    places = torch.arange(window // 2, dtype=torch.float64)
    below = (places[:, None] >= centres).sum(1)  # no Python numbers: an export traces this
    first, second = (below - 1).clamp_min(0), below.clamp_max(bands - 1)
    low, high = centres[first], centres[second]
    share = torch.where(second > first, (places - low) / (high - low).clamp_min(1e-9), 0.0)
    one, other = (torch.nn.functional.one_hot(index, bands) for index in (first, second))
    weights = one * (1 - share)[:, None] + other * share[:, None]
    return weights.to(torch.float32)
