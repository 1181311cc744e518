"""The game on spectrograms: what is shifted, what D is given, any channels and samples, a run that is resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import zerosum as zs
from zerosum import catalog, recipe
from zerosum.domain import DatasetInfo, SampleInfo, kit
from zerosum.domains.audio import builtin_sources, game, networks, waves
from zerosum.engine.game import DiscriminatorOutput
from zerosum.engine.loop import Settings, TrainingLoop
from zerosum.errors import UserError

SMALL = ("generator.widths=[8,8,4,4,4]", "generator.iterations=2", "discriminator.widths=[4,4,4,8]", "conditional=true")


def info_of(channels: int = 1, samples: int = 1024, rate: int = 8000, classes: int = 2) -> DatasetInfo:
    condition = kit.class_condition(torch.arange(classes)) if classes else None
    payload = {"rate": rate, "ending": ".wav", "subtype": "PCM_16", "normalise": "peak", "level": 1.0}
    return DatasetInfo(
        "some", 8, 0, "", SampleInfo({"channels": channels, "samples": samples}, "a clip"), (), condition, payload
    )


def small(*settings: str) -> recipe.Recipe:
    return recipe.override(catalog.recipes()["clips"], [*SMALL, *settings])


@pytest.mark.parametrize(
    ("channels", "samples", "rate"), [(1, 1000, 8000), (2, 3072, 11_025), (3, 40, 500), (1, 33_000, 48_000)]
)
@pytest.mark.parametrize("classes", [0, 3])
def test_any_sound_can_be_played_for(channels: int, samples: int, rate: int, classes: int) -> None:
    """Two steps, and samples of the size of the clips, with classes and without."""
    info = info_of(channels, samples, rate, classes)
    told = small("batch=4", f"conditional={str(bool(classes)).lower()}")
    duel = game.build(catalog.domain("audio").game.resolve_auto(told, info)[0], info)
    waves = torch.randn(8, channels, samples).clamp(-1, 1)
    labels = torch.arange(8) % classes if classes else None
    loop = TrainingLoop(duel, zs.engine.game.RowsSource(zs.Batch(waves, labels), torch.device("cpu")), Settings(4))
    for _ in range(2):
        loop.train_step()
    network = duel.players["generator"].eval()
    noise = torch.randn(2, 64)
    with torch.no_grad():
        made = network(noise) if labels is None else network(noise, labels[:2])
    assert made.shape == (2, channels, samples)
    assert bool(torch.isfinite(made).all())
    assert float(made.abs().max()) <= 1


def test_the_classifier_is_left_out_where_there_are_no_classes() -> None:
    for classes, there in ((2, True), (0, False)):
        told = small(
            f"conditional={str(there).lower()}", "discriminator.classifier=true", "penalties.classification.weight=0.5"
        )
        full, notes = catalog.domain("audio").game.resolve_auto(told, info_of(classes=classes))
        assert ("classification" in full.penalties) is there
        assert bool(notes) is not there
        duel = game.build(full, info_of(classes=classes))
        labels = torch.tensor([0, 1]) if there else None
        output = DiscriminatorOutput.of(duel.players["discriminator"](torch.randn(2, 1, 1024), labels))
        assert ("classes" in output.outputs) is there


def test_a_half_life_follows_from_the_batch_and_the_run() -> None:
    resolve = catalog.domain("audio").game.resolve_auto
    for steps, wanted in ((100_000, 312.5 * 32), (100, 5 * 32)):
        full, notes = resolve(small("ema.half_life_samples=auto", "batch=32", f"steps={steps}"), info_of())
        assert full.ema.half_life_samples == wanted
        assert "Half-life" in notes[0]


def test_steady_tones_get_long_windows() -> None:
    resolve = catalog.domain("audio").game.resolve_auto
    steady = replace(info_of(samples=8192), payload={**info_of().payload, "spread": 0.6})
    full, notes = resolve(small(), steady)
    assert (full.generator.options["hop"], full.generator.options["overlap"]) == (128, 4)
    assert "windows of 512 samples every 128" in notes[0]
    assert game.build(full, steady).whole.spectrogram.window == 512  # type: ignore[attr-defined]
    for recipe_, info in (
        (small(), info_of(samples=8192)),
        (small("generator.hop=64"), steady),
        (small("generator.overlap=2"), steady),
        (small(), replace(steady, sample=info_of(samples=256).sample)),
    ):
        full, notes = resolve(recipe_, info)
        assert full.generator == recipe_.generator
        assert not notes


def test_a_sample_does_not_depend_on_the_batch() -> None:
    """Bit for bit, although Griffin-Lim blows rounding up."""
    network = game.build(small("generator.iterations=32"), info_of()).players["generator"].eval()
    noise, labels = torch.randn(5, 64), torch.tensor([0, 1, 1, 0, 1])
    whole = network(noise, labels)
    torch.testing.assert_close(
        torch.cat([network(noise[:2], labels[:2]), network(noise[2:], labels[2:])]), whole, rtol=0, atol=0
    )


def test_files_are_judged_as_the_spectrograms_of_the_game() -> None:
    duel = game.build(small(), info_of())
    judge, waves, labels = duel.players["discriminator"], torch.randn(3, 1, 1024), torch.tensor([0, 1, 1])
    spectrograms = duel.whole.spectrogram.scaled(waves)
    assert spectrograms.shape == (3, 1, 64, 16)
    heard, seen, other = (
        DiscriminatorOutput.of(judge(*inputs)).score()
        for inputs in ((waves, labels), (spectrograms, labels), (waves, 1 - labels))
    )
    assert torch.equal(heard, seen)
    assert not torch.equal(heard, other)


def test_padding_of_short_recordings_is_hidden_from_the_discriminator() -> None:
    """Whatever follows the last frame near the loudest one changes no score, in clips that are short and in long ones."""
    duel = game.build(small(f"discriminator.quiet_end={networks.QUIET_END}"), info_of(samples=2048))
    judge, rng = duel.players["discriminator"].eval(), np.random.default_rng(0)
    short = rng.standard_normal((1, 900)).astype(np.float32) / 5
    short = np.concatenate([short, 3e-3 * short], 1)  # the end is quiet
    padded, silent = waves.padded(short, 2048), np.pad(short, ((0, 0), (0, 2048 - short.shape[1])))
    assert np.abs(padded[:, 1800:]).max() > 1e-4
    pairs = torch.from_numpy(np.stack([padded, silent, padded[:, ::-1]]).copy())
    with torch.no_grad():
        scores = DiscriminatorOutput.of(judge(pairs, torch.tensor([0, 0, 0]))).score()
    assert float(scores[0]) == pytest.approx(float(scores[1]), abs=1e-6)
    assert float(scores[0]) != pytest.approx(float(scores[2]), abs=1e-3)
    seen = duel.whole.spectrogram.scaled(pairs[:1]).requires_grad_()
    (slope,) = torch.autograd.grad(DiscriminatorOutput.of(judge(seen, torch.tensor([0]))).score().sum(), seen)
    assert float(slope[..., 20:].abs().max()) == 0
    assert float(slope[..., :14].abs().max()) > 0
    with pytest.raises(UserError, match="quiet_end"):
        game.build(small("discriminator.quiet_end=-1"), info_of())


def test_clips_are_shifted_each_by_its_own_time() -> None:
    waves = torch.arange(1.0, 11.0).expand(3, 1, 10)
    shifted = game.shift_in_time(waves, 0.2, torch.tensor([0.0, 0.5, 0.999]))
    assert shifted[:, 0, :4].tolist() == [[1, 2, 3, 4], [0, 1, 2, 3], [0, 0, 1, 2]]
    assert game.shift_in_time(waves, 0.0, torch.rand(3)) is waves


def test_unplayable_recipes_are_refused() -> None:
    for settings, said in ((("generator.shift=1",), "shift"), (("generator.iterations=0",), "iterations"),
                           (("generator.hop=1000000",), "hop")):  # fmt: skip
        with pytest.raises(UserError, match=said):
            game.build(small(*settings), info_of())
    with pytest.raises(UserError, match=r"augment\.kind: there is no 'ada'.*masks"):
        game.build(small("augment=ada"), info_of())


def test_a_run_makes_sounds_from_the_embedded_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained, stopped, resumed: the same samples as of a run that never stopped."""
    monkeypatch.setattr(builtin_sources, "NUM_TRAIN", 40)
    monkeypatch.setattr(builtin_sources, "NUM_HELDOUT", 8)
    monkeypatch.setattr(builtin_sources, "SECONDS", 0.256)
    settings = dict(zip(("generator.widths", "discriminator.widths"), ([8, 8, 4, 4, 4], [4, 4, 4, 8]), strict=True))
    rates = {"learning.generator.lr": 1e-3, "learning.discriminator.lr": 1e-3}  # a schedule ends with the first part
    options = {"generator.iterations": 2, "batch": 4, "cadence.preview": 100, **settings, **rates}
    straight = zs.train("tones", out=tmp_path / "straight", overrides={**options, "steps": 6})
    zs.train("tones", out=tmp_path / "halved", overrides={**options, "steps": 3})
    resumed = zs.resume(tmp_path / "halved", steps=6)
    assert torch.equal(resumed.sample(3, seed=1), straight.sample(3, seed=1))
    assert straight.sample(3, seed=1, labels=1).shape == (3, 1, 4096)
