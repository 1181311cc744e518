"""Classical models of sounds: training clips with noise, the mean spectrum of each class, and normal distributions over log-mel
spectrograms. Spectrograms become waves by Griffin-Lim.

Legend: N clips, C channels, T samples, B mel bands, K frames.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zerosum.domain import Baseline
from zerosum.domains.audio.measures import BATCH, FLOOR, log_mel, window_of
from zerosum.domains.audio.signal import Spectrogram, mel_filters
from zerosum.metrics.baselines import Model, mixture, normal, sample_fit_rows

if TYPE_CHECKING:
    from zerosum.domains.audio.data import AudioSource

BANDS = 64
NOISE_DB = 40.0
"""The level of the noise on a copied clip, below that of the clip."""


@dataclass(frozen=True)
class Copies:
    """Training clips (N, C, T), each with noise that is NOISE_DB below it."""

    clips: Tensor = field(repr=False)
    total: int

    @property
    def summary(self) -> str:
        """What is copied, with the level of the noise."""
        return (
            f"training clips: drawn from {len(self.clips):,} of {self.total:,}, with noise {NOISE_DB:.0f} dB below them"
        )

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, C, T) float32 in [-1, 1]."""
        rng = torch.Generator().manual_seed(seed)
        clips = self.clips[torch.randint(len(self.clips), (num,), generator=rng)]
        level = clips.square().mean((1, 2), keepdim=True).sqrt() * 10 ** (-NOISE_DB / 20)
        return (clips + level * torch.randn(clips.shape, generator=rng)).clamp(-1, 1)


@dataclass(frozen=True)
class Waves:
    """Makes waves (N, C, T) of log-mel spectrograms (N, C, B, K). rate: in Hz."""

    rate: int
    channels: int
    samples: int

    @functools.cached_property
    def transform(self) -> Spectrogram:
        """The spectra that the mel bands are summed from."""
        window = window_of(self.rate, self.samples)
        return Spectrogram(window, window // 4, FLOOR)

    @functools.cached_property
    def filters(self) -> Tensor:
        """(B, F) mel filters."""
        return mel_filters(self.rate, self.transform.window, BANDS)

    def log_mel(self, waves: Tensor) -> Tensor:
        """(N, C, T) -> (N, C, B, K)."""
        return torch.cat([log_mel(part.detach().cpu().float(), self.rate, BANDS) for part in torch.split(waves, BATCH)])

    def of(self, logs: Tensor) -> Tensor:
        """Waves of log-mel spectrograms, their level limited to [-1, 1]. The power of a band is spread evenly over its
        frequencies."""
        shares = self.filters / self.filters.sum(0).clamp_min(1e-6)
        parts = []
        for part in torch.split(logs.float(), BATCH):
            power = (part.clamp(-10, 1).exp() - FLOOR).clamp_min(0).square()
            magnitudes = (shares.T @ power).sqrt()
            parts.append(self.transform.griffin_lim(magnitudes, self.samples))
        return torch.cat(parts).clamp(-1, 1)


@dataclass(frozen=True)
class MeanSpectra:
    """The mean log-mel spectrogram of each class (G, C, B, K), which gives one and the same sound for each class.

    shares: (G,) of the classes in the data.
    """

    waves: Waves
    means: Tensor = field(repr=False)
    shares: Tensor
    total: int

    @property
    def summary(self) -> str:
        """How many means there are, and of how many clips."""
        return f"mean spectrogram: of {len(self.means)} classes, fitted to {self.total:,} clips; Griffin-Lim"

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, C, T) float32 in [-1, 1]."""
        rng = torch.Generator().manual_seed(seed)
        which = torch.multinomial(self.shares, num, replacement=True, generator=rng)
        return self.waves.of(self.means)[which]


@dataclass(frozen=True)
class SpectrogramModel:
    """A model of flat log-mel spectrograms (N, C B K)."""

    waves: Waves
    model: Model = field(repr=False)

    @property
    def summary(self) -> str:
        """That of the model."""
        return f"{self.model.summary}; log-mel spectrograms, Griffin-Lim"

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, C, T) float32 in [-1, 1]."""
        frames = self.waves.transform.num_frames(self.waves.samples)
        logs = self.model.sample(num, seed)
        return self.waves.of(logs.reshape(num, self.waves.channels, BANDS, frames))


def baselines(source: AudioSource) -> dict[str, Callable[[], Baseline]]:
    """Models of the training clips: of all, or of a random choice of at most 2**24 numbers."""
    channels, samples = source.data.shape[1:]
    waves = Waves(source.rate, channels, samples)
    return {
        "copies": lambda: Copies(_clips(source, samples * channels)[0], source.num_rows),
        "mean": lambda: _means(source, waves),
        "normal": lambda: _model(source, waves, normal),
        "mixture": lambda: _model(source, waves, mixture),
    }


def _clips(source: AudioSource, num_values: int) -> tuple[Tensor, Tensor | None]:
    """Training clips and their classes, all or a random choice."""
    batch = source.batch(sample_fit_rows(source.num_rows, num_values))
    classes = batch.condition.cpu() if batch.condition is not None and batch.condition.dim() == 1 else None
    return batch.data.detach().cpu().float(), classes


def _means(source: AudioSource, waves: Waves) -> MeanSpectra:
    clips, classes = _clips(source, waves.samples * waves.channels)
    classes = torch.zeros(len(clips), dtype=torch.int64) if classes is None else classes
    found, counts = torch.unique(classes, return_counts=True)
    means = torch.stack([waves.log_mel(clips[classes == one]).mean(0) for one in found])
    return MeanSpectra(waves, means, counts.double(), len(clips))


def _model(source: AudioSource, waves: Waves, fit: Callable[[Tensor, int], Model]) -> SpectrogramModel:
    clips, _ = _clips(source, waves.samples * waves.channels)
    return SpectrogramModel(waves, fit(waves.log_mel(clips).flatten(1), source.num_rows))
