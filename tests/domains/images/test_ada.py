"""ADA's transformations: exact copies, matrices by a second way, shares of images, derivatives, cuts of the batch."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from zerosum import domain
from zerosum.domains.images.augments import AUGMENTS
from zerosum.domains.images.augments.ada import Group, ada, apply_blit, color_matrix, inverse
from zerosum.domains.images.augments.warp import rotation, smooth, taps, warp_affine
from zerosum.engine.seeds import SeededNoise
from zerosum.errors import UserError
from zerosum.recipe import part

GROUPS: tuple[Group, ...] = ("blit", "geometric", "color", "cutout")
PIPES: list[tuple[Group, ...]] = [*((group,) for group in GROUPS), GROUPS]
F64 = torch.float64


def rng(total: int, start: int = 0, stop: int | None = None) -> SeededNoise:
    return SeededNoise(3, 5, 1, start, total if stop is None else stop, total, torch.device("cpu"))


def images(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


# --- how often


@pytest.mark.parametrize("pipe", PIPES)
def test_strength_0_is_the_identity(pipe: tuple[Group, ...]) -> None:
    x = images(4, 3, 8, 8)
    assert ada(pipe=pipe)(x, rng(4), "real", 0.0) is x


@pytest.mark.parametrize(
    ("group", "untouched"),
    [
        # mirrored half of the times; no turn one time in four; a side of 8 moves by -1, 0, 1 with chances 1/4, 1/2, 1/4
        ("blit", lambda p: (1 - p / 2) * (1 - 3 * p / 4) * (1 - 3 * p / 4)),
        ("geometric", lambda p: (1 - p) ** 4),  # two turns count as one
        ("color", lambda p: (1 - p) ** 4 * (1 - p / 2)),  # the luma flip turns half of them over
        ("cutout", lambda p: 1 - p),
    ],
)
@pytest.mark.parametrize("p", [0.2, 0.5])
def test_share_of_images_that_a_group_leaves_alone(group: Group, untouched: Callable[[float], float], p: float) -> None:
    x = images(4000, 3, 8, 8)
    after = ada(pipe=(group,))(x, rng(4000), "real", p)
    same = ((after - x).abs() < 1e-4).flatten(1).all(1).float().mean()
    expected = untouched(p)
    assert abs(float(same) - expected) < 4 * (expected * (1 - expected) / 4000) ** 0.5


def test_a_multiplier_scales_the_chance_of_its_group_alone() -> None:
    x = images(64, 3, 8, 8)
    half = ada(pipe=("blit", "color"), multipliers={"color": 0.5})(x, rng(64), "real", 0.8)
    blit = ada(pipe=("blit",))(x, rng(64), "real", 0.8)
    torch.testing.assert_close(half, ada(pipe=("color",))(blit, rng(64), "real", 0.4), rtol=0, atol=0)
    off = ada(pipe=("blit", "color"), multipliers={"color": 0.0})(x, rng(64), "real", 0.8)
    assert torch.equal(off, blit)


# --- blit


def test_blit_copies_pixels_as_flip_rot90_and_a_mirrored_border_do() -> None:
    for mirror in (False, True):
        for quarters in range(4):
            for down, right in ((0, 0), (2, -1), (-3, 3)):
                x = images(1, 2, 6, 6)
                result = apply_blit(x, torch.tensor([mirror]), torch.tensor([quarters]), torch.tensor([[down, right]]))
                y = torch.rot90(x.flip(3) if mirror else x, quarters, (2, 3))
                wide = np.pad(y.numpy(), ((0, 0), (0, 0), (3, 3), (3, 3)), mode="symmetric")
                assert np.array_equal(result.numpy(), wide[:, :, 3 - down : 9 - down, 3 - right : 9 - right])


def test_rectangles_turn_by_half_turns_only() -> None:
    x = images(1, 1, 4, 3).expand(300, 1, 4, 3)  # an eighth of the sides is no whole pixel: no shift
    result = ada(pipe=("blit",))(x, rng(300), "real", 1.0)
    four = [x[0], x[0].flip(2), torch.rot90(x[0], 2, (1, 2)), torch.rot90(x[0].flip(2), 2, (1, 2))]
    found = [next(i for i, y in enumerate(four) if torch.equal(row, y)) for row in result]
    assert [found.count(i) > 40 for i in range(4)] == [True] * 4


# --- geometry


def test_the_warp_shifts_by_whole_pixels_and_turns_by_quarters() -> None:
    x, eye = images(1, 2, 6, 8, dtype=F64), torch.eye(2, dtype=F64)[None]
    shifted = warp_affine(x, eye, torch.tensor([[2.0, -1.0]], dtype=F64))
    wide = np.pad(x.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="symmetric")
    torch.testing.assert_close(shifted, torch.from_numpy(wide[:, :, 1:7, 4:12]))
    square, quarter = images(1, 2, 5, 5, dtype=F64), rotation(torch.tensor([math.pi / 2], dtype=F64))
    torch.testing.assert_close(warp_affine(square, quarter, torch.zeros(1, 2)), torch.rot90(square, 1, (2, 3)))


def test_the_warp_of_a_ramp_is_the_matrix_itself() -> None:
    """Bilinear values of a linear image are exact inside, on rectangles too."""
    y, x = torch.meshgrid(torch.arange(21, dtype=F64) - 10, torch.arange(31, dtype=F64) - 15, indexing="ij")
    matrix, offset = torch.tensor([[[0.3, 0.2], [-0.1, 0.4]]], dtype=F64), torch.tensor([[1.5, -0.7]], dtype=F64)
    result = warp_affine(torch.stack([x, y])[None], matrix, offset)[0]
    expected = torch.einsum("ij,jhw->ihw", matrix[0], torch.stack([x, y])) + offset[0, :, None, None]
    torch.testing.assert_close(result, expected)


def test_the_inverse_undoes_what_was_asked_for() -> None:
    generator = torch.Generator().manual_seed(0)
    scale, before, stretch, after = torch.rand(4, 7, generator=generator, dtype=F64) + 0.5
    shift = torch.randn(7, 2, generator=generator, dtype=F64)
    matrix, offset = inverse(scale, before, stretch, after, shift)
    point = torch.randn(7, 2, 1, generator=generator, dtype=F64)
    sides = torch.diag_embed(torch.stack([stretch, 1 / stretch], 1))
    there = rotation(after) @ sides @ rotation(before) @ (scale[:, None, None] * point) + shift[:, :, None]
    torch.testing.assert_close(matrix @ there + offset[:, :, None], point)


def test_an_image_that_shrinks_is_filtered_and_no_other() -> None:
    turn = rotation(torch.tensor([0.7], dtype=F64))
    torch.testing.assert_close(taps(turn), torch.zeros(1, 2, dtype=F64))
    sides = torch.tensor([[[0.5, 0.0], [0.0, 0.5]], [[2.0, 0.0], [0.0, 1.0]], [[9.0, 0.0], [0.0, 1.5]]])
    torch.testing.assert_close(taps(sides), torch.tensor([[0, 0], [0.25, 0], [0.25, 1.25 / 12]]))
    stripes = torch.tensor([1.0, -1.0]).repeat(8).expand(1, 1, 16, 16)  # the finest there are
    half, onto_pixels = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]]), torch.tensor([[0.5, 0.0]])
    assert float(warp_affine(stripes, half, onto_pixels)[..., 5:11].abs().max()) < 1e-6  # unfiltered: 1 everywhere


def test_the_filter_is_a_convolution_with_repeated_borders() -> None:
    x, outer = images(2, 3, 5, 7, dtype=F64), torch.tensor([[0.1, 0.25], [0.0, 0.2]], dtype=F64)
    wide, result = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate"), smooth(x, outer)
    for row, (a, b) in enumerate(outer.tolist()):
        kernel = torch.outer(torch.tensor([b, 1 - 2 * b, b], dtype=F64), torch.tensor([a, 1 - 2 * a, a], dtype=F64))
        filtered = torch.nn.functional.conv2d(wide[row : row + 1], kernel.expand(3, 1, 3, 3), groups=3)
        torch.testing.assert_close(result[row], filtered[0])


# --- colour


def test_hue_is_a_rotation_that_keeps_grey_and_a_third_of_a_turn_exchanges_channels() -> None:
    one = torch.ones(1)
    turned = color_matrix(one, one, torch.tensor([1.1]))[0]
    torch.testing.assert_close(turned @ turned.T, torch.eye(3))
    torch.testing.assert_close(torch.linalg.det(turned), torch.tensor(1.0))
    torch.testing.assert_close(turned @ torch.ones(3), torch.ones(3))
    third = color_matrix(one, one, torch.tensor([2 * math.pi / 3]))[0]
    torch.testing.assert_close(third @ torch.tensor([1.0, 2, 3]), torch.tensor([3.0, 1, 2]))


def test_luma_flip_is_a_reflection_and_saturation_0_leaves_grey() -> None:
    one, zero, v = torch.ones(1), torch.zeros(1), torch.full((3,), 3**-0.5)
    torch.testing.assert_close(color_matrix(-one, one, zero)[0], torch.eye(3) - 2 * torch.outer(v, v))
    torch.testing.assert_close(color_matrix(one, zero, zero)[0] @ torch.tensor([3.0, 0, 0]), torch.ones(3))


def test_the_color_group_is_the_product_of_its_five_matrices() -> None:
    x, count = images(200, 3, 2, 2, dtype=F64), 200
    result, d = ada(pipe=("color",))(x, rng(count), "real", 0.6), rng(count)
    gates = d.uniform("real color gates", 5) < 0.6
    random, normal = d.uniform("real color values", 2).double(), d.normal("real color strengths", 3).double()
    v, eye = torch.full((3, 1), 3**-0.5, dtype=F64), torch.eye(3, dtype=F64)
    cross = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=F64) * 3**-0.5
    for row in range(count):
        y = x[row].flatten(1)
        if gates[row, 0]:
            y = y + 0.2 * normal[row, 0]
        if gates[row, 1]:
            y = y * 2 ** (0.5 * normal[row, 1])
        if gates[row, 2] and random[row, 0] >= 0.5:
            y = y - 2 * v @ (v.T @ y)
        if gates[row, 3]:
            y = torch.linalg.matrix_exp(cross * (2 * random[row, 1] - 1) * math.pi) @ y
        if gates[row, 4]:
            y = v @ (v.T @ y) + 2 ** normal[row, 2] * ((eye - v @ v.T) @ y)
        torch.testing.assert_close(result[row].flatten(1), y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pipe", PIPES)
def test_a_grey_image_fares_like_a_colour_image_that_is_grey(pipe: tuple[Group, ...]) -> None:
    x, augment = images(50, 1, 6, 9), ada(pipe=pipe)
    coloured = augment(x.expand(50, 3, 6, 9), rng(50), "real", 0.8)
    torch.testing.assert_close(coloured, augment(x, rng(50), "real", 0.8).expand(50, 3, 6, 9), rtol=1e-4, atol=1e-5)


# --- in the game


@pytest.mark.parametrize("pipe", PIPES)
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 9, 6)])
def test_rows_do_not_depend_on_the_cut_and_sides_differ(pipe: tuple[Group, ...], shape: tuple[int, ...]) -> None:
    x, augment = images(32, *shape), ada(pipe=pipe)
    whole = augment(x, rng(32), "real", 0.7)
    parts = [augment(x[a:b], rng(32, a, b), "real", 0.7) for a, b in ((0, 5), (5, 20), (20, 32))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-6, atol=1e-6)
    assert not torch.equal(augment(x, rng(32), "fake", 0.7), whole)


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 5, 3)])
def test_derivatives_of_first_and_second_order_are_right(shape: tuple[int, ...]) -> None:
    x, augment = images(3, *shape, dtype=F64).requires_grad_(True), ada(pipe=GROUPS)
    assert torch.autograd.gradcheck(lambda y: augment(y, rng(3), "real", 0.9), (x,))
    assert torch.autograd.gradgradcheck(lambda y: augment(y, rng(3), "real", 0.9) ** 3, (x,))


def test_low_precision_is_lifted_to_float32() -> None:
    x, augment = images(4, 3, 8, 8).bfloat16(), ada(pipe=GROUPS)
    with torch.autocast("cpu", torch.bfloat16):
        under = augment(x, rng(4), "real", 1.0)
    assert under.dtype == torch.float32
    assert torch.equal(under, augment(x.float(), rng(4), "real", 1.0))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pipe": ["blt"]}, "blit"),
        ({"pipe": []}, "at least one"),
        ({"multipliers": {"color": 2}}, r"multipliers\.color must lie in"),
        ({"pipe": ["blit"], "multipliers": {"color": 0.5}}, "no group 'color'"),
    ],
)
def test_what_it_refuses(options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        domain.make("augment", AUGMENTS, part("ada", **options))
