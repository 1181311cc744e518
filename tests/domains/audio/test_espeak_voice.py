"""The script that makes a corpus with espeak-ng, and that the corpus is read as speech; skipped without the program."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import pytest

from zerosum.domains.audio import DOMAIN, data, texts
from zerosum.recipe import part

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def test_phrases_are_different_and_of_the_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    script = importlib.import_module("espeak_voice")
    found = script.phrases(660)
    assert len(set(found)) == 660
    assert {word for text in found for word in text.split()} == set(script.VOCABULARY)
    assert len(script.VOCABULARY) == 56
    assert script.phrases(5) == found[:5]


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_a_corpus_of_espeak_is_speech(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    script = importlib.import_module("espeak_voice")
    script.main([str(tmp_path / "voice"), "--num", "12"])
    source = data.open_source(part(str(tmp_path / "voice"), heldout=0.25), False)
    assert (source.num_rows, source.num_heldout, source.rate) == (9, 3, 22_050)
    assert source.labels is not None
    assert source.heldout_labels is not None
    spoken = texts.decoded(source.labels, source.alphabet) + texts.decoded(source.heldout_labels, source.alphabet)
    assert sorted(spoken) == sorted(script.phrases(12))
    assert DOMAIN.recipes.recommend(source.info())[0] == "speech"
