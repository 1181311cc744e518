"""Conditions: embeddings, and normalisations whose scale and shift depend on the row."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zerosum.nn.layers import ConditionalNorm, concat_condition, embedding, zero_init


def test_labels_choose_rows_and_attributes_are_mapped_linearly() -> None:
    torch.manual_seed(0)
    classes = embedding(3, 0, 5)
    assert isinstance(classes, nn.Embedding)
    torch.testing.assert_close(classes(torch.tensor([2, 0])), classes.weight[[2, 0]])
    attributes = embedding(3, 4, 5)  # attributes win over labels
    assert isinstance(attributes, nn.Linear)
    a, b = torch.randn(2, 6, 4)
    torch.testing.assert_close(attributes(2 * a - b), 2 * attributes(a) - attributes(b))
    assert embedding(0, 0, 5) is None


def test_attributes_begin_as_loud_as_labels() -> None:
    torch.manual_seed(0)
    for make in (embedding(1000, 0, 64), embedding(0, 40, 64)):
        assert make is not None
        given = torch.arange(1000) if isinstance(make, nn.Embedding) else torch.randn(1000, 40)
        torch.testing.assert_close(make(given).std(), torch.tensor(1.0), rtol=0.05, atol=0.0)


def test_joined_is_the_input_with_the_embedded_condition_beside_it() -> None:
    embed = nn.Embedding(3, 2)
    x, labels = torch.randn(4, 5), torch.tensor([0, 2, 1, 2])
    both = concat_condition(x, embed, labels)
    torch.testing.assert_close(both[:, :5], x)
    torch.testing.assert_close(both[:, 5:], embed.weight[labels])
    assert concat_condition(x, None, labels) is x
    with pytest.raises(ValueError, match="needs labels or attributes"):
        concat_condition(x, embed, None)


@pytest.mark.parametrize("kind", ["batch", "group", "none"])
def test_each_row_gets_its_own_scale_and_shift(kind: str) -> None:
    torch.manual_seed(0)
    layer = ConditionalNorm(kind, 4, embedding(3, 0, 8))  # type: ignore[arg-type]
    x, labels = torch.randn(6, 4, 5, 7), torch.tensor([0, 1, 2, 2, 1, 0])
    plain = layer.norm(x)
    assert layer.to_affine is not None
    table = layer.to_affine.weight
    by_hand = torch.stack(
        [row * (1 + table[y, :4, None, None]) + table[y, 4:, None, None] for row, y in zip(plain, labels, strict=True)]
    )
    torch.testing.assert_close(layer(x, labels), by_hand)
    with pytest.raises(ValueError, match="needs labels or attributes"):
        layer(x)


def test_conditional_batch_norm_is_one_batch_norm_with_a_class_s_own_affine() -> None:
    """For rows of one class it equals torch's batch norm whose weight and bias are that class's."""
    torch.manual_seed(0)
    layer = ConditionalNorm("batch", 4, embedding(3, 0, 8))
    assert layer.to_affine is not None
    table = layer.to_affine.weight.detach()
    x = torch.randn(6, 4, 5, 7)
    for y in range(3):
        plain = nn.BatchNorm2d(4)
        plain.weight.data, plain.bias.data = 1 + table[y, :4], table[y, 4:]
        torch.testing.assert_close(layer(x, torch.full((6,), y)), plain(x))


def test_a_silent_map_says_nothing_until_it_learns() -> None:
    layer = ConditionalNorm("batch", 4, zero_init(embedding(3, 0, 8)))
    x = torch.randn(6, 4, 3, 3)
    one, other = layer(x, torch.zeros(6, dtype=torch.int64)), layer(x, torch.ones(6, dtype=torch.int64))
    torch.testing.assert_close(one, other)
    (one * torch.randn_like(one)).sum().backward()
    assert layer.to_affine is not None
    gradient = layer.to_affine.weight.grad
    assert gradient is not None
    assert (gradient[0] != 0).all()
    assert (gradient[1:] == 0).all()
    assert zero_init(None) is None
