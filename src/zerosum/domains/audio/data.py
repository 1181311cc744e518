"""The source of sounds: N clips of T samples in C channels, some of them held out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

import zerosum.domains.audio.builtin_sources as builtin_sources
import zerosum.domains.audio.files as files
import zerosum.domains.audio.loading as loading
from zerosum import domain
from zerosum.data.opening import expand_path
from zerosum.data.sources import SourceInfo
from zerosum.domain import DatasetInfo, SampleInfo, kit
from zerosum.domains.audio.files import PatternOptions
from zerosum.domains.audio.loading import Clips, ReadOptions
from zerosum.domains.audio.waves import Normalise, normalised
from zerosum.errors import UserError, nearest
from zerosum.recipe import Component

MOST_RATE, MOST_CHANNELS = 192_000, 16
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
    scaled, levels = zip(*(normalised(wave, normalise) for wave in tones.waves), strict=True)
    waves, level = np.stack(scaled), float(np.median(levels))
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


def _at_path(
    where: str, *, rate: int = 0, channels: int = 0, seconds: float = 0.0, normalise: Normalise = "peak", pattern: str = "",
    label: str = "", labelled: bool = True, heldout: float = 0.1, test: str = "", seed: int = 0,
) -> AudioSource:  # fmt: skip
    """The recordings at a path, see loading.ReadOptions and files.arrange."""
    kit.refuse_share(heldout)
    if rate and not builtin_sources.LEAST_RATE <= rate <= MOST_RATE:
        raise ValueError(f"rate must lie in {builtin_sources.LEAST_RATE:,}..{MOST_RATE:,} Hz, or be 0; got {rate}")
    if not 0 <= channels <= MOST_CHANNELS:
        raise ValueError(f"channels must lie in 1..{MOST_CHANNELS}, or be 0; got {channels}")
    path = expand_path(where)
    if not os.path.exists(path):
        raise UserError(
            f"{where!r}: no named source of sounds and no such path. {nearest(where, builtin_sources.SOURCES)}"
        )
    options = ReadOptions(
        rate, channels, seconds, normalise, PatternOptions(pattern, label, labelled, test), heldout, seed
    )
    try:
        return _source(loading.load(path, options), normalise)
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror or error}).") from None


def _source(clips: Clips, normalise: Normalise) -> AudioSource:
    train = len(clips.waves) - clips.heldout
    waves, labels = torch.from_numpy(clips.waves), None if clips.labels is None else torch.from_numpy(clips.labels)
    note = (kit.heldout_note(clips.heldout, "clips"),) if clips.heldout else ()
    return AudioSource(
        clips.name, waves[:train], waves[train:],
        None if labels is None else labels[:train], None if labels is None else labels[train:],
        None if labels is None else kit.class_condition(labels[:train], clips.class_names),
        (*clips.notes, *note),
        digest=clips.digest, class_names=clips.class_names, rate=clips.rate, ending=clips.ending, subtype=clips.subtype,
        normalise=normalise, level=clips.level,
    )  # fmt: skip


def can_open(where: str) -> bool:
    """Whether `where` names a source of sounds, or a path that holds recordings. Reads only names; never raises."""
    return where in builtin_sources.SOURCES or files.can_open(where)


def sources() -> Mapping[str, SourceInfo]:
    """The named sources."""
    return builtin_sources.SOURCES
