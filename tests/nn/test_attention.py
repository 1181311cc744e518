"""Self-attention: nothing at first, a weighted mean over all places then, with a second derivative."""

from __future__ import annotations

import pytest
import torch

from zerosum.nn.layers import SelfAttention


@pytest.mark.parametrize("size", [(4, 4), (7, 7), (5, 8), (1, 1)])
def test_it_begins_as_the_identity(size: tuple[int, int]) -> None:
    layer, x = SelfAttention(16), torch.randn(2, 16, *size)
    torch.testing.assert_close(layer(x), x, rtol=0.0, atol=0.0)
    layer(x).square().sum().backward()
    assert layer.gate.grad is not None
    assert layer.gate.grad != 0


def test_weights_are_shares() -> None:
    layer = SelfAttention(16)
    weights = layer.weights(torch.randn(2, 16, 6, 8))
    assert weights.shape == (2, 48, 12)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 48))


def test_it_is_the_formula_place_by_place() -> None:
    """Keys and values pooled by hand, softmax place by place, in a loop."""
    torch.manual_seed(0)
    layer = SelfAttention(8).double()
    layer.gate.data.fill_(0.7)
    x = torch.randn(1, 8, 4, 4, dtype=torch.float64)
    query, key, value = (part(x)[0] for part in (layer.query, layer.key, layer.value))
    blocks = [(slice(i, i + 2), slice(j, j + 2)) for i in (0, 2) for j in (0, 2)]
    keys, values = ([part[:, a, b].amax((1, 2)) for a, b in blocks] for part in (key, value))
    out = torch.empty_like(x)
    for i in range(4):
        for j in range(4):
            share = torch.stack([query[:, i, j] @ k for k in keys]).softmax(0)
            seen = sum(s * v for s, v in zip(share, values, strict=True))
            out[0, :, i, j] = x[0, :, i, j] + 0.7 * layer.out.weight[:, :, 0, 0] @ seen
    torch.testing.assert_close(layer(x), out)


def test_every_place_sees_every_other_and_rows_stay_apart() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(8)
    layer.gate.data.fill_(1.0)
    x = torch.randn(2, 8, 4, 6)
    before = layer(x)
    for i in range(4):
        for j in range(6):
            changed = x.clone()
            changed[1, :, i, j] += (
                5 * torch.randn(8).abs() * layer.key.weight[0, :, 0, 0].sign()
            )  # the largest key of its block
            after = layer(changed)
            assert ((after - before)[1].abs().sum(0) > 0).all(), (i, j)
            assert torch.equal(after[0], before[0])


def test_second_derivative() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(8).double()
    layer.gate.data.fill_(0.5)
    x = torch.randn(1, 8, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(layer, (x,))
