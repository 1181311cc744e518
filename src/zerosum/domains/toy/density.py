"""What a density is: a mixture of K copies of one kernel, moved and scaled, whose every quantity is a closed form.

With x in D dimensions it is p(x) = sum_k w_k prod_d f((x_d - c_kd) / s_k) / s_k.
Legend: N points, D dimensions (1 or 2), K components. All tensors float64, samples float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.domains.toy.kernels import Kernel

ROWS = 8192  # points looked at together, so that memory stays small
Box = tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Density:
    """A mixture of one kernel. weights: (K,), summing to 1. centres: (K, D). scales: (K,).

    box: (low, high) per dimension, what a picture shows. separate: the components are modes that a generator can miss.
    """

    name: str
    summary: str
    kernel: Kernel
    weights: Tensor
    centres: Tensor
    scales: Tensor
    box: Box
    separate: bool = False

    @property
    def num_dims(self) -> int:
        """D, 1 for the line and 2 for the plane."""
        return self.centres.shape[1]

    @property
    def modes(self) -> Tensor | None:
        """(K, D) centres of the modes; None where there is nothing to count."""
        return self.centres if self.separate else None

    @property
    def spread(self) -> float | None:
        """Sigma of a mode."""
        return float(self.scales[0]) if self.separate else None

    def log_prob(self, x: Tensor) -> Tensor:
        """(N, D) -> (N,) log p(x), -inf outside the support."""
        return torch.cat([self._log_prob(rows) for rows in torch.split(x.double(), ROWS)])

    def _log_prob(self, x: Tensor) -> Tensor:
        inside = self.kernel.log_prob((x[:, None] - self.centres) / self.scales[:, None]).sum(-1)
        return torch.logsumexp(inside + self.weights.log() - self.num_dims * self.scales.log(), -1)

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        """(num, D) float32, independent."""
        which = torch.rand(num, generator=generator, dtype=torch.float64)
        component = torch.searchsorted(self.weights.cumsum(0), which).clamp(max=len(self.weights) - 1)
        shares = torch.rand(num, self.num_dims, generator=generator, dtype=torch.float64).clamp(min=2.0**-54)
        moved = self.centres[component] + self.scales[component, None] * self.kernel.quantile(shares)
        return moved.float()

    def cdf(self, x: Tensor) -> Tensor:
        """(N,) -> (N,) P(X <= x); on the line only."""
        self._on_the_line("cdf")
        return self._shares_below(x, 0) @ self.weights

    def quantile(self, u: Tensor) -> Tensor:
        """(N,) in (0, 1) -> (N,) the x with P(X <= x) = u, to 1e-12; on the line only, by halving."""
        self._on_the_line("quantile")
        ends = torch.stack([u.min(), u.max()]).double()
        reach = self.centres + self.scales[:, None] * self.kernel.quantile(ends)  # no component's quantile lies beyond
        low, high = torch.full_like(u, float(reach.min())).double(), torch.full_like(u, float(reach.max())).double()
        for _ in range(50):
            middle = (low + high) / 2
            below = self.cdf(middle) < u
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def cells(self, edges: Sequence[Tensor]) -> Tensor:
        """(n_1, ..., n_D): the exact probability of each cell of a grid.

        edges: for each dimension the n_d - 1 rising inner edges; the outermost cells reach to infinity.
        """
        sides = []
        for dimension, inner in enumerate(edges):
            below = self._shares_below(inner.double(), dimension).T  # (K, n - 1)
            ends = below.new_zeros(len(below), 1), below.new_ones(len(below), 1)
            sides.append(torch.cat([ends[0], below, ends[1]], 1).diff(dim=1))
        return torch.einsum("k,ki->i" if len(sides) == 1 else "k,ki,kj->ij", self.weights, *sides)

    def _shares_below(self, x: Tensor, dimension: int) -> Tensor:
        """(N,) -> (N, K): each component's probability below x in one dimension."""
        return self.kernel.cdf((x[:, None] - self.centres[:, dimension]) / self.scales)

    def _on_the_line(self, what: str) -> None:
        if self.num_dims != 1:
            raise ValueError(f"{what} is for one dimension; {self.name} has {self.num_dims}")
