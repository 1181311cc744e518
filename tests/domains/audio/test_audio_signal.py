"""Spectra: known ones, waves back from them, the same for any batch and under autocast."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zerosum import recipe
from zerosum.domains.audio import data, measures, signal
from zerosum.domains.audio.signal import Spectrogram, mel, mel_filters

SHAPES = [(128, 64), (256, 64), (512, 128)]


@functools.cache
def clips() -> Tensor:
    """(8, 1, 4096): the beginnings of embedded clips of different classes."""
    source = data.open_source(recipe.part("tones", num=40), False)
    return source.data[:: len(source.data) // 8][:8, :, :4096].contiguous()


def convergence(spectrogram: Spectrogram, waves: Tensor, wanted: Tensor) -> float:
    """The distance of the magnitudes, relative to the wanted ones."""
    return float((spectrogram.magnitudes(waves) - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("window", "hop"), SHAPES)
def test_a_sine_of_full_scale_has_magnitude_one_at_its_frequency(window: int, hop: int) -> None:
    spectrogram, place = Spectrogram(window, hop), 9
    wave = torch.sin(2 * math.pi * place / window * torch.arange(4096, dtype=torch.float64))[None, None]
    magnitudes = spectrogram.magnitudes(wave)[0, 0]
    assert magnitudes.shape == (window // 2, 4096 // hop)
    inner = magnitudes[:, 8:-8]
    torch.testing.assert_close(inner[place], torch.ones_like(inner[place]), rtol=1e-3, atol=0)
    assert float(inner[: place - 2].max()) < 1e-3
    assert float(inner[place + 3 :].max()) < 1e-3
    torch.testing.assert_close(
        spectrogram.scaled(wave)[0, 0, place, 8:-8], torch.ones_like(inner[place]), atol=1e-3, rtol=0
    )


def test_silence_is_minus_one_and_silence_again() -> None:
    spectrogram = Spectrogram(128, 64)
    scaled = spectrogram.scaled(torch.zeros(1, 2, 1000))
    assert scaled.shape == (1, 2, 64, 16)
    torch.testing.assert_close(scaled, torch.full_like(scaled, -1.0), atol=1e-3, rtol=0)
    silent = spectrogram.griffin_lim(spectrogram.unscaled(torch.full_like(scaled, -1.0)), 1000)
    assert silent.shape == (1, 2, 1000)
    assert float(silent.abs().max()) < 1e-5


@pytest.mark.parametrize(("window", "hop"), SHAPES)
@pytest.mark.parametrize("samples", [4096, 4001, 700])
def test_spectra_give_the_waves_back(window: int, hop: int, samples: int) -> None:
    """But for the highest frequency, which is left out: real clips have next to nothing there."""
    spectrogram = Spectrogram(window, hop)
    waves = clips()[:, :, :samples]
    back = spectrogram.waves(*spectrogram.spectra(waves), samples)
    assert back.shape == waves.shape
    assert float((back - waves).norm() / waves.norm()) < 5e-2


def test_scaling_is_undone() -> None:
    spectrogram = Spectrogram(128, 64)
    magnitudes = spectrogram.magnitudes(clips())
    torch.testing.assert_close(spectrogram.unscaled(spectrogram.scaled(clips())), magnitudes, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("window", "hop"), SHAPES)
def test_griffin_lim_finds_waves_of_the_magnitudes_of_real_clips(window: int, hop: int) -> None:
    """Better with more iterations, and far better than noise of the same magnitudes at random phases."""
    spectrogram = Spectrogram(window, hop)
    wanted = spectrogram.magnitudes(clips())
    found = [convergence(spectrogram, spectrogram.griffin_lim(wanted, 4096, n), wanted) for n in (1, 8, 48)]
    assert found[0] > found[1] > found[2]
    assert found[2] < 0.25


def test_magnitudes_at_half_hops_lie_between_those_of_the_frames() -> None:
    """Linear ones are exact; of real clips they are nearer to the true ones than the same in any other place."""
    ramp = torch.tensor([0.0, 4.0, 8.0]).expand(2, 1, 5, 3)
    between = Spectrogram.magnitudes_at_half_hops(ramp)
    assert between.tolist() == torch.tensor([0.0, 1.0, 3.0, 5.0, 7.0, 8.0]).expand(2, 1, 5, 6).tolist()
    spectrogram = Spectrogram(256, 64)
    true = spectrogram.at_half_hops.magnitudes(clips())
    found = spectrogram.magnitudes_at_half_hops(spectrogram.magnitudes(clips()))
    assert found.shape == true.shape
    errors = [float((found.roll(shift, 3) - true).norm() / true.norm()) for shift in (-1, 0, 1)]
    assert errors[1] < 0.1 < min(errors[0], errors[2])
    with pytest.raises(ValueError, match="even"):
        Spectrogram(126, 21).at_half_hops  # noqa: B018


def test_half_hops_let_a_steady_tone_tremble_less() -> None:
    """Between its partials a window of two hops has magnitudes that fit envelopes which rise and fall with the hops."""
    time = torch.arange(8192) / 8000
    wave = sum(torch.sin(2 * math.pi * 217 * n * time) / n for n in range(1, 9)) / 4
    spectrogram = Spectrogram(128, 64)
    magnitudes = spectrogram.magnitudes(wave[None, None])
    coarse = spectrogram.griffin_lim(magnitudes, 8192, 8)
    fine = spectrogram.at_half_hops.griffin_lim(spectrogram.magnitudes_at_half_hops(magnitudes), 8192, 8)
    coarse_peak, fine_peak = (float(measures.modulation_spectrum(one, 8000)[1].max()) for one in (coarse, fine))
    assert fine_peak < coarse_peak - 3


def test_a_clip_is_inverted_alike_in_any_batch() -> None:
    spectrogram = Spectrogram(128, 64)
    wanted = spectrogram.magnitudes(clips())
    whole = spectrogram.griffin_lim(wanted, 4096)
    parts = torch.cat([spectrogram.griffin_lim(part, 4096) for part in wanted.split(3)])
    torch.testing.assert_close(parts, whole, rtol=0, atol=0)


def test_autocast_changes_nothing() -> None:
    spectrogram = Spectrogram(128, 64)
    scaled, waves = spectrogram.scaled(clips()), spectrogram.griffin_lim(spectrogram.magnitudes(clips()), 4096)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(spectrogram.scaled(clips()), scaled)
        assert torch.equal(spectrogram.griffin_lim(spectrogram.magnitudes(clips()), 4096), waves)


def test_the_exported_form_is_the_same() -> None:
    """Matrices stand for the fast Fourier transform in an exported network; an export leaves nothing behind."""

    class Both(torch.nn.Module):
        def forward(self, waves: Tensor) -> Tensor:
            spectrogram = Spectrogram(128, 64)
            return spectrogram.waves(*spectrogram.spectra(waves), waves.shape[2])

    exported = torch.export.export(Both(), (clips(),))
    assert not any("fft" in str(node.target) for node in exported.graph.nodes)
    torch.testing.assert_close(exported.module()(clips()), Both()(clips()), rtol=1e-4, atol=1e-5)


def test_mel_filters_cover_all_frequencies_evenly() -> None:
    filters = mel_filters(16_000, 512, 40)
    assert filters.shape == (40, 256)
    torch.testing.assert_close(filters.sum(1), torch.ones(40))
    centres = (filters * torch.arange(256)).sum(1) * 16_000 / 512
    steps = mel(centres[5:]).diff()
    torch.testing.assert_close(steps, steps.mean().expand_as(steps), rtol=0.1, atol=0)
    assert float(mel(torch.tensor(1000.0))) == pytest.approx(1000, rel=1e-3)


def test_many_narrow_bands_are_never_empty() -> None:
    assert bool((mel_filters(44_100, 128, 80).sum(1) > 0).all())


@pytest.mark.parametrize(("window", "hop", "floor"), [(128, 48, 1e-3), (128, 0, 1e-3), (64, 64, 1e-3), (128, 64, 0.0)])
def test_impossible_settings_are_refused(window: int, hop: int, floor: float) -> None:
    with pytest.raises(ValueError, match="must"):
        Spectrogram(window, hop, floor)


@pytest.mark.parametrize(("window", "samples"), [(1_024, 16_384), (128, 5_632), (64, 700)])
def test_parts_of_many_rows_change_no_bit(window: int, samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    transform = Spectrogram(window, window // 4)
    waves = torch.randn(19, 2, samples, generator=torch.Generator().manual_seed(0))
    found = transform.scaled(waves)
    made = transform.griffin_lim(transform.unscaled(found), samples, 3)
    monkeypatch.setattr(signal, "PART", waves.numel() * 10)
    whole = transform.scaled(waves)
    assert torch.equal(found, whole)
    assert torch.equal(made, transform.griffin_lim(transform.unscaled(whole), samples, 3))


def test_many_rows_are_transformed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that spectra stay in the cache of a CPU."""
    waves, sizes, transform = torch.zeros(64, 1, 16_384), set[int](), Spectrogram(1_024, 256)
    analysed = Spectrogram._analysed

    def note(
        self: Spectrogram, extended: Tensor, fourier: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        sizes.add(len(extended))
        return analysed(self, extended, fourier)

    monkeypatch.setattr(Spectrogram, "_analysed", note)
    transform.griffin_lim(transform.magnitudes(waves), 16_384, 1)
    assert max(sizes) <= signal.PART // 16_384


class Consistent(torch.nn.Module):
    """Waves of magnitudes by many iterations of Griffin-Lim."""

    def forward(self, magnitudes: Tensor) -> Tensor:
        return Spectrogram(128, 32).griffin_lim(magnitudes, 1024, 40)


def test_iterations_are_exported_as_one_loop(tmp_path: Path) -> None:
    """As torch and as ONNX, for any number of rows; 40 copies of the operators would be thousands of nodes."""
    magnitudes = Spectrogram(128, 32).magnitudes(clips()[:3, :, :1024])
    rows = ({0: torch.export.Dim("batch", min=1, max=64)},)
    with torch.no_grad():
        made = torch.export.export(Consistent(), (magnitudes[:2],), dynamic_shapes=rows, strict=True)
    assert len(made.graph.nodes) < 200
    expected = Consistent()(magnitudes)
    torch.testing.assert_close(made.module()(magnitudes), expected, rtol=0, atol=0.01)
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.onnx.export(made, (), str(tmp_path / "waves.onnx"), opset_version=18, dynamo=True, external_data=False)
    session = onnxruntime.InferenceSession(tmp_path / "waves.onnx", providers=["CPUExecutionProvider"])
    (waves,) = session.run(None, {session.get_inputs()[0].name: magnitudes.numpy()})
    torch.testing.assert_close(torch.from_numpy(waves), expected, rtol=0, atol=0.01)
