"""The training set of recordings: those that can be used, brought to one rate, loudness and length, and cut into clips.

Legend: N clips, C channels, T samples of a clip. A recording is one file; a clip is one row of the training set.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zerosum.data.images.listing import Arrangement, Member
from zerosum.data.opening import FileNotes, decoding, format_size, short_reason
from zerosum.domains.audio import files, formats, texts, waves
from zerosum.domains.audio.files import METADATA, Found, PatternOptions
from zerosum.domains.audio.formats import MissingExtraError, Recording, Wave, ending_of
from zerosum.domains.audio.texts import Transcript
from zerosum.domains.audio.waves import Normalise
from zerosum.errors import UserError

MAX_SAMPLES = 2**28
"""Samples that are kept of all recordings together: 1 GiB as float32, 4.6 hours at 16 kHz."""
MAX_CLIP_SAMPLES = 2**29
"""Samples of all clips together, which overlap: 2 GiB."""
SILENT_CLIP = 1e-3
"""A clip whose peak is below this share of that of its recording is silent."""
FEW_CLIPS = 50
MIN_RATE = 1_000
MAX_SPOKEN_SECONDS = 12.0
"""A longer recording with a text is left out by default."""
LEAST_SECONDS = 0.012
"""Of a recording for each character of its text: about a hop of the mel spectrogram."""
ConditionKind = Literal["", "class", "mel", "text"]
"""What the generator is conditioned on; "": chosen by the data."""
SECTIONS = 20
"""A single recording is cut into so many sections at most."""


@dataclass(frozen=True)
class ReadOptions:
    """rate, channels, seconds: 0 for what the recordings suggest. heldout: the share of recordings, where neither
    folders nor `names` state which. condition: see `load`."""

    rate: int = 0
    channels: int = 0
    seconds: float = 0.0
    normalise: Normalise = "peak"
    names: PatternOptions = field(default_factory=PatternOptions)
    heldout: float = 0.1
    seed: int = 0
    condition: ConditionKind = ""


@dataclass(frozen=True, eq=False)
class Clips:
    """waves: (N, C, T) float32, training clips first; heldout: the number of the last ones, which are never trained on.

    labels: (N,) int64, or None. texts: of each clip, and lengths: its samples without the zeros at its end; () without texts.
    rate, ending, subtype, level: see data.AudioPayload. digest: SHA-256 of what they were made of.
    """

    name: str
    waves: Wave
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    heldout: int
    rate: int
    ending: str
    subtype: str
    level: float
    notes: tuple[str, ...]
    digest: str
    texts: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()


# --- recordings


@dataclass
class _Read:
    """A recording and what is known of it. group: equal for recordings of equal contents. label: -1 without. held: whether it
    belongs to the held-out part that the folder states."""

    name: str
    wave: Wave
    rate: int
    ending: str
    subtype: str
    group: str
    label: int
    held: bool
    level: float = 1.0
    text: str = ""
    audio: str = ""


def load(path: Path, options: ReadOptions) -> Clips:
    """The clips of all recordings at a path. UserError names the file and what is wrong with it.

    With the condition "text", and by default where there are texts in the layout of LJSpeech, whole recordings with their texts.
    """
    remarks, path = FileNotes(), files.packed_at(path)
    with files.recordings_at(path) as found:
        transcript = _transcript(found, path, options)
        if options.condition == "text" or (not options.condition and transcript is not None):
            return _load_spoken(found, transcript, path, options)
        if found.metadata is not None and transcript is None:
            remarks.add("in which no line is `id|text` are not used", METADATA)
        plan, unfitting = files.arrange([member.name for member in found.members], path, options.names)
        for i in unfitting:
            remarks.add("do not fit data.pattern and are left out", found.members[i].name)
        recordings = _read_all(found, plan, options, remarks)
    notes = [*plan.notes, *found.others, *remarks.notes()]
    if not recordings:
        raise UserError(f"{path}: none of the {len(found.members)} recordings can be used. {' '.join(notes)}")
    if not plan.class_names and options.names == PatternOptions():
        notes += files.suggestions([one.name for one in recordings])
    ending, subtype = Counter((one.ending, one.subtype) for one in recordings).most_common(1)[0][0]
    notes += _unify(recordings, options)
    level = _normalise(recordings, options.normalise)
    rate = recordings[0].rate
    lengths = [one.wave.shape[1] for one in recordings]
    samples, several, why = waves.clip_length(lengths, rate, options.seconds)
    notes.append(why)
    if len(recordings) == 1:
        recordings, why = _sections(recordings[0], samples)
        notes.append(why)
    held = _split(recordings, options, bool(plan.heldout), notes)
    clips, rows, more = _cut(recordings, held, samples, several, options.seed)
    notes += more
    num_held = sum(held[i] for i in rows)
    if len(clips) < 2 or num_held == len(clips):
        raise UserError(
            f"{path}: {len(clips)} clip(s) of {samples / rate:.2f} s, {num_held} held out; a training set needs at least 2. "
            f"{' '.join(notes)}"
        )
    labels = np.array([recordings[i].label for i in rows], dtype=np.int64) if plan.class_names else None
    facts = [(one.name, one.group, one.label) for one in recordings], options, samples, clips.shape
    return Clips(
        found.name, clips, labels, plan.class_names, num_held, rate, ending, subtype, level, tuple(notes),
        hashlib.sha256(repr(facts).encode()).hexdigest(),
    )  # fmt: skip


def _transcript(found: Found, path: Path, options: ReadOptions) -> Transcript | None:
    """The texts of the recordings: of the metadata.csv among them, else of one beside their folder or archive that names one of
    them."""
    if found.metadata is not None:
        return texts.read(found.metadata, METADATA)
    if options.condition not in ("", "text") or (content := files.metadata_beside(path)) is None:
        return None
    transcript = texts.read(content, METADATA)
    if transcript is None or not _matched(found, transcript):
        return None
    note = (
        f"The texts are those of the {METADATA} beside {path.resolve().name}; --set data.condition=class ignores them."
    )
    return replace(transcript, notes=(note, *transcript.notes))


def _load_spoken(found: Found, transcript: Transcript | None, path: Path, options: ReadOptions) -> Clips:
    """Whole recordings that have a text, continued with zeros. Recordings of equal texts stay on one side of the split."""
    if transcript is None:
        raise UserError(
            f"{path}: data.condition=text needs texts: a file {METADATA} with lines such as `id|text`, beside `wavs/id.wav`."
        )
    remarks, notes = FileNotes(), [*transcript.notes, *found.others]
    if not 0 <= options.seconds < math.inf:
        raise ValueError(f"seconds must lie in [0, inf), 0 for {MAX_SPOKEN_SECONDS:g}, got {options.seconds:g}")
    recordings = _spoken(found, transcript, options, remarks, notes)
    notes += remarks.notes()
    if len(recordings) < 2:
        raise UserError(f"{path}: {len(recordings)} recording(s) with a text; at least 2 are needed. {' '.join(notes)}")
    ending, subtype = Counter((one.ending, one.subtype) for one in recordings).most_common(1)[0][0]
    notes += _unify(recordings, options)
    level = _normalise(recordings, options.normalise)
    channels, rate = len(recordings[0].wave), recordings[0].rate
    samples = -(-max(one.wave.shape[1] for one in recordings) // waves.STEP) * waves.STEP
    most = max(2, MAX_CLIP_SAMPLES // (samples * channels))
    if (num := len(recordings)) > most:
        notes.append(f"{most:,} of {num:,} recordings are used: they fit into {format_size(4 * MAX_CLIP_SAMPLES)}.")
        chosen = np.random.default_rng(options.seed).permutation(num)[:most]
        recordings = [recordings[i] for i in np.sort(chosen)]
    held = _split(recordings, options, False, notes)
    order = sorted(range(len(recordings)), key=lambda i: held[i])
    clips = np.zeros((len(recordings), channels, samples), dtype=np.float32)
    for row, i in enumerate(order):
        clips[row, :, : recordings[i].wave.shape[1]] = recordings[i].wave
    lengths = tuple(recordings[i].wave.shape[1] for i in order)
    notes.append(
        f"Recordings with texts: {len(clips):,} of {min(lengths) / rate:.2f} to {max(lengths) / rate:.2f} s, "
        f"{sum(lengths) / rate / 60:.1f} minutes; they take {format_size(clips.nbytes)} of memory."
    )
    facts = [(one.name, one.audio, one.text) for one in recordings], options, samples, clips.shape
    return Clips(
        found.name, clips, None, (), sum(held), rate, ending, subtype, level, tuple(notes),
        hashlib.sha256(repr(facts).encode()).hexdigest(), tuple(recordings[i].text for i in order), lengths,
    )  # fmt: skip


def _spoken(
    found: Found, transcript: Transcript, options: ReadOptions, remarks: FileNotes, notes: list[str]
) -> list[_Read]:
    """The recordings that have a text and can be used, with their texts as groups; what is odd about the others is remarked."""
    spoken = _matched(found, transcript)
    for position, member in enumerate(found.members):
        if position not in spoken:
            remarks.add(f"have no text in {METADATA} and are left out", member.name)
    names = {found.members[position].name: text for position, text in spoken.items()}
    there = {texts.identifier(name) for name in names}
    if missing := [name for name in transcript.texts if name not in there]:
        notes.append(f"{len(missing):,} text(s) have no recording (the first: {missing[0]}).")
    plan = Arrangement(tuple(sorted(spoken)), (), {}, (), ())
    longest, kept = options.seconds or MAX_SPOKEN_SECONDS, list[_Read]()
    for one in _read_all(found, plan, options, remarks) if spoken else []:
        one.text, one.audio, seconds = names[one.name], one.group, one.wave.shape[1] / one.rate
        one.group = hashlib.sha256(one.text.encode()).hexdigest()
        if seconds > longest:
            remarks.add(f"are longer than {longest:g} s and are left out; data.seconds sets another length", one.name)
        elif len(one.text) * LEAST_SECONDS > seconds:
            remarks.add("have a text that nobody can speak in so short a time and are left out", one.name)
        else:
            kept.append(one)
    return kept


def _matched(found: Found, transcript: Transcript) -> dict[int, str]:
    """Position of a recording -> its text. Of several recordings with one id that in a folder `wavs` is taken, else the first
    one."""
    places = dict[str, int]()
    for position, member in enumerate(found.members):
        name = texts.identifier(member.name)
        if name in transcript.texts and (name not in places or member.name.startswith("wavs/")):
            places[name] = position
    return {position: transcript.texts[name] for name, position in places.items()}


def _read_all(found: Found, plan: Arrangement, options: ReadOptions, remarks: FileNotes) -> list[_Read]:
    """The recordings that can be used, in the order of their paths; some of them where all would need too much memory."""
    heldout, wanted = set(plan.heldout), sorted((*plan.train, *plan.heldout))
    order = np.random.default_rng(options.seed).permutation(len(wanted)) if len(wanted) > 1 else [0]
    read, room = dict[int, _Read](), MAX_SAMPLES
    for place in order:
        i = wanted[place]
        member = found.members[i]
        if room <= 0:
            remarks.add(
                f"are not read: the recordings would need more than {format_size(4 * MAX_SAMPLES)} of memory. Set data.rate to a "
                "lower one, or give fewer files",
                member.name,
            )
            continue
        recording = decoded(member, room, remarks)
        if recording is None:
            continue
        wave, rate = recording.wave, recording.rate
        if options.channels:
            wave = waves.with_channels(wave, options.channels)
        if options.rate:
            wave, rate = waves.resampled(wave, rate, options.rate), options.rate
        room -= wave.size
        group = hashlib.sha256(recording.wave.tobytes()).hexdigest()
        read[i] = _Read(
            member.name,
            wave,
            rate,
            ending_of(member.name),
            recording.subtype,
            group,
            plan.classes.get(i, -1),
            i in heldout,
        )
    return [read[i] for i in sorted(read)]


def decoded(member: Member, room: int, remarks: FileNotes) -> Recording | None:
    """A recording without what is odd about it; None where it is left out. Both are remarked."""
    if not member.num_bytes:
        remarks.add("are empty and are left out", member.name)
        return None
    try:
        with decoding(member.name, "a file that can be read"), member.open() as file:
            recording = formats.decode(file, member.name, room)
    except UserError as error:
        if isinstance(error, MissingExtraError) and ending_of(member.name) != ".wav":
            raise
        reason = short_reason(error.__cause__ or error).removeprefix(f"{member.name}: ")
        remarks.add("cannot be read and are left out", f"{member.name}: {reason}")
        return None
    if recording.cut:
        remarks.add("are cut off; what is there is used", member.name)
    if recording.more:
        remarks.add("are longer than the memory allows; their beginning is used", member.name)
    if recording.rate < MIN_RATE:
        remarks.add(f"have fewer than {MIN_RATE:,} samples a second and are left out", member.name)
        return None
    wave = waves.usable(recording.wave, recording.rate, member.name, remarks)
    return None if wave is None else replace(recording, wave=wave)


def _unify(recordings: list[_Read], options: ReadOptions) -> list[str]:
    """Brings all recordings to the commonest rate and number of channels, or to those that were asked for. Notes."""
    rates, counts = Counter(one.rate for one in recordings), Counter(len(one.wave) for one in recordings)
    rate = options.rate or rates.most_common(1)[0][0]
    channels = options.channels or counts.most_common(1)[0][0]
    notes = []
    if len(rates) > 1:
        found = _counted(rates, " Hz")
        notes.append(f"Different rates: {found}. All are resampled to {rate:,} Hz; data.rate sets another rate.")
    if len(counts) > 1:
        found = _counted(counts, "")
        notes.append(f"Different channels: {found}. All are brought to {channels}; data.channels sets another number.")
    for one in recordings:
        one.wave = waves.resampled(waves.with_channels(one.wave, channels), one.rate, rate)
        one.rate = rate
    return notes


def _counted(numbers: Counter[int], unit: str) -> str:
    return ", ".join(f"{value:,}{unit} ({num:,} files)" for value, num in numbers.most_common(6))


def _normalise(recordings: list[_Read], how: Normalise) -> float:
    """Scales all recordings; the median of their levels before."""
    for one in recordings:
        one.wave, one.level = waves.normalised(one.wave, how)
    return float(np.median([one.level for one in recordings]))


# --- clips


def _sections(one: _Read, samples: int) -> tuple[list[_Read], str]:
    """A single recording as up to SECTIONS parts of at least two clips' length, which stand for recordings."""
    num = max(1, min(SECTIONS, one.wave.shape[1] // (2 * samples)))
    parts = np.array_split(one.wave, num, 1)
    note = f"There is one recording; it is cut into {num} section(s), and clips do not cross from one to the next."
    return [replace(one, wave=part, group=f"{one.group}-{i}") for i, part in enumerate(parts)], note


def _split(recordings: Sequence[_Read], options: ReadOptions, stated: bool, notes: list[str]) -> list[bool]:
    """Whether each recording is held out: as folders or names state, else a share drawn by the seed; equal ones alike."""
    if stated:
        held = {one.group for one in recordings if one.held}
        if num := sum(one.group in held and not one.held for one in recordings):
            notes.append(f"{num:,} training recording(s) equal held-out ones and are held out too.")
        return [one.group in held for one in recordings]
    groups = sorted({one.group for one in recordings})
    num = min(round(options.heldout * len(groups)), len(groups) - 1)
    order = np.random.default_rng([options.seed, len(groups)]).permutation(len(groups))
    held = {groups[i] for i in order[:num]}
    return [one.group in held for one in recordings]


def _cut(
    recordings: Sequence[_Read], held: Sequence[bool], samples: int, several: bool, seed: int
) -> tuple[Wave, list[int], list[str]]:
    """(clips (N, C, T), training clips first; the recording of each; notes). several: see `waves.clip_length`."""
    places, silent, notes = list[tuple[int, int]](), 0, list[str]()
    for i, one in enumerate(recordings):
        least = SILENT_CLIP * waves.peak_of(one.wave)
        for start in waves.starts_of(one.wave, samples, several):
            if waves.peak_of(one.wave[:, start : start + samples]) < least:
                silent += 1
            else:
                places.append((i, start))
    clips_of = Counter(i for i, _ in places)
    if cut := [num for num in clips_of.values() if num > 1]:
        notes.append(f"{len(cut):,} longer recording(s) are cut into {sum(cut):,} clips that overlap by half.")
    if one_of := sum(num == 1 and recordings[i].wave.shape[1] > samples for i, num in clips_of.items()):
        notes.append(f"{one_of:,} longer recording(s) give one clip each, their loudest part.")
    if silent:
        notes.append(f"{silent:,} silent clip(s) of longer recordings are left out.")
    most = max(2, MAX_CLIP_SAMPLES // (samples * len(recordings[0].wave)))
    if len(places) > most:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(places))[:most])
        notes.append(
            f"{most:,} of {len(places):,} clips are used, so that they fit into {format_size(4 * MAX_CLIP_SAMPLES)}."
        )
        places = [places[i] for i in chosen]
    short = sum(recordings[i].wave.shape[1] < samples for i in {i for i, _ in places})
    if short:
        notes.append(f"{short:,} shorter recording(s) are continued with noise like that of their quietest parts.")
    places.sort(key=lambda place: held[place[0]])
    clips = np.empty((len(places), len(recordings[0].wave), samples), dtype=np.float32)
    for row, (i, start) in enumerate(places):
        clips[row] = waves.padded(recordings[i].wave[:, start : start + samples], samples)
    notes.append(f"The {len(places):,} clips take {format_size(clips.nbytes)} of memory.")
    if len(places) < FEW_CLIPS:
        notes.append(f"{len(places)} clips are few: expect a generator that repeats them.")
    return clips, [i for i, _ in places], notes
