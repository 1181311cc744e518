"""Folders, zips and tars of recordings as clips: classes, split, lengths, and everything odd that files can be."""

from __future__ import annotations

import re
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sound_making import noise, save, tone

from zerosum.domain import DatasetInfo
from zerosum.domain.info import check
from zerosum.domains.audio import data, files, loading, waves, writing
from zerosum.domains.audio.data import AudioPayload, AudioSource
from zerosum.errors import UserError
from zerosum.recipe import part


def opened(where: Path, **options: Any) -> AudioSource:
    source = data.open_source(part(str(where), **options), False)
    assert check(source.info(), AudioPayload)
    return source


def said(source: AudioSource) -> str:
    return " ".join(source.notes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten recordings in two class folders."""
    for i in range(10):
        save(
            tmp_path / "in" / ("cat" if i % 2 else "dog") / f"{i}.wav",
            noise(0.25 + 0.01 * i, seed=i, peak=0.1 + 0.05 * i),
        )
    return tmp_path / "in"


def test_sub_folders_are_classes(folder: Path) -> None:
    source = opened(folder, heldout=0.2)
    info = source.info()
    assert (info.name, info.class_names, info.num_rows, info.num_heldout) == ("in", ("cat", "dog"), 8, 2)
    assert source.labels is not None
    assert sorted([*source.labels.tolist(), *source.heldout_labels.tolist()]) == [0] * 5 + [1] * 5  # type: ignore[union-attr]
    assert info.payload == {
        "rate": 8_000,
        "ending": ".wav",
        "subtype": "PCM_16",
        "normalise": "peak",
        "level": info.payload["level"],
        "condition": "class",
        "alphabet": "",
        "spread": pytest.approx(1.0, abs=0.1),  # noise
    }
    assert info.payload["level"] == pytest.approx(0.325, abs=1e-3)
    assert info.sample.axes == {"channels": 1, "samples": 3_072}
    assert info.sample.description == "0.38 s of mono sound at 8,000 Hz"
    assert data.describe(info) == "8 clips of 0.38 s in 2 classes"
    assert float(torch.cat([source.data, source.heldout]).abs().amax((1, 2)).sub(1).abs().max()) < 1e-6
    assert opened(folder, labelled=False).info().condition is None


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.xz"])
def test_archives_are_read_like_folders(folder: Path, tmp_path: Path, ending: str) -> None:
    (folder / "cat" / "._1.wav").write_bytes(b"a Mac's resource fork")
    packed = tmp_path / f"in.{ending}"
    if ending == "zip":
        shutil.make_archive(str(tmp_path / "in"), "zip", tmp_path, "in")
    else:
        with tarfile.open(packed, f"w:{ending[4:]}") as archive:
            archive.add(folder, "in")
    there, here = opened(packed), opened(folder)
    assert there.info().name == here.info().name
    assert there.fingerprint == here.fingerprint
    assert there.notes == here.notes
    assert torch.equal(there.data, here.data)
    assert torch.equal(there.labels, here.labels)  # type: ignore[arg-type]
    assert data.can_open(str(packed))


def test_folders_of_a_split_are_used(tmp_path: Path) -> None:
    for i in range(8):
        top = "test" if i < 2 else "train"
        save(tmp_path / top / ("a" if i % 2 else "b") / f"{i}.wav", noise(seed=i))
    save(tmp_path / "train" / "b" / "copy.wav", noise(seed=0))  # of a held-out one
    source = opened(tmp_path)
    assert "1 training recording(s) equal held-out ones and are held out too" in said(source)
    assert (source.num_rows, source.num_heldout) == (6, 3)
    assert "2 recordings of test/ are held out" in said(source)
    assert source.info().class_names == ("a", "b")


def named(folder: Path) -> Path:
    for digit in (0, 1, 10):
        for speaker in ("ann", "bob"):
            for index in range(4):
                save(
                    folder / f"{digit}_{speaker}_{index}.wav",
                    noise(seed=1_000 * digit + 10 * index + ord(speaker[0])),
                )
    return folder


def test_a_pattern_on_the_names_gives_the_classes(tmp_path: Path) -> None:
    named(tmp_path)
    pattern = "{digit}_{speaker}_{index}"
    assert opened(tmp_path, pattern=pattern).info().class_names == ("0", "1", "10")
    assert opened(tmp_path, pattern=pattern, label="speaker").info().class_names == ("ann", "bob")
    both = opened(tmp_path, pattern=pattern, label="digit, speaker").info()
    assert both.class_names == ("0 ann", "0 bob", "1 ann", "1 bob", "10 ann", "10 bob")
    assert opened(tmp_path, pattern=pattern, labelled=False).info().condition is None
    tested = opened(tmp_path, pattern=pattern, test="index=0,2-3")
    assert (tested.num_rows, tested.num_heldout) == (6, 18)
    assert opened(tmp_path, pattern=pattern, test="speaker=ann").num_heldout == 12
    save(tmp_path / "readme.wav", noise(seed=1234))
    assert "1 file(s) do not fit data.pattern and are left out (the first: readme.wav)" in said(
        opened(tmp_path, pattern=pattern)
    )
    for who in ("ann", "bob"):
        save(tmp_path / "deep" / who / "1_2.wav", noise(seed=ord(who[0])))
    more = "Classes such as 'ann_0' hold '_', which separates fields of data.pattern"
    assert more in said(opened(tmp_path, pattern="{digit}_{speaker}", label="speaker"))
    assert more not in said(opened(tmp_path, pattern=pattern, label="speaker"))
    inside = opened(tmp_path, pattern="deep/{who}/{digit}_{x}", label="who", heldout=0.0)
    assert (inside.num_rows, inside.info().class_names) == (2, ("ann", "bob"))
    assert "25 file(s) do not fit" in said(inside)


def test_wrong_patterns_are_refused_in_words(tmp_path: Path) -> None:
    named(tmp_path)
    for options, words in (
        ({"label": "digit"}, "label names a field of a pattern"),
        ({"test": "index=1"}, "test names a field of a pattern"),
        ({"pattern": "digit_speaker"}, "pattern must have fields"),
        ({"pattern": "{a}_{a}_{b}"}, "each once"),
        ({"pattern": "{a}+{b}"}, "no name fits data.pattern"),
        ({"pattern": "{a}_{b}_{c}", "label": "speaker"}, "there is no field 'speaker'"),
        ({"pattern": "{a}_{b}_{c}", "test": "c"}, "test must be a field and values"),
        ({"pattern": "{a}_{b}_{c}", "test": "c=77"}, "fits 0 of 24"),
    ):
        with pytest.raises(UserError, match=words):
            opened(tmp_path, **options)


def test_names_that_may_hold_classes_are_told(tmp_path: Path) -> None:
    assert "--set 'data.pattern={a}_{b}_{c}' --set data.label=a" in said(opened(named(tmp_path)))


def test_rates_and_channels_are_brought_to_the_commonest(tmp_path: Path) -> None:
    pytest.importorskip("soxr")
    for i, rate in enumerate((16_000, 16_000, 16_000, 8_000, 44_100)):
        save(tmp_path / f"{i}.wav", tone(440, 0.5, rate), rate)
    save(tmp_path / "stereo.wav", np.concatenate([tone(440, 0.5, 16_000), tone(880, 0.5, 16_000)]), 16_000)
    source = opened(tmp_path, heldout=0.0)
    assert source.data.shape == (6, 1, 8_192)
    assert "16,000 Hz (4 files), 8,000 Hz (1 files), 44,100 Hz (1 files). All are resampled to 16,000 Hz" in said(
        source
    )
    assert "1 (5 files), 2 (1 files). All are brought to 1" in said(source)
    for clip in source.data[:5, 0]:
        assert int(np.abs(np.fft.rfft(clip[:8_000])).argmax()) == 220
        assert float(clip[1_000:7_000].abs().max()) == pytest.approx(1, abs=0.02)
    mixed = np.abs(np.fft.rfft(source.data[5, 0][:8_000]))
    assert sorted(np.argsort(mixed)[-2:]) == [220, 440]
    asked = opened(tmp_path, heldout=0.0, rate=8_000, channels=2)
    assert asked.data.shape == (6, 2, 4_096)
    assert asked.info().sample.description == "0.51 s of stereo sound at 8,000 Hz"
    assert torch.equal(asked.data[0, 0, :4_000], asked.data[0, 1, :4_000])


def test_without_soxr_other_rates_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    save(tmp_path / "a.wav", noise(0.5))
    save(tmp_path / "b.wav", noise(0.5, seed=1))
    assert opened(tmp_path).num_rows == 2
    with pytest.raises(UserError, match=r"from 8,000 to 4,000 Hz needs soxr.*zerosum\[audio\]"):
        opened(tmp_path, rate=4_000)


def test_every_format_is_read_from_one_folder(tmp_path: Path) -> None:
    pytest.importorskip("soundfile")
    for i, ending in enumerate((".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".WAV", ".oga", ".wave")):
        save(tmp_path / f"{i}{ending}", noise(0.5, 16_000, seed=i), 16_000)
    source = opened(tmp_path, heldout=0.0)
    assert source.num_rows == 10
    assert (source.ending, source.subtype, source.rate) == (".wav", "PCM_16", 16_000)
    assert source.data.shape[2] % 512 == 0


# --- lengths


def test_the_length_of_clips_follows_from_the_recordings() -> None:
    cases: list[tuple[list[int], int, float, int, bool]] = [
        ([3_000] * 100, 8_000, 0, 3_072, False),
        ([3_000] * 97 + [90_000] * 3, 8_000, 0, 3_072, False),
        ([10_000] * 10, 16_000, 0, 10_240, False),
        ([2_000] * 80 + [4_000] * 20, 8_000, 0, 4_096, False),
        ([900_000] * 10, 16_000, 0, 31_744, True),
        ([900_000] * 10, 44_100, 0, 32_768, True),
        ([900_000], 16_000, 0, 22_528, True),
        ([16_000], 16_000, 0, 512, True),
        ([700], 16_000, 0, 512, True),
        ([8_000] * 4, 8_000, 0.5, 4_096, True),
        ([8_000] * 4, 8_000, 3.0, 24_064, False),
    ]
    for lengths, rate, seconds, samples, several in cases:
        assert waves.clip_length(lengths, rate, seconds)[:2] == (samples, several), (lengths[:1], rate, seconds)
    said = "Most of each clip is padding: data.seconds is far more."
    assert [said in waves.clip_length([8_000] * 4, 8_000, seconds)[2] for seconds in (0.0, 1.9, 3.0)] == [
        False,
        False,
        True,
    ]
    for wrong in (-1.0, float("nan"), float("inf"), 1e6):
        with pytest.raises(ValueError, match="seconds must lie in"):
            waves.clip_length([8_000], 8_000, wrong)


def test_long_recordings_are_cut_into_clips_that_overlap(tmp_path: Path) -> None:
    long = [np.arange(1, 5 * 512 + 101, dtype=np.float32)[None] / 4_000 + i / 8_000 for i in range(5)]
    for i, wave in enumerate(long):
        save(tmp_path / f"{i}.wav", wave - wave.mean(), subtype="FLOAT")
    source = opened(tmp_path, seconds=512 / 8_000, normalise="none", heldout=0.0)
    assert source.data.shape == (5 * 10, 1, 512)
    assert "5 longer recording(s) are cut into 50 clips that overlap by half" in said(source)
    first = source.data[:10, 0]
    assert torch.equal(first[0, 256:], first[1, :256])
    assert torch.allclose(first[9, -1], torch.tensor((long[0] - long[0].mean())[0, -1]))


def test_the_loudest_part_of_a_slightly_longer_recording_is_used() -> None:
    wave = np.concatenate([0.01 * noise(0.05), noise(0.1, seed=1), 0.01 * noise(0.03, seed=2)], 1)
    (start,) = waves.starts_of(wave, 1_024)
    assert 176 <= start <= 400
    assert waves.starts_of(np.tile(wave, 9), 1_024, several=False) != [0]
    assert waves.starts_of(wave[:, :1_024], 1_024) == [0]
    assert waves.starts_of(np.tile(wave, 2), 1_024) == [0, 512, 1_024, 1_536, 1_856]


def test_silent_parts_of_long_recordings_are_left_out(tmp_path: Path) -> None:
    for i in range(3):
        save(
            tmp_path / f"{i}.wav",
            np.concatenate([noise(0.5, seed=i), np.zeros((1, 8_000), np.float32), noise(0.5, seed=9)], 1),
        )
    source = opened(tmp_path, seconds=0.128, heldout=0.0)
    assert "silent clip(s) of longer recordings are left out" in said(source)
    assert float(source.data.abs().amax((1, 2)).min()) > 0.1


def test_shorter_recordings_go_on_with_their_own_noise() -> None:
    rng = np.random.default_rng(0)
    hiss = np.convolve(rng.standard_normal(9_000), [1, 1, 1, 1], "valid")[:8_000] * 1e-3
    wave = hiss.astype(np.float32)[None]
    wave[0, 1_000:7_000] += tone(500, 0.75)[0]
    filled = waves.padded(wave, 16_384)
    assert np.array_equal(filled[:, :8_000], wave)
    assert np.array_equal(filled, waves.padded(wave, 16_384))
    tail = filled[0, 8_000:]
    assert float(tail.std()) == pytest.approx(float(hiss.std()), rel=0.25)
    spectrum = np.abs(np.fft.rfft(tail))
    low, high = spectrum[: len(spectrum) // 8].mean(), spectrum[len(spectrum) // 2 :].mean()
    assert low > 3 * high, "the noise has the colour of the recording's own"
    assert float(waves.padded(tone(500), 4_096)[0, 2_000:].std()) < 0.0101 * 0.5 / 2**0.5 * 1.05, (
        "a loud recording has no floor"
    )
    assert not waves.padded(np.concatenate([np.zeros((1, 2_000), np.float32), tone(500)], 1), 5_000)[0, 4_000:].any()
    assert np.isfinite(waves.padded(noise(65 / 8_000), 512)).all()


def test_loudness_is_normalised_and_restored(tmp_path: Path) -> None:
    clips = [noise(512 / 8_000, seed=i, peak=0.02 * (i + 1)) for i in range(9)]
    for i, wave in enumerate(clips):
        save(tmp_path / f"{i}.wav", wave, subtype="FLOAT")
    plain, rms = (opened(tmp_path, normalise=how, heldout=0.0) for how in ("none", "rms"))
    assert sorted(float(clip.abs().max()) for clip in plain.data) == pytest.approx([0.02 * (i + 1) for i in range(9)])
    assert plain.level == 1
    assert float(rms.data.square().mean((1, 2)).sqrt().sub(0.1).abs().max()) < 1e-5
    assert rms.level == pytest.approx(float(np.median([np.sqrt(np.square(wave).mean()) for wave in clips])), rel=1e-4)
    for how in ("none", "rms", "peak"):
        source = opened(tmp_path, normalise=how, heldout=0.0)
        middle = source.data[4:5]
        (path,) = writing.write_sounds(middle, tmp_path / "out" / "x.wav", source.info())
        again = writing.read_sounds([path], source.info())
        assert torch.allclose(again, middle, atol=1e-6)


# --- odd files


def nan_file(path: Path, share: float) -> None:
    wave = noise(0.25, seed=99)
    wave[:, : int(share * wave.shape[1])] = np.nan
    content = save(path, noise(0.25), subtype="FLOAT").read_bytes()
    path.write_bytes(content[: -wave.nbytes] + wave.tobytes())


def clipped(path: Path) -> None:
    save(path, np.clip(noise(0.25, peak=4.0), -1, 1))


def with_offset(path: Path) -> None:
    save(path, 0.2 + 0.3 * noise(0.25))


def cut_off(path: Path) -> None:
    path.write_bytes(save(path, noise(0.25)).read_bytes()[:3_000])


def beyond(path: Path) -> None:
    wave = noise(0.25, peak=7.0)
    content = save(path, noise(0.25), subtype="FLOAT").read_bytes()
    path.write_bytes(content[: -wave.nbytes] + wave.tobytes())


SHORT, UNREADABLE = "are shorter than 0.01 s or 64 samples and are left out", "cannot be read and are left out"
ODD: dict[str, tuple[Callable[[Path], Any], str, bool]] = {
    "silent": (lambda path: save(path, np.zeros((1, 2_000), np.float32)), "are silent and are left out", False),
    "constant": (lambda path: save(path, np.full((1, 2_000), 0.3, np.float32)), "are silent and are left out", False),
    "nearly silent": (lambda path: save(path, noise(0.25, peak=1e-4)), "are silent and are left out", False),
    "empty": (lambda path: path.write_bytes(b""), "are empty and are left out", False),
    "no samples": (lambda path: save(path, np.zeros((1, 0), np.float32)), SHORT, False),
    "few samples": (lambda path: save(path, noise(63 / 8_000)), SHORT, False),
    "one sample": (lambda path: save(path, noise(1 / 8_000)), SHORT, False),
    "text": (lambda path: path.write_text("no sound"), UNREADABLE, False),
    "another kind": (lambda path: Image.new("L", (4, 4)).save(path, "PNG"), UNREADABLE, False),
    "header only": (lambda path: path.write_bytes(save(path, noise()).read_bytes()[:30]), UNREADABLE, False),
    "damaged header": (
        lambda path: path.write_bytes(b"RIFF\xff\xff\0\0WAVEfmt \x10\0\0\0" + bytes(16)),
        UNREADABLE,
        False,
    ),
    "slow": (
        lambda path: save(path, noise(), rate=500),
        "have fewer than 1,000 samples a second and are left out",
        False,
    ),
    "cut off": (cut_off, "are cut off; what is there is used", True),
    "clipped": (clipped, "are clipped at full scale", True),
    "offset": (with_offset, "have a constant offset, which is removed", True),
    "nan": (lambda path: nan_file(path, 0.005), "have values that are NaN or infinite; they are replaced by 0", True),
    "many nan": (lambda path: nan_file(path, 0.5), "have many values that are NaN or infinite and are left out", False),
    "beyond": (beyond, "go beyond full scale", True),
}


def with_one(folder: Path, make: Callable[[Path], Any]) -> Path:
    """A folder of four recordings and one more, odd.wav."""
    for i in range(4):
        save(folder / f"{i}.wav", noise(seed=i))
    make(folder / "odd.wav")
    return folder


@pytest.mark.parametrize("kind", ODD)
def test_everything_odd_is_told(tmp_path: Path, kind: str) -> None:
    make, words, used = ODD[kind]
    source = opened(with_one(tmp_path, make), heldout=0.0)
    assert f"1 file(s) {words} (the first: odd.wav" in said(source)
    assert source.num_rows == 4 + used
    assert bool(torch.isfinite(source.data).all())
    assert float(source.data.abs().max()) <= 1 + 1e-6
    assert float(source.data.mean(2).abs().max()) < 0.05


@pytest.mark.parametrize("kind", [kind for kind, (_, _, used) in ODD.items() if not used])
def test_nothing_but_odd_files_is_refused_in_words(tmp_path: Path, kind: str) -> None:
    make, words, _ = ODD[kind]
    info = opened(with_one(tmp_path / "in", make)).info()
    for path in (tmp_path / "in").glob("?.wav"):
        shutil.copy(tmp_path / "in" / "odd.wav", path)
    with pytest.raises(UserError, match="none of the 5 recordings can be used.*" + re.escape(f"5 file(s) {words}")):
        opened(tmp_path / "in")
    with pytest.raises(UserError, match=re.escape(words)):
        writing.read_sounds([tmp_path / "in" / "odd.wav"], info)


def test_a_wav_without_sound_is_left_out_where_the_extra_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    source = opened(with_one(tmp_path, lambda path: path.write_text("no sound")), heldout=0.0)
    assert "cannot be read and are left out (the first: odd.wav: Reading odd.wav needs soundfile" in said(source)
    (tmp_path / "x.flac").write_bytes(b"fLaC")
    with pytest.raises(UserError, match=r"Reading x.flac needs soundfile.*zerosum\[audio\]"):
        opened(tmp_path)


@pytest.mark.parametrize("ending", [".flac", ".ogg", ".mp3", ".aiff"])
def test_other_formats_that_are_damaged_are_told(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("soundfile")
    for i in range(4):
        save(tmp_path / f"{i}{ending}", noise(0.5, 16_000, seed=i), 16_000)
    (tmp_path / f"text{ending}").write_text("no sound")
    (tmp_path / f"empty{ending}").write_bytes(b"")
    source = opened(tmp_path, heldout=0.0)
    assert source.num_rows == 4
    assert f"1 file(s) are empty and are left out (the first: empty{ending})" in said(source)
    assert "cannot be read and are left out" in said(source)
    assert source.ending == ending


def test_one_recording_is_cut_into_sections(tmp_path: Path) -> None:
    path = save(tmp_path / "long.wav", noise(20))
    source = opened(path)
    assert source.info().name == "long"
    assert source.num_rows > 20
    assert source.num_heldout > 0
    assert "There is one recording; it is cut into 19 section(s)" in said(source)
    small = opened(save(tmp_path / "small.wav", noise(0.4)))
    assert small.num_rows >= 2
    assert "clips are few" in said(small)
    with pytest.raises(UserError, match="a training set needs at least 2"):
        opened(save(tmp_path / "tiny.wav", noise(0.05)))
    assert data.can_open(str(path))


def test_two_short_recordings_are_a_training_set(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / f"{i}.wav", noise(0.02, seed=i))
    source = opened(tmp_path)
    assert source.data.shape == (2, 1, 512)
    assert source.num_heldout == 0


def test_what_is_no_recording_is_told(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"{i}.wav", noise(seed=i))
    (tmp_path / "a.m4a").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "LICENCE").write_text("x")
    source = opened(tmp_path)
    assert "1 .m4a file(s) are not read. Convert them to .wav or .flac: ffmpeg -i in.m4a out.wav." in said(source)
    assert "Skipped, because they are no recordings: 1 without an ending, 1 .txt file(s)." in said(source)
    for path, words in (
        (tmp_path / "a.m4a", ".m4a files are not read. Convert"),
        (tmp_path / "notes.txt", "not a kind of file that holds recordings"),
        (tmp_path / "missing", "no such path"),
    ):
        with pytest.raises(UserError, match=words):
            opened(path)
    for path in list(tmp_path.glob("*.wav")):
        path.unlink()
    with pytest.raises(UserError, match=r"no recordings here. 1 .m4a file.s. are not read. Convert"):
        opened(tmp_path)
    (tmp_path / "wavs.tar.xz").write_bytes(b"x")
    with pytest.raises(UserError, match=r"An archive is read when it is named itself: .*wavs\.tar\.xz\."):
        opened(tmp_path)
    assert files.looks_like(tmp_path)
    assert files.looks_like(tmp_path / "a.m4a")
    assert not data.can_open(str(tmp_path))


def test_links_devices_and_hostile_archives(tmp_path: Path) -> None:
    outside = save(tmp_path / "outside" / "x.wav", noise())
    for i in range(3):
        save(tmp_path / "in" / f"{i}.wav", noise(seed=i))
    (tmp_path / "in" / "link.wav").symlink_to(outside)
    (tmp_path / "in" / "device.wav").symlink_to("/dev/zero")
    source = opened(tmp_path / "in", heldout=0.0)
    assert source.num_rows == 3
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("../x.wav", outside.read_bytes())
    with tarfile.open(tmp_path / "out.tar", "w") as tar:
        tar.add(outside, "../x.wav")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.wav", bytes(2**26))
    for name, words in (
        ("out.zip", "outside the archive"),
        ("out.tar", "outside the archive"),
        ("bomb.zip", "zip bomb"),
    ):
        with pytest.raises(UserError, match=words):
            opened(tmp_path / name)
    for name in ("damaged.zip", "damaged.tar", "damaged.tar.xz"):
        (tmp_path / name).write_bytes(b"PK\3\4" + bytes(100))
        with pytest.raises(UserError, match="damaged"):
            opened(tmp_path / name)
        assert not data.can_open(str(tmp_path / name))


def test_folders_of_images_are_not_sounds(tmp_path: Path) -> None:
    for i in range(5):
        Image.new("L", (4, 4)).save(tmp_path / f"{i}.png")
    save(tmp_path / "theme.wav", noise())
    assert not data.can_open(str(tmp_path))
    for i in range(6):
        save(tmp_path / "more" / f"{i}.wav", noise())
    assert data.can_open(str(tmp_path))
    assert data.can_open("tones")
    assert not any(map(data.can_open, ("", "nothing", "/dev/zero", str(tmp_path / "0.png"))))


def test_a_file_in_a_coding_of_its_own_is_read(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    for i, subtype in enumerate(("ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM")):
        soundfile.write(tmp_path / f"{i}.wav", tone(300, 1.0)[0], 8_000, subtype)
    source = opened(tmp_path, heldout=0.0)
    assert source.num_rows == 4
    (path,) = writing.write_sounds(source.data[:1], tmp_path / "out.wav", source.info())
    assert soundfile.info(path).subtype == "PCM_16"


# --- the split, memory, fingerprint


def test_windows_of_a_recording_and_equal_recordings_are_on_one_side(tmp_path: Path) -> None:
    for i in range(12):
        save(tmp_path / f"{i}.wav", noise(1.0, seed=i // 2))  # each twice
    source = opened(tmp_path, seconds=0.125, heldout=0.3)
    assert source.num_heldout > 0
    assert "12 longer recording(s)" in said(source)
    train, held = ({clip.numpy().tobytes() for clip in part} for part in (source.data, source.heldout))
    assert not train & held
    assert len(held) * 2 == source.num_heldout
    assert len(held) % 15 == 0, "whole recordings of 15 clips"
    assert opened(tmp_path, seconds=0.125, heldout=0.3, seed=5).fingerprint != source.fingerprint


def test_memory_is_bounded_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(20):
        save(tmp_path / "in" / f"{i}.wav", noise(512 / 8_000, seed=i))
    whole = opened(tmp_path / "in", heldout=0.0)
    assert "The 20 clips take 40.0 KiB of memory" in said(whole)
    monkeypatch.setattr(loading, "MAX_SAMPLES", 5 * 512 + 100)
    few = opened(tmp_path / "in", heldout=0.0)
    assert few.num_rows == 6
    assert "14 file(s) are not read: the recordings would need more than" in said(few)
    assert "1 file(s) are longer than the memory allows" in said(few)
    monkeypatch.undo()
    monkeypatch.setattr(loading, "MAX_CLIP_SAMPLES", 7 * 512)
    few = opened(tmp_path / "in", heldout=0.0)
    assert few.num_rows == 7
    assert "7 of 20 clips are used" in said(few)
    monkeypatch.setattr(files, "MAX_TAR_BYTES", 10_000)
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        archive.add(tmp_path / "in", "in")
    with pytest.raises(UserError, match=r"in.tar holds recordings of"):
        opened(tmp_path / "in.tar")


def test_the_fingerprint_follows_contents_and_options(folder: Path) -> None:
    first = opened(folder).fingerprint
    assert opened(folder).fingerprint == first
    others = [{"seconds": 0.5}, {"normalise": "rms"}, {"labelled": False}, {"seed": 1}, {"heldout": 0.3}]
    marks = {first, *(opened(folder, **options).fingerprint for options in others)}
    assert len(marks) == 1 + len(others)
    save(folder / "cat" / "1.wav", noise(0.26, seed=77))
    assert opened(folder).fingerprint not in marks


def test_wrong_options_are_refused(folder: Path) -> None:
    for options, words in (
        ({"rate": 100}, "rate must lie in"),
        ({"channels": 99}, "channels must lie in"),
        ({"heldout": 1.0}, "heldout must lie in"),
        ({"seconds": -1.0}, "seconds must lie in"),
        ({"normalise": "loud"}, "normalise"),
        ({"volume": 3}, "no option 'volume'"),
    ):
        with pytest.raises(UserError, match=words):
            opened(folder, **options)


def test_files_are_judged_as_the_training_data(folder: Path, tmp_path: Path) -> None:
    source = opened(folder, heldout=0.0)
    info: DatasetInfo = source.info()
    clips = writing.read_sounds(sorted(folder.rglob("*.wav"), key=lambda path: (path.parent.name, path.name)), info)
    assert torch.equal(clips, source.data)
    long = save(tmp_path / "long.wav", np.repeat(noise(2.0, 8_000), 2, 0), 8_000)
    assert writing.read_sounds([long], info).shape == (10, 1, 3_072)
    with pytest.raises(UserError, match=r"missing\.wav: cannot be read \(No such file"):
        writing.read_sounds([tmp_path / "missing.wav"], info)
    with pytest.raises(UserError, match="not a kind of file"):
        writing.read_sounds([save(tmp_path / "x.wav", noise()).rename(tmp_path / "x.png")], info)


def test_spoken_digits(data_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    archive = data_root / "fsdd" / "fsdd_recordings.tar.xz"
    if not archive.is_file():
        pytest.skip(f"no spoken digits at {archive}")
    monkeypatch.setenv("ZEROSUM_DATA", str(data_root))
    source = data.open_source(part("spoken-digits"), False)
    info = source.info()
    assert (info.name, info.num_rows, info.num_heldout) == ("spoken-digits", 2_700, 300)
    assert source.data.shape[1:] == (1, 5_632)
    assert info.class_names == tuple("0123456789")
    assert info.condition.counts == (270,) * 10  # type: ignore[union-attr]
    assert (source.rate, source.subtype) == (8_000, "PCM_16")
    people = opened(archive, pattern="{digit}_{speaker}_{index}", label="speaker").info()
    assert people.class_names == ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
    monkeypatch.setenv("ZEROSUM_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"'spoken-digits' was not found. Looked for:\n  .*fsdd_recordings.tar.xz"):
        data.open_source(part("spoken-digits"), False)
