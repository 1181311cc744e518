"""The measures of sounds: known values, and controls that fail beside real sounds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zerosum.domain import kit
from zerosum.domain.contract import EvalOptions
from zerosum.domains.audio import builtin_sources, controls, measures
from zerosum.domains.audio.baselines import baselines
from zerosum.domains.audio.data import AudioSource
from zerosum.domains.audio.evaluator import SoundEvaluator
from zerosum.errors import UserError
from zerosum.metrics.record import Record

RATE, SAMPLES = 8000, 4096


def tone(hertz: float, samples: int = SAMPLES) -> Tensor:
    return 0.5 * (2 * math.pi * hertz * torch.arange(samples) / RATE).sin()[None, None]


def buzzing(hertz: float, samples: int = SAMPLES) -> Tensor:
    moving = 1 + 0.5 * (2 * math.pi * hertz * torch.arange(samples) / RATE).cos()
    return torch.randn(4, 1, samples, generator=torch.Generator().manual_seed(0)) * 0.1 * moving


# --- single numbers


def test_the_statistics_of_a_tone_stand_in_its_band() -> None:
    found = measures.log_mel_statistics(torch.cat([tone(300), tone(2500)]), RATE)
    assert found.shape == (2, 3 * measures.BANDS)
    means = found[:, : measures.BANDS]
    centres = torch.linspace(0, 2595 * math.log10(1 + RATE / 2 / 700), measures.BANDS + 2)[1:-1]
    mel = torch.tensor([2595 * math.log10(1 + hertz / 700) for hertz in (300, 2500)])
    assert (centres[means.argmax(1)] - mel).abs().max() < 1.1 * (centres[1] - centres[0])
    assert found[:, measures.BANDS :].abs().max() < 1  # a steady tone does not move


def test_the_statistics_are_blind_to_the_direction_of_time_and_pictures_are_not() -> None:
    falling = torch.linspace(1, 0, SAMPLES).pow(3) * tone(700)
    both = torch.cat([falling, falling.flip(2)])
    forwards, backwards = measures.log_mel_statistics(both, RATE)
    assert (forwards - backwards).abs().max() < 0.1
    there, back = measures.pictures(both, RATE).float()
    assert (there - back).abs().mean() > 10


def test_pictures_have_one_size_for_any_length() -> None:
    for channels, samples in ((1, 256), (2, 4096), (1, 32_768)):
        found = measures.pictures(torch.rand(2, channels, samples) - 0.5, RATE)
        assert found.shape == (2, channels, measures.PICTURE_BANDS, measures.PICTURE_FRAMES)
        assert found.dtype == torch.uint8
    assert (measures.pictures(torch.zeros(1, 1, 512), RATE) == 0).all()


def test_silence_and_bandwidth() -> None:
    half = tone(1000)
    half[:, :, SAMPLES // 2 :] *= 1e-4
    shares = measures.silence_share(torch.cat([tone(1000), half, torch.zeros(1, 1, SAMPLES)]), RATE)
    assert shares[0] == 0
    assert shares[1] == pytest.approx(0.5, abs=0.05)
    assert shares[2] == 1
    noise = torch.randn(1, 1, SAMPLES, generator=torch.Generator().manual_seed(0))
    widths = measures.bandwidth(torch.cat([tone(1000), noise, torch.zeros(1, 1, SAMPLES)]), RATE)
    assert widths[0] == pytest.approx(1000, abs=5)
    assert widths[1] == pytest.approx(0.95 * RATE / 2, rel=0.02)
    assert widths[2] == 0


@pytest.mark.parametrize("hertz", [60.0, 125.0, 250.0])
def test_a_buzz_is_a_peak_of_the_modulation_spectrum_at_its_rate(hertz: float) -> None:
    thirds, peaks = measures.modulation_spectrum(buzzing(hertz), RATE)
    plain = measures.modulation_spectrum(buzzing(0), RATE)[1]
    excess = (peaks - plain).mean(0)
    at = int(excess.argmax())
    assert measures.PEAKS[at] <= hertz + 1
    assert measures.PEAKS[at + 1] >= hertz - 1
    assert excess.max() > 6
    louder = measures.modulation_spectrum(3 * buzzing(hertz), RATE)
    torch.testing.assert_close(louder, (thirds, peaks))


def test_a_clip_shorter_than_the_slowest_modulation_has_a_spectrum() -> None:
    for found in measures.modulation_spectrum(buzzing(125, 400), RATE):
        assert torch.isfinite(found).all()
    silent = measures.modulation_spectrum(torch.zeros(1, 2, 400), RATE)
    assert all(bool((found == -100).all()) for found in silent)


# --- controls


def test_controls_keep_what_they_should() -> None:
    waves = torch.cat([tone(500), buzzing(0)])
    rng = torch.Generator().manual_seed(0)
    shuffled = controls.random_phases(waves, rng)
    torch.testing.assert_close(torch.fft.rfft(shuffled).abs(), torch.fft.rfft(waves).abs(), rtol=1e-3, atol=1e-2)
    assert (shuffled - waves).abs().mean() > 0.05
    assert (shuffled - controls.random_phases(waves, rng)).abs().mean() > 0.05
    rms = lambda clips: clips.square().mean((1, 2)).sqrt()  # noqa: E731
    torch.testing.assert_close(rms(controls.noise(0.3 * waves, rng)), rms(0.3 * waves), rtol=0.05, atol=0)
    again = controls.griffin_lim(tone(500), RATE)
    assert measures.bandwidth(again, RATE)[0] == pytest.approx(500, abs=20)


# --- the evaluator


@pytest.fixture(scope="module")
def source() -> AudioSource:
    return source_of(labelled=True)


def source_of(labelled: bool, held: int = 120) -> AudioSource:
    tones = builtin_sources.load(600, RATE, 2 * SAMPLES, 0)
    waves, labels = torch.from_numpy(tones.waves[:, :, :SAMPLES]), torch.from_numpy(tones.labels)
    waves = waves / waves.abs().amax((1, 2), keepdim=True)
    names = tuple(builtin_sources.KINDS)
    return AudioSource(
        "tones", waves[:600], waves[600 : 600 + held],
        labels[:600] if labelled else None, labels[600 : 600 + held] if labelled else None,
        kit.class_condition(labels[:600], names) if labelled else None,
        digest=f"test {labelled} {held}", class_names=names if labelled else (), rate=RATE,
    )  # fmt: skip


@pytest.fixture(scope="module")
def evaluator(source: AudioSource, tmp_path_factory: pytest.TempPathFactory) -> SoundEvaluator:
    made = SoundEvaluator(source, 0, cache_dir=tmp_path_factory.mktemp("cache"))
    made.prepare(str)
    return made


def by_name(records: list[Record]) -> dict[str, Record]:
    return {one.name.partition("[")[0]: one for one in records}


def test_real_clips_score_like_real_ones_and_every_control_fails(
    evaluator: SoundEvaluator, source: AudioSource
) -> None:
    rows = torch.arange(480, 600)
    found = by_name(evaluator.evaluate(source.data[rows], source.labels[rows], None))  # type: ignore[index]
    doubts = {name: one.protocol["cannot_judge"] for name, one in found.items() if "cannot_judge" in one.protocol}
    assert doubts == {}
    assert found["class_accuracy"].value > 0.95
    assert found["classes_found"].value == 8
    for name in ("frechet", "log_mel_distance"):
        record = found[name]
        assert record.reference is not None
        assert record.value < 2 * record.reference
        worst = min(
            record.protocol["controls"][each]
            for each in controls.MUST_FAIL[name]
            if each in record.protocol["controls"]
        )
        assert record.value < worst / 2
        assert record.protocol["controls"][controls.GRIFFIN_LIM] < worst / 2  # what magnitudes alone can reach
    assert found["log_mel_distance"].protocol["controls"][controls.REVERSED] < 2 * found["log_mel_distance"].reference  # type: ignore[operator]
    assert found["copy_rate"].value > 0.9  # they are training clips
    assert set(found) >= {
        "modulation_distance",
        "modulation_peak",
        "silence_share",
        "bandwidth",
        "class_score",
        "class_diversity",
    }
    assert all(one.protocol["split"] == "held out" for one in found.values())


@pytest.mark.parametrize("bad", ["noise", "one clip", "buzz", "others' classes", "copies"])
def test_bad_samples_are_told_by_the_measure_that_should(
    evaluator: SoundEvaluator, source: AudioSource, bad: str
) -> None:
    held, labels = source.heldout, source.heldout_labels
    assert labels is not None
    rng = torch.Generator().manual_seed(1)
    samples = {
        "noise": controls.noise(held, rng),
        "one clip": held[:1].expand_as(held),
        "buzz": controls.with_buzz(held, RATE),
        "others' classes": held,
        "copies": controls.griffin_lim(source.data[: len(held)], RATE),
    }[bad]
    asked = (labels + 1) % 8 if bad == "others' classes" else source.labels[: len(held)] if bad == "copies" else labels  # type: ignore[index]
    found = by_name(evaluator.evaluate(samples, asked, None))
    value = {name: one.value for name, one in found.items()}
    if bad == "noise":
        assert value["frechet"] > 10 * (found["frechet"].reference or 0)
        assert value["silence_share"] < 0.5 * (found["silence_share"].reference or 0)
        assert value["bandwidth"] > 1.5 * (found["bandwidth"].reference or 0)
    elif bad == "one clip":
        assert value["classes_found"] == 1
        assert value["class_score"] == pytest.approx(1)
        assert value["class_diversity"] < 0.01
        assert evaluator.quick(samples).diversity == pytest.approx(0, abs=1e-3)
    elif bad == "buzz":
        assert value["modulation_peak"] > 2 * (found["modulation_peak"].reference or 0)
        assert found["modulation_peak"].protocol["at_hz"] == pytest.approx(controls.BUZZ_HZ, abs=8)
    elif bad == "others' classes":
        assert value["class_accuracy"] < 0.05
    else:
        assert value["copy_rate"] > 0.8


def test_health_values_and_the_value_that_keeps_the_best(evaluator: SoundEvaluator, source: AudioSource) -> None:
    real = evaluator.quick(source.data[:256])
    assert real.diversity == pytest.approx(1, abs=0.15)
    assert real.contrast == pytest.approx(1, abs=0.15)
    assert (real.classes_found, real.num_classes) == (8, 8)
    noise = evaluator.quick(controls.noise(source.data[:256], torch.Generator().manual_seed(0)))
    assert noise.others["frechet"] > 5 * real.others["frechet"]


def test_the_order_of_the_samples_does_not_matter(evaluator: SoundEvaluator, source: AudioSource) -> None:
    labels = source.heldout_labels
    assert labels is not None
    order = labels.argsort()
    mixed = by_name(evaluator.evaluate(source.heldout, labels, None))["class_score"].value
    ordered = by_name(evaluator.evaluate(source.heldout[order], labels[order], None))["class_score"].value
    assert ordered == pytest.approx(mixed, rel=0.1)


def test_without_labels_and_held_out_clips(tmp_path: Path) -> None:
    source = source_of(labelled=False, held=0)
    evaluator = SoundEvaluator(source, 0, EvalOptions(num=100), cache_dir=tmp_path)
    assert evaluator.num_samples == 100
    found = by_name(evaluator.evaluate(source.data[:100], None, lambda data, labels: data.mean((1, 2))))
    assert {"frechet", "log_mel_distance", "discriminator_fakes"} <= set(found)
    assert not {"class_accuracy", "classes_found", "copy_rate"} & set(found)
    assert found["frechet"].name.startswith("frechet[random-conv-v1-")
    assert not list(tmp_path.iterdir())  # no classifier was made
    assert "cannot_judge" not in found["log_mel_distance"].protocol
    assert evaluator.quick(source.data[:64]).classes_found is None


@pytest.mark.parametrize("num", [1, 3, 20])
def test_few_clips_are_measured_and_not_judged_by(num: int, tmp_path: Path) -> None:
    whole = source_of(labelled=True, held=0)
    assert whole.labels is not None
    source = replace(whole, data=whole.data[:num], labels=whole.labels[:num])
    evaluator = SoundEvaluator(source, 0, EvalOptions(extractor="random"), cache_dir=tmp_path)
    fakes = whole.data[100 : 100 + evaluator.num_samples]
    found = by_name(evaluator.evaluate(fakes, None, lambda data, labels: data.mean((1, 2))))
    assert "too few" in found["bandwidth"].protocol["cannot_judge"]
    assert "frechet" not in found
    evaluator.quick(whole.data[:64])


def test_options_that_cannot_be(source: AudioSource) -> None:
    with pytest.raises(UserError, match="--num 500: as many real clips"):
        SoundEvaluator(source, 0, EvalOptions(num=500))
    with pytest.raises(UserError, match="the extractors classifier and random"):
        SoundEvaluator(source, 0, EvalOptions(extractor="inception"))
    with pytest.raises(UserError, match="has no labels"):
        SoundEvaluator(source_of(labelled=False), 0, EvalOptions(extractor="classifier"))
    assert SoundEvaluator(source, 0).adjusted(EvalOptions(num=64)).num_samples == 64


# --- classical models


@pytest.mark.parametrize("name", ["copies", "mean", "normal", "mixture"])
def test_classical_models_make_sounds_and_are_told_from_real_ones(
    evaluator: SoundEvaluator, source: AudioSource, name: str
) -> None:
    model = baselines(source)[name]()
    made = model.sample(120, 3)
    assert made.shape == (120, 1, SAMPLES)
    assert torch.equal(made, model.sample(120, 3))
    assert not torch.equal(made, model.sample(120, 4))
    assert 0.01 < float(made.abs().amax((1, 2)).median()) <= 1
    found = by_name(evaluator.evaluate(made, None, None))
    distance, noise = found["frechet"].value, found["frechet"].protocol["controls"][controls.NOISE]
    assert distance < noise
    if name == "copies":
        assert found["copy_rate"].value > 0.5
        assert distance < 3 * (found["frechet"].reference or 0)
    else:
        assert distance > (found["frechet"].reference or 0)


def test_steady_tones_are_less_spread_in_long_windows_than_noise_and_clicks() -> None:
    time = torch.arange(8192) / 8000
    tone = (2 * math.pi * 440 * time).sin()
    clicks = (torch.arange(8192) % 1000 == 0).float()
    noise = torch.randn(8192, generator=torch.Generator().manual_seed(0))
    steady, hit, rough = (measures.spread_in_long_windows(one[None, None], 8000) for one in (tone, clicks, noise))
    assert steady < 0.7 < rough < 1.1 < hit
    assert measures.spread_in_long_windows(tone[None, None, :900], 8000) == 1
    assert measures.spread_in_long_windows(torch.zeros(1, 1, 8192), 8000) == 1
