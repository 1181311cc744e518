"""Waves (C, T) float32: what is odd about them, their rate, channels, loudness and length."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zerosum.data.opening import FileNotes
from zerosum.domains.audio import formats
from zerosum.domains.audio.formats import Wave

Normalise = Literal["peak", "rms", "none"]

RMS_TARGET = 0.1
"""The RMS of clips that are normalised by their RMS."""
SILENT = 2.0**-12
"""A recording whose peak is below this (-72 dB of full scale) is silent."""
MIN_SECONDS, MIN_SAMPLES = 0.01, 64
"""Shorter recordings are left out."""
MAX_NOT_FINITE = 0.01
"""The share of numbers that are NaN or infinite, up to which they are replaced by 0."""
OFFSET, OFFSET_OF_RMS = 0.02, 0.2
"""A mean above these shares of the peak and of the RMS is an offset."""
FULL_SCALE, CLIPPED_RUN = 0.98, 4
"""A recording is clipped where so many samples in a row are at its peak, and the peak is at full scale."""

PERCENTILE = 95
"""Of the lengths of recordings: that of clips."""
CLIPS_OF_ONE = 40
"""A single recording is at least so many clips long."""
LONG_PADDING = 2
"""Clips that last more than so many times as long as the longest recording are called far too long."""
MAX_SECONDS, MAX_CLIP = 2.0, 32_768
"""The longest clip that is chosen: the shorter of the two."""
STEP, LONG_STEP, LONG = 512, 1_024, 8_192
"""Clips are multiples of STEP samples, and of LONG_STEP from LONG samples on."""
MOST_GIVEN = 2**21
"""Samples of a clip that can be asked for."""
ONE_WINDOW = 1.5
"""A recording of at most so many clips' length gives one clip, its loudest part."""
FLOOR_FRAME, QUIETEST = 256, 0.1
"""The noise floor of a recording is taken from so long frames, from this share of them."""
MOST_FLOOR = 0.01
"""The noise floor is at most this share of the RMS of a recording (-40 dB)."""


def usable(wave: Wave, rate: int, name: str, remarks: FileNotes) -> Wave | None:
    """A wave (C, T) without numbers that are not finite and without offset; None for one that is too short, silent or broken."""
    if wave.shape[1] < max(MIN_SAMPLES, MIN_SECONDS * rate):
        remarks.add(f"are shorter than {MIN_SECONDS:g} s or {MIN_SAMPLES} samples and are left out", name)
        return None
    if not np.isfinite([wave.min(), wave.max()]).all():
        finite = np.isfinite(wave)
        if 1 - finite.mean() > MAX_NOT_FINITE:
            remarks.add("have many values that are NaN or infinite and are left out", name)
            return None
        remarks.add("have values that are NaN or infinite; they are replaced by 0", name)
        wave = np.where(finite, wave, np.float32(0))
    peak = peak_of(wave)
    if peak > 1:
        remarks.add("go beyond full scale", name)
    elif _is_clipped(wave, peak):
        remarks.add("are clipped at full scale", name)
    mean = wave.mean(1, keepdims=True, dtype=np.float64)
    if peak_of(mean) > max(OFFSET * peak, OFFSET_OF_RMS * rms_of(wave), SILENT / 4):
        wave = wave - mean.astype(np.float32)
        if peak_of(wave) >= SILENT:
            remarks.add("have a constant offset, which is removed", name)
    if peak_of(wave) < SILENT:
        remarks.add("are silent and are left out", name)
        return None
    return wave


def peak_of(wave: NDArray[np.floating]) -> float:
    """The greatest absolute value."""
    return max(float(wave.max()), -float(wave.min()))


def rms_of(wave: Wave) -> float:
    """The root of the mean square, over all channels; without a copy of the whole wave."""
    powers = [
        np.square(wave[:, start : start + 2**20], dtype=np.float64).sum() for start in range(0, wave.shape[1], 2**20)
    ]
    return math.sqrt(float(sum(powers)) / wave.size)


def _is_clipped(wave: Wave, peak: float) -> bool:
    if peak < FULL_SCALE:
        return False
    at = (wave >= peak - 1e-4) | (wave <= 1e-4 - peak)
    run = at[:, : at.shape[1] - CLIPPED_RUN + 1].copy()
    for shift in range(1, CLIPPED_RUN):
        run &= at[:, shift : at.shape[1] - CLIPPED_RUN + 1 + shift]
    return bool(run.any())


def with_channels(wave: Wave, channels: int) -> Wave:
    """(C, T) -> (channels, T): the mean for one channel, copies of a single one; else the first ones, and silence for more."""
    if len(wave) == channels:
        return wave
    if channels == 1:
        return np.asarray(wave.mean(0, keepdims=True, dtype=np.float64), dtype=np.float32)
    if len(wave) == 1:
        return np.repeat(wave, channels, 0)
    return np.concatenate([wave[:channels], np.zeros((max(0, channels - len(wave)), wave.shape[1]), np.float32)])


def resampled(wave: Wave, rate: int, wanted: int) -> Wave:
    """(C, T) at another rate, by soxr."""
    if rate == wanted:
        return wave
    soxr = formats.require("soxr", f"Changing the rate of recordings from {rate:,} to {wanted:,} Hz")
    return np.ascontiguousarray(soxr.resample(wave.T, rate, wanted).T)


def normalised(wave: Wave, how: Normalise) -> tuple[Wave, float]:
    """(a wave with a peak of 1, or with an RMS of RMS_TARGET and a peak of at most 1; its peak or RMS before).

    none: values beyond full scale are clipped, and the level is 1.
    """
    peak = max(peak_of(wave), SILENT)
    if how == "none":
        return (wave.clip(-1, 1) if peak > 1 else wave), 1.0
    if how == "peak":
        return wave / np.float32(peak), peak
    level = max(rms_of(wave), SILENT)
    return wave * np.float32(min(RMS_TARGET / level, 1 / peak)), level


def restored(waves: Wave, payload: Mapping[str, Any]) -> Wave:
    """Generated waves with the loudness of the recordings. payload: the values of data.AudioPayload."""
    scale = {"peak": 1.0, "rms": 1 / RMS_TARGET, "none": 1.0}[payload["normalise"]] * payload["level"]
    return waves if scale == 1 else (waves * np.float32(scale)).astype(np.float32)


def clip_length(lengths: Sequence[int], rate: int, seconds: float) -> tuple[int, bool, str]:
    """(samples of a clip, whether long recordings give several clips, a note).

    The samples are those asked for, or PERCENTILE of the lengths within bounds, as a multiple of STEP. Where nearly all
    recordings fit into a clip, the few longer ones give one each.
    """
    long = float(np.percentile(lengths, PERCENTILE))
    if seconds:
        if not 0 < seconds <= MOST_GIVEN / rate:
            raise ValueError(f"seconds must lie in 0..{MOST_GIVEN // rate} at {rate:,} Hz, got {seconds:g}")
        samples = max(1, round(seconds * rate / STEP)) * STEP
    else:
        wanted = long if len(lengths) > 1 else max(STEP, long / CLIPS_OF_ONE)
        step = LONG_STEP if wanted >= LONG else STEP
        most = max(STEP, int(min(MAX_SECONDS * rate, MAX_CLIP)) // step * step)
        samples = min(math.ceil(wanted / step) * step, most)
    shortest, middle, longest = min(lengths) / rate, float(np.median(lengths)) / rate, max(lengths) / rate
    spread = f"{shortest:.2f} to {longest:.2f} s, half of them less than {middle:.2f} s"
    empty = (
        " Most of each clip is padding: data.seconds is far more." if samples / rate > LONG_PADDING * longest else ""
    )
    return samples, long > samples, (
        f"Each clip has {samples:,} samples ({samples / rate:.2f} s; data.seconds sets another length). Recordings last "
        f"{spread if shortest < longest else f'{longest:.2f} s'}.{empty}"
    )  # fmt: skip


def starts_of(wave: Wave, samples: int, several: bool = True) -> list[int]:
    """The first sample of each clip of a wave (C, L): overlapping by half; of a short recording, or without `several`, one."""
    length = wave.shape[1]
    if length <= samples:
        return [0]
    if length <= ONE_WINDOW * samples or not several:
        power = np.concatenate([[0.0], np.square(wave, dtype=np.float64).sum(0).cumsum()])
        return [int(np.argmax(power[samples:] - power[: length - samples + 1]))]
    starts = list(range(0, length - samples + 1, samples // 2))
    return starts if starts[-1] == length - samples else [*starts, length - samples]


def padded(wave: Wave, samples: int) -> Wave:
    """(C, L) -> (C, samples): continued with noise that has the spectrum of the quietest frames, at most MOST_FLOOR of its RMS.

    The noise follows from the wave alone.
    """
    channels, length = wave.shape
    missing = samples - length
    if missing <= 0:
        return wave[:, :samples]
    frame = min(FLOOR_FRAME, max(16, length // 8))
    frames = wave[:, : length // frame * frame].reshape(channels, -1, frame)
    quiet = np.argsort(np.square(frames).sum((0, 2)), kind="stable")[: max(1, int(QUIETEST * frames.shape[1]))]
    shape = np.sqrt(np.square(np.abs(np.fft.rfft(frames[:, quiet] * np.hanning(frame)))).mean(1))
    rms = np.minimum(
        np.sqrt(np.square(frames[:, quiet], dtype=np.float64).mean((1, 2))),
        MOST_FLOOR * np.sqrt(np.square(wave, dtype=np.float64).mean(1)),
    )
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(wave.tobytes()).digest()[:8], "little"))
    bins = np.linspace(0, 1, missing // 2 + 1)
    noise = np.empty((channels, missing))
    for channel in range(channels):
        levels = np.interp(bins, np.linspace(0, 1, shape.shape[1]), shape[channel])
        noise[channel] = np.fft.irfft(levels * np.exp(2j * np.pi * rng.random(len(bins))), missing)
    noise *= (rms / np.maximum(np.sqrt(np.square(noise).mean(1)), 1e-30))[:, None]
    return np.concatenate([wave, noise.astype(np.float32)], 1)
