"""What a network draws for a row is the same in every part of a batch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from zerosum.nn import layers
from zerosum.nn.layers import Dropout
from zerosum.nn.style_layers import StyledLayer

CPU = torch.device("cpu")
PARTS = [(0, 2), (2, 6), (6, 8)]


def draw(num: int) -> Tensor:
    return layers.normal_rows(num, CPU, 3)


def in_parts(number_of: Callable[[int], int], seed: int = 3) -> list[list[Tensor]]:
    """What two calls draw in each part of a batch of 8."""
    found = []
    for start, stop in PARTS:
        with layers.batch_part(start, stop, 8, seed):
            found.append([draw(number_of(stop - start)) for _ in range(2)])
    return found


def whole(num: int, seed: int = 3) -> list[Tensor]:
    with layers.batch_part(0, 8, 8, seed):
        return [draw(num) for _ in range(2)]


def test_rows_of_parts_are_those_of_the_batch() -> None:
    for call, expected in enumerate(whole(8)):
        assert torch.equal(torch.cat([found[call] for found in in_parts(lambda n: n)]), expected)
    first, second = whole(8)
    assert not torch.equal(first, second)
    assert not torch.equal(first, whole(8, seed=4)[0])


def test_two_tensors_one_after_the_other() -> None:
    """Reals and fakes judged as one batch: the reals of all parts come first in the whole one."""
    for call, expected in enumerate(whole(16)):
        halves = [found[call].chunk(2) for found in in_parts(lambda n: 2 * n)]
        assert torch.equal(torch.cat([half for side in zip(*halves, strict=True) for half in side]), expected)


def test_packs_of_neighbours() -> None:
    for call, expected in enumerate(whole(4)):
        assert torch.equal(torch.cat([found[call] for found in in_parts(lambda n: n // 2)]), expected)


def test_a_pack_that_is_cut_gets_numbers_of_its_own_and_disturbs_nobody() -> None:
    with layers.batch_part(1, 3, 8, 3):
        assert len(draw(1)) == 1
        assert torch.equal(draw(2), whole(8)[0][1:3])


@pytest.mark.parametrize("bernoulli", [False, True])
def test_dropout_masks_belong_to_rows(bernoulli: bool) -> None:
    layer, x = Dropout(0.4, bernoulli), torch.ones(8, 5, 2)

    def played(start: int, stop: int) -> Tensor:
        with layers.batch_part(start, stop, 8, 1):
            return layer(x[start:stop])

    assert torch.equal(torch.cat([played(*part) for part in PARTS]), played(0, 8))
    assert played(0, 4).ne(played(4, 8)).any()


def test_planes_of_noise_belong_to_rows() -> None:
    torch.manual_seed(0)
    layer, x, w = StyledLayer(2, 2, 4, (3, 3)), torch.randn(8, 2, 3, 3), torch.randn(8, 4)
    layer.strength.data.fill_(1.0)

    def played(start: int, stop: int) -> Tensor:
        with layers.batch_part(start, stop, 8, 1):
            return layer(x[start:stop], w[start:stop])

    torch.testing.assert_close(torch.cat([played(*part) for part in PARTS]), played(0, 8))


def test_what_all_rows_share_is_drawn_once() -> None:
    found = []
    for start, stop in PARTS:
        with layers.batch_part(start, stop, 8, 3):
            found.append(int(layers.draw_shared(CPU, lambda stream: torch.randint(1000, (), generator=stream))))
    assert len(set(found)) == 1


def test_outside_of_a_part_torch_draws() -> None:
    torch.manual_seed(2)
    expected = torch.randn(4, 3)
    torch.manual_seed(2)
    assert torch.equal(draw(4), expected)
