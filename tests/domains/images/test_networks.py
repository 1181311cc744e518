"""Every image network at every kind of size: shapes, gradients, conditioning; the layers that are computed another way."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.layers import grid_of
from zerosum.domains.images.networks.mlp_dcgan import ConvDiscriminator, ConvGenerator, MlpDiscriminator, MlpGenerator
from zerosum.nn.layers import Double, Halve

SHAPES = [
    Shape(1, 8, 8),
    Shape(1, 28, 28),
    Shape(3, 32, 32),
    Shape(3, 20, 48),
    Shape(3, 33, 17),
    Shape(1, 5, 5),
    Shape(3, 2, 3),
]
GENERATORS = [
    (MlpGenerator, {"widths": (16, 16)}),
    (MlpGenerator, {"widths": (16,), "norm": "batch", "output": "linear"}),
    (ConvGenerator, {"width": 8}),
    (ConvGenerator, {"width": 8, "up": "nearest", "norm": "group", "depth": 1, "dropout": 0.2}),
    (
        ConvGenerator,
        {"width": 8, "up": "bilinear", "norm": "none", "init": "kaiming", "output": "linear", "slope": 0.2},
    ),
]
DISCRIMINATORS = [
    (MlpDiscriminator, {"widths": (16, 16)}),
    (MlpDiscriminator, {"widths": (16,), "condition": "projection", "dropout": 0.0}),
    (ConvDiscriminator, {"width": 8}),
    (ConvDiscriminator, {"width": 8, "down": "pooled", "norm": "group", "depth": 1, "dropout": 0.2}),
    (ConvDiscriminator, {"width": 8, "norm": "batch", "condition": "concat"}),
]


@pytest.mark.parametrize(("kind", "options"), GENERATORS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("num_classes", [0, 3])
def test_generators_make_their_shape_and_reach_every_parameter(
    kind: type[nn.Module], options: dict[str, object], shape: Shape, num_classes: int
) -> None:
    torch.manual_seed(0)
    network = kind(shape, latent=6, num_classes=num_classes, **options)
    labels = torch.tensor([0, 2, 1, 1]) if num_classes else None
    noise = torch.randn(4, 6)
    images = network(noise, labels) if num_classes else network(noise)
    assert images.shape == (4, shape.channels, shape.height, shape.width)
    if options.get("output", "tanh") == "tanh":
        assert images.abs().max() <= 1
    (images**2).sum().backward()
    unreached = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert unreached == []


@pytest.mark.parametrize(("kind", "options"), DISCRIMINATORS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("num_classes", [0, 3])
def test_discriminators_judge_each_row_and_have_a_second_derivative(
    kind: type[nn.Module], options: dict[str, object], shape: Shape, num_classes: int
) -> None:
    torch.manual_seed(0)
    network = kind(shape, num_classes=num_classes, **options)
    labels = torch.tensor([0, 2, 1, 1]) if num_classes else None
    images = torch.randn(4, shape.channels, shape.height, shape.width, requires_grad=True)
    logits = network(images, labels) if num_classes else network(images)
    assert logits.shape == (4,)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    (logits.sum() + gradient.square().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("kind", [k for k, _ in GENERATORS[1:3]] + [k for k, _ in DISCRIMINATORS[1:3]])
def test_a_conditional_network_listens_to_the_label_and_demands_one(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    shape = Shape(1, 8, 8)
    network = kind(shape, latent=6, num_classes=3) if "Generator" in kind.__name__ else kind(shape, num_classes=3)
    network.eval()
    x = torch.randn(2, 6) if "Generator" in kind.__name__ else torch.randn(2, 1, 8, 8)
    one, other = network(x, torch.tensor([0, 0])), network(x, torch.tensor([1, 1]))
    assert (one - other).abs().max() > 1e-6
    if "Generator" in kind.__name__:
        with pytest.raises(ValueError, match="needs labels"):
            network(x)


def test_the_small_grid_covers_the_image() -> None:
    for height, width in itertools.product([1, 3, 4, 7, 8, 28, 31, 64, 100], repeat=2):
        h, w = grid_of(Shape(1, height, width))
        halvings = max(0, min(height, width).bit_length() - 3)
        assert (h - 1) * 2**halvings < height <= h * 2**halvings
        assert (w - 1) * 2**halvings < width <= w * 2**halvings


@pytest.mark.parametrize("channels", [1, 3])
def test_halve_equals_the_plain_convolution_to_second_order(channels: int) -> None:
    layer = Halve(channels, 5).double()
    x = torch.randn(2, channels, 8, 6, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(layer(x), layer.conv(x))
    ours, plain = (torch.autograd.grad(f(x).square().sum(), [x, *layer.parameters()]) for f in (layer, layer.conv))
    torch.testing.assert_close(ours, plain)
    assert torch.autograd.gradgradcheck(layer, (x,))


def test_double_equals_the_plain_transposed_convolution_to_second_order() -> None:
    layer = Double(5, 1).double()
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(layer(x), layer.conv(x))
    ours, plain = (torch.autograd.grad(f(x).square().sum(), [x, *layer.parameters()]) for f in (layer, layer.conv))
    torch.testing.assert_close(ours, plain)
    assert torch.autograd.gradgradcheck(layer, (x,))
