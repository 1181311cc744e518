"""The residual pairs (SNGAN, BigGAN) at every kind of size: shapes, conditions, second derivatives, attention, row by row."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks import DISCRIMINATORS, GENERATORS
from zerosum.domains.images.networks.layers import short_sides
from zerosum.domains.images.networks.resnet import DownBlock, UpBlock, attention_level, level_widths
from zerosum.engine.game import DiscriminatorOutput
from zerosum.nn.layers import ConditionalNorm, SelfAttention, Spectral

SHAPES = [Shape(1, 8, 8), Shape(1, 28, 28), Shape(3, 32, 32), Shape(3, 20, 48), Shape(3, 33, 17), Shape(1, 5, 5)]
CONDITIONS: list[dict[str, Any]] = [{}, {"num_classes": 3}, {"num_attributes": 2}]
KINDS = ["resnet", "biggan"]
LATENT = 20


def condition(kind: dict[str, Any], rows: int = 4) -> Tensor | None:
    if "num_attributes" in kind:
        return torch.randn(rows, 2)
    return torch.arange(rows) % 3 if kind else None


def make(kind: str, shape: Shape, **options: Any) -> tuple[nn.Module, nn.Module]:
    """The pair, small; options of one network only are left out of the other."""
    torch.manual_seed(0)
    both = {"width": 4, **options}
    only_d = {key: both.pop(key) for key in ("floor", "plain", "condition") if key in both}
    only_g = {key: both.pop(key) for key in ("norm", "output", "embedded") if key in both}
    generator = GENERATORS[kind](shape, latent=LATENT, **both, **only_g)  # type: ignore[operator]
    return generator, DISCRIMINATORS[kind](shape, **both, **only_d)  # type: ignore[operator]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("condition_options", CONDITIONS, ids=str)
def test_a_pair_at_every_size(kind: str, shape: Shape, condition_options: dict[str, Any]) -> None:
    """Images of the shape, logits a row, gradients for every parameter, a second derivative of D."""
    generator, discriminator = make(kind, shape, attention=16, depth=2, **condition_options)
    c = condition(condition_options)
    images = generator(torch.randn(4, LATENT), c)
    assert images.shape == (4, shape.channels, shape.height, shape.width)
    assert images.abs().max() <= 1
    images.square().sum().backward()
    assert [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    points = images.detach().requires_grad_(True)
    logits = discriminator(points, c)
    assert logits.shape == (4,)
    (gradient,) = torch.autograd.grad(logits.sum(), points, create_graph=True)
    (logits.sum() + gradient.square().sum()).backward()
    assert [name for name, p in discriminator.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in discriminator.parameters())


def test_a_thousand_pixels() -> None:
    shape = Shape(3, 1024, 1024)
    generator, discriminator = make("biggan", shape, width=1, widest=8, attention=8)
    with torch.no_grad():
        images = generator.eval()(torch.randn(1, LATENT))
        assert images.shape == (1, 3, 1024, 1024)
        assert discriminator.eval()(images).isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("condition_options", CONDITIONS, ids=str)
def test_samples_are_a_function_of_their_row(kind: str, norm: str, condition_options: dict[str, Any]) -> None:
    generator, discriminator = make(kind, Shape(1, 12, 16), norm=norm, attention=8, **condition_options)
    noise, c = torch.randn(4, LATENT), condition(condition_options)
    generator(noise, c)  # running statistics other than 0 and 1
    generator.eval()
    whole = generator(noise, c)
    for row in range(4):
        alone = generator(noise[row : row + 1], None if c is None else c[row : row + 1])
        torch.testing.assert_close(alone[0], whole[row], rtol=1e-4, atol=1e-5)
    for _ in range(2):  # D has no statistics: rows stay apart in training too, where only its power method moves
        discriminator.train().requires_grad_(False)
        logits = discriminator(whole, c)
        alone = discriminator(whole[2:3], None if c is None else c[2:3])
        torch.testing.assert_close(alone[0], logits[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("condition_options", CONDITIONS[1:], ids=str)
def test_both_players_listen_to_the_condition_and_demand_it(kind: str, condition_options: dict[str, Any]) -> None:
    generator, discriminator = make(kind, Shape(1, 8, 8), **condition_options)
    if kind == "resnet":  # its map from the condition begins at 0
        for module in generator.modules():
            if isinstance(module, ConditionalNorm) and module.to_affine is not None:
                nn.init.normal_(module.to_affine.weight)
    noise, c = torch.randn(4, LATENT), condition(condition_options)
    assert c is not None
    other = (c + 1) % 3 if c.dim() == 1 else c + 1
    generator.eval(), discriminator.eval()
    images = generator(noise, c)
    assert (images - generator(noise, other)).abs().flatten(1).amax(1).min() > 1e-4
    assert (discriminator(images, c) - discriminator(images, other)).abs().min() > 1e-4
    for network, x in ((generator, noise), (discriminator, images)):
        with pytest.raises(ValueError, match="needs labels or attributes"):
            network(x)


def test_projection_is_an_inner_product_with_the_class_s_vector() -> None:
    """D(x, y) - D(x, y') is the inner product of the pooled features with the difference of the two vectors."""
    _, discriminator = make("resnet", Shape(1, 8, 8), num_classes=3, spectral=False)
    x = torch.randn(5, 1, 8, 8)
    features = discriminator.stages(x).relu().sum((2, 3))
    table = discriminator.head.project.weight
    one, two = (discriminator(x, torch.full((5,), y)) for y in (0, 2))
    torch.testing.assert_close(one - two, features @ (table[0] - table[2]))


@pytest.mark.parametrize("kind", [*KINDS, "conv", "mlp"])
def test_an_auxiliary_classifier_names_classes_and_judges_without_them(kind: str) -> None:
    torch.manual_seed(0)
    shape, x, labels = Shape(1, 8, 8), torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    network = DISCRIMINATORS[kind](shape, num_classes=3, condition="auxiliary").eval()  # type: ignore[operator]
    verdict = network(x, labels)
    assert isinstance(verdict, DiscriminatorOutput)
    assert verdict.outputs["classes"].shape == (4, 3)
    torch.testing.assert_close(verdict.logits[0], network(x, labels.flip(0)).logits[0])
    nn.functional.cross_entropy(verdict.outputs["classes"], labels).backward()
    assert network.head.classes.bias.grad is not None
    without = DISCRIMINATORS[kind](shape, condition="auxiliary")  # type: ignore[operator]
    assert isinstance(without(x), Tensor)
    with pytest.raises(ValueError, match="use 'projection'"):
        DISCRIMINATORS[kind](shape, num_attributes=2, condition="auxiliary")  # type: ignore[operator]


# --- how they are built


def test_the_network_of_the_paper_for_32_pixels() -> None:
    """SNGAN on CIFAR-10: four blocks of 128 channels that halve twice, the generator's three of 256 (tables 3 and 4)."""
    discriminator = DISCRIMINATORS["resnet"](Shape(3, 32, 32), width=128, widest=1, floor=8, plain=2)  # type: ignore[operator]
    blocks = [stage for stage in discriminator.stages if isinstance(stage, DownBlock)]
    assert [(b.conv1.in_channels, b.conv2.out_channels, b.down) for b in blocks] == [
        (3, 128, True),
        (128, 128, True),
        (128, 128, False),
        (128, 128, False),
    ]
    assert [b.first for b in blocks] == [True, False, False, False]
    generator = GENERATORS["resnet"](Shape(3, 32, 32), latent=128, width=256, widest=1)  # type: ignore[operator]
    ups = [stage for stage in generator.body.stages if isinstance(stage, UpBlock)]
    assert [(b.conv1.in_channels, b.conv2.out_channels, b.up) for b in ups] == [(256, 256, True)] * 3
    assert sum(p.numel() for p in discriminator.parameters()) == pytest.approx(
        1.05e6, rel=0.01
    )  # 1.06 M with 10 classes
    assert sum(p.numel() for p in generator.parameters()) == pytest.approx(4.3e6, rel=0.02)


@pytest.mark.parametrize(
    ("shape", "attention", "at"),
    [(Shape(3, 32, 32), 16, 16), (Shape(3, 64, 64), 32, 32), (Shape(1, 28, 28), 16, 14), (Shape(1, 8, 8), 16, 4)],
)
def test_attention_sits_at_the_stated_resolution(shape: Shape, attention: int, at: int) -> None:
    seen: list[int] = []
    for network, x in zip(make("biggan", shape, attention=attention), (torch.randn(2, LATENT), None), strict=True):
        for module in network.modules():
            if isinstance(module, SelfAttention):
                module.register_forward_hook(lambda _, given, out: seen.append(out.shape[2]))
        network(torch.randn(2, shape.channels, shape.height, shape.width) if x is None else x)
    assert seen == [at, at]
    without = make("biggan", shape, attention=0)
    assert not any(isinstance(module, SelfAttention) for network in without for module in network.modules())


def test_levels() -> None:
    assert short_sides(Shape(1, 28, 30)) == [7, 14, 28]
    assert level_widths(Shape(3, 64, 64), 16, 4) == [16, 32, 64, 64, 64]
    assert attention_level(Shape(3, 64, 64), 16) == 2
    assert attention_level(Shape(1, 28, 28), 4) == 2  # the small grid, where no grid is as small


@pytest.mark.parametrize("spectral", [False, True])
def test_orthogonal_weights(spectral: bool) -> None:
    for network in make("biggan", Shape(3, 16, 16), num_classes=3, spectral=spectral):
        seen = 0
        for module in network.eval().modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
                matrix = module.weight.flatten(1)
                short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
                if spectral:  # all singular values are 1 already: the division finds nothing to do
                    assert isinstance(module.parametrizations["weight"][0], Spectral)  # type: ignore[index]
                torch.testing.assert_close(short @ short.T, torch.eye(len(short)), rtol=0.0, atol=1e-4)
                seen += 1
        assert seen > 8


def test_the_noise_is_split_over_the_blocks() -> None:
    """Every part of the noise reaches the image, and the condition of a block changes with its own part only."""
    generator, _ = make("biggan", Shape(3, 32, 32), num_classes=3)
    assert generator.parts == [5, 5, 5, 5]
    assert make("biggan", Shape(1, 8, 8), depth=2)[0].parts == [8, 6, 6]
    heard: list[Tensor] = []
    for stage in generator.body.stages:
        if isinstance(stage, UpBlock):
            stage.register_forward_hook(lambda _, given, out: heard.append(given[1]))
    noise, labels = torch.randn(2, LATENT), torch.tensor([0, 1])
    generator(noise, labels)
    for index, vector in enumerate(heard, 1):
        torch.testing.assert_close(vector[:, :5], noise[:, 5 * index : 5 * index + 5])
        torch.testing.assert_close(vector[:, 5:], generator.embed(labels))  # one embedding for all
    with pytest.raises(ValueError, match="split over 4 parts"):
        GENERATORS["biggan"](Shape(3, 32, 32), latent=3)  # type: ignore[operator]


def test_the_first_block_and_the_skip_change_places_with_resizing() -> None:
    """1x1 convolution and resizing commute, so the cheap order is the one of the papers."""
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6)
    down = DownBlock(4, 6, down=True)
    h = nn.functional.avg_pool2d(down.conv2(down.conv1(x.relu()).relu()), 2)
    torch.testing.assert_close(down(x), h + nn.functional.avg_pool2d(down.skip(x), 2))
    up = UpBlock(4, 6, True, "none", lambda channels: None)
    double = nn.Upsample(scale_factor=2, mode="nearest")
    h = up.conv2(up.conv1(double(x.relu())).relu())
    torch.testing.assert_close(up(x, None), h + up.skip(double(x)))
