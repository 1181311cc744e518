"""Principal components of rows, and how likely probabilistic PCA makes other rows with each number of them.

Legend: N rows, D values a row, m components. Source: Tipping and Bishop 1999, Probabilistic principal component analysis.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ProbabilisticPCA:
    """The leading components. mean: (D,); directions: (m, D), of length 1; variances: (m,), divided by N; total: of all D."""

    mean: Tensor
    directions: Tensor
    variances: Tensor
    total: float

    def noises(self) -> Tensor:
        """(m + 1,): the mean variance left after 0, 1, ... m components; equation 8 of Tipping and Bishop."""
        left = self.total - torch.cat([torch.zeros(1, dtype=torch.float64), self.variances.cumsum(0)])
        dims = len(self.mean) - torch.arange(len(left))
        # Rounding alone must not make what is left negative, nor zero where its logarithm is wanted.
        return (left / dims.clamp_min(1)).clamp_min(1e-9 * self.total / len(self.mean))

    def log_likelihoods(self, rows: Tensor) -> Tensor:
        """(m + 1,) mean log-density of rows under 0, 1, ... m components, up to a constant."""
        centred, noises = rows - self.mean, self.noises()
        noises = noises.clamp_min(torch.finfo(torch.float64).tiny)
        along = (centred @ self.directions.T).square().mean(0)
        zero = torch.zeros(1, dtype=torch.float64)
        variances = self.variances.clamp_min(noises[-1])
        explained = torch.cat([zero, (along / variances + variances.log()).cumsum(0)])
        beyond = centred.square().sum(1).mean() - torch.cat([zero, along.cumsum(0)])
        dims = len(self.mean) - torch.arange(len(noises))
        return -0.5 * (explained + beyond / noises + dims * noises.log())


def fit_ppca(rows: Tensor, most: int) -> ProbabilisticPCA:
    """At most `most` leading principal components of rows (N, D) float64."""
    import numpy as np
    from sklearn.decomposition import PCA

    with np.errstate(invalid="ignore"):  # the shares, which are not used, of rows that are all equal
        found = PCA(min(most, *rows.shape), random_state=0).fit(rows.numpy())
    variances = torch.from_numpy(found.explained_variance_) * (len(rows) - 1) / len(rows)
    total = float(rows.var(0, correction=0).sum())
    return ProbabilisticPCA(rows.mean(0), torch.from_numpy(found.components_), variances, total)
