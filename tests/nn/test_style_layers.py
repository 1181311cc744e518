"""Layers of style-based networks against explicit formulas: modulation, equalised rates, the filter, the deviation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, linear, pad

from zerosum.nn.layers import Blur, upsample_linear
from zerosum.nn.style_layers import (
    EqualConv,
    EqualLinear,
    MinibatchDeviation,
    ModulatedConv,
    StyledLayer,
    ToImage,
    mapping_network,
    unit_rows,
)

EXACT = {"rtol": 1e-10, "atol": 1e-10}
TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8


def per_sample(conv: ModulatedConv, x: Tensor, w: Tensor) -> Tensor:
    """Equations 1 and 3 of Karras et al. 2020 literally: N weights, one grouped convolution; the image between zeros with
    `up`, filtered afterwards by the outer product of the taps, twice as strong along each side."""
    scales = w @ conv.affine.weight.T / math.sqrt(w.shape[1]) + conv.affine.bias
    weights = conv.weight[None] * scales[:, None, :, None, None]
    weights = weights / (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    n, outputs, inputs = weights.shape[:3]
    padding = 1
    if conv.blur is not None:
        spread = x.new_zeros(*x.shape[:2], 2 * x.shape[2] - 1, 2 * x.shape[3] - 1)
        spread[:, :, ::2, ::2] = x
        x, weights, padding = spread, weights.flip(3, 4), 2  # a transposed convolution turns its kernel round
    x = x.reshape(1, n * inputs, *x.shape[2:])
    y = conv2d(x, weights.reshape(n * outputs, inputs, 3, 3), padding=padding, groups=n)
    y = y.view(n, outputs, *y.shape[2:])
    if conv.blur is not None:
        kernel = (4 * TAPS[:, None] * TAPS).expand(outputs, 1, 4, 4)
        y = conv2d(pad(y, (1, 1, 1, 1)), kernel, groups=outputs)
    return conv.gain * y + conv.bias[:, None, None]


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_modulated_convolution_is_the_per_sample_one(up: bool, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    conv = ModulatedConv(5, 7, 6, up=up, gain=1.3).double()
    nn.init.normal_(conv.bias)
    x = torch.randn(4, 5, 6, 3, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    w = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    ours, literal = conv(x, w), per_sample(conv, x, w)
    torch.testing.assert_close(ours, literal, **EXACT)
    seeds = torch.randn_like(ours)
    inputs = [x, w, *conv.parameters()]
    first = [torch.autograd.grad((y * seeds).sum(), inputs, create_graph=True) for y in (ours, literal)]
    torch.testing.assert_close(*first, **EXACT)
    inputs = [x, w, conv.weight, *conv.affine.parameters()]
    second = [torch.autograd.grad(slopes[0].square().sum() + slopes[1].square().sum(), inputs) for slopes in first]
    torch.testing.assert_close(*second, **EXACT)


def test_demodulated_outputs_have_unit_variance_whatever_the_style() -> None:
    """For inputs of unit variance; 3 x 10 x 10 x 4,000 values, whose variance has a standard error below 0.01."""
    torch.manual_seed(0)
    conv = ModulatedConv(8, 3, 4).requires_grad_(False)
    y = conv(torch.randn(4_000, 8, 12, 12), torch.randn(4_000, 4) * 5)[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(y.var((0, 2, 3)), torch.ones(3), rtol=0, atol=0.02)


def test_to_image_is_the_per_sample_convolution_without_demodulation() -> None:
    torch.manual_seed(0)
    layer = ToImage(5, 3, 6).double()
    nn.init.normal_(layer.bias)
    x, w = torch.randn(4, 5, 6, 2, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    scales = w @ layer.affine.weight.T / math.sqrt(6) + layer.affine.bias
    weights = layer.weight[None] * scales[:, None] / math.sqrt(5)
    literal = conv2d(x.reshape(1, 20, 6, 2), weights.reshape(12, 5, 1, 1), groups=4).view(4, 3, 6, 2)
    torch.testing.assert_close(layer(x, w), literal + layer.bias[:, None, None], **EXACT)


# --- equalised learning rate


@pytest.mark.parametrize(("rate", "active"), [(1.0, False), (0.01, True)])
def test_linear_layers_are_plain_ones_with_scaled_weights(rate: float, active: bool) -> None:
    torch.manual_seed(0)
    layer = EqualLinear(400, 300, rate=rate, start=0.7, active=active)
    assert layer.weight.std().item() == pytest.approx(1 / rate, rel=0.02)
    x = torch.randn(5, 400)
    plain = linear(x, layer.weight * rate / 20, torch.full((300,), 0.7) / (math.sqrt(2) if active else 1))
    expected = math.sqrt(2) * leaky_relu(plain, 0.2) if active else plain
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("rate", [1.0, 0.01])
@pytest.mark.parametrize("features", [4, 900])
def test_a_step_of_adam_moves_an_effective_weight_by_the_rate_over_the_root_of_the_inputs(
    features: int, rate: float
) -> None:
    """Adam's first step moves each stored weight by lr, whatever the gradient."""
    torch.manual_seed(0)
    layer = EqualLinear(features, 2, rate=rate)
    before = layer.weight.detach().clone()
    layer(torch.randn(3, features)).square().sum().backward()
    torch.optim.Adam(layer.parameters(), lr=0.5, eps=0.0).step()
    moved = (layer.weight.detach() - before).abs() * layer.scale
    torch.testing.assert_close(moved, torch.full_like(moved, 0.5 * rate / math.sqrt(features)), rtol=1e-3, atol=0)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        EqualLinear(2, 2, rate=0.0)


def test_scales_are_kept_through_layers() -> None:
    """Normal inputs leave a deep mapping and a convolution with a root mean square near 1, also in the residual branch."""
    torch.manual_seed(0)
    assert mapping_network(256, 256, 6, 0.01)(torch.randn(64, 256)).square().mean().sqrt().item() == pytest.approx(
        1, abs=0.2
    )
    x = torch.randn(8, 64, 12, 12)
    for down in (False, True):
        y = EqualConv(64, 64, 3, down=down, active=True, gain=math.sqrt(0.5))(x)[:, :, 1:-1, 1:-1]
        filtered = float((TAPS @ TAPS).square()) if down else 1.0  # what the filter leaves of white noise
        assert y.square().mean().item() == pytest.approx(0.5 * 1.04 * filtered, rel=0.15)
    torch.testing.assert_close(unit_rows(x.flatten(1)).square().mean(1), torch.ones(8))


# --- the low-pass filter


@pytest.mark.parametrize(("padding", "stride"), [(1, 1), (2, 1), (1, 2)])
def test_the_filter_is_the_outer_product_of_its_taps(padding: int, stride: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    rows = pad(x, (padding,) * 4).unfold(2, 4, stride) @ TAPS
    expected = rows.unfold(3, 4, stride) @ TAPS
    torch.testing.assert_close(Blur(3, padding=padding, stride=stride).double()(x), expected)


def test_a_constant_image_passes_the_filter_unchanged() -> None:
    """Away from the edges; doubling keeps it everywhere."""
    grey = torch.full((1, 2, 8, 8), 0.7)
    for stride in (1, 2):
        y = Blur(2, padding=1, stride=stride)(grey)
        torch.testing.assert_close(y[:, :, 1:-1, 1:-1], torch.full_like(y[:, :, 1:-1, 1:-1], 0.7))
    torch.testing.assert_close(upsample_linear(grey), torch.full((1, 2, 16, 16), 0.7))


def test_doubling_is_the_filter_between_zeros() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    spread = torch.zeros(2, 3, 10, 8, dtype=torch.float64)
    spread[:, :, ::2, ::2] = x
    filtered = conv2d(pad(spread, (2, 1, 2, 1)), (4 * TAPS[:, None] * TAPS).expand(3, 1, 4, 4), groups=3)
    torch.testing.assert_close(upsample_linear(x)[:, :, 1:-1, 1:-1], filtered[:, :, 1:-1, 1:-1])


@pytest.mark.parametrize(("padding", "stride"), [(1, 1), (2, 1), (1, 2)])
def test_the_filters_derivatives_are_exact(padding: int, stride: int) -> None:
    blur = Blur(2, padding=padding, stride=stride).double()
    x = torch.randn(1, 2, 6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(blur, (x,))
    assert torch.autograd.gradgradcheck(lambda x: blur(x).pow(3), (x,))


def test_halving_is_one_strided_convolution_with_the_filtered_kernel() -> None:
    """Filter and convolution in one kernel, the full convolution of the two, at every other place."""
    torch.manual_seed(0)
    x, kernel = torch.randn(2, 3, 8, 6, dtype=torch.float64), (TAPS[:, None] * TAPS).view(1, 1, 4, 4)
    for size in (1, 3):
        conv = EqualConv(3, 5, size, down=True).double()
        both = conv2d(conv.weight.view(15, 1, size, size) * conv.scale, kernel, padding=3)
        expected = conv2d(x, both.view(5, 3, size + 3, size + 3), stride=2, padding=size // 2 + 1)
        assert conv(x).shape == (2, 5, 4, 3)
        torch.testing.assert_close(conv(x), expected)


# --- noise


def test_noise_is_drawn_in_training_and_kept_in_eval() -> None:
    torch.manual_seed(0)
    layer = StyledLayer(3, 4, 2, (5, 6))
    x, w = torch.randn(2, 3, 5, 6), torch.randn(1, 2).expand(2, -1)
    same = x[:1].expand(2, -1, -1, -1)
    torch.testing.assert_close(layer(same, w)[0], layer(same, w)[1])  # the strength begins at 0
    nn.init.ones_(layer.strength)
    noisy = layer(same, w)
    assert (noisy[0] - noisy[1]).abs().max() > 0.1
    silent = StyledLayer(3, 4, 2, (5, 6), noise=False)
    assert torch.equal(silent(x, w), silent(x, w))
    assert set(silent.state_dict()) == set(layer.state_dict()) - {"strength", "noise"}
    assert not torch.equal(layer(x, w), layer(x, w))
    layer.eval()
    assert torch.equal(layer(x, w), layer(x, w))
    torch.testing.assert_close(layer(same, w)[0], layer(same, w)[1])
    torch.testing.assert_close(layer(x, w)[1:], layer(x[1:], w[1:]))


# --- the deviation of a minibatch


def test_deviation_of_known_groups() -> None:
    """Rows a +- b differ by a standard deviation of b; groups are consecutive rows."""
    x = torch.tensor([1.0, 3.0, 10.0, 10.0]).view(4, 1, 1, 1).expand(4, 2, 3, 3)
    y = MinibatchDeviation(2)(x)
    assert y.shape == (4, 3, 3, 3)
    torch.testing.assert_close(y[:, 2, 0, 0], torch.tensor([1.0, 1.0, 1e-4, 1e-4]))
    torch.testing.assert_close(y[:, :2], x)


def test_micro_batches_of_whole_groups_give_the_whole_batchs_numbers() -> None:
    torch.manual_seed(0)
    layer, x = MinibatchDeviation(4), torch.randn(12, 3, 2, 2)
    whole = layer(x)
    torch.testing.assert_close(torch.cat([layer(x[:4]), layer(x[4:])]), whole)
    other = x.clone()
    other[4:] += torch.randn(8, 3, 2, 2)
    torch.testing.assert_close(layer(other)[:4], whole[:4])


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 7, 11])
def test_rows_left_over_look_at_the_last_group(rows: int) -> None:
    torch.manual_seed(0)
    layer, x = MinibatchDeviation(4), torch.randn(rows, 3, 2, 2)
    number = layer.deviation(x)
    last = (x[-4:].var(0, correction=0) + 1e-8).sqrt().mean()
    assert number.shape == (rows,)
    torch.testing.assert_close(number[-1], last)
    if rows > 4:
        torch.testing.assert_close(number[:4], layer.deviation(x[:4]))


def test_in_eval_a_row_is_judged_by_itself() -> None:
    torch.manual_seed(0)
    layer = MinibatchDeviation(4)
    x = torch.randn(8, 3, 2, 2)
    numbers = [layer(x * scale)[:, 3].mean() for scale in (1.0, 2.0)]
    torch.testing.assert_close(layer.mean, 0.05 * numbers[0] * 0.95 + 0.05 * numbers[1])
    layer.eval()
    torch.testing.assert_close(layer(x)[2:3], layer(x[2:3]))
    assert (layer(x)[:, 3] == layer.mean).all()


def test_the_deviation_has_two_derivatives_also_where_nothing_differs() -> None:
    layer = MinibatchDeviation(3).double()
    x = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(layer.deviation, (x,))
    same = torch.ones(3, 2, 2, 2, requires_grad=True)
    (slope,) = torch.autograd.grad(MinibatchDeviation(3).deviation(same).sum(), same, create_graph=True)
    slope.square().sum().backward()
    assert same.grad is not None
    assert same.grad.isfinite().all()


def test_a_group_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 rows"):
        MinibatchDeviation(1)


# --- precision


def test_under_autocast_styles_and_statistics_stay_float32() -> None:
    torch.manual_seed(0)
    layer, image = StyledLayer(3, 4, 2, (6, 6), up=True).eval(), ToImage(4, 1, 2)
    x, w = torch.randn(2, 3, 3, 3), torch.randn(2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer.conv.affine(w).dtype == torch.float32
        assert layer.conv.demodulation(layer.conv.affine(w)).dtype == torch.float32
        rounded = layer(x, w)
        assert rounded.dtype == torch.bfloat16
        assert image(rounded, w).dtype == torch.float32
        assert MinibatchDeviation(2).deviation(rounded).dtype == torch.float32
    torch.testing.assert_close(rounded.float(), layer(x, w), rtol=0.05, atol=0.05)
