"""Networks for sound: patches, grids of any size, the published sizes of WaveGAN."""

from __future__ import annotations

import pytest
import torch

from zerosum.domains.audio.networks import (
    Grid,
    SpectrogramDiscriminator,
    SpectrogramGenerator,
    WaveDiscriminator,
    WaveGenerator,
    spectrogram_of,
)
from zerosum.domains.audio.signal import Sound


@pytest.mark.parametrize("size", [(64, 64), (128, 100), (64, 37), (16, 3), (1024, 5), (64, 1)])
@pytest.mark.parametrize("channels", [1, 2])
def test_patches_give_the_spectrogram_back(size: tuple[int, int], channels: int) -> None:
    grid = Grid.of(channels, *size, places=512)
    spectrograms = torch.randn(2, channels, *size)
    patched = grid.patched(spectrograms)
    assert patched.shape == (2, grid.features, *grid.size)
    assert patched.shape[2] * patched.shape[3] <= 512
    assert torch.equal(grid.unpatched(patched), spectrograms)


def test_a_patch_holds_neighbours() -> None:
    grid = Grid(1, 4, 6, 2, 3)
    assert grid.patched(torch.arange(24.0).view(1, 1, 4, 6))[0, :, 0, 1].tolist() == [3, 4, 5, 9, 10, 11]


@pytest.mark.parametrize(
    ("rate", "samples", "window", "size"),
    [
        (8_000, 4_096, 128, (64, 64)),
        (16_000, 16_384, 256, (64, 64)),
        (44_100, 32_768, 512, (64, 64)),
        (48_000, 1_000, 1_024, (512, 2)),
    ],
)
def test_the_grid_follows_from_rate_and_length(rate: int, samples: int, window: int, size: tuple[int, int]) -> None:
    sound = Sound(1, samples, rate)
    spectrogram = spectrogram_of(sound)
    assert spectrogram.window == window
    assert Grid.of(1, spectrogram.num_frequencies, spectrogram.num_frames(samples)).size == size


def test_sizes_are_those_of_the_measured_recipe() -> None:
    """348 and 195 thousand weights for ten classes at 8,000 Hz."""
    sound = Sound(1, 4_096, 8_000)
    generator = SpectrogramGenerator(sound, latent=64, num_classes=10)
    judge = SpectrogramDiscriminator(generator.grid, num_classes=10)
    assert [sum(p.numel() for p in network.parameters()) // 1000 for network in (generator, judge)] == [348, 195]


def test_the_class_and_the_noise_are_heard() -> None:
    network = SpectrogramGenerator(Sound(1, 1_024, 8_000), latent=8, num_classes=2, norm="group").codes
    noise = torch.randn(2, 8)
    one, other = (network(noise, torch.full((2,), label)) for label in (0, 1))
    assert not torch.allclose(one, other)
    assert not torch.allclose(one[0], one[1])
    with pytest.raises(ValueError, match="conditional"):
        network(noise)


@pytest.mark.parametrize("kind", ["spectrogram", "wavegan"])
def test_a_generator_is_exported_for_any_number_of_rows(kind: str) -> None:
    """Griffin-Lim and all; few iterations, since it blows rounding up."""
    sound, options = Sound(1, 1_024, 8_000), {"latent": 8, "num_classes": 2}
    network = (
        SpectrogramGenerator(sound, **options, iterations=2, half_hops=True, widths=(8, 8, 8), places=256)
        if kind == "spectrogram"
        else WaveGenerator(sound, **options, width=2)
    ).eval()
    rows = torch.export.Dim("rows", min=2)
    example = torch.randn(3, 8), torch.tensor([0, 1, 1])
    exported = torch.export.export(network, example, dynamic_shapes=({0: rows}, {0: rows})).module()
    inputs = torch.randn(5, 8), torch.tensor([0, 1, 1, 0, 0])
    torch.testing.assert_close(exported(*inputs), network(*inputs), rtol=1e-3, atol=1e-4)


def test_half_hops_change_the_waves_alone() -> None:
    """The same weights and spectrograms; without the option the waves are those of Griffin-Lim on the frames of the game."""
    sound, waves = Sound(2, 1_000, 8_000), []
    for half_hops in (False, True):
        torch.manual_seed(0)
        network = SpectrogramGenerator(sound, latent=8, widths=(8, 8, 8), iterations=4, half_hops=half_hops).eval()
        with torch.no_grad():
            spectrograms = network.codes(torch.ones(3, 8))
            waves.append(network(torch.ones(3, 8)))
        transform, magnitudes = network.spectrogram, network.spectrogram.unscaled(spectrograms)
        if half_hops:
            transform, magnitudes = transform.at_half_hops, transform.magnitudes_at_half_hops(magnitudes)
        plain = transform.griffin_lim(magnitudes, 1_000, 4)
        torch.testing.assert_close(waves[-1], plain / plain.abs().amax((1, 2), keepdim=True).clamp_min(1))
    assert waves[0].shape == waves[1].shape == (3, 2, 1_000)
    assert not torch.allclose(*waves, atol=1e-3)
    automatic = {
        overlap: SpectrogramGenerator(sound, latent=8, overlap=overlap, half_hops="auto").finer for overlap in (2, 4)
    }
    assert automatic == {2: network.finer, 4: None}
    with pytest.raises(ValueError, match="even"):
        SpectrogramGenerator(sound, latent=8, hop=21, half_hops=True)


def test_wavegan_has_its_published_size() -> None:
    """Of the paper's appendix D: 16 places of 1024 channels at width 64, and 16,384 samples."""
    generator = WaveGenerator(Sound(1, 16_384, 16_000), latent=100)
    assert generator.first.weight.shape == (16 * 1024, 100)
    assert [layer.out_channels for layer in generator.layers] == [512, 256, 128, 64, 1]
    judge = WaveDiscriminator(Sound(1, 16_384, 16_000))
    assert [layer.out_channels for layer in judge.layers] == [64, 128, 256, 512, 1024]
    assert judge.output.in_features == 16 * 1024


@pytest.mark.parametrize(("channels", "samples"), [(1, 16_384), (2, 5_000), (1, 700)])
def test_wavegan_takes_any_size(channels: int, samples: int) -> None:
    sound = Sound(channels, samples, 8_000)
    waves = WaveGenerator(sound, latent=4, num_classes=3, width=2)(torch.randn(2, 4), torch.tensor([0, 2]))
    assert waves.shape == (2, channels, samples)
    assert WaveDiscriminator(sound, num_classes=3, width=2)(waves, torch.tensor([0, 2])).shape == (2,)


def test_a_clip_that_is_too_loud_is_made_quieter_and_not_cut_off() -> None:
    whole = SpectrogramGenerator(Sound(1, 2048, 8000), latent=8, iterations=4).eval()
    times = torch.arange(2048) / 8000
    quiet = 0.5 * torch.sin(2 * torch.pi * 440 * times)[None, None]
    with torch.no_grad():
        magnitudes = whole.spectrogram.magnitudes(quiet)
        floor, span = whole.spectrogram.floor, whole.spectrogram._span
        scaled = ((4 * magnitudes + floor).log() - whole.spectrogram._low) / span * 2 - 1
        loud = whole.decode(scaled)
    assert 0.99 < float(loud.abs().max()) <= 1
    assert int((loud.abs() > 0.999).sum()) < 5  # a wave of twice the range that is cut off has hundreds
