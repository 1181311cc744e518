"""The light pair for few images: sizes, slopes of slopes, excitation, the decoders of the discriminator, conditioning."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.fastgan import (
    Decoder,
    Down,
    Excitation,
    FastGanDiscriminator,
    FastGanGenerator,
    GatedUp,
    level_widths,
)
from zerosum.domains.images.networks.layers import grid_of, num_halvings
from zerosum.engine.game import DiscriminatorOutput
from zerosum.nn.layers import adaptive_pool

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


def pair(shape: Shape, **condition_options: int) -> tuple[FastGanGenerator, FastGanDiscriminator]:
    torch.manual_seed(0)
    return FastGanGenerator(shape, latent=6, width=16, **condition_options), FastGanDiscriminator(
        shape, width=16, **condition_options
    )


def conditions(condition_options: dict[str, int]) -> Tensor | None:
    if condition_options.get("num_attributes"):
        return torch.linspace(-1, 1, 8).view(4, 2)
    return torch.tensor([0, 2, 1, 1]) if condition_options else None


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "condition_options", [{}, {"num_classes": 3}, {"num_classes": 3, "num_attributes": 2}], ids=str
)
def test_every_size_is_made_judged_and_rebuilt(shape: Shape, condition_options: dict[str, int]) -> None:
    generator, discriminator = pair(shape, **condition_options)
    condition = conditions(condition_options)
    images = generator(torch.randn(4, 6), condition)
    assert images.shape == (4, shape.channels, shape.height, shape.width)
    images.square().sum().backward()
    silent = [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert silent == []
    verdict = discriminator(images.detach(), condition)
    assert verdict.score().shape == verdict.outputs["reconstruction"].shape == (4,)
    assert verdict.logits[1].shape[:2] == (4, 1)
    (verdict.score() + verdict.outputs["reconstruction"]).sum().backward()
    assert [name for name, p in discriminator.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_discriminator_has_a_second_derivative_at_every_pixel(shape: Shape) -> None:
    _, discriminator = pair(shape)
    points = torch.randn(3, shape.channels, shape.height, shape.width, requires_grad=True)
    (slope,) = torch.autograd.grad(discriminator(points).score().sum(), points, create_graph=True)
    assert slope.abs().amax((0, 1)).min() > 0
    for logits in discriminator(points).logits:  # both heads hear the image
        assert torch.autograd.grad(logits.sum(), points, retain_graph=True)[0].any()
    slope.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in discriminator.levels.parameters())


def test_the_largest_size() -> None:
    generator = FastGanGenerator(Shape(3, 1024, 512), latent=6, width=16, norm="none").eval()
    discriminator = FastGanDiscriminator(Shape(3, 1024, 512), width=16).eval()
    with torch.no_grad():
        images = generator(torch.randn(1, 6))
        assert images.shape == (1, 3, 1024, 512)
        whole, patches = discriminator(images).logits
    assert (whole.shape, patches.shape) == ((1,), (1, 1, 16, 8))


# --- parts


@pytest.mark.parametrize("side", [8, 28, 32, 64, 100, 256])
def test_patches_are_judged_at_the_last_level_of_8_or_more(side: int) -> None:
    discriminator = FastGanDiscriminator(Shape(1, side, side), width=8).eval()
    patches = discriminator(torch.randn(1, 1, side, side)).logits[1]
    grid, halvings = grid_of(Shape(1, side, side))[0], num_halvings(Shape(1, side, side))
    below_the_image = [grid << level for level in range(halvings)]
    assert patches.shape[2] == min((size for size in below_the_image if size >= 8), default=4)


def test_widths_halve_above_the_full_size() -> None:
    assert level_widths(Shape(3, 256, 256), 256, 16) == [256, 256, 256, 128, 64, 32, 16]
    assert level_widths(Shape(1, 28, 28), 64, 8) == [64, 32, 16]
    assert level_widths(Shape(1, 64, 64), 16, 4) == [16, 8, 8, 8, 8]


def test_excitation_scales_the_level_reach_doublings_further_up() -> None:
    """The last excitation of 32 px (4 -> 32 by reach 3) multiplies each channel of the finest level by its gate."""
    generator, _ = pair(Shape(3, 32, 32))
    assert len(generator.excitations) == 1
    kept: dict[str, Tensor] = {}
    generator.levels[-1].register_forward_hook(lambda _, __, y: kept.update(level=y))
    generator.excitations[0].register_forward_hook(lambda _, __, y: kept.update(gate=y))
    generator.last.register_forward_pre_hook(lambda _, x: kept.update(used=x[0]))
    generator(torch.randn(2, 6))
    assert kept["gate"].shape == (2, 8, 1, 1)
    assert kept["gate"].std() > 0.01
    torch.testing.assert_close(kept["used"], kept["level"] * kept["gate"])
    assert len(FastGanGenerator(Shape(3, 32, 32), latent=6, width=16, reach=2).excitations) == 2


def test_excitation_pools_to_4x4() -> None:
    torch.manual_seed(0)
    layer, x = Excitation(3, 5), torch.randn(2, 3, 8, 12)
    pooled = avg_pool2d(x, (2, 3)).flatten(1)
    hidden = nn.functional.leaky_relu(pooled @ layer.squeeze.weight.flatten(1).T + layer.squeeze.bias, 0.1)
    by_hand = (hidden @ layer.gate.weight.flatten(1).T + layer.gate.bias).sigmoid()
    torch.testing.assert_close(layer(x).flatten(1), by_hand)


@pytest.mark.parametrize(
    ("before", "after"), [((8, 12), (4, 4)), ((7, 5), (4, 4)), ((3, 4), (4, 4)), ((64, 48), (32, 32))]
)
def test_pooling_by_matrices_equals_adaptive_pooling(before: tuple[int, int], after: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, *before)
    torch.testing.assert_close(adaptive_pool(x, after), nn.functional.adaptive_avg_pool2d(x, after))


def test_gated_doubling_by_hand() -> None:
    torch.manual_seed(0)
    up, x = GatedUp(3, 2, "none"), torch.randn(2, 3, 4, 5)
    value, gate = up.conv(interpolate(x, scale_factor=2)).chunk(2, 1)
    torch.testing.assert_close(up(x), value * gate.sigmoid())


def test_down_is_the_mean_of_two_ways() -> None:
    torch.manual_seed(0)
    down, x = Down(3, 4, "none"), torch.randn(2, 3, 6, 8)
    act = lambda y: nn.functional.leaky_relu(y, 0.2)  # noqa: E731
    deep, direct = act(down.mix(act(down.narrow(x)))), act(down.direct(avg_pool2d(x, 2)))
    torch.testing.assert_close(down(x), (deep + direct) / 2)


# --- the decoders


def test_the_reconstruction_is_the_error_of_the_whole_and_of_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    _, discriminator = pair(Shape(1, 64, 64))
    images, kept = torch.randn(3, 1, 64, 64), []
    for decoder in discriminator.decoders:
        decoder.register_forward_hook(lambda _, x, y: kept.append((x[0], y)))
    for corner, (rows, columns) in enumerate([(0, 0), (0, 32), (32, 0), (32, 32)]):
        kept.clear()
        monkeypatch.setattr(torch, "randint", lambda *_, corner=corner, **__: torch.tensor(corner))
        found = discriminator(images).outputs["reconstruction"]
        (seen, quarter), (coarse, whole) = kept
        assert (seen.shape[2:], coarse.shape[2:], quarter.shape, whole.shape) == (
            (8, 8),
            (8, 8),
            (3, 1, 32, 32),
            (3, 1, 32, 32),
        )
        part = images[:, :, rows : rows + 32, columns : columns + 32]
        expected = ((quarter - part).abs() + (whole - avg_pool2d(images, 2)).abs()).mean((1, 2, 3)) / 2
        torch.testing.assert_close(found, expected)


def test_decoders_learn_to_rebuild() -> None:
    torch.manual_seed(0)
    discriminator = FastGanDiscriminator(Shape(1, 16, 16), width=16)
    images = torch.randn(4, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=3e-2)
    errors = []
    for _ in range(25):
        error = discriminator(images).outputs["reconstruction"].mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert sum(errors[-3:]) < 0.6 * sum(errors[:3])


def test_nothing_is_rebuilt_where_nobody_learns_from_it() -> None:
    _, discriminator = pair(Shape(1, 32, 32))
    images = torch.randn(2, 1, 32, 32)

    def rebuilds(x: Tensor) -> bool:
        verdict: DiscriminatorOutput = discriminator(x)
        return "reconstruction" in verdict.outputs

    assert rebuilds(images)
    assert not rebuilds(images.clone().requires_grad_(True))  # where a penalty takes the slope
    with torch.no_grad():
        assert not rebuilds(images)
    discriminator.requires_grad_(False)  # the generator's turn
    assert not rebuilds(images)
    discriminator.requires_grad_(True).eval()
    assert not rebuilds(images)
    assert "reconstruction" not in FastGanDiscriminator(Shape(1, 32, 32), width=16, decode=0)(images).outputs


def test_a_decoder_doubles_as_often_as_told() -> None:
    assert Decoder(8, 32, 3, 3)(torch.randn(2, 8, 4, 5)).shape == (2, 3, 32, 40)


# --- rows and conditions


@pytest.mark.parametrize("condition_options", [{"num_classes": 3}, {"num_attributes": 2}], ids=str)
def test_rows_are_alone_and_the_condition_is_heard_and_demanded(condition_options: dict[str, int]) -> None:
    generator, discriminator = pair(Shape(1, 16, 16), **condition_options)
    condition, noise = conditions(condition_options), torch.randn(4, 6)
    assert condition is not None
    for network, x in ((generator, noise), (discriminator, torch.randn(4, 1, 16, 16))):
        network.eval()
        with torch.no_grad():
            whole, other, alone = (
                DiscriminatorOutput.of(network(*given)).logits[0]
                for given in ((x, condition), (x, condition.roll(1, 0)), (x[2:3], condition[2:3]))
            )
        torch.testing.assert_close(alone[0], whole[2])
        assert (whole - other).view(4, -1).abs().amax(1)[:3].min() > 1e-4
        with pytest.raises(ValueError, match="conditional"):
            network(x)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="reach"):
        FastGanGenerator(Shape(1, 16, 16), latent=6, reach=0)
    for name in ("width", "full_size"):
        with pytest.raises(ValueError, match=f"{name} = 0"):
            FastGanDiscriminator(Shape(1, 16, 16), **{name: 0})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="decode"):
        FastGanDiscriminator(Shape(1, 16, 16), decode=-1)


def test_gated_units_and_leaky_halvings_keep_the_second_moment_at_the_start() -> None:
    torch.manual_seed(0)
    discriminator = FastGanDiscriminator(Shape(1, 32, 32), width=64, decoder_width=64)
    generator = FastGanGenerator(Shape(1, 32, 32), latent=64, width=64, norm="none")
    x = torch.randn(16, 64, 12, 12)
    up, plain = generator.levels[0], discriminator.levels[1]
    with torch.no_grad():
        doubled = up(x)[:, :, 2:-2, 2:-2].square().mean()
        smooth = torch.randn(64, 32, 1, 1).expand(64, 32, 12, 12)  # means of noise would be smaller
        halved = plain(smooth)[:, :, 2:-2, 2:-2].square().mean()
    torch.testing.assert_close(doubled, torch.tensor(1.0), rtol=0.15, atol=0)
    # The mean of two independent ways with second moment 1 and mean m = gain * (1 - slope) / sqrt(2 pi).
    gain = nn.init.calculate_gain("leaky_relu", 0.2)
    mean = gain * 0.8 / (2 * torch.pi) ** 0.5
    torch.testing.assert_close(halved, torch.tensor((1 + mean**2) / 2), rtol=0.1, atol=0)
