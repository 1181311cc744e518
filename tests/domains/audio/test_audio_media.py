"""Sounds as pictures and as played files."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from sound_making import info_of, noise, save
from torch import Tensor

from zerosum.domain import (
    ClassCondition,
    DatasetInfo,
    PreviewContext,
    SampleInfo,
    ScoredFile,
    Windows,
    WriteOptions,
    glyphs,
)
from zerosum.domains.audio import media, writing
from zerosum.errors import UserError

RATE, SAMPLES = 8000, 4096


def info(
    channels: int = 1, rate: int = RATE, samples: int = SAMPLES, names: tuple[str, ...] = ("low", "hoch")
) -> DatasetInfo:
    payload = {"rate": rate, "ending": ".wav", "subtype": "PCM_16", "normalise": "peak", "level": 0.5}
    condition = ClassCondition(tuple(1 for _ in names), names) if names else None
    sample = SampleInfo({"channels": channels, "samples": samples}, "sounds")
    return DatasetInfo("sounds", 8, 2, "0", sample, (), condition, payload)


def tone(hertz: float, amplitude: float = 0.5, rate: int = RATE, samples: int = SAMPLES) -> Tensor:
    return amplitude * (2 * math.pi * hertz * torch.arange(samples) / rate).sin()[None]


def context(columns: int = 2, generated: bool = True, **about: object) -> PreviewContext:
    noise = torch.zeros(4, 2) if generated else None
    return PreviewContext(columns, info(**about), noise, condition=torch.tensor([0, 1, 0, 1]))  # type: ignore[arg-type]


def test_a_tone_is_a_dark_line_at_its_frequency() -> None:
    shades = media.spectrograms(torch.stack([tone(250), tone(2000)]), RATE, 100)
    assert shades.shape == (2, media.BANDS, 100)
    rows = shades.mean(2).argmin(1)  # from the top: high frequencies
    mel = lambda hertz: 2595 * math.log10(1 + hertz / 700)  # noqa: E731
    expected = [media.BANDS - 1 - round(mel(hertz) / mel(RATE / 2) * (media.BANDS + 1) - 1) for hertz in (250, 2000)]
    assert np.abs(rows - expected).max() <= 1
    assert (media.spectrograms(torch.zeros(1, 1, SAMPLES), RATE, 100) == 255).all()


def test_the_sheet_has_a_cell_for_each_sample_with_the_names_of_its_classes(tmp_path: Path) -> None:
    samples = torch.stack([tone(250), tone(2000), tone(250, 0.05), tone(2000, 0.0)])
    media.sheet(samples, tmp_path / "a.png", context())
    with Image.open(tmp_path / "a.png") as image:
        assert image.text["grid"] == "2x2"  # type: ignore[attr-defined]
        height, width = media.tile(info(), 2)
        assert image.size == (2 * width, 2 * height + media.FOOT)
        pixels = np.asarray(image.convert("RGB")).astype(int)
    cells = [
        pixels[row * height : (row + 1) * height, column * width : (column + 1) * width]
        for row in (0, 1)
        for column in (0, 1)
    ]
    coloured = [int((np.abs(cell - media.FAKE).max(2) < 8).sum()) for cell in cells]
    assert coloured[0] > 2 * coloured[2] > coloured[3]  # a waveform is as high as it is loud
    head = [cell[: media.NAME] for cell in cells]
    assert all((one < 128).any() for one in head)
    assert (head[0] == head[2]).all()
    assert (head[0] != head[1]).any()


def test_classes_whose_signs_no_font_has_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their number; file names and texts have a ? for each such sign."""
    monkeypatch.setattr(glyphs, "_fonts", list)
    drawn = list[str]()
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, place, words, *rest, **more: drawn.append(words))
    media.sheet(torch.zeros(4, 1, SAMPLES), tmp_path / "a.png", context(names=("声 low", "кот 1")))
    assert drawn[:2] == ["0:  ?  low", "кот 1"]
    windows = Windows(tone(250), SAMPLES, [0], RATE)
    media.scored([ScoredFile("声.wav", windows, [0.5])], tmp_path / "b.png", info())
    assert any(words.startswith("?.wav") for words in drawn)


def test_a_picture_of_samples_has_the_names_of_their_classes(tmp_path: Path) -> None:
    samples = torch.stack([tone(250), tone(2000), tone(250), tone(2000)])
    names = ("low_1", "hoch", "low_1", "hoch")  # as parts of file names
    media.write(samples, tmp_path / "a.png", info(names=("low 1", "hoch")), WriteOptions(names))
    about = PreviewContext(2, info(names=("low 1", "hoch")), torch.zeros(4, 0), condition=torch.tensor([0, 1, 0, 1]))
    media.sheet(samples, tmp_path / "b.png", about)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(("num", "rate"), [(1, 48_000), (16, 8000), (64, 8000)])
def test_the_line_below_a_sheet_fits_and_its_words_stand_apart(tmp_path: Path, num: int, rate: int) -> None:
    media.write(tone(250).expand(num, 1, SAMPLES), tmp_path / "a.png", info(rate=rate, names=()))
    with Image.open(tmp_path / "a.png") as image:
        line = np.asarray(image.convert("L"))[-media.FOOT :] < 200
    inked = np.flatnonzero(line.any(0))
    assert inked.max() < line.shape[1] - 2
    wide = np.diff(inked) > 4  # between words
    assert wide.sum() >= (10 if num > 1 else 4)


def test_real_samples_have_another_colour_and_unlabelled_ones_no_names(tmp_path: Path) -> None:
    samples = tone(250).expand(2, 1, SAMPLES)
    plain = PreviewContext(2, info(names=()))
    media.sheet(samples, tmp_path / "a.png", plain)
    with Image.open(tmp_path / "a.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
        assert image.size[1] == media.WAVE + media.BANDS + media.GAP + media.FOOT
    assert (np.abs(pixels - media.REAL).max(2) < 8).sum() > 100
    assert (np.abs(pixels - media.FAKE).max(2) < 8).sum() == 0


@pytest.mark.parametrize(
    ("channels", "rate", "samples"), [(1, 8000, 4096), (2, 44_100, 32_768), (1, 4000, 512), (2, 96_000, 1024)]
)
def test_any_rate_length_and_number_of_channels_is_drawn_and_played(
    tmp_path: Path, channels: int, rate: int, samples: int
) -> None:
    waves = torch.rand(4, channels, samples) * 2 - 1
    where = PreviewContext(3, info(channels, rate, samples))
    media.sheet(waves, tmp_path / "a.png", where)
    media.sound(waves, tmp_path / "a.wav", where)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (channels, rate, 2)


def test_samples_are_played_one_after_the_other(tmp_path: Path) -> None:
    samples = torch.stack([tone(500, 1.0), tone(500, 0.5), tone(500, 0.1)])
    media.sound(samples, tmp_path / "a.wav", context())
    pause = round(media.PAUSE_S * RATE)
    with wave.open(str(tmp_path / "a.wav")) as file:
        numbers = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
    parts = numbers.reshape(3, SAMPLES + pause)
    assert np.abs(parts).max(1) == pytest.approx(media.LOUDNESS * np.array([1, 0.5, 0.1]), rel=1e-3)
    assert (parts[:, SAMPLES:] == 0).all()
    assert np.abs(parts[0, :SAMPLES] - samples[0, 0].numpy() * media.LOUDNESS).max() < 2e-5


def test_two_channels_are_played_as_two(tmp_path: Path) -> None:
    left, none = tone(500), tone(500, 0.0)
    both = torch.stack([torch.cat([left, none])] * 2)
    media.sound(both, tmp_path / "a.wav", PreviewContext(1, info(2)))
    with wave.open(str(tmp_path / "a.wav")) as file:
        numbers = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(2, -1, 2)
    assert (np.abs(numbers).max(1) > 10_000).tolist() == [[True, False]] * 2


def test_a_sheet_of_written_samples_has_the_names_of_their_classes(tmp_path: Path) -> None:
    samples = torch.zeros(2, 1, SAMPLES)
    for name, names in (("with", ("hoch", "low")), ("without", ())):
        media.write(samples, tmp_path / f"{name}.png", info(), WriteOptions(names))
    pictures = [np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("with", "without")]
    assert (pictures[0][: media.NAME + 4] < 128).any()
    assert not (pictures[1][: media.NAME + 4] < 128).any()


# --- scores over time


@pytest.mark.parametrize(
    ("clips", "seconds", "steps"),
    [
        (5, 0.0, [SAMPLES // 8]),
        (5, 0.01, [80]),
        (1.2, 0.0, [SAMPLES // 8]),
        (0.5, 0.0, []),
        (20, 0.0, [19 * SAMPLES // 80]),
    ],
)
def test_windows_begin_at_regular_times_and_end_with_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips: float, seconds: float, steps: list[int]
) -> None:
    monkeypatch.setattr(writing, "MOST_STEPS", 80)
    wave = noise(clips * SAMPLES / 8_000)
    path = save(tmp_path / "a.wav", wave, subtype="FLOAT")
    ((name, windows),) = writing.windows_of(path, info_of(wave[:, :1].repeat(SAMPLES, 1), 8_000), seconds)
    assert name == str(path)
    starts = list(windows.starts)
    assert starts[0] == 0
    assert starts[-1] == max(0, wave.shape[1] - SAMPLES)
    assert sorted(set(np.diff(starts[:-1]).tolist())) == steps
    assert all(int(step) <= (steps or [0])[0] for step in np.diff(starts))
    rows = windows[0 : len(windows)]
    assert rows.shape == (len(starts), 1, SAMPLES)
    if clips > 1:
        np.testing.assert_array_equal(rows[-1], wave[:, -SAMPLES:])


def test_too_many_windows_are_refused(tmp_path: Path) -> None:
    wave = noise(40.0)
    path = save(tmp_path / "a.wav", wave)
    with pytest.raises(UserError, match=r"--step 0.0001: .* scores for .*a\.wav; give at least 0.00042"):
        list(writing.windows_of(path, info_of(wave[:, :SAMPLES], 8_000), 0.0001))


def test_a_recording_that_is_too_short_is_named_with_the_reason(tmp_path: Path) -> None:
    content = save(tmp_path / "a.wav", noise()).read_bytes()[:50]
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(UserError, match="shorter than"):
        list(writing.windows_of(tmp_path / "a.wav", info_of(noise(), 8_000), 0.0))


def test_the_spectrogram_of_a_long_recording_is_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = torch.from_numpy(noise(20.0))
    pictures = []
    for most in (2**20, 2**14):
        monkeypatch.setattr(media, "PART", most)
        strip = Image.new("RGB", (media.SHEET, 200))
        media._draw_recording(strip, ImageDraw.Draw(strip), recording, 8_000, "a")
        pictures.append(np.asarray(strip).astype(int))
    assert np.abs(pictures[0] - pictures[1]).mean() < 2


def test_scores_are_drawn_below_the_spectrogram_at_their_time(tmp_path: Path) -> None:
    recording = torch.rand(1, 5 * SAMPLES, generator=torch.Generator().manual_seed(0)) - 0.5
    starts = list(range(0, 4 * SAMPLES + 1, SAMPLES // 2))
    scores = [1.0] * len(starts)
    scores[4] = 0.0
    long = ScoredFile("a:b.wav", Windows(recording, SAMPLES, starts, 8_000), scores)
    short = ScoredFile("one.wav", Windows(recording[:, :SAMPLES], SAMPLES, [0], 8_000), [0.5])
    media.scored([long, short], tmp_path / "a.png", info())
    with Image.open(tmp_path / "a.png") as image:
        pixels = np.asarray(image).astype(int)
    assert len(pixels) % 2 == 0  # two recordings
    curve = np.abs(pixels[: len(pixels) // 2] - media.DISCRIMINATOR).max(2) < 8
    low, high = np.nonzero(curve)[0].min(), np.nonzero(curve)[0].max()
    assert high - low == pytest.approx(media.CURVE, abs=5)
    width = media.SHEET - media.MARGIN - media.GAP
    dip = np.nonzero(curve[high - 1])[0].mean()
    assert (dip - media.MARGIN) / width == pytest.approx(2.5 / 5, abs=0.02)  # the centre of the fifth of nine clips
