"""Scaled log-mel spectrograms: their form at every rate, their scale, and the smooth magnitudes that are made of them."""

from __future__ import annotations

import math

import pytest
import torch

from zerosum.domains.audio.mel import FLOOR, MelSpectrogram, interpolation


@pytest.mark.parametrize(
    ("rate", "hop", "bands"),
    [(8_000, 64, 64), (16_000, 128, 80), (22_050, 256, 80), (44_100, 512, 80), (48_000, 512, 80)],
)
def test_hop_and_bands_follow_from_the_rate(rate: int, hop: int, bands: int) -> None:
    mel = MelSpectrogram.of(rate)
    assert (mel.spectrogram.hop, mel.spectrogram.window, mel.bands) == (hop, 4 * hop, bands)
    assert mel.scaled(torch.zeros(2, 3, 10 * hop + 1)).shape == (2, *mel.shape(3, 10 * hop + 1)) == (2, 3, bands, 11)


def test_silence_is_minus_1_and_ten_times_the_level_adds_a_fixed_number() -> None:
    mel = MelSpectrogram.of(8_000)
    torch.testing.assert_close(mel.scaled(torch.zeros(1, 1, 1_000)), -torch.ones(1, 1, 64, 16), atol=1e-3, rtol=0)
    torch.manual_seed(0)
    waves = torch.randn(1, 1, 4_000)
    louder = mel.scaled(waves) - mel.scaled(waves / 10)
    torch.testing.assert_close(louder.median(), torch.tensor(2 * math.log(10) / -math.log(FLOOR)), atol=0.01, rtol=0)


@pytest.mark.parametrize("rate", [8_000, 22_050])
def test_smooth_magnitudes_follow_a_smooth_spectrum(rate: int) -> None:
    mel = MelSpectrogram.of(rate)
    weights = interpolation(rate, mel.spectrogram.window, mel.bands)
    assert weights.shape == (mel.spectrogram.num_frequencies, mel.bands)
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))
    falling = torch.linspace(0, -4, mel.spectrogram.num_frequencies).exp()
    bands = mel._filters(falling) @ falling
    smooth = mel.magnitudes(mel.spectrogram.to_scale(bands)[None, None, :, None])[0, 0, :, 0]
    assert float((smooth / falling).log().abs().max()) < 0.15
