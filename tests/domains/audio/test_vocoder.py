"""The vocoder: its network and critics, the parts of clips that are played for, its terms, and a run with all its uses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sound_making import noise, save, tone
from typer.testing import CliRunner

import zerosum as zs
from zerosum import catalog, recipe
from zerosum.cli import app
from zerosum.domain import DatasetInfo, OtherCondition, SampleInfo
from zerosum.domains.audio import game, vocoder
from zerosum.domains.audio.mel import MelSpectrogram
from zerosum.domains.audio.signal import Sound
from zerosum.domains.audio.vocoder import Vocoder, VocoderDiscriminator, VocoderDuel, cropped
from zerosum.engine.game import MicroBatch
from zerosum.engine.loop import Settings, TrainingLoop
from zerosum.engine.seeds import SeededNoise
from zerosum.errors import UserError
from zerosum.generation.latents.space import Space

SMALL = (
    "generator.width=8",
    "generator.blocks=1",
    "generator.iterations=2",
    "discriminator.width=2",
    "conditional=true",
)


def info_of(channels: int = 1, samples: int = 4_000, rate: int = 8_000, condition: str = "mel") -> DatasetInfo:
    told = OtherCondition("a mel spectrogram", MelSpectrogram.of(rate).shape(channels, samples), examples=True)
    payload = {"rate": rate, "ending": ".wav", "subtype": "PCM_16", "normalise": "peak", "level": 1.0}
    form = SampleInfo({"channels": channels, "samples": samples}, "a clip")
    return DatasetInfo("some", 8, 0, "", form, (), told, {**payload, "condition": condition})


def built(info: DatasetInfo, *settings: str) -> VocoderDuel:
    duel = game.build(recipe.override(catalog.recipes()["vocoder"], [*SMALL, *settings]), info)
    assert isinstance(duel, VocoderDuel)
    return duel


@pytest.mark.parametrize(
    ("channels", "samples", "rate"), [(1, 4_000, 8_000), (2, 9_001, 22_050), (3, 500, 8_000), (1, 70_000, 48_000)]
)
def test_any_sound_can_be_played_for(channels: int, samples: int, rate: int) -> None:
    info = info_of(channels, samples, rate)
    duel = built(info, "batch=4")
    waves = 0.3 * torch.randn(8, channels, samples)
    loop = TrainingLoop(duel, zs.engine.game.RowsSource(zs.Batch(waves), torch.device("cpu")), Settings(4))
    for _ in range(2):
        loop.train_step()
    network = duel.generator.eval()
    with torch.no_grad():
        made = network(torch.zeros(2, 1), MelSpectrogram.of(rate).scaled(waves[:2]))
    assert made.shape == (2, channels, samples)
    assert bool(torch.isfinite(made).all())


def test_the_phase_of_a_part_is_that_of_its_place_in_the_whole() -> None:
    """Carriers depend on the number of the first frame."""
    torch.manual_seed(0)
    network = Vocoder(Sound(1, 4_096, 8_000), width=8, blocks=1, iterations=0).eval()
    mel = network.mel.scaled(0.3 * torch.randn(1, 1, 6_400))
    whole, halo = network.waves(mel), network.halo
    for first in (21, 22, 23):
        part = network.waves(mel[:, :, :, first - halo : first + 10 + halo], first - halo)
        inside = part[:, :, halo * 64 : (halo + 10) * 64]
        torch.testing.assert_close(inside, whole[:, :, first * 64 : (first + 10) * 64], atol=1e-6, rtol=0)


def test_samples_have_the_band_means_of_their_mel_spectrogram() -> None:
    torch.manual_seed(0)
    network = Vocoder(Sound(1, 4_096, 8_000), width=8, blocks=1)
    torch.nn.init.normal_(network.spectra.last.weight, std=0.5)
    scaled = network.mel.scaled(torch.from_numpy(tone(440, 0.5))[None])
    wanted = network.mel.spectrogram.unscaled(scaled)
    errors = []
    for training in (True, False):
        magnitudes, _, _ = network.train(training).spectra(scaled)
        errors.append(float((network.mel._filters(wanted) @ magnitudes - wanted).detach().abs().max() / wanted.max()))
    assert errors[1] < 0.1 < 1 < errors[0]


def test_generator_and_critics_are_given_the_parts_of_one_clip() -> None:
    duel = built(info_of(2, 9_000), "generator.crop=16", "discriminator.frames=4")
    rng = SeededNoise(0, 0, 0, 0, 3, 3, torch.device("cpu"))
    real = torch.arange(9_000.0).expand(3, 2, -1)
    batch = duel._cropped(MicroBatch(zs.Batch(real), rng, 0))
    assert batch.real is not None
    assert batch.real.condition is not None
    parts = batch.real.data
    assert parts.shape == (3, 2, 16 * 64)
    assert torch.equal(parts, parts[:, :, :1] + torch.arange(16 * 64.0))
    assert torch.equal(batch.real.condition, MelSpectrogram.of(8_000).scaled(parts))
    judged = [duel._shown(parts, batch, side) for side in ("real", "fake")]
    assert torch.equal(*judged)
    assert judged[0].shape == (3, 2, 4 * 64)
    assert bool((judged[0][:, :, :1] >= parts[:, :, :1]).all())


def test_every_start_of_a_part_can_be_drawn() -> None:
    waves = torch.arange(10.0).expand(2, 1, -1)
    assert cropped(waves, 4, torch.tensor([0.0, 0.999]))[:, 0].tolist() == [[0, 1, 2, 3], [6, 7, 8, 9]]


def test_critics_judge_channels_by_themselves() -> None:
    torch.manual_seed(0)
    judge = VocoderDiscriminator(Sound(2, 4_096, 8_000), width=2)
    waves = torch.randn(3, 2, 1_001)
    both, first = judge(waves), judge(waves[:, :1])
    assert len(both.logits) == len(judge.critics) == 8
    assert all(len(logit) == 3 for logit in both.logits)
    for two, one in zip(both.logits, first.logits, strict=True):
        torch.testing.assert_close(two[:, : one.shape[1]], one)


def test_the_terms_vanish_for_the_real_clip_alone() -> None:
    """And the critics' features are compared on the part that they are given."""
    duel = built(info_of())
    rng = SeededNoise(0, 0, 0, 0, 2, 2, torch.device("cpu"))
    batch = duel._cropped(MicroBatch(zs.Batch(0.3 * torch.randn(2, 1, 4_000)), rng, 0))
    assert batch.real is not None
    context = duel._generator_context(batch)
    real = batch.real.data
    shown = duel._shown(real, batch, "real")
    magnitudes = MelSpectrogram.of(8_000).spectrogram.magnitudes(real)
    verdict = duel._judge(shown, None)
    perfect = replace(
        context, plain_fake=real, fake=shown, on_fake=verdict, on_real=verdict, made={"magnitudes": magnitudes}
    )
    for make in (vocoder.magnitude_l1, vocoder.mel_l1, vocoder.stft, vocoder.feature_matching):
        penalty = make(weight=1.0)
        assert float(penalty.function(perfect).detach().max()) < 1e-5, penalty.name
        values = penalty.function(context)
        assert values.shape == (2,), penalty.name
        assert float(values.detach().min()) > 1e-4, penalty.name


def test_what_does_not_fit_is_refused() -> None:
    for settings, condition, words in (
        ((), "class", r"needs data.condition = 'mel', which is 'class'"),
        (("discriminator.kind=wavegan",), "mel", "`vocoder` can only be combined with `vocoder`|`wavegan` can only"),
        (("conditional=false",), "mel", "conditional: a vocoder needs mel spectrograms.*--recipe clips"),
        (("augment=masks",), "mel", "augment: a vocoder has no augmentations"),
        (("generator.crop=-1",), "mel", "crop and iterations must be at least 0"),
        (("discriminator.frames=-1",), "mel", "frames must be at least 0"),
    ):
        with pytest.raises(UserError, match=words):
            built(info_of(condition=condition), *settings)


# --- a run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zs.Run]:
    """A run on a folder of recordings with classes, two rates and two formats."""
    folder = tmp_path_factory.mktemp("vocoder")
    for number in range(12):
        save(folder / "clips" / "ab"[number % 2] / f"{number}.wav", noise(0.4, seed=number))
    save(folder / "clips" / "a" / "other.flac", noise(0.4, 16_000, seed=20), 16_000)
    overrides = {
        "steps": 3, "batch": 4, "threads": 1, "generator.width": 8, "generator.blocks": 1, "generator.iterations": 2,
        "discriminator.width": 2,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZEROSUM_CACHE", str(folder / "cache"))
        yield zs.train(folder / "clips", recipe="vocoder", out=folder / "run", overrides=overrides)


def command(*arguments: object) -> Any:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_preview_shows_and_plays_made_clips_in_the_order_of_the_real_ones(run: zs.Run) -> None:
    previews = run.path / "previews"
    with Image.open(previews / "step-00000003.png") as made, Image.open(previews / "real.png") as real:
        assert made.size == real.size
    assert (previews / "step-00000003.wav").stat().st_size == (previews / "real.wav").stat().st_size
    report = (run.path / "report.html").read_text()
    assert report.count("<audio") >= 2
    assert "stft_distance" in report


def test_a_file_is_made_again_by_the_command(run: zs.Run, tmp_path: Path) -> None:
    file = save(tmp_path / "in.wav", noise(1.03, 16_000, 2, peak=0.25), 16_000, "PCM_24")
    out = tmp_path / "out.wav"
    done = CliRunner().invoke(app, ["sample", str(run.path), "--input", str(file), "--out", str(out)])
    assert done.exit_code == 0, done.output
    import soundfile

    found = soundfile.info(str(out))
    assert (found.samplerate, found.channels, found.frames, found.subtype) == (8_000, 2, 8_240, "PCM_24")


def test_samples_without_an_input_are_the_stored_examples_again(run: zs.Run, tmp_path: Path) -> None:
    command("sample", run.path, "--num", 3, "--out", tmp_path / "made")
    assert len(list((tmp_path / "made").iterdir())) == 3
    generator = zs.load(run.path)
    assert torch.equal(generator.sample(2), generator.sample(3)[:2])


def test_a_run_is_resumed_and_evaluated(run: zs.Run) -> None:
    found = command("evaluate", run.path)
    names = {one["name"].partition("[")[0] for one in found}
    assert {"stft_distance", "log_mel_l1", "mcd13"} <= names
    assert "step 4 of 4" in repr(zs.resume(run.path, steps=4))


def test_the_data_tell_which_recipe_they_are_for(tmp_path: Path) -> None:
    source, info = catalog.domain("audio").open(recipe.part("tones", num=8, condition="mel"), False)
    assert catalog.domain("audio").recipes.recommend(info)[0] == "vocoder"
    assert info.condition.shape == (1, 80, 128)  # type: ignore[union-attr]
    assert source.heldout_batch(torch.arange(1)).condition.shape == (1, 1, 80, 128)
    assert np.isfinite(source.examples().condition.numpy()).all()


def test_recordings_are_scored_without_a_mel_spectrogram(run: zs.Run, tmp_path: Path) -> None:
    """The critics see waves alone."""
    file = save(tmp_path / "in.wav", noise(1.0, seed=3))
    scores = run.judge([file])
    assert len(scores) > 1
    assert all(0 < score < 1 for score in scores)


def test_there_is_nothing_between_two_samples_of_one_mel_spectrogram(run: zs.Run) -> None:
    with pytest.raises(UserError, match=r"depend on their input \(a mel spectrogram\) alone, and not on noise"):
        Space(zs.load(run.path))
