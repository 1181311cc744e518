"""Augmentation of the discriminator's inputs for sound: gain, a masked span of time, a masked range of frequencies.

Park et al. 2019 (SpecAugment), arXiv:1904.08779; in a game Karras et al. 2020, arXiv:2006.06676. The shift in time is
an option of the generator (`generator.shift`), because it applies to real clips only.

Legend: N clips, C channels, T samples, F frequencies, K frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from zerosum.engine.duel import Augment
from zerosum.engine.seeds import SeededNoise

MOST_GAIN = 40.0


def masks(floor: float, *, gain: float = 6.0, time: float = 0.2, frequency: float = 0.2) -> Augment:
    """Changes clips: waves (N, C, T), or scaled log magnitudes (N, C, F, K) as `signal.Spectrogram.scaled` makes them.

    Each of the three changes is made to each clip with probability p = strength. gain: louder or quieter by up to so many
    decibels. time, frequency: the largest part that is silenced, as a share of the clip and of the frequencies; its size and
    its place are uniform. 0 leaves a change out. floor: the magnitude that -1 stands for in scaled magnitudes.

    The functions are smooth in the clips, so that they have derivatives of any order; the same parts of all channels are masked.
    """
    if not 0 <= gain <= MOST_GAIN:
        raise ValueError(f"gain must lie in 0..{MOST_GAIN:g} dB, got {gain:g}")
    for name, share in (("time", time), ("frequency", frequency)):
        if not 0 <= share < 1:
            raise ValueError(f"{name} must lie in [0, 1), got {share:g}")
    if not (gain or time or frequency):
        raise ValueError("gain, time and frequency are all 0; leave the augmentation out")

    def augment(clips: Tensor, rng: SeededNoise, purpose: str, strength: float) -> Tensor:
        if not strength:
            return clips
        clips = clips if clips.dtype in (torch.float32, torch.float64) else clips.float()
        with torch.autocast(clips.device.type, enabled=False):
            gates, values = rng.uniform(f"{purpose} gates", 3) < strength, rng.uniform(f"{purpose} values", 5)
            values = values.to(clips.dtype)
            if gain:
                decibels = torch.where(gates[:, 0], (2 * values[:, 0] - 1) * gain, 0)
                clips = change_gain(clips, decibels, floor)
            if time:
                clips = mask_time(clips, *span(values[:, 1:3], time, gates[:, 1]))
            if frequency:
                clips = mask_frequencies(clips, *span(values[:, 3:], frequency, gates[:, 2]))
        return clips

    return augment


def span(chance: Tensor, most: float, gates: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last place (N,), from 0 to 1, of a part of up to `most`; an empty one where the gate is closed.

    chance: (N, 2) in [0, 1): the size, and the place.
    """
    size = chance[:, 0] * most * gates
    first = chance[:, 1] * (1 - size)
    return first, first + size


def change_gain(clips: Tensor, decibels: Tensor, floor: float) -> Tensor:
    """Clips louder by `decibels` (N,). Scaled magnitudes s mean magnitudes m with s = 2 log((m + floor) / floor) / range - 1, of
    which m is multiplied; waves are multiplied themselves."""
    factor = (10 ** (decibels / 20)).view(-1, *[1] * (clips.dim() - 1))
    if clips.dim() == 3:
        return clips * factor
    half = (math.log(1 + floor) - math.log(floor)) / 2
    return (((clips + 1) * half).exp() * factor + (1 - factor)).clamp_min(floor).log() / half - 1


def mask_time(clips: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Silence between two places (N,), as shares of the length."""
    kept = _outside(clips.shape[-1], first, last, clips)
    kept = kept.view(len(clips), *[1] * (clips.dim() - 2), -1)
    return clips * kept if clips.dim() == 3 else (clips + 1) * kept - 1


def mask_frequencies(clips: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Silence between two frequencies (N,), as shares of half the sampling rate."""
    if clips.dim() == 4:
        return (clips + 1) * _outside(clips.shape[2], first, last, clips)[:, None, :, None] - 1
    spectra = torch.fft.rfft(clips)
    kept = _outside(spectra.shape[2], first, last, clips)[:, None]
    masked: Tensor = torch.fft.irfft(spectra * kept, n=clips.shape[2])
    return masked


def _outside(size: int, first: Tensor, last: Tensor, like: Tensor) -> Tensor:
    """(N, size): 0 at the places between `first` and `last`, 1 elsewhere."""
    places = (torch.arange(size, device=like.device, dtype=like.dtype) + 0.5) / size
    return ((places < first[:, None]) | (places >= last[:, None])).to(like.dtype)


AUGMENTS: Mapping[str, Callable[..., Augment]] = {"masks": masks}
