"""Samples as recordings, and recordings for the discriminator."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zerosum.data.images.listing import Member
from zerosum.data.opening import FileNotes, short_reason
from zerosum.domain import DatasetInfo, SampleOption, WriteOptions
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
WRITTEN = (*formats.SUBTYPES, ".aif", ZIPPED, "")
"""Endings of what `write_sounds` writes; "": a folder."""


def write_sounds(samples: Tensor, path: Path, info: DatasetInfo, options: WriteOptions = WriteOptions()) -> list[Path]:
    """Samples (N, C, T) as recordings with the rate, the loudness and (see SUBTYPE) the sample format of the training data.

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
    formats.refuse_unwritable(ending, subtype, rate, len(made[0]))
    contents = (formats.encode(wave, rate, ending, subtype, source) for wave in made)
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
    """That of the training data; .wav where such files cannot have the rate or the channels."""
    ending, subtype = str(info.payload["ending"]), info.payload["subtype"]
    rate, channels = info.payload["rate"], info.sample.axes["channels"]
    try:
        formats.refuse_unwritable(ending, formats.choose_subtype(ending, "", subtype), rate, channels)
    except UserError:
        return ".wav"
    return ending


def read_sounds(paths: Sequence[Path], info: DatasetInfo) -> Tensor:
    """(N, C, T) clips of recordings, like those of the training data: rate, channels, offset, loudness, length. A long recording
    gives several clips, see `waves.starts_of`. UserError names a file that cannot be used."""
    clips = list[Wave]()
    for path in paths:
        try:
            with recordings_at(path) as found:
                for member in found.members:
                    clips += _clips_of(member, path, info)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({short_reason(error)}).") from None
    return torch.from_numpy(np.stack(clips))


def _clips_of(member: Member, path: Path, info: DatasetInfo) -> list[Wave]:
    remarks, samples = FileNotes(), info.sample.axes["samples"]
    recording = loading.decoded(member, loading.MAX_SAMPLES, remarks)
    if recording is None:
        raise UserError(f"{path}: {remarks.notes()[0]}")
    wave = waves.with_channels(recording.wave, info.sample.axes["channels"])
    wave, _ = waves.normalised(waves.resampled(wave, recording.rate, info.payload["rate"]), info.payload["normalise"])
    return [waves.padded(wave[:, start : start + samples], samples) for start in waves.starts_of(wave, samples)]
