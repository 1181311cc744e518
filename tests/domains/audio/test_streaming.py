"""Recordings of any length through a vocoder: the size of the pieces changes no bit, and files keep their level and form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from sound_making import noise, save, tone

from zerosum.domain import DatasetInfo, OtherCondition, SampleInfo, SampleRequest
from zerosum.domains.audio import streaming
from zerosum.domains.audio.mel import MelSpectrogram
from zerosum.domains.audio.signal import Sound
from zerosum.domains.audio.streaming import VocoderStream
from zerosum.domains.audio.vocoder import Vocoder
from zerosum.errors import UserError

RATE, HOP = 8_000, 64


@pytest.fixture(scope="module")
def network() -> Vocoder:
    """An untrained vocoder of a small halo, whose output depends on every frame within it."""
    torch.manual_seed(0)
    made = Vocoder(Sound(1, 4_096, RATE), width=8, blocks=2, iterations=3)
    torch.nn.init.normal_(made.spectra.last.weight, std=0.3)
    return made.eval()


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "BLOCK", 61)


def streamed(network: Vocoder, waves: torch.Tensor, size: int) -> torch.Tensor:
    stream = VocoderStream(network, len(waves))
    parts = [made for piece in torch.split(waves, size, 1) for made in stream.feed(piece)]
    return torch.cat([*parts, *stream.finish()], 1)


def whole(network: Vocoder, waves: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network.waves(network.mel.scaled(waves[None]))[0, :, : waves.shape[1]]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("samples", [1, 63, 1_000, 8_191, 8_193, 40_001])
def test_chunks_of_any_size_give_the_same_bits_as_the_whole(network: Vocoder, channels: int, samples: int) -> None:
    torch.manual_seed(1)
    waves = 0.3 * torch.randn(channels, samples)
    made = [streamed(network, waves, size) for size in (samples, 37, 1_024, 5_000, 16_384)]
    assert made[0].shape == waves.shape
    for other in made[1:]:
        assert torch.equal(other, made[0])
    torch.testing.assert_close(made[0], whole(network, waves), atol=1e-5, rtol=0)


def test_memory_does_not_grow_with_the_length(network: Vocoder) -> None:
    stream, kept = VocoderStream(network, 1), set[int]()
    for _ in range(40):
        list(stream.feed(torch.randn(1, 5_000)))
        kept.add(stream._kept.shape[1])
    assert max(kept) < 5_000 + (streaming.BLOCK + 2 * stream.halo) * HOP + 3 * 4 * HOP


def test_the_halo_is_what_the_output_depends_on(network: Vocoder) -> None:
    mel = torch.zeros(1, 1, 64, 61, requires_grad=True)
    network.waves(mel + 0.1 * torch.randn(1, 1, 64, 61))[0, 0, 30 * HOP : 31 * HOP].square().sum().backward()
    assert mel.grad is not None
    seen = (mel.grad[0, 0].abs().sum(0) > 0).nonzero().flatten()
    assert (int(seen[0]), int(seen[-1])) == (30 - network.halo, 30 + network.halo)


def blocks_without_the_edge(network: Vocoder, halo: int, edge: int) -> bool:
    """Whether the first block of a stream with this halo has the same bits for waves that differ only in the samples that
    belong to the frames from `edge` after the last frame of the block, and to later ones."""
    hop, window = network.mel.spectrogram.hop, network.mel.spectrogram.window
    waves = 0.3 * torch.randn(1, 20_000, generator=torch.Generator().manual_seed(2))
    other = waves.clone()
    other[:, (streaming.BLOCK - 1 + edge - 1) * hop + (window + hop) // 2 :] *= -2
    made = []
    for each in (waves, other):
        stream = VocoderStream(network, 1)
        stream.halo = halo
        made.append(next(stream.feed(each)))
    assert made[0].shape == (1, streaming.BLOCK * hop)
    return torch.equal(*made)


def test_a_halo_that_is_too_short_changes_bits(network: Vocoder) -> None:
    """A halo that is too short gives the same bits for all sizes of pieces, because blocks lie at fixed places."""
    halo = VocoderStream(network, 1).halo
    assert blocks_without_the_edge(network, halo + 9, network.halo + 1)  # no frame beyond the halo has an influence
    assert not blocks_without_the_edge(network, halo, network.halo - 2)  # its three outermost frames have one
    assert blocks_without_the_edge(network, halo - 3, network.halo - 2)  # a stream that drops them is found


# --- files


class Handle:
    """What `zerosum sample` gives to the domain."""

    def __init__(self, network: Vocoder) -> None:
        self.network, self.device = network, torch.device("cpu")


def info_of(normalise: str = "peak") -> DatasetInfo:
    condition = OtherCondition("a mel spectrogram", MelSpectrogram.of(RATE).shape(1, 4_096), examples=True)
    payload: dict[str, Any] = {
        "rate": RATE,
        "ending": ".wav",
        "subtype": "PCM_16",
        "level": 0.5,
        "normalise": normalise,
    }
    sample = SampleInfo({"channels": 1, "samples": 4_096}, "")
    return DatasetInfo("x", 2, 0, "0", sample, (), condition, {**payload, "condition": "mel"})


def made_again(network: Vocoder, out: Path, *inputs: Path, normalise: str = "peak", num: int | None = None) -> Any:
    request = SampleRequest(num, 0, out, {"input": inputs})
    return streaming.sample(Handle(network), info_of(normalise), request)  # type: ignore[arg-type]


@pytest.mark.parametrize("read", [1_000, 65_536])
@pytest.mark.parametrize(("rate", "channels"), [(8_000, 2), (11_025, 1), (44_100, 2)])
def test_a_file_has_its_channels_and_length_whatever_is_read_at_once(
    network: Vocoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: int, rate: int, channels: int
) -> None:
    file = save(tmp_path / "in.wav", noise(2.0, rate, channels), rate, "PCM_24")
    expected = made_again(network, tmp_path / "expected.wav", file).paths[0].read_bytes()
    monkeypatch.setattr(streaming, "READ", read)
    (path,) = made_again(network, tmp_path / "out.wav", file).paths
    assert path.read_bytes() == expected
    found = soundfile.info(str(path))
    assert (found.samplerate, found.channels, found.frames, found.subtype) == (RATE, channels, 2 * RATE, "PCM_24")


@pytest.mark.parametrize("normalise", ["peak", "rms"])
def test_the_level_of_the_input_is_restored(network: Vocoder, tmp_path: Path, normalise: str) -> None:
    """An input that is a tenth as loud gives an output that is a tenth as loud, because both are equal to the network."""
    loud, low = (save(tmp_path / f"{peak}.wav", tone(440, 1.0, peak=peak), subtype="FLOAT") for peak in (0.5, 0.05))
    made = [
        soundfile.read(str(made_again(network, tmp_path / "out" / file.name, file, normalise=normalise).paths[0]))[0]
        for file in (loud, low)
    ]
    np.testing.assert_allclose(made[1], made[0] / 10, atol=1e-4 * np.abs(made[0]).max())
    assert np.abs(made[0]).max() > 0.01


def test_files_and_folders_keep_their_names_and_odd_ones_are_left_out(network: Vocoder, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    save(folder / "a.wav", noise())
    save(folder / "b.flac", noise(seed=1))
    (folder / "c.wav").write_bytes(b"nothing")
    single = save(tmp_path / "a.wav", noise(0.1))
    made = made_again(network, tmp_path / "out", folder, single)
    assert [path.name for path in made.paths] == ["a.wav", "b.flac", "a-2.wav"]
    assert soundfile.info(str(made.paths[1])).format == "FLAC"
    assert any("c.wav" in note for note in made.notes)


def test_each_recording_has_a_name_of_its_own(network: Vocoder, tmp_path: Path) -> None:
    files = [save(tmp_path / name, noise(0.1)) for name in ("b/a.wav", "b/a-2.wav", "c/a.wav", "c/a.flac")]
    made = made_again(network, tmp_path / "out", *files)
    assert [path.name for path in made.paths] == ["a.wav", "a-2.wav", "a-3.wav", "a.flac"]
    assert all(path.is_file() for path in made.paths)


def test_a_rate_that_the_format_does_not_have_is_changed_with_a_note(network: Vocoder, tmp_path: Path) -> None:
    """Opus has no rate of 11,025 Hz."""
    save(tmp_path / "in" / "a.wav", noise(0.1))
    soundfile.write(tmp_path / "in" / "b.opus", tone(440, 0.5)[0], RATE, format="OGG", subtype="OPUS")
    info = replace(info_of(), payload={**info_of().payload, "rate": 11_025})
    request = SampleRequest(None, 0, tmp_path / "out", {"input": (tmp_path / "in",)})
    made: Any = streaming.sample(Handle(network), info, request)  # type: ignore[arg-type]
    assert any("written at 12,000 Hz: OPUS has no 11,025 Hz" in note and "b.opus" in note for note in made.notes)
    written = soundfile.info(str(made.paths[1]))
    assert (written.samplerate, written.subtype) == (12_000, "OPUS")
    assert written.frames == pytest.approx(6_000, abs=2)


def test_a_recording_that_cannot_be_written_is_named(network: Vocoder, tmp_path: Path) -> None:
    """MP3 has no four channels."""
    save(tmp_path / "in" / "a.wav", noise(0.1))
    save(tmp_path / "in" / "b.wav", noise(0.1, channels=4)).rename(tmp_path / "in" / "b.mp3")
    made = made_again(network, tmp_path / "out", tmp_path / "in")
    assert any(note.startswith("Left out: b.mp3: .mp3 files have at most 2 channels") for note in made.notes)


def test_what_cannot_be_is_refused(network: Vocoder, tmp_path: Path) -> None:
    file = save(tmp_path / "files" / "a.wav", noise())
    bad = tmp_path / "files" / "bad.wav"
    bad.write_bytes(b"RIFF")
    (tmp_path / "files" / "a.m4a").write_bytes(b"x")
    (tmp_path / "upper").mkdir()
    save(tmp_path / "upper" / "below" / "a.wav", noise())
    for inputs, out, words in (
        ([tmp_path / "none.wav"], tmp_path / "o.wav", "there is no such file"),
        ([bad], tmp_path / "o.wav", "bad.wav"),
        ([file], tmp_path / "o.txt", "cannot write .txt"),
        ([file], file, "would be overwritten"),
        ([file, bad], tmp_path / "o.wav", "are written to a folder"),
        ([file], bad / "o.wav", "Cannot write .*Choose another place"),
        ([file.with_suffix(".m4a")], tmp_path / "o.wav", r"\.m4a files are not read\. Convert them"),
        (
            [tmp_path / "upper"],
            tmp_path / "o",
            r"no recordings in this folder\. Those of sub-folders are not read: name each, as .*below",
        ),
        ([save(tmp_path / "slow.wav", noise(), rate=999)], tmp_path / "o.wav", "fewer than 1,000 samples a second"),
    ):
        with pytest.raises(UserError, match=words):
            made_again(network, out, *inputs)
    with pytest.raises(UserError, match="--num applies to"):
        made_again(network, tmp_path / "o.wav", file, num=3)


def test_values_that_are_not_finite_are_named(network: Vocoder, tmp_path: Path) -> None:
    wave = noise()
    wave[0, 5] = np.nan
    made = made_again(network, tmp_path / "o.wav", save_floats(tmp_path / "nan.wav", wave))
    assert "NaN or infinite" in made.notes[0]


def save_floats(path: Path, wave: np.ndarray) -> Path:
    soundfile.write(str(path), wave.T, 8_000, "FLOAT")
    return path
