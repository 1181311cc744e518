"""Resizing and convolution in one: equal to the two in turn, to second order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from zerosum.nn.layers import conv_then_halve, double_then_conv, doubling_kernel


def doubled(x: Tensor, conv: nn.Conv2d) -> Tensor:
    return conv(interpolate(x, scale_factor=2, mode="nearest"))  # type: ignore[no-any-return]


def halved(x: Tensor, conv: nn.Conv2d) -> Tensor:
    return avg_pool2d(conv(x), 2)


@pytest.mark.parametrize(("fused", "plain"), [(double_then_conv, doubled), (conv_then_halve, halved)])
@pytest.mark.parametrize("size", [(2, 2), (6, 4), (5, 7)])
def test_one_equals_two_to_second_order(fused: object, plain: object, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, 3, padding=1).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    found = []
    for function in (fused, plain):
        out = function(x, conv)  # type: ignore[operator]
        (first,) = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
        second = torch.autograd.grad(first.square().sum(), [x, *conv.parameters()])
        found.append([out.detach(), first.detach(), *second])
    torch.testing.assert_close(*found)


def test_a_kernel_that_is_made_once_changes_no_bit() -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(3, 5, 3, padding=1), torch.randn(2, 3, 6, 4)
    assert torch.equal(double_then_conv(x, conv), double_then_conv(x, conv, doubling_kernel(conv)))
