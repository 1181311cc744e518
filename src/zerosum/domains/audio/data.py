"""The source of sounds: N clips of T samples in C channels, some of them held out."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from zerosum import domain
from zerosum.data.opening import expand_path
from zerosum.data.sources import SourceInfo
from zerosum.domain import DatasetInfo, OtherCondition, SampleInfo, kit
from zerosum.domains.audio import builtin_sources, files, loading, texts
from zerosum.domains.audio.files import PatternOptions
from zerosum.domains.audio.loading import Clips, ReadOptions
from zerosum.domains.audio.measures import spread_in_long_windows
from zerosum.domains.audio.mel import MelSpectrogram
from zerosum.domains.audio.waves import STEP, Normalise, clip_length, normalised
from zerosum.engine.game import Batch
from zerosum.errors import UserError, nearest
from zerosum.recipe import Component

LEAST_RATE, MOST_RATE, MOST_CHANNELS = 4_000, 192_000, 16
CHANNELS = {1: "mono", 2: "stereo"}
NUM_EXAMPLES = 64
"""Rows whose conditions are stored with a published generator that needs some."""

Condition = Literal["class", "mel", "text"]
"""What a generator is conditioned on: the class of a clip, its mel spectrogram, or the text that is spoken."""
Wanted = Literal["", "class", "mel", "text"]
"""The condition that `data` asks for; "": the text of recordings that have one, else the class."""


@dataclass(frozen=True)
class AudioPayload:
    """rate: samples per second. ending, subtype: the commonest of the source's files, such as ".wav" and "PCM_16".
    normalise: what each recording is scaled by. level: the median peak (or RMS) of the recordings before that; written samples
    are scaled back to it. condition: see Condition. alphabet: the characters of texts, see
    `texts.encoded`. spread: see `measures.spread_in_long_windows`; 1 where it is not measured."""

    rate: int
    ending: str
    subtype: str
    normalise: Normalise
    level: float
    condition: Condition = "class"
    alphabet: str = ""
    spread: float = 1.0


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
    condition_kind: Condition = "class"
    alphabet: str = ""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the clips were made of."""
        return self.digest

    @functools.cached_property
    def _spread(self) -> float:
        return spread_in_long_windows(self.data, self.rate) if self.condition_kind == "class" else 1.0

    def info(self) -> DatasetInfo:
        """The description of the data set, from which networks, previews and files are made without the clips."""
        channels, samples = self.data.shape[1:]
        called = CHANNELS.get(channels, f"{channels}-channel")
        words = f"{samples / self.rate:.2f} s of {called} sound at {self.rate:,} Hz"
        payload = AudioPayload(
            self.rate,
            self.ending,
            self.subtype,
            self.normalise,
            self.level,
            self.condition_kind,
            self.alphabet,
            self._spread,
        )
        return kit.info(self, SampleInfo({"channels": channels, "samples": samples}, words), asdict(payload))


@dataclass(frozen=True, eq=False, kw_only=True)
class MelSource(AudioSource):
    """Clips whose condition is their mel spectrogram (N, C, B, K); that of training clips is computed by the game, of the parts
    that it uses."""

    condition_kind: Condition = "mel"

    def heldout_batch(self, indices: Tensor) -> Batch:
        """The held-out clips of `indices` with their mel spectrograms."""
        return self._with_mel(super().heldout_batch(indices).data)

    def examples(self) -> Batch:
        """At most NUM_EXAMPLES evenly spaced clips with their mel spectrograms: held-out ones if there are any."""
        rows = self.heldout if self.num_heldout else self.data
        num = min(NUM_EXAMPLES, len(rows))
        return self._with_mel(rows[torch.arange(num) * len(rows) // num])

    def _with_mel(self, waves: Tensor) -> Batch:
        return Batch(waves, MelSpectrogram.of(self.rate).scaled(waves))


@dataclass(frozen=True, eq=False, kw_only=True)
class SpeechSource(AudioSource):
    """Whole recordings that end in zeros, with texts: rows of `texts.encoded` (N, 1 + most characters)."""

    condition_kind: Condition = "text"

    def examples(self) -> Batch:
        """At most NUM_EXAMPLES recordings with their texts, whose lengths are unknown: held-out ones if there are any."""
        num = min(NUM_EXAMPLES, self.num_heldout or self.num_rows)
        batch = (self.heldout_batch if self.num_heldout else self.batch)(torch.arange(num))
        assert batch.condition is not None
        return Batch(batch.data, texts.of_unknown_length(batch.condition))


SOURCES_OF: Mapping[str, type[AudioSource]] = {"class": AudioSource, "mel": MelSource}


def examples(source: AudioSource) -> Batch | None:
    """Rows whose conditions previews and samples are made under; None for classes."""
    return source.examples() if isinstance(source, MelSource | SpeechSource) else None


def describe(info: DatasetInfo) -> str:
    """A few words for one line: "2,000 clips of 1.02 s in 8 classes"."""
    classes = f" in {info.num_classes} classes" if info.num_classes else ""
    seconds = info.sample.axes["samples"] / info.payload["rate"]
    if info.payload.get("condition") == "text":
        return f"{info.num_rows:,} recordings of speech of up to {seconds:.2f} s, with texts"
    return f"{info.num_rows:,} clips of {seconds:.2f} s{classes}"


def read_like(info: DatasetInfo) -> dict[str, Any]:
    """Options of `data` that give clips of the same shape and rate."""
    rate = info.payload["rate"]
    return {"rate": rate, "seconds": info.sample.axes["samples"] / rate, "channels": info.sample.axes["channels"]}


def smaller(info: DatasetInfo) -> tuple[str, str] | None:
    """The setting that halves the samples of a clip, and what it saves."""
    half = info.payload["rate"] // 2
    return (f"data.rate={half}", "half the samples a clip") if half >= LEAST_RATE else None


def open_source(data: Component, allow_download: bool) -> AudioSource:
    """The source of a recipe's data part: a named one, or a path."""
    named: Mapping[str, Callable[..., AudioSource]] = {
        "tones": _tones,
        "beeps": _beeps,
        "spoken-digits": _spoken_digits,
    }
    source: AudioSource = domain.make("data", {data.kind: named.get(data.kind, _at_path)}, data, data.kind)
    return source


def _tones(
    name: str, *, num: int = 0, rate: int = builtin_sources.RATE, seconds: float = 0.0, channels: int = 1,
    normalise: Normalise = "peak", labelled: bool = True, seed: int = 0, condition: Wanted = "",
) -> AudioSource:  # fmt: skip
    """The embedded sounds. num: of training clips, 0 for NUM_TRAIN. seconds: of a clip, 0 for SECONDS."""
    _check(rate, channels)
    if num < 0 or num == 1 or rate > builtin_sources.MOST_RATE or not rate:
        raise ValueError(
            f"num must be at least 2, or 0 for {builtin_sources.NUM_TRAIN:,}; rate at most {builtin_sources.MOST_RATE:,} Hz; "
            f"got {num} and {rate}"
        )
    samples, _, _ = clip_length([0], rate, seconds or builtin_sources.SECONDS)
    tones = builtin_sources.load(num, rate, samples, seed)
    levels = np.empty(len(tones.waves))
    for row, wave in enumerate(tones.waves):
        tones.waves[row], levels[row] = normalised(wave, normalise)
    names = builtin_sources.SOURCES[name].class_names if labelled else ()
    facts = name, builtin_sources.VERSION, num, rate, samples, channels, normalise, labelled, seed
    return _source(Clips(
        name, np.repeat(tones.waves, channels, 1), tones.labels if labelled else None, names, tones.heldout, rate, ".wav",
        "PCM_16", float(np.median(levels)), (), hashlib.sha256(repr(facts).encode()).hexdigest(),
    ), normalise, condition)  # fmt: skip


def _beeps(
    name: str, *, num: int = 0, rate: int = builtin_sources.BEEPS_RATE, channels: int = 1, normalise: Normalise = "peak",
    heldout: float = 0.1, seed: int = 0, condition: Wanted = "",
) -> AudioSource:  # fmt: skip
    """The embedded texts in a code. num: of all, 0 for NUM_BEEPS; a share `heldout` of them is never trained on."""
    _check(rate, channels)
    kit.refuse_share(heldout)
    if num < 0 or num == 1 or rate > builtin_sources.MOST_RATE or not rate:
        raise ValueError(
            f"num must be at least 2, or 0; rate at most {builtin_sources.MOST_RATE:,} Hz; got {num} and {rate}"
        )
    lines = builtin_sources.beep_texts(num or builtin_sources.NUM_BEEPS, seed)
    parts, levels = [], []
    for place, line in enumerate(lines):
        wave = builtin_sources.beeps(line, rate, np.random.default_rng([seed, 2, place]))
        wave, level = normalised(wave[None], normalise)
        parts.append(np.repeat(wave, channels, 0))
        levels.append(level)
    lengths = tuple(part.shape[1] for part in parts)
    clips = np.zeros((len(parts), channels, -(-max(lengths) // STEP) * STEP), dtype=np.float32)
    for row, part in enumerate(parts):
        clips[row, :, : part.shape[1]] = part
    held = min(round(heldout * len(parts)), len(parts) - 1)
    facts = name, builtin_sources.VERSION, num, rate, channels, normalise, heldout, seed
    spoken = condition in ("", "text")
    return _source(Clips(
        name, clips, None, (), held, rate, ".wav", "PCM_16", float(np.median(levels)), (),
        hashlib.sha256(repr(facts).encode()).hexdigest(), tuple(lines) if spoken else (), lengths,
    ), normalise, condition)  # fmt: skip


def _spoken_digits(
    name: str, *, rate: int = 0, seconds: float = 0.0, channels: int = 0, normalise: Normalise = "peak",
    label: str = "digit", labelled: bool = True, seed: int = 0, condition: Wanted = "",
) -> AudioSource:  # fmt: skip
    """The Free Spoken Digit Dataset with its own split. label: "digit", "speaker" or "digit,speaker"."""
    info = builtin_sources.SOURCES[name]
    places = [folder / info.details["file"] for folder in info.searched_folders()]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        looked = "\n".join(f"  {path}" for path in places)
        raise UserError(
            f"the file of {name!r} was not found. Looked for:\n{looked}\nPut it there, or name another folder with ZEROSUM_DATA."
        )
    return replace(
        _at_path(
            str(found), rate=rate, seconds=seconds, channels=channels, normalise=normalise, label=label, labelled=labelled,
            pattern=info.details["pattern"], test=info.details["test"], seed=seed, condition=condition,
        ),
        name=name,
    )  # fmt: skip


def _at_path(
    where: str, *, rate: int = 0, channels: int = 0, seconds: float = 0.0, normalise: Normalise = "peak", pattern: str = "",
    label: str = "", labelled: bool = True, heldout: float = 0.1, test: str = "", seed: int = 0,
    condition: Wanted = "",
) -> AudioSource:  # fmt: skip
    """The recordings at a path, see loading.ReadOptions and files.arrange."""
    kit.refuse_share(heldout)
    _check(rate, channels)
    path = expand_path(where)
    if not os.path.exists(path):
        raise UserError(
            f"{where!r}: no named source of sounds and no such path. {nearest(where, builtin_sources.SOURCES)}"
        )
    options = ReadOptions(
        rate, channels, seconds, normalise, PatternOptions(pattern, label, labelled, test), heldout, seed, condition
    )
    try:
        return _source(loading.load(path, options), normalise, condition)
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror or error}).") from None


def _check(rate: int, channels: int) -> None:
    if rate and not LEAST_RATE <= rate <= MOST_RATE:
        raise ValueError(f"rate must lie in {LEAST_RATE:,}..{MOST_RATE:,} Hz, or be 0; got {rate}")
    if not 0 <= channels <= MOST_CHANNELS:
        raise ValueError(f"channels must lie in 1..{MOST_CHANNELS}, or be 0; got {channels}")


def _source(clips: Clips, normalise: Normalise, condition: Wanted) -> AudioSource:
    """UserError for texts that there are not."""
    if clips.texts:
        return _speech(clips, normalise)
    if condition == "text":
        raise UserError(f"data.condition=text: {clips.name!r} has no texts.")
    train = len(clips.waves) - clips.heldout
    waves, labels = torch.from_numpy(clips.waves), None if clips.labels is None else torch.from_numpy(clips.labels)
    if condition != "mel":
        described: Any = None if labels is None else kit.class_condition(labels[:train], clips.class_names)
    else:
        labels, shape = None, MelSpectrogram.of(clips.rate).shape(*waves.shape[1:])
        described = OtherCondition("a mel spectrogram", shape, examples=True)
    note = (kit.heldout_note(clips.heldout, "clips"),) if clips.heldout else ()
    return SOURCES_OF[condition or "class"](
        clips.name, waves[:train], waves[train:],
        None if labels is None else labels[:train], None if labels is None else labels[train:],
        described,
        (*clips.notes, *note),
        digest=clips.digest, class_names=clips.class_names, rate=clips.rate, ending=clips.ending, subtype=clips.subtype,
        normalise=normalise, level=clips.level,
    )  # fmt: skip


def _speech(clips: Clips, normalise: Normalise) -> SpeechSource:
    """The source of recordings with texts."""
    train, alphabet = len(clips.waves) - clips.heldout, texts.alphabet_of(clips.texts)
    data, rows = torch.from_numpy(clips.waves), texts.encoded(clips.texts, clips.lengths, alphabet)
    condition = OtherCondition("a text", tuple(rows.shape[1:]), examples=True)
    note = (kit.heldout_note(clips.heldout, "recordings"),) if clips.heldout else ()
    return SpeechSource(
        clips.name, data[:train], data[train:], rows[:train], rows[train:], condition, (*clips.notes, *note),
        digest=clips.digest, rate=clips.rate, ending=clips.ending, subtype=clips.subtype, normalise=normalise,
        level=clips.level, alphabet=alphabet,
    )  # fmt: skip


def can_open(where: str) -> bool:
    """Whether `where` names a source of sounds, or a path that holds recordings. Reads only names; never raises."""
    return where in builtin_sources.SOURCES or files.can_open(where)


def sources() -> Mapping[str, SourceInfo]:
    """The named sources."""
    return builtin_sources.SOURCES
