"""MMD against the closed form for normals, a direct sum, and its own lack of bias."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics import distances
from zerosum.metrics.distances import mmd2


def direct(x: Tensor, y: Tensor, width: float) -> float:
    """The definition, pair by pair."""
    kernel = lambda a, b: float((-0.5 * (a - b).square().sum() / width**2).exp())  # noqa: E731
    n, m = len(x), len(y)
    xx = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(kernel(a, b) for a in x for b in y) / (n * m)


def test_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(7, 2, generator=rng), torch.randn(5, 2, generator=rng) + 0.5
    expected = (direct(x, y, 0.3) + direct(x, y, 1.0)) / 2
    assert mmd2(x, y, (0.3, 1.0)) == pytest.approx(expected, abs=1e-6)
    monkeypatch.setattr(distances, "_ROWS", 2)  # the parts must not matter
    assert mmd2(x, y, (0.3, 1.0)) == pytest.approx(expected, abs=1e-6)


def test_closed_form_of_two_shifted_normals() -> None:
    """E exp(-|x - y|^2 / 2h^2) over N(0, 1) and N(d, 1) is h / sqrt(h^2 + 2) exp(-d^2 / (2 (h^2 + 2)))."""
    h, d = 0.7, 1.2
    z = torch.special.ndtri((torch.arange(1000, dtype=torch.float64) + 0.5) / 1000)[:, None]
    own = h / (h**2 + 2) ** 0.5
    expected = 2 * own * (1 - math.exp(-(d**2) / (2 * (h**2 + 2))))
    assert mmd2(z, z + d, (h,)) == pytest.approx(expected, abs=2e-3)
    assert expected > 0.2


def test_it_has_no_bias_where_the_samples_agree() -> None:
    rng = torch.Generator().manual_seed(2)
    values = torch.tensor(
        [mmd2(torch.randn(20, 2, generator=rng), torch.randn(20, 2, generator=rng)) for _ in range(300)]
    )
    assert float(values.min()) < 0
    assert abs(float(values.mean())) < 3 * float(values.std()) / 300**0.5


def test_far_samples_differ_by_their_own_kernels() -> None:
    x = torch.zeros(4, 2)
    assert mmd2(x, x + 1e3) == pytest.approx(2.0)  # within each all kernels are 1, between them 0


@pytest.mark.parametrize("shapes", [((3, 2), (3, 1)), ((1, 2), (3, 2)), ((3,), (3,))])
def test_bad_shapes_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(UserError, match="give"):
        mmd2(torch.zeros(shapes[0]), torch.zeros(shapes[1]))
