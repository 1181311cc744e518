"""Small recordings for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zerosum.domain import DatasetInfo, SampleInfo
from zerosum.domains.audio import formats

Wave = NDArray[np.float32]


def noise(seconds: float = 0.25, rate: int = 8_000, channels: int = 1, seed: int = 0, peak: float = 0.5) -> Wave:
    """(C, T) noise with this peak, and a mean of 0."""
    wave = np.random.default_rng(seed).standard_normal((channels, round(seconds * rate)))
    wave -= wave.mean(1, keepdims=True) if wave.shape[1] > 1 else 0
    return (wave / np.abs(wave).max() * peak).astype(np.float32)


def tone(frequency: float, seconds: float = 0.25, rate: int = 8_000, peak: float = 0.5) -> Wave:
    """(1, T) a sine."""
    time = np.arange(round(seconds * rate)) / rate
    return (peak * np.sin(2 * np.pi * frequency * time)).astype(np.float32)[None]


def save(path: Path, wave: Wave, rate: int = 8_000, subtype: str = "") -> Path:
    """A recording of a wave (C, T), in the format that the ending names; of 16 bits where there is such a one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ending = formats.ending_of(path.name)
    subtype = subtype or formats.choose_subtype(ending, "", "PCM_16")
    path.write_bytes(formats.encode(wave, rate, ending, subtype, subtype))
    return path


def info_of(
    wave: Wave,
    rate: int,
    ending: str = ".wav",
    subtype: str = "PCM_16",
    level: float = 1.0,
    normalise: str = "none",
) -> DatasetInfo:
    """The description of a data set of such clips (C, T)."""
    payload = {"rate": rate, "ending": ending, "subtype": subtype, "normalise": normalise, "level": level}
    channels, samples = wave.shape
    return DatasetInfo("x", 2, 0, "0", SampleInfo({"channels": channels, "samples": samples}, ""), payload=payload)
