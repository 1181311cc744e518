"""How near remade waves are to the real ones: short-time spectra, mel spectrograms, intelligibility, mel cepstra.

Legend: N clips, C channels, T samples, B mel bands, K frames, Q coefficients.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from zerosum.domains.audio.mel import FLOOR, MelSpectrogram
from zerosum.domains.audio.signal import Spectrogram
from zerosum.domains.audio.vocoder import stft_distance

STFT_SECONDS = (0.01, 0.025, 0.05)
"""The windows of the multi-resolution distance; each is the power of two nearest to so many seconds, its hop a quarter of it."""
COEFFICIENTS = 13
"""Of the mel cepstrum, without the first, which is the loudness."""
PESQ_RATES = {8_000: "nb", 16_000: "wb"}


def stft_distances(made: Tensor, real: Tensor, rate: int) -> Tensor:
    """(N,): spectral convergence plus log-magnitude distance, the mean over STFT_SECONDS."""
    windows = [2 ** round(math.log2(seconds * rate)) for seconds in STFT_SECONDS]
    return torch.stack([stft_distance(made, real, Spectrogram(window, window // 4)) for window in windows]).mean(0)


def log_mels(waves: Tensor, rate: int) -> Tensor:
    """(N, C, B, K): natural logarithms of the magnitudes in mel bands plus FLOOR."""
    mel = MelSpectrogram.of(rate)
    return (mel.spectrogram.unscaled(mel.scaled(waves)) + FLOOR).log()


def log_mel_distances(made: Tensor, real: Tensor, rate: int) -> Tensor:
    """(N,): mean absolute difference of the log-mel spectrograms."""
    return (log_mels(made, rate) - log_mels(real, rate)).abs().flatten(1).mean(1)


def mel_cepstral_distortions(made: Tensor, real: Tensor, rate: int) -> Tensor:
    """(N,): mel-cepstral distortion in decibels of coefficients 1 to 13 (Kubichek 1993), the mean over the frames of the best
    alignment by dynamic time warping."""
    bands = MelSpectrogram.of(rate).bands
    place = torch.arange(bands) + 0.5
    basis = (math.pi / bands * torch.arange(1, COEFFICIENTS + 1)[:, None] * place).cos() * (2 / bands) ** 0.5
    own, true = ((basis @ log_mels(waves, rate)).flatten(0, 1).transpose(1, 2).double() for waves in (made, real))
    means: Tensor = warped_means(torch.cdist(own, true)).reshape(made.shape[:2]).mean(1)
    return means.float() * (10 / math.log(10) * 2**0.5)


def warped_means(costs: Tensor) -> Tensor:
    """(N, K, L) costs of pairs of frames -> (N,): the mean cost along the path from the first pair to the last one, with steps to
    the next frame of either side or of both, whose sum is the least (dynamic time warping)."""
    num, rows, columns = costs.shape
    far = torch.full((num, rows + columns, rows), torch.inf, dtype=costs.dtype)  # by diagonal and row
    lengths = torch.zeros(num, rows + columns, rows, dtype=costs.dtype)
    far[:, 0, 0], lengths[:, 0, 0] = costs[:, 0, 0], 1
    for diagonal in range(1, rows + columns - 1):
        low, high = max(0, diagonal - columns + 1), min(rows - 1, diagonal)
        row = torch.arange(low, high + 1)
        before = (row - 1).clamp_min(0)
        up = torch.where(row > 0, far[:, diagonal - 1, before], torch.inf)
        left = torch.where(row <= diagonal - 1, far[:, diagonal - 1, row], torch.inf)
        across = torch.where(row > 0, far[:, max(diagonal - 2, 0), before], torch.inf)
        if diagonal == 1:
            across = torch.full_like(across, torch.inf)
        best, choice = torch.stack([across, up, left]).min(0)
        places = torch.stack([
            lengths[:, max(diagonal - 2, 0), before], lengths[:, diagonal - 1, before], lengths[:, diagonal - 1, row],
        ])  # fmt: skip
        far[:, diagonal, row] = best + costs[:, row, diagonal - row]
        lengths[:, diagonal, row] = places.gather(0, choice[None])[0] + 1
    last = rows + columns - 2
    return far[:, last, rows - 1] / lengths[:, last, rows - 1]


def intelligibilities(made: Tensor, real: Tensor, rate: int) -> Tensor | None:
    """(N,): short-time objective intelligibility of each clip (Taal et al. 2011), NaN where a clip has too little sound; None
    where the package pystoi is missing."""
    try:
        from pystoi import stoi
    except ImportError:
        return None
    return _each(made, real, lambda own, true: _quiet(lambda: stoi(true, own, rate)) if true.any() else math.nan)


def perceived_qualities(made: Tensor, real: Tensor, rate: int) -> Tensor | None:
    """(N,): PESQ of each clip (ITU-T P.862, narrow band at 8 kHz and wide band at 16 kHz); NaN where it finds no speech; None
    where the package pesq is missing or the rate is another one."""
    try:
        from pesq import PesqError, pesq
    except ImportError:
        return None
    if rate not in PESQ_RATES:
        return None
    return _each(
        made, real, lambda own, true: pesq(rate, true, own, PESQ_RATES[rate], on_error=PesqError.RETURN_VALUES)
    )


def _each(made: Tensor, real: Tensor, measure: Callable[[np.ndarray, np.ndarray], float]) -> Tensor:
    values = [measure(own.numpy(), true.numpy()) for own, true in zip(made.mean(1), real.mean(1), strict=True)]
    return torch.tensor(values, dtype=torch.float32)


def _quiet(measure: Callable[[], float]) -> float:
    """A value that pystoi says nothing of; NaN where it warns that there is too little sound."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(measure())
        except (RuntimeWarning, ValueError):
            return math.nan
