"""The embedded sounds: what they are, that they are the same for the same seed, and that their classes can be told apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from zerosum.domains.audio import builtin_sources, data
from zerosum.errors import UserError
from zerosum.recipe import part


def test_tones_are_clips_of_a_second_with_classes() -> None:
    source = data.open_source(part("tones", num=32), False)
    info = source.info()
    assert source.data.shape == (32, 1, 16_384)
    assert info.sample.description == "1.02 s of mono sound at 16,000 Hz"
    assert info.class_names == tuple(builtin_sources.KINDS)
    assert info.condition.counts == (4,) * 8  # type: ignore[union-attr]
    assert data.describe(info) == "32 clips of 1.02 s in 8 classes"
    assert info.payload == {
        "rate": 16_000,
        "ending": ".wav",
        "subtype": "PCM_16",
        "normalise": "peak",
        "level": info.payload["level"],
        "condition": "class",
        "alphabet": "",
        "spread": info.payload["spread"],
    }
    assert 0.6 < info.payload["spread"] < 0.75
    assert 0.3 < info.payload["level"] < 0.9
    assert float(source.data.abs().amax((1, 2)).sub(1).abs().max()) < 1e-6
    assert bool(torch.isfinite(source.data).all())


def test_a_clip_depends_on_its_seed_kind_and_number_only() -> None:
    few, many = builtin_sources.load(8, 8_000, 8_192, 0).waves[:8], builtin_sources.load(24, 8_000, 8_192, 0).waves[:8]
    assert np.array_equal(few, many)
    assert not np.array_equal(few, builtin_sources.load(8, 8_000, 8_192, 1).waves[:8])
    assert len({wave.tobytes() for wave in builtin_sources.load(24, 8_000, 8_192, 0).waves}) == 28


@pytest.mark.parametrize("rate", [4_000, 8_000, 22_050, 48_000])
def test_any_rate_gives_about_a_second(rate: int) -> None:
    source = data.open_source(part("tones", num=8, rate=rate, labelled=False), False)
    assert source.labels is None
    assert source.info().condition is None
    assert abs(source.data.shape[2] / rate - 1.024) < 0.08
    assert source.data.shape[2] % 512 == 0
    assert float(source.data.square().mean((1, 2)).min()) > 1e-4  # none is silent


def test_clips_can_fit_networks_of_other_sounds() -> None:
    source = data.open_source(part("tones", num=8, rate=8_000, seconds=0.704, channels=2), False)
    assert source.data.shape == (8, 2, 5_632)
    assert data.read_like(source.info()) == {"rate": 8_000, "seconds": 0.704, "channels": 2}
    assert (
        data.open_source(part("tones", num=8, **data.read_like(source.info())), False).fingerprint == source.fingerprint
    )
    assert data.smaller(source.info()) == ("data.rate=4000", "half the samples a clip")
    assert data.smaller(data.open_source(part("tones", num=2, rate=4_000), False).info()) is None


def test_rms_makes_all_equally_loud() -> None:
    source = data.open_source(part("tones", num=16, normalise="rms"), False)
    levels = source.data.square().mean((1, 2)).sqrt()
    assert float(levels.max()) <= 0.1 + 1e-5
    assert float(levels.median()) > 0.09
    assert float(source.data.abs().max()) <= 1 + 1e-6


def test_wrong_options_are_refused() -> None:
    for options, words in (
        ({"num": 1}, "at least 2"),
        ({"rate": 100}, "4,000..192,000"),
        ({"rate": 96_000}, "rate at most 48,000 Hz"),
        ({"loud": 3}, "no option"),
    ):
        with pytest.raises(UserError, match=words):
            data.open_source(part("tones", **options), False)


def test_the_fingerprint_follows_the_options() -> None:
    found = [{}, {"seed": 1}, {"rate": 8_000}, {"labelled": False}]
    marks = {data.open_source(part("tones", num=8, **options), False).fingerprint for options in found}
    assert len(marks) == len(found)
    assert data.open_source(part("tones", num=8), False).fingerprint in marks


def spectra(waves: torch.Tensor) -> np.ndarray:
    """(N, F) mean and deviation over time of 32 bands of log magnitudes."""
    found = torch.stft(waves[:, 0], 512, 256, window=torch.hann_window(512), return_complex=True).abs()
    bands = torch.nn.functional.adaptive_avg_pool2d(found, (32, 16)).add(0.01).log()
    return bands.flatten(1).numpy()


def test_a_classifier_tells_the_classes_apart() -> None:
    source = data.open_source(part("tones", num=320), False)
    assert source.labels is not None
    assert source.heldout_labels is not None
    scaler = StandardScaler().fit(spectra(source.data))
    model = LogisticRegression(max_iter=300).fit(scaler.transform(spectra(source.data)), source.labels)
    accuracy = model.score(scaler.transform(spectra(source.heldout)), source.heldout_labels)
    assert accuracy > 0.9, accuracy
