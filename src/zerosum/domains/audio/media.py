"""Shows sounds as pictures (waveform and mel spectrogram of each), plays some, writes them to files, and reads files."""

from __future__ import annotations

import itertools
import math
import wave
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import interpolate, pad

from zerosum.data.images.pictures import grid_metadata
from zerosum.domain import ClassCondition, DatasetInfo, PreviewContext, ScoredFile, WriteOptions
from zerosum.domain.glyphs import Glyphs, glyphs_for
from zerosum.domains.audio import texts, writing
from zerosum.domains.audio.measures import log_mel_statistics
from zerosum.domains.audio.signal import Spectrogram, mel_filters
from zerosum.store import class_file_names

NUM_SHOWN, MOST_COLUMNS = 30, 10
"""Samples of a preview: three rows of MOST_COLUMNS."""
NOMINAL_RATE = 16_000
INK, MUTED, LINE, PAPER = (29, 32, 36), (91, 97, 106), (222, 221, 214), (255, 255, 255)
REAL, FAKE, DISCRIMINATOR = (23, 115, 90), (185, 77, 18), (36, 89, 184)
"""Colours of the waveforms of real and of generated sounds, and of scores."""
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 300, 3600, 36_000, 1e9)
"""Distances, in seconds, of the marks along a recording."""
SHEET, NARROWEST, WIDEST = 1_280, 96, 320
"""The width of a sheet in pixels, and the least and greatest width of one sample on it."""
WAVE, BANDS, GAP, NAME, FOOT = 32, 64, 10, 15, 18
"""Heights in pixels: of a waveform, of a spectrogram (its mel bands), of the space around a sample, of its
name, of the line below all."""
RANGE_DB, TOP_DB = 65.0, -12.0
"""Decibels from white to black in a spectrogram, and the level in a band that is black; a sine of amplitude 1 has 0."""
NUM_HEARD, PAUSE_S, LOUDNESS = 10, 0.15, 0.9
"""The number of samples that are played, the silence after each in seconds, and the amplitude as which 1 is written."""

Pixels = NDArray[np.uint8]


def sheet(samples: Tensor, path: Path, context: PreviewContext) -> None:
    """One PNG of samples (N, C, T): the waveform of each above its mel spectrogram, with the name of its class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = max(1, min(context.columns, len(samples)))
    picture = drawn(samples, columns, context.info, context.condition, generated=context.noise is not None)
    picture.save(path, format="PNG", pnginfo=grid_metadata(columns, -(-len(samples) // columns)))


def sound(samples: Tensor, path: Path, context: PreviewContext) -> None:
    """Samples (N, C, T), one after the other with silences of PAUSE_S, as a .wav file of 16 bit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = int(context.info.payload["rate"])
    waves = samples.detach().cpu().float().clamp(-1, 1) * LOUDNESS
    row = pad(waves, (0, round(PAUSE_S * rate))).transpose(0, 1).flatten(1)  # (C, N (T + pause))
    numbers = (row * 32767).round().short().T.contiguous().numpy().astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(row))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(numbers.tobytes())


def write(samples: Tensor, path: Path, info: DatasetInfo, options: WriteOptions = WriteOptions()) -> list[Path]:
    """Samples (N, C, T) as one picture (.png), or as recordings, see `writing.write_sounds`."""
    if path.suffix.lower() != ".png":
        return writing.write_sounds(samples, path, info, options)
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = min(MOST_COLUMNS, math.ceil(len(samples) ** 0.5))
    noise = samples.new_empty(len(samples), 0)
    sheet(samples, path, PreviewContext(columns, info, noise, condition=_labels(info, options.names)))
    return [path]


def _labels(info: DatasetInfo, names: Sequence[str]) -> Tensor | None:
    """(N,) the classes that have these names, as WriteOptions gives them; None without names."""
    if not names or not isinstance(info.condition, ClassCondition):
        return None
    known = {name: label for label, name in enumerate(class_file_names(info.condition.shown_names))}
    return torch.tensor([known[name] for name in names])


def similarity(samples: Tensor) -> tuple[Tensor]:
    """The log-mel statistics of samples (N, C, T), as if they were of NOMINAL_RATE: like sounds lie near each other."""
    return (log_mel_statistics(samples, NOMINAL_RATE),)


# --- the sheet


def tile(info: DatasetInfo, columns: int = 10) -> tuple[int, int]:
    """(height, width) in pixels of each sample on a sheet with so many columns."""
    width = max(NARROWEST, min(WIDEST, SHEET // columns))
    return WAVE + BANDS + GAP + (NAME if _has_names(info) else 0), width


def drawn(samples: Tensor, columns: int, info: DatasetInfo, condition: Tensor | None, generated: bool) -> Image.Image:
    """The picture of samples (N, C, T), row by row. condition: (N,) the class of each, or None."""
    rate = int(info.payload["rate"])
    rows = -(-len(samples) // columns)
    height, width = tile(info, columns)
    names = _names(info, condition, len(samples))
    picture = Image.new("RGB", (columns * width, rows * height + FOOT), PAPER)
    brush = ImageDraw.Draw(picture)
    spectra = spectrograms(samples, rate, width - GAP)
    glyphs = glyphs_for(set(names))
    head = height - WAVE - BANDS - GAP
    for index, clip in enumerate(samples.detach().cpu().float()):
        left, top = (index % columns) * width + GAP // 2, (index // columns) * height + GAP // 2
        if names[index]:
            _write_name(brush, names[index], (left, top), width - GAP, glyphs)
        picture.paste(Image.fromarray(spectra[index]), (left, top + head + WAVE))
        _draw_wave(brush, clip, (left, top + head), width - GAP, FAKE if generated else REAL)
    font, extent = ImageFont.load_default(10), f"0 to {rate / 2:,.0f} Hz, {RANGE_DB:.0f} dB"
    seconds = f"{samples.shape[2] / rate:.2f} s"
    legends = (f"Waveform; below it the mel spectrogram from {extent}. {seconds} each.", f"{extent}, {seconds}")
    legend = next((one for one in map(_spaced, legends) if font.getlength(one) <= picture.width - GAP), "")
    brush.text((GAP // 2, picture.height - FOOT + 2), legend, MUTED, font)
    return picture


def _spaced(text: str) -> str:
    """The text with double spaces: those of the default font are 2 pixels wide at small sizes, as narrow as gaps in a word."""
    return text.replace(" ", "  ")


def _has_names(info: DatasetInfo) -> bool:
    """Whether a sample has a class or a text."""
    return isinstance(info.condition, ClassCondition) or info.payload.get("condition") == "text"


def _names(info: DatasetInfo, condition: Tensor | None, num: int) -> list[str]:
    """The name of the class, or the text, of each sample; "" where it is not known. The number of a class is added where no font
    has all characters of its name, so that classes can be distinguished."""
    if condition is not None and condition.dim() == 2 and info.payload.get("condition") == "text":
        return texts.decoded(condition.cpu(), str(info.payload["alphabet"]))
    if condition is None or condition.dim() != 1 or not isinstance(info.condition, ClassCondition):
        return [""] * num
    known = [" ".join(name.split()) for name in info.condition.shown_names]
    lacking = glyphs_for(known).lacking
    numbered = [f"{label}: {name}" if lacking.intersection(name) else name for label, name in enumerate(known)]
    return [numbered[int(label)] for label in condition]


def _write_name(brush: ImageDraw.ImageDraw, name: str, place: tuple[int, int], width: int, glyphs: Glyphs) -> None:
    """A name on one line; "?" for characters that no font has."""
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    name = "".join("?" if sign in glyphs.lacking else sign for sign in name)
    file = None if name.isascii() else glyphs.file_for(name)
    if file:
        font = ImageFont.truetype(file, 11)
    else:
        font, name = ImageFont.load_default(11), _spaced(name)
    while name and font.getlength(name) > width:
        name = name[:-2] + "…" if len(name) > 2 else ""
    brush.text(place, name, INK, font)


def _draw_wave(
    brush: ImageDraw.ImageDraw, clip: Tensor, place: tuple[int, int], width: int, colour: tuple[int, int, int]
) -> None:
    """The range of the samples (C, T) of each column of pixels, from -1 to 1; the channels one below the other."""
    left, top = place
    edges = torch.linspace(0, clip.shape[1], width + 1).round().long().tolist()
    high = WAVE / len(clip)
    for number, channel in enumerate(clip.clamp(-1, 1)):
        middle = top + (number + 0.5) * high
        brush.line((left, middle, left + width - 1, middle), LINE)
        for x, (first, last) in enumerate(itertools.pairwise(edges)):
            part = channel[first : max(last, first + 1)]
            low, peak = float(part.min()), float(part.max())
            brush.line((left + x, middle - peak * (high / 2 - 1), left + x, middle - low * (high / 2 - 1)), colour)


def spectrograms(samples: Tensor, rate: int, width: int) -> Pixels:
    """(N, BANDS, width) uint8: mel spectrograms of the means over the channels of samples (N, C, T), high bands at the top, loud
    dark."""
    window = max(64, 2 ** round(np.log2(0.032 * rate)))
    transform = Spectrogram(window, window // 8)
    mono = samples.detach().cpu().float().mean(1, keepdim=True)
    power = transform.magnitudes(mono).square()[:, 0]
    decibels = 10 * (mel_filters(rate, window, BANDS) @ power).clamp_min(1e-12).log10()
    resized = interpolate(decibels[:, None], (BANDS, width), mode="area")[:, 0]
    dark = ((resized - TOP_DB + RANGE_DB) / RANGE_DB).clamp(0, 1).flip(1)
    pixels: Pixels = ((1 - dark) * 255).round().byte().numpy()
    return pixels


# --- recordings of texts


TEXT_WIDTH = 640
"""The width in pixels of a recording of a text on its sheet."""


def text_tile() -> tuple[int, int]:
    """(height, width) in pixels of each recording on a sheet of texts."""
    return NAME + WAVE + BANDS + GAP, TEXT_WIDTH


def draw_texts(recordings: Sequence[Tensor], lines: Sequence[str], path: Path, info: DatasetInfo) -> None:
    """A PNG of generated recordings (C, L) of texts in up to two columns, row by row: above each its length and its text,
    shortened where it does not fit. All have the same scale of time."""
    rate = int(info.payload["rate"])
    columns = min(2, len(recordings))
    rows = -(-len(recordings) // columns)
    (height, width), longest = text_tile(), max(len(one[0]) for one in recordings)
    picture = Image.new("RGB", (columns * width, rows * height + FOOT), PAPER)
    brush, glyphs = ImageDraw.Draw(picture), glyphs_for(set(lines))
    for index, (recording, line) in enumerate(zip(recordings, lines, strict=True)):
        left, top = (index % columns) * width + GAP // 2, (index // columns) * height + GAP // 2
        title = f"{recording.shape[1] / rate:.2f} s   {line}"
        _write_name(brush, title, (left, top), width - GAP, glyphs)
        shown = max(1, round((width - GAP) * recording.shape[1] / longest))
        _draw_wave(brush, recording, (left, top + NAME), shown, FAKE)
        _draw_spectrogram(picture, recording, rate, (left, top + NAME + WAVE), shown)
    extent = f"from 0 to {rate / 2:,.0f} Hz, {RANGE_DB:.0f} dB"
    legend = f"Length and text; waveform; mel spectrogram {extent}. Full width: {longest / rate:.2f} s."
    brush.text((GAP // 2, picture.height - FOOT + 2), _spaced(legend), MUTED, ImageFont.load_default(10))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, format="PNG", pnginfo=grid_metadata(columns, rows))


# --- the scores of a recording over time


MOST_RECORDINGS, CURVE, MARGIN = 20, 48, 30
"""Recordings on one picture of scores; the height of a curve, and the space at its left, in pixels."""
PART, MOST_POINTS = 2**20, 200
"""Samples of a long recording whose spectra are computed at once; the most scores of a curve that are marked by points."""


def scored(files: Iterable[ScoredFile], path: Path, info: DatasetInfo) -> None:
    """A PNG of recordings: the waveform and the mel spectrogram of each above the discriminator's scores over time.

    Recordings after the first MOST_RECORDINGS are not shown.
    """
    height, strips = NAME + WAVE + BANDS + CURVE + 2 * GAP + FOOT, list[Image.Image]()
    for file in files:
        if len(strips) < MOST_RECORDINGS:
            strip = Image.new("RGB", (SHEET, height), PAPER)
            _draw_scored(strip, file, int(info.payload["rate"]))
            strips.append(strip)
    picture = Image.new("RGB", (SHEET, len(strips) * height), PAPER)
    for row, strip in enumerate(strips):
        picture.paste(strip, (0, row * height))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, format="PNG")


def _draw_scored(strip: Image.Image, file: ScoredFile, rate: int) -> None:
    """One recording. The score of a window is drawn at its middle."""
    brush, windows, scores = ImageDraw.Draw(strip), file.windows, file.scores
    length = windows.whole.shape[-1]
    reach = f"{min(scores):.2f}" + (f" to {max(scores):.2f}" if len(scores) > 1 else "")
    _draw_recording(strip, brush, windows.whole, rate, f"{file.name}   D {reach}")
    centres = [(start + windows.size / 2) / length for start in windows.starts]
    _draw_curve(brush, NAME + WAVE + BANDS + GAP, centres, scores, length / rate)


def _draw_recording(picture: Image.Image, brush: ImageDraw.ImageDraw, recording: Tensor, rate: int, title: str) -> None:
    """The name, the waveform and the spectrogram of a recording (C, L)."""
    width = SHEET - MARGIN - GAP
    _write_name(brush, title, (MARGIN, 1), width, glyphs_for([title]))
    _draw_wave(brush, recording, (MARGIN, NAME), width, REAL)
    _draw_spectrogram(picture, recording, rate, (MARGIN, NAME + WAVE), width)


def _draw_spectrogram(picture: Image.Image, recording: Tensor, rate: int, place: tuple[int, int], width: int) -> None:
    """The spectrogram of a recording (C, L). The spectra of a long one are computed part by part."""
    num = -(-recording.shape[1] // PART)
    edges = [round(part * width / num) for part in range(num + 1)]
    for left, right in itertools.pairwise(edges):
        first, last = (round(edge * recording.shape[1] / width) for edge in (left, right))
        part = Image.fromarray(spectrograms(recording[None, :, first:last], rate, right - left)[0])
        picture.paste(part, (place[0] + left, place[1]))


def _draw_curve(
    brush: ImageDraw.ImageDraw, top: int, places: Sequence[float], scores: Sequence[float], seconds: float
) -> None:
    """The scores as a line through points, with the lines of 0, 1/2 and 1, and the seconds below. places: from 0 to 1."""
    width, font = SHEET - MARGIN - GAP, ImageFont.load_default(10)

    def at(score: float) -> float:
        return top + (1 - score) * (CURVE - 1)

    for score, words in ((0.0, "0"), (0.5, "D"), (1.0, "1")):
        brush.line((MARGIN, at(score), MARGIN + width, at(score)), LINE)
        brush.text((MARGIN - 4, at(score)), words, MUTED, font, anchor="rm")
    points = [(MARGIN + place * width, at(score)) for place, score in zip(places, scores, strict=True)]
    if len(points) > 1:
        brush.line(points, DISCRIMINATOR, 2)
    for x, y in points if len(points) <= MOST_POINTS else ():
        brush.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), DISCRIMINATOR)
    step = next(one for one in TICKS if seconds / one <= 12)
    for index in range(int(seconds / step) + 1):
        x = MARGIN + index * step / seconds * width
        brush.line((x, top + CURVE, x, top + CURVE + 3), MUTED)
        brush.text(
            (min(x, SHEET - GAP - 16), top + CURVE + 4),
            f"{index * step:g} s",
            MUTED,
            font,
            anchor="ma" if index else "la",
        )
