"""Spectral normalisation: the largest singular value, frozen networks, double backward, copies and files."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from zerosum.nn.layers import iterate, spectral
from zerosum.store import decode, encode


def pair() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 2), nn.Flatten(), nn.Linear(4 * 4, 5))


def matrices(network: nn.Module) -> list[Tensor]:
    return [m.weight.detach().flatten(1) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def test_weights_end_at_norm_one() -> None:
    network = spectral(pair())
    for _ in range(100):
        iterate(network)
    for matrix in matrices(network.eval()):
        torch.testing.assert_close(torch.linalg.matrix_norm(matrix, 2), torch.tensor(1.0), rtol=1e-4, atol=0.0)


def test_sigma_is_the_largest_singular_value_of_the_plain_weight() -> None:
    plain, network = pair(), spectral(pair())
    for _ in range(100):
        iterate(network)
    for before, after in zip(matrices(plain), matrices(network.eval()), strict=True):
        torch.testing.assert_close(before / torch.linalg.svdvals(before)[0], after, rtol=1e-4, atol=1e-6)


def test_it_agrees_with_the_one_of_torch_step_by_step() -> None:
    ours, theirs = spectral(pair()), pair()
    for module in (theirs[0], theirs[2], theirs[4]):
        parametrizations.spectral_norm(module)
    for mine, other in zip((ours[0], ours[2], ours[4]), (theirs[0], theirs[2], theirs[4]), strict=True):
        other.parametrizations.weight[0]._u.copy_(mine.parametrizations.weight[0].u)
        other.parametrizations.weight[0]._v.copy_(mine.parametrizations.weight[0].v)
    x = torch.randn(2, 3, 5, 5)
    for _ in range(3):
        iterate(ours)
        results = [network(x).square().sum() for network in (ours, theirs)]
        torch.testing.assert_close(*results)
        torch.testing.assert_close(
            *(torch.autograd.grad(y, list(n.parameters())) for y, n in zip(results, (ours, theirs), strict=True))
        )


def buffers(network: nn.Module) -> list[Tensor]:
    return [buffer.clone() for buffer in network.buffers()]


def test_a_pass_changes_nothing_and_only_what_learns_iterates() -> None:
    network = spectral(pair())
    network[0].parametrizations.weight.original.data += torch.randn(6, 3, 3, 3)
    x = torch.randn(2, 3, 5, 5, requires_grad=True)

    def moved() -> list[bool]:
        before = buffers(network)
        network(x)
        assert all(torch.equal(a, b) for a, b in zip(before, buffers(network), strict=True))
        iterate(network)
        return [not torch.equal(a, b) for a, b in zip(before, buffers(network), strict=True)]

    network.requires_grad_(False)
    assert not any(moved())
    network.requires_grad_(True)
    network.eval()
    assert not any(moved())
    network.train()
    network[2].requires_grad_(False)
    assert moved() == [True, True, False, False, True, True]


def test_two_calls_before_one_backward() -> None:
    network, x = spectral(pair()), torch.randn(2, 3, 5, 5)
    (network(x).sum() - network(x + 1).square().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_second_derivative() -> None:
    """The gradient of ||dD/dx||^2 with respect to the weights, against finite differences; u and v stand still."""
    network = spectral(pair().double()).eval()
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64, requires_grad=True)

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(network(x).square().sum(), x, create_graph=True)
        return gradient.square().sum()

    weight = network[4].parametrizations.weight.original
    (slope,) = torch.autograd.grad(penalty(), weight)
    step = 1e-6
    for place in ((0, 0), (3, 7)):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[place] += sign * step
            values.append(penalty().detach())
            with torch.no_grad():
                weight[place] -= sign * step
        torch.testing.assert_close((values[0] - values[1]) / (2 * step), slope[place], rtol=1e-5, atol=1e-8)


def test_float32_under_autocast() -> None:
    network, x = spectral(pair()).eval(), torch.randn(2, 3, 5, 5)
    weight = network[0].weight
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network[0].weight, weight)
        assert network(x).dtype == torch.bfloat16
    network.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(x).float().sum().backward()
    assert all(buffer.dtype == torch.float32 for buffer in network.buffers())


def test_copies_and_files_are_the_same_network() -> None:
    network, x = spectral(pair()), torch.randn(2, 3, 5, 5)
    iterate(network)
    twin, again = copy.deepcopy(network), spectral(pair())
    again.load_state_dict(decode(encode(network.state_dict()), Path("weights")))
    for _ in range(3):  # the power method goes on from the same vectors
        for each in (network, twin, again):
            iterate(each)
        y = network(x)
        assert torch.equal(twin(x), y)
        assert torch.equal(again(x), y)


def test_embeddings_too_and_weights_of_zero_are_refused() -> None:
    table = spectral(nn.Sequential(nn.Embedding(5, 3)))[0]  # type: ignore[index]
    for _ in range(100):
        iterate(table)
    torch.testing.assert_close(torch.linalg.matrix_norm(table.weight, 2), torch.tensor(1.0), rtol=1e-4, atol=0.0)
    empty = nn.Sequential(nn.Linear(3, 3))
    nn.init.zeros_(empty[0].weight)
    with pytest.raises(ValueError, match="all its weights are 0"):
        spectral(empty)
