"""Masks and gain: each change against its definition, the share of clips, derivatives, cuts of the batch, a game with them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zerosum import catalog, domain, recipe
from zerosum.domain import kit
from zerosum.domains.audio import augmentation, game
from zerosum.domains.audio.augmentation import AUGMENTS, masks
from zerosum.domains.audio.signal import Spectrogram
from zerosum.engine.loop import Settings, TrainingLoop
from zerosum.engine.seeds import SeededNoise
from zerosum.errors import UserError
from zerosum.recipe import part

FLOOR = 1e-3
TRANSFORM = Spectrogram(64, 16, FLOOR)
ALONE = {"gain": {"time": 0, "frequency": 0}, "time": {"gain": 0, "frequency": 0}, "frequency": {"gain": 0, "time": 0}}


def rng(total: int, start: int = 0, stop: int | None = None) -> SeededNoise:
    return SeededNoise(3, 5, 1, start, total if stop is None else stop, total, torch.device("cpu"))


def waves(num: int, samples: int = 256, dtype: torch.dtype = torch.float32) -> Tensor:
    return 0.2 * torch.randn(num, 2, samples, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("kind", ["waves", "spectrograms"])
@pytest.mark.parametrize("change", sorted(ALONE))
def test_strength_is_the_share_of_clips_that_each_change_applies_to(kind: str, change: str) -> None:
    clips = waves(600) if kind == "waves" else TRANSFORM.scaled(waves(600))
    augment = masks(FLOOR, **{"time": 0.5, "frequency": 0.5, **ALONE[change]})
    assert augment(clips, rng(600), "real", 0.0) is clips
    for strength in (0.3, 1.0):
        after = augment(clips, rng(600), "real", strength)
        assert after.shape == clips.shape
        different = ((after - clips).abs().flatten(1).amax(1) > 1e-5).float().mean()
        # A mask of less than one place of the smaller grid changes nothing: 16 frames and 32 frequencies.
        assert strength - 0.12 <= float(different) <= strength + 0.06


def test_a_louder_clip_has_the_spectrogram_of_the_louder_wave() -> None:
    clips, decibels = waves(3, dtype=torch.float64), torch.tensor([-12.0, 0.0, 6.0], dtype=torch.float64)
    louder = augmentation.change_gain(clips, decibels, FLOOR)
    torch.testing.assert_close(louder[2], clips[2] * 10 ** (6 / 20))
    scaled = augmentation.change_gain(TRANSFORM.scaled(clips).double(), decibels, FLOOR)
    torch.testing.assert_close(scaled, TRANSFORM.scaled(louder).double(), rtol=1e-4, atol=1e-4)
    silent = augmentation.change_gain(torch.full((1, 1, 2, 2), -1.0), torch.tensor([20.0]), FLOOR)
    torch.testing.assert_close(silent, torch.full((1, 1, 2, 2), -1.0))


def test_masks_silence_what_lies_between_their_places() -> None:
    first, last = torch.tensor([0.25, 0.0]), torch.tensor([0.5, 0.0])  # the second one is empty
    clips = torch.ones(2, 1, 8)
    assert augmentation.mask_time(clips, first, last)[:, 0].tolist() == [[1, 1, 0, 0, 1, 1, 1, 1], [1] * 8]
    scaled = torch.full((2, 1, 4, 8), 0.5)
    assert augmentation.mask_time(scaled, first, last)[0, 0, 3].tolist() == [0.5, 0.5, -1, -1, 0.5, 0.5, 0.5, 0.5]
    assert augmentation.mask_frequencies(scaled, first, last)[0, 0, :, 0].tolist() == [0.5, -1, 0.5, 0.5]
    assert torch.equal(augmentation.mask_frequencies(scaled, first, last)[1], scaled[1])


def test_a_masked_range_of_frequencies_is_missing_from_the_wave() -> None:
    time = torch.arange(800) / 800
    low, high = (2 * math.pi * 100 * time).sin(), (2 * math.pi * 300 * time).sin()
    masked = augmentation.mask_frequencies((low + high)[None, None], torch.tensor([0.6]), torch.tensor([0.9]))
    torch.testing.assert_close(masked[0, 0], low, atol=1e-3, rtol=0)


def test_places_lie_within_the_clip_and_sizes_are_uniform() -> None:
    first, last = augmentation.span(
        torch.rand(4000, 2, generator=torch.Generator().manual_seed(0)), 0.4, torch.ones(4000)
    )
    size = last - first
    assert float(first.min()) >= 0
    assert float(last.max()) <= 1
    assert float(size.max()) <= 0.4
    assert float(size.mean()) == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("kind", ["waves", "spectrograms"])
def test_derivatives_of_the_first_and_second_order_are_right(kind: str) -> None:
    augment = masks(FLOOR, gain=6, time=0.4, frequency=0.4)
    clips = waves(2, 32, torch.float64) if kind == "waves" else 0.5 * torch.randn(2, 1, 4, 5, dtype=torch.float64)
    clips.requires_grad_()

    def changed(x: Tensor) -> Tensor:
        return augment(x, rng(2), "real", 1.0)

    assert torch.autograd.gradcheck(changed, clips)
    assert torch.autograd.gradgradcheck(changed, clips)


def test_parts_of_a_batch_are_changed_as_in_the_whole() -> None:
    clips, augment = TRANSFORM.scaled(waves(6)), masks(FLOOR)
    whole = augment(clips, rng(6), "fake", 0.7)
    parts = [augment(clips[a:b], rng(6, a, b), "fake", 0.7) for a, b in ((0, 2), (2, 6))]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(augment(clips, rng(6), "real", 0.7), whole)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"gain": -1}, "gain"), ({"time": 1.0}, "time"), ({"frequency": 2}, "frequency"), ({"pitch": 1}, "pitch"),
     ({"gain": 0, "time": 0, "frequency": 0}, "all 0")],
)  # fmt: skip
def test_wrong_options_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        domain.make("augment", AUGMENTS, part("masks", **options), FLOOR)


@pytest.mark.parametrize("name", ["clips", "wavegan"])
def test_a_game_sees_changed_clips_and_the_strength_can_follow_the_discriminator(name: str) -> None:
    widths = {
        "clips": ["generator.widths=[8,4]", "discriminator.widths=[4,8]"],
        "wavegan": ["generator.width=2", "discriminator.width=2"],
    }
    settings = ["augment=masks", "augment.gain=3", 'rules.augment_strength={"over_images":40,"every":1,"target":-0.9}']
    chosen = recipe.override(catalog.recipes()[name], [*widths[name], *settings, "conditional=false", "batch=8"])
    payload = {"rate": 8000, "ending": ".wav", "subtype": "PCM_16", "normalise": "peak", "level": 1.0}
    info = domain.DatasetInfo(
        "x", 16, 0, "", domain.SampleInfo({"channels": 2, "samples": 1024}, ""), (), None, payload
    )
    chosen, _ = catalog.domain("audio").game.resolve_auto(chosen, info)
    duel = game.build(chosen, info)
    source = kit.TensorSource("x", waves(16, 1024), waves(0, 1024))
    loop = TrainingLoop(duel, source, Settings(8))
    for _ in range(3):
        loop.train_step()
    assert duel.control is not None
    assert duel.control.strength > 0
    assert float(loop.values()["augment/strength"]) > 0
