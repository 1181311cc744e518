"""Layers for sequences: padded places have no influence, and how far an output sees."""

from __future__ import annotations

import pytest
import torch

from zerosum.nn.layers import batch_part
from zerosum.nn.sequence_layers import ConvNeXtBlock, PhaseShuffle


def test_padded_places_have_no_influence_and_stay_0() -> None:
    torch.manual_seed(0)
    block, x = ConvNeXtBlock(6, 12, kernel=5), torch.randn(2, 6, 20)
    mask = torch.ones(2, 1, 20)
    mask[1, :, 13:] = 0
    made = block(x, mask).detach()
    torch.testing.assert_close(made[0], block(x[:1])[0].detach())
    torch.testing.assert_close(made[1:, :, :13], block(x[1:, :, :13]).detach())
    assert float(made[1, :, 13:].abs().max()) == 0


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_an_output_depends_on_half_a_kernel_on_each_side(kernel: int) -> None:
    torch.manual_seed(0)
    block, x = ConvNeXtBlock(4, 8, kernel), torch.randn(1, 4, 21, requires_grad=True)
    block(x)[0, :, 10].sum().backward()
    assert x.grad is not None
    seen = (x.grad[0].abs().sum(0) > 0).nonzero().flatten().tolist()
    assert seen == list(range(10 - kernel // 2, 11 + kernel // 2))


def test_even_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel must be odd, got 4"):
        ConvNeXtBlock(4, 8, 4)


def test_phase_shuffle_moves_each_row_a_little_and_mirrors_its_ends() -> None:
    shuffle, x = PhaseShuffle(2), torch.arange(9.0).expand(64, 1, 9)
    moved = shuffle(x)[:, 0]
    allowed = {
        -2: [2, 1, 0, 1, 2, 3, 4, 5, 6],
        -1: [1, 0, 1, 2, 3, 4, 5, 6, 7],
        0: list(range(9)),
        1: [1, 2, 3, 4, 5, 6, 7, 8, 7],
        2: [2, 3, 4, 5, 6, 7, 8, 7, 6],
    }
    found = {tuple(map(int, row)) for row in moved.tolist()}
    assert found == {tuple(row) for row in allowed.values()}
    assert torch.equal(shuffle.eval()(x), x)
    assert torch.equal(PhaseShuffle(0)(x), x)


def test_phase_shuffle_is_the_same_for_any_division_of_the_batch() -> None:
    shuffle, x = PhaseShuffle(3), torch.randn(8, 2, 20)
    with batch_part(0, 8, 8, 5):
        whole = shuffle(x)
    parts = []
    for start in (0, 4):
        with batch_part(start, start + 4, 8, 5):
            parts.append(shuffle(x[start : start + 4]))
    assert torch.equal(torch.cat(parts), whole)
