"""What goes into a sound file comes out of it, in every format, depth, rate and number of channels."""

from __future__ import annotations

import contextlib
import io
import itertools
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sound_making import info_of, noise, save, tone

from zerosum.domain import WriteOptions
from zerosum.domains.audio import formats, writing
from zerosum.domains.audio.formats import BITS, SUBTYPES
from zerosum.errors import UserError

RATES = (8_000, 22_050, 44_100)
CHANNELS = (1, 2, 6)
LOSSLESS = [(ending, subtype) for ending, known in SUBTYPES.items() for subtype in known if subtype in BITS]
LOSSY = [(ending, subtype) for ending, known in SUBTYPES.items() for subtype in known if subtype not in BITS]


def on_grid(wave: np.ndarray, bits: int) -> np.ndarray:
    """The nearest values that a format of so many bits holds, within the 24 bits of float32."""
    steps = 2.0 ** (min(bits, 24) - 1)
    return (np.clip(np.rint(wave * steps), -steps, steps - 1) / steps).astype(np.float32)


def levels(bits: int, channels: int) -> np.ndarray:
    """Silence, the smallest steps, full scale of both signs, and noise of every loudness in between."""
    step = 2.0 ** (1 - min(bits, 24))
    edges = np.array([0, 0, step, -step, 1 - step, -1, -1, 0, 1 - step], dtype=np.float64)
    rng = np.random.default_rng(bits)
    loud = [edges, *(10 ** (-db / 20) * rng.uniform(-1, 1, 300) for db in (0, 20, 40, 60, 90, 130))]
    return on_grid(np.stack([np.roll(np.concatenate(loud), i) for i in range(channels)]), bits)


def back(content: bytes, ending: str) -> formats.Recording:
    return formats.decode(io.BytesIO(content), f"x{ending}", 2**28)


@pytest.mark.parametrize(("ending", "subtype"), LOSSLESS)
@pytest.mark.parametrize("channels", CHANNELS)
def test_lossless_formats_give_back_every_bit(ending: str, subtype: str, channels: int) -> None:
    wave = levels(BITS[subtype], channels)
    for rate in RATES:
        found = back(formats.encode(wave, rate, ending, subtype, subtype), ending)
        assert (found.rate, found.subtype, found.cut, found.more) == (rate, subtype, False, False)
        assert np.array_equal(found.wave, wave)


@pytest.mark.parametrize(("ending", "subtype"), [pair for pair in LOSSLESS if pair[0] == ".wav"])
def test_other_programs_read_what_is_written_and_write_what_is_read(ending: str, subtype: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    for channels in CHANNELS:
        wave = levels(BITS[subtype], channels)
        content = formats.encode(wave, 11_025, ending, subtype, subtype)
        read, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
        assert rate == 11_025
        assert np.array_equal(read.T, wave)
        for container in ("WAV", "WAVEX"):
            file = io.BytesIO()
            soundfile.write(file, wave.T.astype(np.float64), 11_025, subtype, format=container)
            assert np.abs(back(file.getvalue(), ".wav").wave - wave).max() <= 2.0 ** (1 - min(BITS[subtype], 24)) * 1.01
            assert back(file.getvalue(), ".wav").subtype == subtype


@pytest.mark.parametrize(("ending", "subtype"), LOSSY)
@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_formats_give_back_the_sound(ending: str, subtype: str, rate: int, channels: int) -> None:
    pytest.importorskip("soundfile")
    wave = np.repeat(tone(440, 1.0, rate, 0.5), channels, 0)
    found = back(formats.encode(wave, rate, ending, subtype, subtype), ending)
    assert found.rate == rate
    assert found.wave.shape[0] == channels
    assert found.wave.shape[1] >= wave.shape[1] - 1
    strength = np.abs(np.fft.rfft(found.wave[0, :rate], rate))
    assert int(strength.argmax()) == 440
    assert float(np.sqrt(np.square(found.wave[:, rate // 4 : rate // 2]).mean())) == pytest.approx(
        0.5 / 2**0.5, rel=0.1
    )


def test_long_recordings_are_encoded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single call with 2**24 frames of Vorbis ends the process."""
    soundfile = pytest.importorskip("soundfile")
    write, sizes = soundfile.SoundFile.write, list[int]()

    def counted(self: Any, frames: np.ndarray) -> None:
        sizes.append(len(frames))
        write(self, frames)

    monkeypatch.setattr(soundfile.SoundFile, "write", counted)
    wave = noise(20, 8_000)
    assert back(formats.encode(wave, 8_000, ".ogg", "VORBIS", "VORBIS"), ".ogg").wave.shape == wave.shape
    assert sizes == [65_536, 65_536, 160_000 - 2 * 65_536]


@pytest.mark.parametrize("channels", [1, 3])
def test_aiff_of_8_bits_states_an_odd_number_of_samples(channels: int) -> None:
    pytest.importorskip("soundfile")
    content = formats.encode(noise(101 / 8_000, channels=channels), 8_000, ".aiff", "PCM_S8", "PCM_S8")
    length, data = content.index(b"COMM") + 10, content.index(b"SSND") + 4
    assert struct.unpack(">I", content[length : length + 4]) == (101,)
    assert struct.unpack(">I", content[data : data + 4]) == (8 + 101 * channels,)
    assert back(content, ".aiff").wave.shape == (channels, 101)


def test_silence_and_full_scale_survive_every_whole_number() -> None:
    for bits in (8, 16, 24, 32):
        assert not formats.whole_numbers(np.zeros((9, 1), np.float32), bits, False).any()
        full = formats.whole_numbers(np.array([[1.0], [-1.0]], np.float32), bits, False)
        assert full.ravel().tolist() == [2 ** (bits - 1) - 1, -(2 ** (bits - 1))]
        assert np.abs(formats.whole_numbers(np.zeros((99, 1), np.float32), bits, True)).max() <= 1


def test_a_reduced_depth_is_dithered_and_always_alike() -> None:
    wave = tone(100, 1.0, 8_000, 1.2 / 2**15)  # a tone of little more than one step: rounding distorts it
    for source, dithered in (("PCM_24", True), ("VORBIS", True), ("FLOAT", True), ("PCM_16", False), ("PCM_U8", False)):
        content = formats.encode(wave, 8_000, ".wav", "PCM_16", source)
        assert content == formats.encode(wave, 8_000, ".wav", "PCM_16", source)
        spectrum = np.abs(np.fft.rfft(back(content, ".wav").wave[0]))
        harmonics, floor = spectrum[[300, 500, 700]].max(), np.median(spectrum)
        assert bool(harmonics < 5 * floor) is dithered, source
        error = back(content, ".wav").wave - wave
        assert float(error.std()) * 2**15 == pytest.approx(0.5 if dithered else 0.3, abs=0.1)
    assert formats.encode(wave, 8_000, ".wav", "PCM_24", "FLOAT") != formats.encode(
        wave, 8_000, ".wav", "PCM_24", "PCM_24"
    )


def test_beyond_full_scale_is_clipped_and_nan_is_silence() -> None:
    wave = np.array([[3.0, -3.0, np.nan, np.inf, 0.5]], np.float32)
    assert np.allclose(back(formats.encode(wave, 8_000, ".wav", "FLOAT", "FLOAT"), ".wav").wave, [[1, -1, 0, 1, 0.5]])
    assert np.allclose(
        back(formats.encode(wave, 8_000, ".wav", "PCM_16", "PCM_16"), ".wav").wave, [[1, -1, 0, 1, 0.5]], atol=1e-4
    )


def test_the_sample_format_follows_the_source_or_what_is_asked() -> None:
    cases = [
        (".wav", "", "PCM_24", "PCM_24"), (".flac", "", "PCM_U8", "PCM_S8"), (".flac", "", "FLOAT", "PCM_24"),
        (".wav", "", "MPEG_LAYER_III", "PCM_16"), (".ogg", "", "PCM_16", "VORBIS"), (".ogg", "", "OPUS", "OPUS"),
        (".aiff", "", "PCM_U8", "PCM_S8"), (".wav", "float", "PCM_16", "FLOAT"), (".wav", "pcm-8", "PCM_16", "PCM_U8"),
        (".flac", "PCM_8", "PCM_16", "PCM_S8"), (".mp3", "", "PCM_16", "MPEG_LAYER_III"), (".flac", "", "PCM_32", "PCM_24"),
    ]  # fmt: skip
    for ending, wanted, source, expected in cases:
        assert formats.choose_subtype(ending, wanted, source) == expected
    with pytest.raises(
        UserError, match=r"--subtype PCM_32: the sample format of \.flac files is PCM_S8 or PCM_16 or PCM_24"
    ):
        formats.choose_subtype(".flac", "PCM_32", "PCM_16")


# --- writing samples


@pytest.mark.parametrize(("ending", "subtype"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_are_written_like_the_training_data(tmp_path: Path, ending: str, subtype: str, channels: int) -> None:
    wave = levels(BITS[subtype], channels)
    (path,) = writing.write_sounds(
        torch.from_numpy(wave[None]), tmp_path / "a" / f"one{ending}", info_of(wave, 22_050, ending, subtype)
    )
    found = back(path.read_bytes(), ending)
    assert (found.rate, found.subtype) == (22_050, subtype)
    assert np.array_equal(found.wave, wave)


def test_one_file_each_in_a_folder_or_a_zip(tmp_path: Path) -> None:
    waves = torch.from_numpy(np.stack([noise(seed=i) for i in range(3)]))
    info = info_of(noise(), 8_000, ".flac", "PCM_24")
    options = WriteOptions(names=("cat", "dog", "cat"))
    folder = writing.write_sounds(waves, tmp_path / "out", info, options)
    assert [path.name for path in folder] == ["00000-cat.flac", "00001-dog.flac", "00002-cat.flac"]
    (packed,) = writing.write_sounds(waves, tmp_path / "out.zip", info, options)
    with zipfile.ZipFile(packed) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {p.name: p.read_bytes() for p in folder}
        assert {info.date_time[0] for info in archive.infolist()} == {1980}, "the same samples give the same file"
    several = writing.write_sounds(waves, tmp_path / "a.wav", info)
    assert [path.name for path in several] == ["a-00000.wav", "a-00001.wav", "a-00002.wav"]
    assert back(several[0].read_bytes(), ".wav").subtype == "PCM_24"
    (one,) = writing.write_sounds(waves[:1], tmp_path / "one.aif", info, WriteOptions(options={"subtype": "PCM_16"}))
    assert back(one.read_bytes(), ".aif").subtype == "PCM_16"
    assert (tmp_path / "out.zip").read_bytes() == writing.write_sounds(waves, tmp_path / "2.zip", info, options)[
        0
    ].read_bytes()


@pytest.mark.parametrize("normalise", ["peak", "rms"])
def test_the_loudness_of_the_source_is_restored(tmp_path: Path, normalise: str) -> None:
    wave = noise(peak=1.0)
    rms = float(np.sqrt(np.square(wave).mean()))
    made = wave if normalise == "peak" else wave * np.float32(0.1 / rms)
    info = info_of(wave, 8_000, subtype="FLOAT", level=0.05, normalise=normalise)
    (path,) = writing.write_sounds(torch.from_numpy(made[None]), tmp_path / "x.wav", info)
    found = back(path.read_bytes(), ".wav").wave
    assert float(np.abs(found).max() if normalise == "peak" else np.sqrt(np.square(found).mean())) == pytest.approx(
        0.05, rel=1e-5
    )
    assert np.allclose(found / np.abs(found).max(), wave, atol=1e-6)


def test_what_cannot_be_written_is_refused_in_words(tmp_path: Path) -> None:
    wave = torch.from_numpy(noise()[None])
    for name, rate, options, words in (
        ("x.png", 8_000, {}, "cannot write .png"),
        ("x.m4a", 8_000, {}, "cannot write .m4a"),
        ("x.wav", 8_000, {"subtype": "PCM_12"}, "--subtype PCM_12"),
    ):
        with pytest.raises(UserError, match=words):
            writing.write_sounds(wave, tmp_path / name, info_of(noise(), rate), WriteOptions(options=options))
    assert list(tmp_path.iterdir()) == []
    many = noise(channels=3)
    with pytest.raises(UserError, match="at most 2 channels"):
        writing.write_sounds(torch.from_numpy(many[None]), tmp_path / "x.mp3", info_of(many, 8_000))
    folder = writing.write_sounds(
        torch.from_numpy(many[None]), tmp_path / "f", info_of(many, 8_000, ".mp3", "MPEG_LAYER_III")
    )
    assert folder[0].suffix == ".wav"


@pytest.mark.parametrize(
    ("name", "rate", "options", "written"),
    [
        ("x.opus", 22_050, {}, 24_000),
        ("x.ogg", 22_050, {"subtype": "opus"}, 24_000),
        ("x.mp3", 9_000, {}, 11_025),
        ("x.mp3", 96_000, {}, 48_000),
        ("x.opus", 16_000, {}, 16_000),
    ],
)
def test_rates_that_a_format_does_not_have_are_changed_with_a_note(
    tmp_path: Path, name: str, rate: int, options: dict[str, str], written: int
) -> None:
    wave, notes = tone(440, 0.5, rate), WriteOptions(options=options)
    (path,) = writing.write_sounds(torch.from_numpy(wave[None]), tmp_path / name, info_of(wave, rate), notes)
    found = back(path.read_bytes(), path.suffix)
    assert found.rate == written
    assert found.wave.shape[1] == pytest.approx(0.5 * written, abs=0.1 * written if name == "x.mp3" else 2)
    assert len(notes.notes) == (written != rate)
    assert not notes.notes or f"written at {written:,} Hz" in notes.notes[0]


@pytest.mark.parametrize("ending", ["", ".zip"])
def test_samples_of_a_format_without_the_rate_keep_the_format(tmp_path: Path, ending: str) -> None:
    """Opus files that were resampled to 22,050 Hz by data.rate."""
    wave, notes = tone(440, 0.5, 22_050), WriteOptions()
    info = info_of(wave, 22_050, ".opus", "OPUS")
    (path,) = writing.write_sounds(torch.from_numpy(wave[None]), tmp_path / f"made{ending}", info, notes)
    assert ending or path.suffix == ".opus"
    assert "written at 24,000 Hz: OPUS has no 22,050 Hz" in notes.notes[0]


# --- damaged and odd files


def test_every_wav_that_is_cut_off_is_read_up_to_there_or_refused() -> None:
    wave = noise(0.05, channels=2)
    for subtype in SUBTYPES[".wav"]:
        content = formats.encode(wave, 8_000, ".wav", subtype, subtype)
        for length in itertools.chain(range(0, 70), range(70, len(content), 37)):
            try:
                found = back(content[:length], ".wav")
            except UserError:
                assert length < 70
                continue
            assert found.cut
            assert np.allclose(found.wave, wave[:, : found.wave.shape[1]], atol=0.01)


@pytest.mark.parametrize("ending", [".flac", ".ogg", ".opus", ".mp3", ".aiff"])
def test_other_formats_that_are_cut_off_or_damaged_never_raise_anything_else(ending: str) -> None:
    pytest.importorskip("soundfile")
    subtype = SUBTYPES[ending][0]
    content = formats.encode(noise(2.0, 8_000), 8_000, ending, subtype, subtype)
    rng = np.random.default_rng(0)
    read = 0
    for length in (0, 1, 3, 10, 40, 100, len(content) // 2, len(content) - 1):
        for damage in range(3):
            broken = bytearray(content[:length])
            for place in rng.integers(0, max(1, length), 5 * damage if length else 0):
                broken[place] = int(rng.integers(256))
            try:
                found = back(bytes(broken), ending)
            except UserError:
                continue
            read += found.wave.shape[1] > 0
    assert read, "half a file gives at least something"


def test_damaged_wav_headers_are_refused() -> None:
    content = bytearray(formats.encode(noise(0.05), 8_000, ".wav", "PCM_16", "PCM_16"))
    rng = np.random.default_rng(1)
    for offset in (22, 24, 32, 34):  # channels, rate, bytes of a frame, bits
        broken = bytearray(content)
        broken[offset : offset + 2] = b"\0\0"
        with pytest.raises(UserError, match=r"x\.wav"):
            back(bytes(broken), ".wav")
    for _ in range(300):
        broken = bytearray(content)
        for place in rng.integers(0, 48, 2):
            broken[place] = int(rng.integers(256))
        with contextlib.suppress(UserError):
            back(bytes(broken), ".wav")


def test_a_wav_of_a_stream_has_no_length(tmp_path: Path) -> None:
    wave = on_grid(noise(), 16)
    content = bytearray(formats.encode(wave, 8_000, ".wav", "PCM_16", "PCM_16"))
    for stated in (0, 0xFFFFFFFF):
        content[40:44] = struct.pack("<I", stated)
        found = back(bytes(content), ".wav")
        assert np.array_equal(found.wave, wave)
        assert not found.cut


def test_at_most_so_many_samples_are_read() -> None:
    wave = noise(channels=2)
    for ending, subtype in ((".wav", "PCM_16"), (".flac", "PCM_16")):
        found = formats.decode(io.BytesIO(formats.encode(wave, 8_000, ending, subtype, subtype)), f"x{ending}", 1_000)
        assert (found.wave.shape, found.more, found.cut) == ((2, 500), True, False)


def test_without_the_extra_wav_works_and_others_name_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = formats.encode(noise(), 8_000, ".flac", "PCM_16", "PCM_16")
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    path = save(tmp_path / "x.wav", noise())
    assert back(path.read_bytes(), ".wav").rate == 8_000
    with pytest.raises(UserError, match=r"Reading x.flac needs soundfile.*zerosum\[audio\]"):
        back(content, ".flac")
    with pytest.raises(UserError, match=r"Writing .flac needs soundfile.*zerosum\[audio\]"):
        formats.encode(noise(), 8_000, ".flac", "PCM_16", "PCM_16")
