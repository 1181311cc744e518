"""How near remade waves are to the real ones: values that can be worked out, and the order of better and worse copies."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from zerosum import catalog, recipe
from zerosum.domains.audio import controls, data
from zerosum.domains.audio import vocoder_measures as measures
from zerosum.domains.audio.vocoder_evaluator import GRIFFIN_LIM, NOISE, OTHER, SHUFFLED, VocoderEvaluator
from zerosum.errors import UserError

RATE = 8_000


def speech_like(num: int = 2, seconds: float = 1.0) -> torch.Tensor:
    """(N, 1, T): vowels of moving pitch and loudness."""
    time = torch.arange(round(RATE * seconds)) / RATE
    rows = []
    for row in range(num):
        pitch = 110 + 20 * row + 25 * (2 * math.pi * 2 * time).sin()
        phase = 2 * math.pi * pitch.cumsum(0) / RATE
        partials = sum((number * phase).sin() / number for number in range(1, 20))
        rows.append(partials * (0.15 + 0.1 * (2 * math.pi * 3 * time + row).sin()))
    return torch.stack(rows)[:, None]


def test_the_real_clips_are_perfect_and_worse_copies_are_worse() -> None:
    real, rng = speech_like(), torch.Generator().manual_seed(0)
    noisy = [real + level * torch.randn(real.shape, generator=rng) for level in (0, 0.01, 0.1)]
    for measure, best, sign in (
        (measures.stft_distances, 0, 1),
        (measures.log_mel_distances, 0, 1),
        (measures.mel_cepstral_distortions, 0, 1),
        (measures.intelligibilities, 1, -1),
    ):
        values = [measure(made, real, RATE) for made in noisy]
        torch.testing.assert_close(values[0], torch.full((2,), float(best)), atol=1e-4, rtol=0)
        assert all(bool((sign * (more - less) > 0).all()) for less, more in itertools.pairwise(values))


def test_half_the_level_has_the_distances_that_follow_from_it() -> None:
    real = 0.3 * torch.randn(2, 1, 8_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        measures.stft_distances(real / 2, real, RATE), torch.full((2,), 0.5 + math.log(2)), atol=1e-3, rtol=0
    )
    assert float((measures.log_mel_distances(real / 2, real, RATE) - math.log(2)).abs().max()) < 0.03
    assert float(measures.mel_cepstral_distortions(real / 2, real, RATE).max()) < 0.2  # without the loudness


def test_the_cepstral_distortion_is_in_decibels(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 / ln 10 sqrt(2) = 6.141851 decibels for each 1 of the Euclidean distance of the orthonormal mel cepstra: 3 in the second
    coefficient and 4 in the fifth are a distance of 5. The coefficients 0 and 14 do not count."""
    bands = measures.MelSpectrogram.of(RATE).bands
    place = math.pi / bands * (torch.arange(bands) + 0.5)
    cosines = {one: (2 / bands) ** 0.5 * (one * place).cos() for one in (0, 2, 5, 14)}
    change = 3 * cosines[2] + 4 * cosines[5] + 7 * cosines[0] + 7 * cosines[14]
    made, real = torch.zeros(1, 1, bands, 6), change[:, None].expand(1, 1, bands, 6)
    monkeypatch.setattr(measures, "log_mels", lambda waves, rate: waves)
    found = measures.mel_cepstral_distortions(made, real, RATE)
    assert float(found) == pytest.approx(5 * 6.141851, rel=1e-5)


def slow_mean(costs: torch.Tensor) -> float:
    """The mean cost of the best path through one matrix, cell by cell."""
    rows, columns = costs.shape
    best = {(0, 0): (float(costs[0, 0]), 1)}
    for row, column in itertools.product(range(rows), range(columns)):
        if row or column:
            before = [(row - 1, column - 1), (row - 1, column), (row, column - 1)]
            cost, length = min((best[place] for place in before if place in best), key=lambda found: found[0])
            best[row, column] = cost + float(costs[row, column]), length + 1
    cost, length = best[rows - 1, columns - 1]
    return cost / length


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (7, 1), (5, 5), (9, 6), (4, 11)])
def test_time_warping_finds_the_best_path(shape: tuple[int, int]) -> None:
    costs = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = measures.warped_means(costs)
    torch.testing.assert_close(found, torch.tensor([slow_mean(one) for one in costs], dtype=torch.float64))


def test_a_delayed_copy_has_a_small_cepstral_distortion() -> None:
    real, other = speech_like(2), speech_like(3)[1:]
    delayed = torch.cat([real[:, :, :1].expand(-1, -1, 320), real], 2)[:, :, : real.shape[2]]
    distortions = measures.mel_cepstral_distortions(delayed, real, RATE)
    assert bool((2 * distortions < measures.mel_cepstral_distortions(other, real, RATE)).all())


def test_silence_has_no_intelligibility_and_no_error() -> None:
    silent = torch.zeros(1, 1, 8_000)
    values = measures.intelligibilities(silent, silent, RATE)
    assert values is not None
    assert bool(values.isnan().all())


def test_missing_packages_leave_their_measure_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("pystoi", "pesq"):
        monkeypatch.setitem(__import__("sys").modules, package, None)
    real = speech_like(1)
    assert measures.intelligibilities(real, real, RATE) is None
    assert measures.perceived_qualities(real, real, RATE) is None


# --- the evaluator


@pytest.fixture(scope="module")
def source() -> data.AudioSource:
    return data.open_source(recipe.part("tones", num=48, seconds=0.5, rate=8_000, condition="mel"), False)


def test_griffin_lim_is_better_than_the_controls_that_must_fail(source: data.AudioSource) -> None:
    evaluator = catalog.domain("audio").evaluation.evaluator(source, 0)
    assert isinstance(evaluator, VocoderEvaluator)
    assert evaluator.conditions().shape == (evaluator.num_samples, *source.info().condition.shape)  # type: ignore[union-attr]
    records = {one.name.partition("[")[0]: one for one in evaluator.evaluate(evaluator.real)}
    assert {"stft_distance", "log_mel_l1", "stoi", "mcd13"} <= records.keys()
    for name, record in records.items():
        assert abs(record.value - (record.reference or 0)) < 1e-3, name
        shown = record.protocol["controls"]
        assert shown.keys() == {GRIFFIN_LIM, NOISE, SHUFFLED, OTHER}
        assert "cannot_judge" not in record.protocol, record
        sign = 1 if record.better == "lower" else -1
        assert all(sign * shown[GRIFFIN_LIM] < sign * shown[other] for other in (NOISE, SHUFFLED, OTHER)), name


def test_a_measure_that_cannot_tell_says_so(source: data.AudioSource, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = VocoderEvaluator(source, 0)
    monkeypatch.setattr(controls, "noise", lambda waves, rng: waves)
    for record in evaluator.evaluate(evaluator.real):
        assert "noise" in record.protocol["cannot_judge"]


def test_options_that_do_not_fit_are_refused(source: data.AudioSource) -> None:
    evaluator = VocoderEvaluator(source, 0)
    options = catalog.domain("audio").evaluation
    from zerosum.domain.contract import EvalOptions

    with pytest.raises(UserError, match="--extractor"):
        options.configure(evaluator, EvalOptions(extractor="random"))  # type: ignore[misc]
    with pytest.raises(UserError, match="--num 1000"):
        options.configure(evaluator, EvalOptions(num=1_000))  # type: ignore[misc]
    assert options.configure(evaluator, EvalOptions(num=5)).num_samples == 5  # type: ignore[misc]


def test_quick_values_compare_the_examples(source: data.AudioSource) -> None:
    evaluator = VocoderEvaluator(source, 0)
    real = source.examples().data  # type: ignore[attr-defined]
    same, noisy = (evaluator.quick(waves).values() for waves in (real, 0.1 * torch.randn(real.shape)))
    assert same["stft_distance"] < 1e-4
    assert abs(same["diversity"] - 1) < 1e-4
    assert noisy["stft_distance"] > 0.5
