"""Recordings of any length through a vocoder, block by block: `zerosum sample RUN --input speech.wav`.

Legend: C channels, T samples, K frames, H samples of a hop, W samples of a window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum.data.opening import FileNotes, decoding, distinct_names, input_files
from zerosum.data.progress import WorkProgress
from zerosum.domain import DatasetInfo, GeneratorHandle, SampleOption, SampleRequest, SampleResult
from zerosum.domains.audio import formats, loading, waves, writing
from zerosum.domains.audio.formats import Wave, ending_of
from zerosum.domains.audio.vocoder import Vocoder
from zerosum.domains.audio.waves import Normalise
from zerosum.errors import UserError
from zerosum.store import writing as written_at_once

INPUT = SampleOption("input", "paths", "a recording or folder to make again from its mel spectrogram; may be repeated.")
BLOCK = 2_048
"""Frames that are computed at once, beside their halo."""
READ = 65_536
"""Samples of each channel that are read at once."""


class VocoderStream:
    """The output of a vocoder for waves that arrive in pieces of any size: (C, T) in, as many samples out.

    The output is computed in blocks of BLOCK frames at fixed places, each with the frames on both sides that it depends on, so
    that the size of the pieces changes no bit. Waves are mirrored beyond their ends only.
    """

    def __init__(self, network: Vocoder, channels: int, device: torch.device = torch.device("cpu")) -> None:
        self.network, self.device = network, device
        self.spectrogram = network.mel.spectrogram
        self.halo = network.halo
        self._kept = torch.zeros(channels, 0)
        self._first = self._received = self._done = 0  # of _kept, samples; samples so far; frames that were put out

    def feed(self, piece: Tensor) -> Iterator[Tensor]:
        """(C, n) further samples -> the pieces of the output that are now known."""
        self._kept = torch.cat([self._kept, piece.float()], 1)
        self._received += piece.shape[1]
        hop, window = self.spectrogram.hop, self.spectrogram.window
        while (self._done + BLOCK + self.halo) * hop + window <= self._received:
            yield self._block(self._done + BLOCK, None)

    def finish(self) -> Iterator[Tensor]:
        """The rest of the output: there are no further samples."""
        frames = self.spectrogram.num_frames(self._received)
        while self._done < frames:
            yield self._block(min(self._done + BLOCK, frames), self._received)

    @torch.no_grad()
    def _block(self, stop: int, total: int | None) -> Tensor:
        """The samples of the frames from the last block to `stop`. total: the number of all samples, once it is known."""
        hop = self.spectrogram.hop
        first, last = max(0, self._done - self.halo), self._done + BLOCK + self.halo
        if total is not None:
            last = min(last, self.spectrogram.num_frames(total))
        scaled = self.network.mel.scaled_frames(self._samples(first, last, total)[None].to(self.device))
        made = self.network.waves(scaled, first)[0].float().cpu()
        end = stop * hop if total is None else min(stop * hop, total)
        found = made[:, (self._done - first) * hop : end - first * hop]
        self._done = stop
        self._forget()
        return found

    def _samples(self, first: int, last: int, total: int | None) -> Tensor:
        """(C, (last - first - 1) H + W): the samples that the frames first..last-1 are computed of, as `Spectrogram.spectra`
        continues waves beyond their ends."""
        hop, window = self.spectrogram.hop, self.spectrogram.window
        begin = first * hop - (window - hop) // 2
        places = torch.arange(begin, begin + (last - first - 1) * hop + window)
        end = self._received if total is None else total
        mirrored = torch.where(places >= end, 2 * (end - 1) - places, places.abs())
        known = (mirrored >= self._first) & (mirrored < end)
        inside = (mirrored - self._first).clamp(0, self._kept.shape[1] - 1)
        return self._kept[:, inside] * known

    def _forget(self) -> None:
        """Drops the samples that no further block depends on."""
        hop, window = self.spectrogram.hop, self.spectrogram.window
        # A window more than the next block begins with: the end of the waves may be mirrored.
        before = max(self._first, (self._done - self.halo) * hop - window)
        self._kept, self._first = self._kept[:, before - self._first :], before


# --- files


@dataclass(frozen=True)
class _Resynthesis:
    """What makes recordings again. payload: the values of data.AudioPayload. subtype: the requested sample format, or ""."""

    network: Vocoder
    device: torch.device
    rate: int
    normalise: Normalise
    subtype: str

    def write(self, source: Path, target: Path, notes: FileNotes) -> None:
        """Reads one recording and writes it again; UserError names the file."""
        soundfile = formats.require("soundfile", f"Reading {source}")
        ending, kind = ending_of(target.name), ending_of(source.name)
        if kind in formats.UNREAD and kind[1:].upper() not in soundfile.available_formats():
            raise UserError(f"{source}: {kind} files are not read. {formats.CONVERT}.")
        with decoding(str(source), "a recording"), soundfile.SoundFile(str(source)) as opened:
            subtype = formats.choose_subtype(ending, self.subtype, opened.subtype)
            formats.refuse_unwritable(ending, opened.channels)
            rate = formats.writable_rate(subtype, self.rate)
            scale = self._scale(opened, source, notes)
            if opened.samplerate < loading.MIN_RATE:
                raise UserError(f"{source}: has fewer than {loading.MIN_RATE:,} samples a second.")
            if opened.samplerate != self.rate:
                notes.add(
                    f"have another rate and are written with that of the training data, {self.rate:,} Hz", source.name
                )
            if rate != self.rate:
                notes.add(f"are {formats.rate_note(subtype, self.rate)}", target.name)
            with (
                written_at_once(target) as aside,
                soundfile.SoundFile(
                    str(aside), "w", rate, opened.channels, subtype, format=formats.FORMATS.get(ending, "WAV")
                ) as out,
            ):
                progress = WorkProgress(source.name, opened.frames / opened.samplerate, "seconds of sound")
                done = 0.0
                for piece in resampled(self.remade(opened, scale), self.rate, rate, opened.channels):
                    out.write(formats.frames_of(piece / np.float32(scale), subtype, opened.subtype))
                    progress.tick(done := done + piece.shape[1] / rate)

    def remade(self, opened: Any, scale: float) -> Iterator[Wave]:
        """(C, n) pieces of the output for a file of soundfile, as loud as the network makes them. scale: of the input."""
        opened.seek(0)
        stream = VocoderStream(self.network, opened.channels, self.device)
        for piece in resampled(_pieces(opened), opened.samplerate, self.rate, opened.channels):
            scaled = torch.from_numpy(piece) * scale
            yield from (
                made.numpy() for made in stream.feed(scaled.clamp(-1, 1) if self.normalise == "none" else scaled)
            )
        yield from (made.numpy() for made in stream.finish())

    def _scale(self, opened: Any, source: Path, notes: FileNotes) -> float:
        """What a recording is multiplied by, as in training; UserError for one without samples."""
        peak, power, num, finite = 0.0, 0.0, 0, True
        for read in _read(opened):
            piece = _made_finite(read)
            finite = finite and bool(np.isfinite(read).all())
            peak = max(peak, waves.peak_of(piece))
            power, num = power + float(np.square(piece, dtype=np.float64).sum()), num + piece.size
        if not num:
            raise UserError(f"{source}: has no samples.")
        if not finite:
            notes.add("have values that are NaN or infinite; they are replaced by 0", source.name)
        if peak < waves.SILENT:
            notes.add("are silent", source.name)
        peak = max(peak, waves.SILENT)
        if self.normalise == "rms":
            return min(waves.RMS_TARGET / max(math.sqrt(power / num), waves.SILENT), 1 / peak)
        return 1 / peak if self.normalise == "peak" else 1.0


def _pieces(opened: Any) -> Iterator[Wave]:
    """(C, n) float32 pieces of a file of soundfile from where it is; what is not finite becomes 0."""
    return map(_made_finite, _read(opened))


def _read(opened: Any) -> Iterator[Wave]:
    while len(part := opened.read(READ, dtype="float32", always_2d=True)):
        yield np.ascontiguousarray(part.T)


def _made_finite(piece: Wave) -> Wave:
    found: Wave = np.nan_to_num(piece, nan=0.0, posinf=0.0, neginf=0.0)
    return found


def resampled(pieces: Iterator[Wave], rate: int, wanted: int, channels: int) -> Iterator[Wave]:
    """(C, n) pieces of waves at another rate, by soxr."""
    if rate == wanted:
        yield from pieces
        return
    soxr = formats.require("soxr", f"Changing the rate of recordings from {rate:,} to {wanted:,} Hz")
    stream = soxr.ResampleStream(rate, wanted, channels, dtype="float32")
    for piece in pieces:
        yield np.ascontiguousarray(stream.resample_chunk(piece.T).reshape(-1, channels).T)
    yield np.ascontiguousarray(
        stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).reshape(-1, channels).T
    )


def sample(generator: GeneratorHandle, info: DatasetInfo, request: SampleRequest) -> SampleResult | None:
    """`zerosum sample` of a vocoder: the recordings of --input made again; None without, for samples of the stored examples."""
    inputs = tuple(INPUT.value(request) or ())
    if not inputs:
        return None
    if request.num is not None:
        raise UserError("--num applies to the stored examples; each --input gives one recording.")
    network: Any = generator.network
    making = _Resynthesis(
        network, generator.device, info.payload["rate"], info.payload["normalise"], writing.SUBTYPE.value(request) or ""
    )
    notes, paths = FileNotes(), list[Path]()
    left_out = list[str]()
    jobs = _targets(inputs, request.out)
    for _, target in jobs:
        if target.resolve() in {one.resolve() for one, _ in jobs}:
            raise UserError(f"{target} is one of the inputs and would be overwritten. Choose another --out.")
    for source, target in jobs:
        try:
            making.write(source, target, notes)
        except UserError as error:
            if source in inputs:
                raise
            left_out.append(f"Left out: {'' if source.name in str(error) else f'{source.name}: '}{error}")
            continue
        paths.append(target)
    if not paths:
        raise UserError("\n".join([*left_out, "None of the recordings could be made again."]))
    return SampleResult(paths, len(paths), (*notes.notes(), *left_out))


def _targets(inputs: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """(recording, file to write) for each file of --input, with all recordings of its folders."""
    files = input_files(inputs, lambda path: ending_of(path.name) in formats.SUBTYPES, "recordings", formats.ENDINGS)
    if len(files) == 1 and files[0] in inputs and out.suffix:
        if ending_of(out.name) not in formats.SUBTYPES:
            raise UserError(f"--out {out}: cannot write {out.suffix}. Use {', '.join(formats.SUBTYPES)}, or a folder.")
        return [(files[0], out)]
    if out.suffix:
        raise UserError(f"--out {out}: {len(files)} recordings are written to a folder; give one without an ending.")
    endings = [ending_of(file.name) if ending_of(file.name) in formats.SUBTYPES else ".wav" for file in files]
    names = distinct_names([file.stem for file in files], endings)
    return [(file, out / name) for file, name in zip(files, names, strict=True)]
