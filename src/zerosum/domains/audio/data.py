"""The source of sounds: N clips of T samples in C channels, some of them held out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

import zerosum.domains.audio.builtin_sources as builtin_sources
import zerosum.domains.audio.files as files
from zerosum import domain
from zerosum.data.opening import expand_path
from zerosum.data.sources import SourceInfo
from zerosum.domain import DatasetInfo, SampleInfo, kit
from zerosum.errors import UserError, nearest
from zerosum.recipe import Component

Normalise = Literal["peak", "rms", "none"]
CHANNELS = {1: "mono", 2: "stereo"}


@dataclass(frozen=True)
class AudioPayload:
    """rate: samples per second. ending, subtype: the commonest of the source's files, such as ".wav" and "PCM_16".
    normalise: what each recording is scaled by. level: the median peak (or RMS) of the recordings before that; written samples
    are scaled back to it."""

    rate: int
    ending: str
    subtype: str
    normalise: Normalise
    level: float


@dataclass(frozen=True, eq=False, kw_only=True)
class AudioSource(kit.TensorSource):
    """Clips (N, C, T) float32 in [-1, 1].

    digest: SHA-256 of what the clips were made of, the bytes of files and the options, which is the same on every machine;
    resampled or synthesised numbers may differ in their last bit. rate, ending, subtype, normalise, level: see AudioPayload.
    """

    digest: str
    class_names: tuple[str, ...] = ()
    rate: int
    ending: str = ".wav"
    subtype: str = "PCM_16"
    normalise: Normalise = "peak"
    level: float = 1.0

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the clips were made of."""
        return self.digest

    def info(self) -> DatasetInfo:
        """The description of the data set, from which networks, previews and files are made without the clips."""
        channels, samples = self.data.shape[1:]
        called = CHANNELS.get(channels, f"{channels}-channel")
        words = f"{samples / self.rate:.2f} s of {called} sound at {self.rate:,} Hz"
        payload = AudioPayload(self.rate, self.ending, self.subtype, self.normalise, self.level)
        return kit.info(self, SampleInfo({"channels": channels, "samples": samples}, words), asdict(payload))


def describe(info: DatasetInfo) -> str:
    """A few words for one line: "2,000 clips of 1.02 s in 8 classes"."""
    classes = f" in {info.num_classes} classes" if info.num_classes else ""
    seconds = info.sample.axes["samples"] / info.payload["rate"]
    return f"{info.num_rows:,} clips of {seconds:.2f} s{classes}"


def open_source(data: Component, allow_download: bool) -> AudioSource:
    """The source of a recipe's data part: a named one, or a path."""
    opened = _named if data.kind in builtin_sources.SOURCES else _at_path
    source: AudioSource = domain.make("data", {data.kind: opened}, data, data.kind)
    return source


def _named(
    name: str, *, num: int = 0, rate: int = builtin_sources.RATE, normalise: Normalise = "peak", labelled: bool = True,
    seed: int = 0,
) -> AudioSource:  # fmt: skip
    """A named source. num: of training clips, 0 for the source's own number."""
    if num < 0 or num == 1:
        raise ValueError(f"num must be at least 2, or 0 for {builtin_sources.NUM_TRAIN:,}; got {num}")
    if not builtin_sources.LEAST_RATE <= rate <= builtin_sources.MOST_RATE:
        raise ValueError(
            f"rate must lie in {builtin_sources.LEAST_RATE:,}..{builtin_sources.MOST_RATE:,} Hz, got {rate}"
        )
    tones = builtin_sources.load(num, rate, seed)
    waves, level = normalised(tones.waves, normalise)
    train = len(waves) - tones.heldout
    clips, labels = torch.from_numpy(waves), torch.from_numpy(tones.labels)
    names = builtin_sources.SOURCES[name].class_names if labelled else ()
    return AudioSource(
        name, clips[:train], clips[train:],
        labels[:train] if labelled else None, labels[train:] if labelled else None,
        kit.class_condition(labels[:train], names) if labelled else None,
        (kit.heldout_note(tones.heldout, "clips"),),
        digest=_digest(name, builtin_sources.VERSION, num, rate, normalise, labelled, seed),
        class_names=names, rate=rate, normalise=normalise, level=level,
    )  # fmt: skip


def _digest(*facts: Any) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _at_path(where: str, *, normalise: Normalise = "peak", heldout: float = 0.1, seed: int = 0) -> AudioSource:
    """The recordings at a path, see files.load."""
    kit.refuse_share(heldout)
    path = expand_path(where)
    if not os.path.exists(path):
        raise UserError(
            f"{where!r}: no named source of sounds and no such path. {nearest(where, builtin_sources.SOURCES)}"
        )
    raise UserError(f"{where}: folders of recordings are not read yet.")


def normalised(waves: NDArray[np.float32], how: Normalise) -> tuple[NDArray[np.float32], float]:
    """Clips (N, C, T), each scaled to a peak of 1 or to an RMS of RMS_TARGET, and the median of what they had before."""
    had = levels(waves, how)
    if how == "none":
        return waves, 1.0
    scale = (1.0 if how == "peak" else files.RMS_TARGET) / np.maximum(had, files.SILENT)
    if how == "rms":
        scale = np.minimum(scale, 1 / np.maximum(np.abs(waves).max((1, 2)), files.SILENT))
    return (waves * scale[:, None, None]).astype(np.float32), float(np.median(had))


def levels(waves: NDArray[np.float32], how: Normalise) -> NDArray[np.float64]:
    """(N,) the peak or the RMS of clips (N, C, T)."""
    rms = how == "rms"
    found = np.sqrt(np.square(waves, dtype=np.float64).mean((1, 2))) if rms else np.abs(waves).max((1, 2))
    return np.asarray(found, dtype=np.float64)


def can_open(where: str) -> bool:
    """Whether `where` names a source of sounds, or a path that holds recordings. Reads only names; never raises."""
    return where in builtin_sources.SOURCES or files.can_open(where)


def sources() -> Mapping[str, SourceInfo]:
    """The named sources."""
    return builtin_sources.SOURCES
