"""Samples as recordings, and recordings for the discriminator."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zerosum.data.images.listing import Member
from zerosum.data.opening import FileNotes, short_reason
from zerosum.domain import DatasetInfo, SampleOption, Windows, WriteOptions
from zerosum.domains.audio import formats, loading, waves
from zerosum.domains.audio.files import ZIPPED, recordings_at
from zerosum.domains.audio.formats import Wave, ending_of
from zerosum.errors import UserError
from zerosum.store import numbered_names

SUBTYPE = SampleOption(
    "subtype",
    "text",
    "sample format of the written recordings: PCM_16, PCM_24, FLOAT ...; by default that of the training data.",
    metavar="NAME",
    writing=True,
)
STEPS, MOST_STEPS, MOST_WINDOWS = 8, 2_000, 100_000
"""Windows that begin within the length of a clip; a recording that would have more than MOST_STEPS has fewer, but at least two;
and the most windows of a recording."""
WRITTEN = (*formats.SUBTYPES, ".aif", ZIPPED, "")
"""Endings of what `write_sounds` writes; "": a folder."""


def write_sounds(samples: Tensor, path: Path, info: DatasetInfo, options: WriteOptions = WriteOptions()) -> list[Path]:
    """Samples (N, C, T) as recordings with the rate, the loudness and (see SUBTYPE) the sample format of the training data. In
    formats that do not have the rate they are resampled to the next one that they have (`formats.writable_rate`), with a note.

    path: one file, or with several samples numbered ones beside it; a .zip or a folder of numbered files with the ending of the
    training data. UserError for an ending that is not written, and for settings that files with it cannot have.
    """
    made = samples.detach().cpu().float().numpy()
    return write_waves(list(made), path, info, options)


def write_waves(
    recordings: Sequence[Wave], path: Path, info: DatasetInfo, options: WriteOptions = WriteOptions()
) -> list[Path]:
    """Recordings (C, L), which may differ in length, otherwise as `write_sounds`."""
    kind = ending_of(path.name)
    if kind not in (*formats.SUBTYPES, ZIPPED, ""):
        raise UserError(f"--out {path}: cannot write {path.suffix}. Use {', '.join(WRITTEN[:-1])}, or a folder.")
    made = [waves.restored(recording, info.payload) for recording in recordings]
    rate, source = info.payload["rate"], info.payload["subtype"]
    ending = _default_ending(info) if kind in (ZIPPED, "") else kind
    subtype = formats.choose_subtype(ending, SUBTYPE.value(options) or "", source)
    formats.refuse_unwritable(ending, len(made[0]))
    written = formats.writable_rate(subtype, rate)
    if written != rate:
        options.notes.append(f"The recordings are {formats.rate_note(subtype, rate)}.")
    contents = (formats.encode(waves.resampled(wave, rate, written), written, ending, subtype, source) for wave in made)
    (path.parent if kind else path).mkdir(parents=True, exist_ok=True)
    if kind == ZIPPED:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in zip(numbered_names(len(made), ending, options.names), contents, strict=True):
                archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        return [path]
    targets = [path]
    if not kind:
        targets = [path / name for name in numbered_names(len(made), ending, options.names)]
    elif len(made) != 1:
        names = numbered_names(len(made), path.suffix, options.names, f"{path.stem}-")
        targets = [path.with_name(name) for name in names]
    for target, content in zip(targets, contents, strict=True):
        target.write_bytes(content)
    return targets


def _default_ending(info: DatasetInfo) -> str:
    """That of the training data; .wav where such files cannot have the channels."""
    ending, channels = str(info.payload["ending"]), info.sample.axes["channels"]
    return ending if channels <= formats.MOST_CHANNELS.get(ending, channels) else ".wav"


def read_sounds(paths: Sequence[Path], info: DatasetInfo) -> Tensor:
    """(N, C, T) clips of recordings, like those of the training data: rate, channels, offset, loudness, length. A long recording
    gives several clips, see `waves.starts_of`. UserError names a file that cannot be used."""
    clips, samples = list[Wave](), info.sample.axes["samples"]
    for path in paths:
        for _, wave in _recordings(path, info):
            starts = waves.starts_of(wave, samples)
            clips += [waves.padded(wave[:, start : start + samples], samples) for start in starts]
    return torch.from_numpy(np.stack(clips))


def windows_of(path: Path, info: DatasetInfo, seconds: float) -> Iterator[tuple[str, Windows]]:
    """The windows of each recording in a file, of the length of a clip: beginning every `seconds`, by default every eighth of a
    clip, and the last one at the end of the recording. UserError names a file that cannot be used."""
    samples, rate = info.sample.axes["samples"], info.payload["rate"]
    for name, wave in _recordings(path, info):
        wave = waves.padded(wave, samples) if wave.shape[1] < samples else wave
        last = wave.shape[1] - samples
        step = (
            max(1, round(seconds * rate))
            if seconds
            else max(1, samples // STEPS, min(samples // 2, last // MOST_STEPS))
        )
        if last // step > MOST_WINDOWS:
            raise UserError(
                f"--step {seconds:g}: {last // step:,} scores for {name}; give at least {1.06 * last / rate / MOST_WINDOWS:.2g}."
            )
        starts = [*range(0, last, step), last]
        yield name, Windows(torch.from_numpy(wave), samples, starts, rate)


def _recordings(path: Path, info: DatasetInfo) -> Iterator[tuple[str, Wave]]:
    """(name, wave) of each recording in a file, with the rate, the channels and the loudness of the training data."""
    try:
        with recordings_at(path) as found:
            for member in found.members:
                name = str(path) if len(found.members) == 1 else f"{path}/{member.name}"
                yield name, _prepared(member, path, info)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({short_reason(error)}).") from None


def _prepared(member: Member, path: Path, info: DatasetInfo) -> Wave:
    remarks = FileNotes()
    recording = loading.decoded(member, loading.MAX_SAMPLES, remarks)
    if recording is None:
        raise UserError(f"{path}: {remarks.notes()[-1]}")
    if recording.more:
        hours = loading.MAX_SAMPLES / len(recording.wave) / recording.rate / 3600
        raise UserError(f"{path}: is longer than {hours:.1f} hours; cut it into parts.")
    wave = waves.with_channels(recording.wave, info.sample.axes["channels"])
    return waves.normalised(waves.resampled(wave, recording.rate, info.payload["rate"]), info.payload["normalise"])[0]
