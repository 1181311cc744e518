"""The R3GAN pair: sizes, variance at the start, slopes of slopes, conditioning, groups, the published sizes and schedules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.r3 import R3Block, R3Discriminator, R3Down, R3Generator, ScaledGrid, Up, stages_of
from zerosum.domains.images.recipes import R3GAN
from zerosum.engine.optimizers import Schedule

SHAPES = [
    Shape(1, 8, 8),
    Shape(1, 28, 28),
    Shape(3, 32, 32),
    Shape(3, 20, 48),
    Shape(3, 33, 17),
    Shape(4, 9, 100),
    Shape(1, 5, 5),
    Shape(3, 2, 3),
]
OPTIONS: list[dict[str, Any]] = [
    {"width": 32},
    {"width": 16, "group_width": 0, "expansion": 1, "blocks": 2},
    {"width": 24, "group_width": 8, "full_size": 64},
]


def pair(shape: Shape, **options: Any) -> tuple[R3Generator, R3Discriminator]:
    torch.manual_seed(0)
    generator, discriminator = R3Generator(shape, latent=6, **options), R3Discriminator(shape, **options)
    for block in [*generator.modules(), *discriminator.modules()]:
        if isinstance(block, R3Block):  # as after some training
            nn.init.normal_(block.narrow.weight, std=0.2)
    return generator, discriminator


def conditions(options: dict[str, int]) -> Tensor | None:
    if options.get("num_attributes"):
        return torch.linspace(-1, 1, 8).view(4, 2)
    return torch.tensor([0, 2, 1, 1]) if options else None


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "condition_options", [{}, {"num_classes": 3}, {"num_classes": 3, "num_attributes": 2}], ids=str
)
def test_every_size_is_made_and_judged_with_a_second_derivative(
    shape: Shape, options: dict[str, Any], condition_options: dict[str, int]
) -> None:
    generator, discriminator = pair(shape, **options, **condition_options)
    condition = conditions(condition_options)
    images = generator(torch.randn(4, 6), condition)
    assert images.shape == (4, shape.channels, shape.height, shape.width)
    images.square().sum().backward()
    assert [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()] == []
    points = images.detach().requires_grad_(True)
    logits = discriminator(points, condition)
    assert logits.shape == (4,)
    (slope,) = torch.autograd.grad(logits.sum(), points, create_graph=True)
    assert slope.abs().amax((0, 1)).min() > 0  # every pixel is looked at
    slope.square().sum().backward()
    lost = [name for name, p in discriminator.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert [name for name in lost if not name.endswith("mix.bias")] == []


def test_the_largest_size() -> None:
    generator, discriminator = pair(Shape(3, 1024, 512), width=4, full_size=1024, group_width=0, expansion=1, patch=4)
    with torch.no_grad():
        images = generator(torch.randn(1, 6))
        assert images.shape == (1, 3, 1024, 512)
        assert discriminator(images).shape == (1,)


def test_the_second_derivative_is_exact() -> None:
    _, discriminator = pair(Shape(1, 8, 8), width=2, group_width=2, expansion=1, patch=2)
    discriminator.double()
    images = torch.randn(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    weights = [block.mix.weight for block in discriminator.modules() if isinstance(block, R3Block)]

    def slope(x: Tensor, *_: Tensor) -> Tensor:
        return torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)[0].square().sum()

    assert torch.autograd.gradcheck(slope, (images, *weights), atol=1e-6)


# --- the start


def test_blocks_are_the_identity_at_the_start() -> None:
    torch.manual_seed(0)
    block, x = R3Block(32, 16, 2, 8), torch.randn(3, 32, 5, 5)
    torch.testing.assert_close(block(x), x, rtol=0, atol=0)
    nn.init.normal_(block.narrow.weight)
    assert (block(x) - x).abs().max() > 0.1


def test_fix_up_shrinks_the_branch_with_the_number_of_blocks() -> None:
    """Through each scaled convolution and leaky ReLU the second moment is multiplied by L ** -1/2."""
    torch.manual_seed(0)
    block, x = R3Block(64, 16, 2, 16), torch.randn(8, 64, 16, 16)
    for layer in (block.widen, block.mix):
        y = torch.nn.functional.leaky_relu(layer(x), 0.2)
        y, x = y[:, :, 1:-1, 1:-1], x[:, :, 1:-1, 1:-1]  # zeros lie beyond the border
        torch.testing.assert_close(y.square().mean() / x.square().mean(), torch.tensor(0.25), rtol=0.05, atol=0)
        x = torch.nn.functional.leaky_relu(layer(x), 0.2)


def test_the_generators_variance_at_the_start_is_that_of_interpolated_noise() -> None:
    """Every pixel is a sum of interpolated basis values with unit variance: Var = the sum of its squared weights."""
    torch.manual_seed(0)
    generator = R3Generator(Shape(8, 16, 16), latent=64, widths=(256, 256, 128))
    found = generator(torch.randn(256, 64)).square().mean((0, 1))
    up = Up(16, 16)
    grid = torch.eye(16).view(1, 16, 4, 4)  # one channel for each place of the small grid
    wanted = up(up(grid)).square().sum((0, 1))
    torch.testing.assert_close(found.mean(), wanted.mean(), rtol=0.1, atol=0)
    torch.testing.assert_close(found[::4, ::4].mean(), wanted[::4, ::4].mean(), rtol=0.2, atol=0)
    assert wanted[4, 4] == 1
    torch.testing.assert_close(wanted[6, 6], torch.tensor(0.25))


def test_the_grid_is_scaled_channel_by_channel() -> None:
    torch.manual_seed(0)
    grid, noise = ScaledGrid(3, 5, (4, 7)), torch.randn(2, 3)
    assert grid(noise).shape == (2, 5, 4, 7)
    expected = torch.einsum("nl,fl,hwf->nfhw", noise, grid.linear.weight, grid.basis)
    torch.testing.assert_close(grid(noise), expected)


# --- parts computed another way


def test_groups_equal_a_convolution_with_a_block_diagonal_weight() -> None:
    torch.manual_seed(0)
    mix = R3Block(16, 8, 2, 1).mix
    assert mix.groups == 4
    whole = nn.Conv2d(32, 32, 3, padding=1)
    with torch.no_grad():
        whole.weight.zero_()
        for group in range(4):
            rows = slice(8 * group, 8 * group + 8)
            whole.weight[rows, rows] = mix.weight[rows]
        whole.bias.copy_(mix.bias)  # type: ignore[union-attr, arg-type]
    x = torch.randn(2, 32, 6, 6)
    torch.testing.assert_close(mix(x), whole(x))


@pytest.mark.parametrize(("group_width", "groups"), [(0, 1), (8, 6), (16, 3), (32, 3), (5, 48)])
def test_group_widths_that_do_not_fit_shrink_to_a_divisor(group_width: int, groups: int) -> None:
    assert R3Block(24, group_width, 2, 1).mix.groups == groups


@pytest.mark.parametrize("options", [{"expansion": 0}, {"group_width": -1}, {"full_size": 0}, {"width": 0}], ids=str)
def test_what_cannot_be_is_refused_by_name(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        R3Discriminator(Shape(1, 16, 16), **options)  # type: ignore[arg-type]


def test_down_filters_with_1_2_1_and_up_is_its_adjoint() -> None:
    line = torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8])
    halved = R3Down(1, 1)(line.expand(1, 1, 8, 8))[0, 0, 1]
    torch.testing.assert_close(halved, torch.tensor([1.0 * 0.5 + 2 * 0.25, 3, 5, 7]))
    doubled = Up(1, 1)(line.view(1, 1, 1, 8).expand(1, 1, 8, 8))[0, 0, 2]
    torch.testing.assert_close(doubled[:15], torch.linspace(1, 8, 15))
    x, y = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 10, 8)
    torch.testing.assert_close((Up(3, 3)(x) * y).sum(), 4 * (x * R3Down(3, 3)(y)).sum())


def test_the_narrowing_convolution_changes_places_with_the_interpolation() -> None:
    torch.manual_seed(0)
    up, x = Up(8, 4), torch.randn(2, 8, 5, 3)
    torch.testing.assert_close(up(x), up.conv(Up(8, 8)(x)))


def test_patches_are_unfolded_in_place() -> None:
    """With patches the discriminator's first layer is a convolution with that stride; the generator's last its mirror."""
    torch.manual_seed(0)
    generator, discriminator = pair(Shape(3, 16, 16), width=8, group_width=0, patch=2)
    strided = discriminator.from_image.weight.view(8, 3, 2, 2)
    images = generator(torch.randn(2, 6))
    expected = torch.nn.functional.conv2d(images, strided, stride=2)
    torch.testing.assert_close(discriminator.from_image(discriminator.fold(images)), expected)
    x = torch.randn(2, 8, 8, 8)
    spread = torch.nn.functional.conv_transpose2d(x, generator.to_image.weight.view(3, 2, 2, 8).movedim(3, 0), stride=2)
    torch.testing.assert_close(generator.unfold(generator.to_image(x)), spread)


# --- rows and conditions


@pytest.mark.parametrize("condition_options", [{"num_classes": 3}, {"num_attributes": 2}], ids=str)
def test_rows_are_alone_and_the_condition_is_heard_and_demanded(condition_options: dict[str, int]) -> None:
    generator, discriminator = pair(Shape(1, 12, 12), width=16, **condition_options)
    condition, noise = conditions(condition_options), torch.randn(4, 6)
    assert condition is not None
    for network, x in ((generator, noise), (discriminator, torch.randn(4, 1, 12, 12))):
        network.eval()
        with torch.no_grad():
            whole, other = network(x, condition), network(x, condition.roll(1, 0))
            torch.testing.assert_close(network(x[2:3], condition[2:3])[0], whole[2])
        assert (whole - other).view(4, -1).abs().amax(1)[:3].min() > 1e-4
        with pytest.raises(ValueError, match="conditional"):
            network(x)


# --- widths, and what was published


def test_widths_follow_the_rule_or_the_list() -> None:
    assert stages_of(Shape(3, 256, 256), 768, 32, (), 2, 1) == [(w, 2) for w in (768, 768, 768, 768, 384, 192, 96)]
    assert stages_of(Shape(1, 28, 28), 64, 8, (), 1, 2) == [(64, 1), (32, 1)]
    assert stages_of(Shape(3, 32, 32), 0, 8, (9, 8, 7, 6), (1, 0, 2, 3), 1) == [(9, 1), (8, 0), (7, 2), (6, 3)]
    with pytest.raises(ValueError, match=r"widths = .* 4 numbers, for the short sides 4 8 16 32"):
        stages_of(Shape(3, 32, 32), 0, 8, (9, 8, 7), 1, 1)
    with pytest.raises(ValueError, match="blocks"):
        stages_of(Shape(3, 32, 32), 64, 8, (), (1, 2), 1)
    with pytest.raises(ValueError, match="patch = 3"):
        stages_of(Shape(3, 32, 32), 64, 8, (), 1, 3)


def test_the_published_size_for_cifar10() -> None:
    """8 blocks of 768-1536-1536-768 channels with groups of 16: 20.67 million weights in the blocks of each network."""
    wanted = 8 * (2 * 768 * 1536 + 1536 * 16 * 9 + 2 * 1536)
    for make, given in ((R3Generator, {"latent": 64}), (R3Discriminator, {})):
        options = R3GAN.generator.options if make is R3Generator else R3GAN.discriminator.options
        with torch.device("meta"):
            network = make(Shape(3, 32, 32, 10), num_classes=10, **given, **options)
        blocks = [block for block in network.modules() if isinstance(block, R3Block)]
        assert sum(p.numel() for block in blocks for p in block.parameters()) == wanted
    assert wanted == pytest.approx(20.6e6, rel=0.01)


def test_the_published_schedules_end_where_they_should_in_a_run_of_any_length() -> None:
    recipe = R3GAN.changed(steps=1000).with_schedules_in_steps()
    player = recipe.learning["generator"]
    assert recipe.learning["discriminator"] == player
    found = {
        "lr": (player.lr, 2e-4, 5e-5),
        "beta2": (player.betas[1], 0.9, 0.99),
        "r1": (recipe.penalties["r1"].weight, 0.05, 0.005),
        "r2": (recipe.penalties["r2"].weight, 0.05, 0.005),
        "augment": (recipe.rules.augment_strength, 0.0, 0.55),
        "half-life": (recipe.ema.half_life_samples, 0.0, 5e6),
    }
    for name, (schedule, start, end) in found.items():
        assert isinstance(schedule, Schedule), name
        assert schedule(0) == start
        assert schedule(400) == pytest.approx((start + end) / 2)
        assert schedule(800) == schedule(999) == pytest.approx(end)


def test_the_average_is_as_published_at_full_length_and_forgets_in_a_short_run() -> None:
    batch, ramp = R3GAN.batch, R3GAN.ema.ramp
    assert isinstance(batch, int)
    assert ramp is not None
    full, short = (R3GAN.changed(steps=steps).with_schedules_in_steps() for steps in (R3GAN.steps, 500))
    for recipe, binds in ((full, False), (short, True)):
        half_life = recipe.ema.half_life_samples
        assert isinstance(half_life, Schedule)
        steps = range(1, recipe.steps + 1, max(1, recipe.steps // 50))
        assert all(half_life(step - 1) <= ramp * step * batch for step in steps) is not binds
