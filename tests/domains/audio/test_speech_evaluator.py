"""The recogniser of a corpus and the evaluation of speech: real recordings score well, and controls that must fail do."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch

from zerosum.domain.contract import EvalOptions
from zerosum.domains.audio import data, recogniser, speech_evaluator, texts
from zerosum.domains.audio.recogniser import changes, lengths_of, word_accuracy
from zerosum.domains.audio.speech_evaluator import SpeechEvaluator
from zerosum.errors import UserError
from zerosum.metrics.record import Record
from zerosum.recipe import part


@functools.cache
def source() -> Any:
    return data.open_source(part("beeps", num=80, heldout=0.2), False)


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> SpeechEvaluator:
    patch = pytest.MonkeyPatch()
    patch.setattr(recogniser, "STEPS", 150)
    patch.setattr(recogniser.listener, "__defaults__", (None, 0, 150))
    found = SpeechEvaluator(source(), 0, EvalOptions(num=12), tmp_path_factory.mktemp("cache"))
    found.prepare(lambda text: None)
    patch.undo()
    return found


def by_name(records: list[Record]) -> dict[str, Record]:
    return {record.name.partition("[")[0]: record for record in records}


def test_real_recordings_score_well_and_controls_fail(evaluator: SpeechEvaluator) -> None:
    found = by_name(evaluator.evaluate(evaluator._rows[0]))
    assert list(found) == list(speech_evaluator.MEANINGS)
    assert found["word_accuracy"].value == found["word_accuracy"].reference >= 0.97
    assert found["length_error"].value == 0
    assert found["mel_distance"].value < 0.1
    assert found["mel_sharpness"].value == pytest.approx(1)
    for record in found.values():
        assert "cannot_judge" not in record.protocol, record
    assert found["word_accuracy"].protocol["controls"]["recordings of other texts"] < 0.5
    assert found["word_accuracy"].protocol["controls"]["noise"] < 0.3


def test_wrong_speech_is_found(evaluator: SpeechEvaluator) -> None:
    real = evaluator._rows[0]
    cut = real.clone()
    cut[:, :, 5_000:] = 0
    found = by_name(evaluator.evaluate(cut))
    assert found["word_accuracy"].value < 0.9
    assert found["length_ratio"].value < 0.8
    blurred = torch.nn.functional.avg_pool1d(real, 9, 1, 4)
    assert by_name(evaluator.evaluate(blurred))["mel_sharpness"].value < 0.97
    silent = by_name(evaluator.evaluate(torch.zeros_like(real)))
    assert silent["word_accuracy"].value == 0


def test_conditions_are_held_out_texts_of_unknown_length(evaluator: SpeechEvaluator) -> None:
    conditions = evaluator.conditions()
    assert len(conditions) == evaluator.num_samples == 12
    assert not conditions[:, 0].any()
    held = set(texts.decoded(source().heldout_labels, source().alphabet))
    assert set(evaluator.texts) <= held


def test_quick_values(evaluator: SpeechEvaluator) -> None:
    real = source().examples().data
    found = evaluator.quick(real[torch.arange(20) % len(real)])
    assert found.others["mel_distance"] < 0.1
    assert found.others["length_ratio"] == 1
    assert found.diversity == pytest.approx(1)


def test_a_recogniser_is_kept(tmp_path: Path) -> None:
    real = source()
    lines = texts.decoded(real.labels, real.alphabet)
    given = real.data[:8], lines[:8], real.rate, "some data", tmp_path
    first = recogniser.listener(*given, steps=2)
    (stored,) = tmp_path.iterdir()
    assert recogniser.listener(*given, steps=2).sha256 == first.sha256
    stored.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="is broken"):
        assert recogniser.listener(*given, steps=2).sha256 == first.sha256
    assert recogniser.listener(*given, steps=3).sha256 != first.sha256


def test_errors_of_words_are_counted() -> None:
    assert changes("kitten", "sitting") == 3
    assert changes("", "ab") == 2
    assert word_accuracy(["one two", "three"], ["one two", "three"]) == (1.0, 3)
    assert word_accuracy(["one", "four five"], ["one two", "four"]) == (pytest.approx(1 / 3), 3)
    assert word_accuracy(["a b c d"], ["x"]) == (0.0, 1)


def test_a_recording_ends_with_its_last_sound() -> None:
    waves = torch.zeros(2, 2, 10)
    waves[0, 1, 6] = 0.5
    assert lengths_of(waves).tolist() == [7, 1]


def test_options_that_cannot_be(evaluator: SpeechEvaluator) -> None:
    with pytest.raises(UserError, match="recogniser of its corpus"):
        evaluator.adjusted(EvalOptions(extractor="random"))
    with pytest.raises(UserError, match="texts to measure"):
        evaluator.adjusted(EvalOptions(num=1_000))
    assert evaluator.adjusted(EvalOptions(num=3)).num_samples == 3
