"""Layers with 1, 2 and 3 spatial dimensions: the same layer on data that are constant along the added dimensions, shapes,
second derivatives, and spectral normalisation of every supported layer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d, interpolate

from zerosum.nn import layers
from zerosum.nn.layers import (
    CONV,
    CONV_TRANSPOSE,
    AnyNorm,
    Blur,
    ConditionalNorm,
    Double,
    Halve,
    PixelNorm,
    SelfAttention,
    adaptive_pool,
    conv_then_halve,
    double_then_conv,
    embedding,
    iterate,
    norm,
    spectral,
)
from zerosum.nn.style_layers import EqualConv, MinibatchDeviation, ModulatedConv, StyledLayer, ToImage

SIZE = 8
STYLE = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 2, 1, 2])
MAKERS: dict[str, Callable[[int], nn.Module]] = {
    "batch": lambda dims: norm("batch", 4, dims),
    "group": lambda dims: norm("group", 4, dims, num_groups=2),
    "instance": lambda dims: norm("instance", 4, dims),
    "pixel": lambda dims: norm("pixel", 4, dims),
    "attention": lambda dims: SelfAttention(4, dims),
    "deviation": lambda dims: MinibatchDeviation(2),
    "conditional norm": lambda dims: ConditionalNorm("group", 4, embedding(3, 0, 8), dims),
    "halve": lambda dims: Halve(4, 3, dims),
    "double": lambda dims: Double(4, 3, dims=dims),
    "double, one output": lambda dims: Double(4, 1, dims=dims),
    "blur": lambda dims: Blur(4, padding=2, dims=dims),
    "blur and halve": lambda dims: Blur(4, padding=1, stride=2, dims=dims),
    "equal conv": lambda dims: EqualConv(4, 3, 3, active=True, dims=dims),
    "equal conv down": lambda dims: EqualConv(4, 3, 3, down=True, dims=dims),
    "modulated conv": lambda dims: ModulatedConv(4, 3, 5, dims=dims),
    "modulated conv up": lambda dims: ModulatedConv(4, 3, 5, up=True, dims=dims),
    "styled layer": lambda dims: StyledLayer(4, 3, 5, [SIZE] * dims),
    "to image": lambda dims: ToImage(4, 3, 5),
}
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": layers.upsample_linear,
    "binomial up": layers.upsample_binomial,
    "binomial down": layers.downsample_binomial,
    "adaptive pool": lambda x: adaptive_pool(x, [3] * (x.dim() - 2)),
}


def run(layer: Any, x: Tensor) -> Tensor:
    if isinstance(layer, ModulatedConv | StyledLayer | ToImage):
        return layer(x, STYLE[: len(x)])  # type: ignore[no-any-return]
    return layer(x, LABELS[: len(x)]) if isinstance(layer, ConditionalNorm) else layer(x)  # type: ignore[no-any-return]


def twins(name: str, dims: int) -> tuple[nn.Module, nn.Module]:
    """The layer with 1 and with `dims` dimensions that are equal on data constant along the added dimensions: the weight of a
    convolution is repeated and divided, as its sum over the added dimensions is then the one of the 1-D layer."""
    torch.manual_seed(0)
    line, wide = MAKERS[name](1).double(), MAKERS[name](dims).double()
    wanted = dict(line.named_parameters())
    for key, parameter in wide.named_parameters():
        source = wanted[key].data
        source.add_(torch.randn_like(source), alpha=0.3)
        added = parameter.dim() - source.dim()
        scale = 1.0
        for _ in range(added):
            source = source[:, :, None] if source.dim() > 2 else source[..., None]
        for before, after in zip(source.shape, parameter.shape, strict=True):
            # A transposed convolution with stride 2 meets each position with half of its kernel.
            scale *= after / before / (2 if "double" in name and after > before else 1)
        parameter.data.copy_(source.expand_as(parameter) / scale)
    if isinstance(line, EqualConv) and isinstance(wide, EqualConv):  # scaled by its number of inputs in use
        wide.weight.data *= line.scale / wide.scale
    return line, wide


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", [name for name in MAKERS if "modulated" not in name and "styled" not in name])
def test_constant_along_the_added_dimensions_is_the_1d_layer(name: str, dims: int) -> None:
    line, wide = twins(name, dims)
    x = torch.randn(4, 4, SIZE, dtype=torch.float64)
    expected = run(line, x)
    x = x.view(4, 4, *[1] * (dims - 1), SIZE).expand(4, 4, *[SIZE] * (dims - 1), SIZE)
    found = run(wide, x)
    middle = found[:, :, *[found.shape[2] // 2] * (dims - 1)]  # far from the edges, beyond which there are zeros
    torch.testing.assert_close(middle, expected)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_constant_along_the_added_dimensions(name: str, dims: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, SIZE, dtype=torch.float64)
    expected = FUNCTIONS[name](x) if name != "adaptive pool" else torch.nn.functional.adaptive_avg_pool1d(x, 3)
    found = FUNCTIONS[name](x.view(2, 3, *[1] * (dims - 1), SIZE).expand(2, 3, *[SIZE] * (dims - 1), SIZE))
    torch.testing.assert_close(found[:, :, *[found.shape[2] // 2] * (dims - 1)], expected)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("up", [False, True])
def test_demodulated_outputs_have_unit_variance_in_any_rank(dims: int, up: bool) -> None:
    torch.manual_seed(0)
    conv = ModulatedConv(32, 64, 5, up=up, dims=dims)
    size = {1: 512, 2: 24, 3: 10}[dims]
    y = conv(torch.randn(8, 32, *[size] * dims), torch.randn(8, 5))
    assert y.shape == (8, 64, *[size * (1 + up)] * dims)
    if not up:
        assert y[(..., *[slice(1, -1)] * dims)].var().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("name", [*MAKERS, *FUNCTIONS])
def test_second_derivatives(name: str, dims: int) -> None:
    torch.manual_seed(0)
    layer: Any = MAKERS[name](dims).double().eval() if name in MAKERS else FUNCTIONS[name]
    if isinstance(layer, SelfAttention):
        layer.gate.data.fill_(0.5)
    if isinstance(layer, MinibatchDeviation):
        layer.train()
    if isinstance(layer, StyledLayer):
        layer.strength.data.fill_(0.5)  # type: ignore[union-attr]
        layer.noise = layer.noise[(..., *[slice(4)] * dims)]
    x = torch.randn(2, 4, *[4] * dims, dtype=torch.float64, requires_grad=True)

    def penalty(weight: Tensor | None, shift: float = 0.0) -> Tensor:
        """The squared gradient norm of the layer's output, at the input moved along a fixed direction."""
        moved = (x.detach() + shift * torch.ones_like(x).cumsum(-1)).requires_grad_()
        (slope,) = torch.autograd.grad(run(layer, moved).pow(3).sum(), moved, create_graph=True)
        value = slope.square().sum()
        return value if weight is None else torch.autograd.grad(value, moved)[0]

    along = (penalty(x) * torch.ones_like(x).cumsum(-1)).sum()
    step = 1e-5
    numeric = (penalty(None, step) - penalty(None, -step)) / (2 * step)
    torch.testing.assert_close(along, numeric.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_resizing_and_convolution_in_one(dims: int) -> None:
    torch.manual_seed(0)
    conv = CONV[dims](3, 5, 3, padding=1).double()
    x = torch.randn(2, 3, *[4] * dims, dtype=torch.float64)
    pool = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}[dims]
    torch.testing.assert_close(double_then_conv(x, conv), conv(interpolate(x, scale_factor=2, mode="nearest")))
    torch.testing.assert_close(conv_then_halve(x, conv), pool(conv(x), 2))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", ["none", "batch", "group", "instance", "pixel"])
def test_conditional_norm_scales_and_shifts_each_row(dims: int, kind: AnyNorm) -> None:
    torch.manual_seed(0)
    layer = ConditionalNorm(kind, 4, embedding(3, 0, 8), dims)
    x = torch.randn(4, 4, *[5] * dims)
    assert layer.to_affine is not None
    gain, shift = layer.to_affine(LABELS).chunk(2, 1)
    rows = [
        row * (1 + g.view(4, *[1] * dims)) + b.view(4, *[1] * dims)
        for row, g, b in zip(layer.norm(x), gain, shift, strict=True)
    ]
    torch.testing.assert_close(layer(x, LABELS), torch.stack(rows))


@pytest.mark.parametrize(
    "layer",
    [
        *(CONV[dims](3, 5, 2) for dims in (1, 2, 3)),
        *(CONV_TRANSPOSE[dims](3, 5, 2) for dims in (1, 2, 3)),
        nn.Linear(3, 5),
        nn.Embedding(5, 3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_spectral_norm_of_every_supported_layer(layer: nn.Module) -> None:
    """The largest singular value of the weight as a matrix (out, rest) becomes 1."""
    plain = copy.deepcopy(layer.weight).detach()
    network = spectral(nn.Sequential(layer))
    for _ in range(300):
        iterate(network)
    found = network.eval()[0].weight.detach()  # type: ignore[index]
    transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
    matrix, before = (w.transpose(0, 1).flatten(1) if transposed else w.flatten(1) for w in (found, plain))
    torch.testing.assert_close(torch.linalg.matrix_norm(matrix, 2), torch.tensor(1.0), rtol=1e-4, atol=0.0)
    torch.testing.assert_close(matrix * torch.linalg.matrix_norm(before, 2), before, rtol=1e-4, atol=1e-6)


def test_spectral_norm_refuses_unknown_layers_and_leaves_scales_alone() -> None:
    for unknown in (nn.Bilinear(2, 2, 2), nn.LSTM(2, 2), nn.MultiheadAttention(2, 1), EqualConv(2, 2, 3)):
        network = nn.Sequential(nn.Linear(2, 2), unknown)
        with pytest.raises(
            TypeError, match=f"spectral normalisation of 1: .* {type(unknown).__name__} is not supported"
        ):
            spectral(network)
        assert isinstance(network[0].weight, nn.Parameter)  # nothing was changed before the error
    scales = nn.Sequential(nn.Conv1d(2, 2, 1), norm("batch", 2, 1), PixelNorm(2, 1), nn.LayerNorm([2, 3]), nn.PReLU(2))
    before = {key: value.clone() for key, value in scales.state_dict().items() if not key.startswith("0.")}
    after = spectral(scales).state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    with pytest.raises(ValueError, match="parametrization already"):
        spectral(scales)
