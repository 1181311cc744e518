"""DiffAugment: each policy against its formula, the share of images, derivatives, and cuts of the batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from zerosum import domain
from zerosum.domains.images.augments import AUGMENTS
from zerosum.domains.images.augments.diffaugment import Policy, change_colours, diffaugment
from zerosum.domains.images.augments.parts import erase_rectangle
from zerosum.engine.seeds import SeededNoise
from zerosum.errors import UserError
from zerosum.nn.pixel_moves import translate_pixels
from zerosum.recipe import part

POLICIES: list[tuple[Policy, ...]] = [("color",), ("translation",), ("cutout",), ("color", "translation", "cutout")]


def rng(total: int, start: int = 0, stop: int | None = None) -> SeededNoise:
    return SeededNoise(3, 5, 1, start, total if stop is None else stop, total, torch.device("cpu"))


def images(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def changed(after: Tensor, before: Tensor) -> Tensor:
    return (after != before).flatten(1).any(1)


@pytest.mark.parametrize("policy", POLICIES)
def test_strength_is_the_share_of_images(policy: tuple[Policy, ...]) -> None:
    x = images(2000, 1, 8, 10)
    augment = diffaugment(policy=policy)
    assert augment(x, rng(2000), "real", 0.0) is x
    found = changed(augment(x, rng(2000), "real", 0.3), x)
    # A shift of 0, 0 changes nothing: one in nine, where a side of 8 or 10 moves by -1, 0 or 1.
    expected = 0.3 * (8 / 9 if policy == ("translation",) else 1)
    assert abs(float(found.float().mean()) - expected) < 4 * (expected * (1 - expected) / 2000) ** 0.5
    whole = changed(augment(x, rng(2000), "real", 1.0), x)
    assert float(whole.float().mean()) == pytest.approx(expected / 0.3, abs=0.03)
    assert bool((whole | ~found).all())  # those chosen at 0.3 are among those chosen at 1


def test_translation_moves_whole_pixels_and_fills_with_grey() -> None:
    x = images(25, 3, 6, 7)
    shifts = torch.tensor([[down, right] for down in range(-2, 3) for right in range(-2, 3)])
    moved = translate_pixels(x, shifts)
    for row, (down, right) in enumerate(shifts.tolist()):
        wide = pad(x[row], (2, 2, 2, 2))
        assert torch.equal(moved[row], wide[:, 2 - down : 8 - down, 2 - right : 9 - right])


def test_translation_reaches_an_eighth_of_each_side_and_no_further() -> None:
    x = torch.zeros(3000, 1, 17, 33)
    x[:, :, 8, 16] = 1
    moved = diffaugment(policy=("translation",))(x, rng(3000), "real", 1.0)
    down, right = (moved.sum(dims).argmax(1) for dims in ((1, 3), (1, 2)))
    assert (down.min(), down.max(), right.min(), right.max()) == (6, 10, 12, 20)


@pytest.mark.parametrize("channels", [1, 3])
def test_color_is_brightness_then_saturation_then_contrast(channels: int) -> None:
    x, random = images(5, channels, 4, 6, dtype=torch.float64), torch.rand(5, 3, dtype=torch.float64)
    which = torch.tensor([True, True, False, True, True])
    result = change_colours(x, random, which)
    for row, (b, s, c) in enumerate(random.tolist()):
        y = x[row] + (b - 0.5)
        if channels == 3:
            y = (y - y.mean(0)) * (2 * s) + y.mean(0)
        y = (y - y.mean()) * (c + 0.5) + y.mean()
        torch.testing.assert_close(result[row], y if which[row] else x[row])


def test_cutout_erases_half_of_each_side_in_all_channels() -> None:
    x = torch.ones(3, 2, 8, 12)
    result = erase_rectangle(x, torch.tensor([[0.5, 0.5], [0.0, 0.25], [0.5, 0.5]]), torch.tensor([True, True, False]))
    middle, corner = torch.ones(8, 12), torch.ones(8, 12)
    middle[2:6, 3:9] = 0
    corner[0:2, 0:6] = 0
    assert torch.equal(result, torch.stack([middle, corner, torch.ones(8, 12)])[:, None].expand(3, 2, 8, 12))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_rows_do_not_depend_on_the_cut_and_sides_differ(policy: tuple[Policy, ...], channels: int) -> None:
    x, augment = images(32, channels, 9, 7), diffaugment(policy=policy)
    whole = augment(x, rng(32), "real", 0.7)
    parts = [augment(x[a:b], rng(32, a, b), "real", 0.7) for a, b in ((0, 5), (5, 20), (20, 32))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=0)
    assert not torch.equal(augment(x, rng(32), "fake", 0.7), whole)


def test_derivatives_of_first_and_second_order_are_right() -> None:
    x, augment = images(3, 3, 4, 5, dtype=torch.float64).requires_grad_(True), diffaugment()
    assert torch.autograd.gradcheck(lambda y: augment(y, rng(3), "real", 1.0), (x,))
    assert torch.autograd.gradgradcheck(lambda y: augment(y, rng(3), "real", 1.0) ** 3, (x,))


def test_low_precision_is_lifted_to_float32() -> None:
    x, augment = images(4, 3, 8, 8).bfloat16(), diffaugment()
    with torch.autocast("cpu", torch.bfloat16):
        under = augment(x, rng(4), "real", 1.0)
    assert under.dtype == torch.float32
    assert torch.equal(under, augment(x.float(), rng(4), "real", 1.0))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"policy": ["colour"]}, "color"), ({"policy": []}, "at least one"), ({"polcy": []}, "policy")],
)
def test_what_it_refuses(options: dict[str, list[str]], said: str) -> None:
    with pytest.raises(UserError, match=said):
        domain.make("augment", AUGMENTS, part("diffaugment", **options))
