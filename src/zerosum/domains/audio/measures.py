"""Numbers of sounds that need no trained weights: log-mel statistics, spectrograms as pictures, modulation, silence, bandwidth.

Legend: N clips, C channels, T samples, K frames, L, M intervals of modulation frequencies.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from zerosum.domains.audio.signal import Spectrogram, mel_filters

WINDOW_S = 0.032
"""The window of the spectra, rounded to a power of two samples; the hop is a quarter of it."""
BANDS = 40
FLOOR = 1e-3
"""Added to magnitudes before the logarithm: 60 dB below a sine of amplitude 1."""
PICTURE_BANDS, PICTURE_FRAMES = 40, 32
"""The size of a spectrogram as a picture: mel bands, and frames."""
SILENT_DB, FRAME_S = -45.0, 0.02
"""A frame of FRAME_S is silent if its RMS is below that of the loudest frame of its clip by so many decibels."""
ROLL_OFF = 0.95
"""The bandwidth is the frequency below which this share of the energy lies."""
MODULATION_BANDS = 8
THIRDS = tuple(4 * 2 ** (index / 3) for index in range(22))
PEAKS = tuple(range(40, 513, 8))
"""The edges, in Hz, of the intervals in which modulation is compared: thirds of an octave from 4 to 512 Hz, and narrow ones."""
SHORT_S, LONG_S, MOST_COMPARED = 0.016, 0.064, 100
"""The windows, in seconds, that `spread_in_long_windows` compares, and the most clips that it looks at."""
BATCH = 4
"""Clips that are measured at once: more are slower, because their spectra do not stay in the cache of a CPU."""


def in_batches(function: Callable[[Tensor], Tensor], waves: Tensor) -> Tensor:
    """The function of clips (N, C, T), BATCH at a time, on the CPU."""
    with torch.no_grad():
        return torch.cat([function(part.detach().cpu().float()) for part in torch.split(waves, BATCH)])


def window_of(rate: int, samples: int) -> int:
    """Samples of a window for clips of so many samples."""
    return int(max(16, min(2 ** round(math.log2(WINDOW_S * rate)), 2 ** int(math.log2(max(samples, 32) / 2)))))


def log_mel(waves: Tensor, rate: int, bands: int = BANDS) -> Tensor:
    """(N, C, T) -> (N, C, bands, K): natural logarithms of mel magnitudes."""
    window = window_of(rate, waves.shape[2])
    magnitudes = Spectrogram(window, window // 4, FLOOR).magnitudes(waves)
    return ((mel_filters(rate, window, bands) @ magnitudes.square()).sqrt() + FLOOR).log()


def log_mel_statistics(waves: Tensor, rate: int) -> Tensor:
    """(N, C, T) -> (N, 3 C BANDS): of each mel band the mean and the deviation over time, and the deviation of the steps between
    frames.

    They are blind to the direction of time: a sound and its reversal have the same.
    """

    def statistics(part: Tensor) -> Tensor:
        logs = log_mel(part, rate)
        steps = logs.diff(dim=3) if logs.shape[3] > 1 else torch.zeros_like(logs)
        return torch.cat([logs.mean(3), logs.std(3, correction=0), steps.std(3, correction=0)], 1).flatten(1)

    return in_batches(statistics, waves)


def pictures(waves: Tensor, rate: int) -> Tensor:
    """(N, C, T) -> (N, C, PICTURE_BANDS, PICTURE_FRAMES) uint8: log-mel spectrograms, from FLOOR to a sine of amplitude 1; low
    bands first."""

    def drawn(part: Tensor) -> Tensor:
        logs = log_mel(part, rate, PICTURE_BANDS)
        if logs.shape[3] != PICTURE_FRAMES:
            logs = interpolate(logs, (PICTURE_BANDS, PICTURE_FRAMES), mode="bilinear", antialias=True)
        low = math.log(FLOOR)
        return ((logs - low) / -low * 255).clamp(0, 255).round().to(torch.uint8)

    return in_batches(drawn, waves)


def spread_in_long_windows(waves: Tensor, rate: int) -> float:
    """How widely the magnitudes of clips (N, C, T) are spread over time and frequency in windows of LONG_S, over the same in
    windows of SHORT_S: the mean of L1 over L2 norms (Jones and Parks 1990: the best window concentrates the most).

    Speech has 0.82 to 0.83, steady tones 0.53 to 0.76, noise 1. 1 for clips shorter than two long windows.
    """
    windows = [2 ** round(math.log2(seconds * rate)) for seconds in (SHORT_S, LONG_S)]
    if waves.shape[2] < 2 * windows[1]:
        return 1.0
    num = min(len(waves), MOST_COMPARED)
    clips, found = waves[torch.arange(num) * len(waves) // num], list[float]()
    for window in windows:
        magnitudes = in_batches(Spectrogram(window, window // 2).magnitudes, clips).flatten(1)
        norms = magnitudes.norm(1, 1) / (magnitudes.norm(2, 1).clamp_min(1e-9) * magnitudes.shape[1] ** 0.5)
        found.append(float(norms.mean()))
    return found[1] / found[0]


# --- numbers of each clip


def silence_share(waves: Tensor, rate: int) -> Tensor:
    """(N, C, T) -> (N,): the share of frames that are SILENT_DB below the loudest frame of their clip; 1 for digital silence."""
    length = max(1, min(round(FRAME_S * rate), waves.shape[2]))
    frames = waves.detach().cpu().double().mean(1).unfold(1, length, length)
    power = frames.square().mean(2)
    silent = power <= power.amax(1, keepdim=True) * 10 ** (SILENT_DB / 10)
    return silent.double().mean(1)


def bandwidth(waves: Tensor, rate: int) -> Tensor:
    """(N, C, T) -> (N,): the frequency in Hz below which ROLL_OFF of the energy lies; 0 for digital silence."""
    energy = torch.fft.rfft(waves.detach().cpu().double()).abs().square().mean(1)
    cumulated = energy.cumsum(1)
    below: Tensor = cumulated < ROLL_OFF * cumulated[:, -1:]
    return below.sum(1) * (rate / waves.shape[2])


# --- modulation


def modulation_spectrum(waves: Tensor, rate: int) -> tuple[Tensor, Tensor]:
    """(N, C, T) -> (N, L) and (N, M) decibels: how the loudness of each clip moves, in THIRDS of an octave and in the narrow
    intervals PEAKS; means over bands.

    The envelope of each of MODULATION_BANDS mel bands is the magnitude of its analytic signal; its power spectrum is relative to
    its squared mean, so that it does not depend on loudness. A buzz at a rate of f is a peak at f. Clips shorter than a quarter
    of a second are padded to that, so that the frequencies are at most 4 Hz apart.
    """
    samples = max(waves.shape[2], rate // 4)
    window = torch.hann_window(waves.shape[2], periodic=False, dtype=torch.float64)
    masks, bins = _bands(samples, rate), torch.fft.rfftfreq(samples, 1 / rate, dtype=torch.float64)
    means = torch.cat([_averaging(bins, THIRDS), _averaging(bins, PEAKS)])

    def decibels(part: Tensor) -> Tensor:
        spectra = torch.fft.fft(pad(part.double().mean(1), (0, samples - part.shape[2])))
        envelopes = torch.fft.ifft(spectra[:, None] * masks).abs()[..., : part.shape[2]] * window
        level = envelopes.sum(2, keepdim=True).square().clamp_min(1e-12)
        power: Tensor = torch.fft.rfft(pad(envelopes, (0, samples - part.shape[2]))).abs().square() / level
        return 10 * (power @ means.T).clamp_min(1e-10).log10().mean(1)

    found = in_batches(decibels, waves)
    return found[:, : len(THIRDS) - 1], found[:, len(THIRDS) - 1 :]


def _averaging(bins: Tensor, edges: Sequence[float]) -> Tensor:
    """(len(edges) - 1, B): the matrix that averages the values at bins (B,) between the edges, or at the nearest bin."""
    rows = []
    for low, high in itertools.pairwise(edges):
        inside = (bins >= low) & (bins < high)
        if not bool(inside.any()):
            inside = torch.arange(len(bins)) == (bins - (low + high) / 2).abs().argmin()
        rows.append(inside.double() / inside.sum())
    return torch.stack(rows)


def _bands(samples: int, rate: int) -> Tensor:
    """(MODULATION_BANDS, samples) float64: mel bands of the positive frequencies, zero at the negative ones."""
    mask = mel_filters(rate, samples - samples % 2, MODULATION_BANDS).double()
    mask = mask / mask.amax(1, keepdim=True)
    return pad(mask, (0, samples - mask.shape[1]))
