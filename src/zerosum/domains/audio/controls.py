"""Controls: sounds that are no good samples, measured in the same way as generated ones. A measure that does not score real
sounds clearly better than a control that must fail cannot judge; its record says so.

Legend: N clips, C channels, T samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from zerosum.domains.audio.measures import BATCH, FLOOR, window_of
from zerosum.domains.audio.signal import Spectrogram

GRIFFIN_LIM, REVERSED, PHASE = "Griffin-Lim of reals", "reversed", "phases at random"
NOISE, ONE_CLASS, REPEATED, BUZZ = "noise", "one class", "one clip repeated", "reals with a buzz"
MOST = 200
"""Clips of a control, which are compared with as many real ones as generated clips are."""
ITERATIONS = 24
"""Of Griffin-Lim."""
BUZZ_HZ, BUZZ_DEPTH = 125.0, 0.5

MUST_FAIL: Mapping[str, tuple[str, ...]] = {
    "log_mel_distance": (PHASE, NOISE, ONE_CLASS, REPEATED),
    "frechet": (PHASE, NOISE, ONE_CLASS, REPEATED, REVERSED),
    "modulation_distance": (PHASE, NOISE, BUZZ),
    "modulation_peak": (BUZZ,),
    "class_score": (NOISE, ONE_CLASS, REPEATED),
    "class_accuracy": (NOISE, ONE_CLASS),
    "classes_found": (ONE_CLASS, REPEATED),
}
"""The controls that a measure must score clearly worse than real clips. The others are shown beside them: Griffin-Lim of real
clips is what a generator of magnitudes can reach at best, and what sounds right backwards too is not told from its reversal."""


def make_controls(
    waves: Tensor, labels: Tensor | None, rate: int, seed: int
) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Control -> (clips (M, C, T), the classes that are asked for (M,) or None), made of real clips (N, C, T)."""
    rng = torch.Generator().manual_seed(seed)
    makers: Mapping[str, Callable[[Tensor], Tensor]] = {
        GRIFFIN_LIM: lambda clips: griffin_lim(clips, rate),
        REVERSED: lambda clips: clips.flip(2),
        PHASE: lambda clips: random_phases(clips, rng),
        NOISE: lambda clips: noise(clips, rng),
        BUZZ: lambda clips: with_buzz(clips, rate),
    }
    found = {name: (make(waves), labels) for name, make in makers.items()}
    if labels is not None and int(labels.max()) > int(labels.min()):
        alone = waves[labels == labels.mode().values]
        found[ONE_CLASS] = alone[torch.arange(len(waves)) % len(alone)], labels
    else:
        found[REPEATED] = waves[:1].expand_as(waves), labels
    return found


def griffin_lim(waves: Tensor, rate: int) -> Tensor:
    """(N, C, T) -> (N, C, T): the clips of their magnitudes alone."""
    window = window_of(rate, waves.shape[2])
    transform = Spectrogram(window, window // 4, FLOOR)
    return torch.cat(
        [
            transform.griffin_lim(transform.magnitudes(part), waves.shape[2], ITERATIONS)
            for part in torch.split(waves, BATCH)
        ]
    )


def random_phases(waves: Tensor, rng: torch.Generator) -> Tensor:
    """(N, C, T) -> (N, C, T) with the same spectrum over the whole clip and random phases: the sound without its course."""
    spectra = torch.fft.rfft(waves)
    angles = 2 * math.pi * torch.rand(spectra.shape, generator=rng)
    angles[..., [0, -1]] = 0
    made: Tensor = torch.fft.irfft(torch.polar(spectra.abs(), angles), n=waves.shape[2])
    return made


def noise(waves: Tensor, rng: torch.Generator) -> Tensor:
    """(N, C, T) white noise, each clip as loud as the one it replaces."""
    loud = waves.square().mean((1, 2), keepdim=True).sqrt()
    return (loud * torch.randn(waves.shape, generator=rng)).clamp(-1, 1)


def with_buzz(waves: Tensor, rate: int) -> Tensor:
    """(N, C, T) whose loudness moves at BUZZ_HZ, as that of waves of magnitudes that do not fit together."""
    time = torch.arange(waves.shape[2]) / rate
    return waves * (1 + BUZZ_DEPTH * (2 * math.pi * BUZZ_HZ * time).cos()) / (1 + BUZZ_DEPTH)
