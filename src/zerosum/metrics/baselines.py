"""Classical models that a generator must beat: fitted to rows of numbers by maximum likelihood, then sampled.

Legend: N rows, D values a row, K mixture components, m principal components. All computation is float64; the same rows and
seed give the same samples. Sources: Bishop 2006, chapters 2, 9 and 12; Tipping and Bishop 1999 (probabilistic PCA);
Schwarz 1978 (BIC).
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics.neighbours import sample_rows
from zerosum.metrics.parzen import log_densities


@dataclass(frozen=True)
class ProbabilisticPCA:
    """The leading components. mean: (D,); directions: (m, D), of length 1; variances: (m,), divided by N; total: of all D."""

    mean: Tensor
    directions: Tensor
    variances: Tensor
    total: float

    def noises(self) -> Tensor:
        """(m + 1,): the mean remaining variance after 0, 1, ... m components; equation 8 of Tipping and Bishop."""
        left = self.total - torch.cat([torch.zeros(1, dtype=torch.float64), self.variances.cumsum(0)])
        dims = len(self.mean) - torch.arange(len(left))
        # Rounding must not make the remaining variance negative, or zero where its logarithm is used.
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
    """Fits at most `most` leading principal components to rows (N, D) float64."""
    import numpy as np
    from sklearn.decomposition import PCA

    with np.errstate(invalid="ignore"):  # the shares, which are not used, of rows that are all equal
        found = PCA(min(most, *rows.shape), random_state=0).fit(rows.numpy())
    variances = torch.from_numpy(found.explained_variance_) * (len(rows) - 1) / len(rows)
    total = float(rows.var(0, correction=0).sum())
    return ProbabilisticPCA(rows.mean(0), torch.from_numpy(found.components_), variances, total)


MOST_VALUES = 2**24
"""Largest number of values that a model is fitted to: 128 MiB; 21,399 rows of 784 values."""
MIXTURE_ROWS, MIXTURE_DIMS = 10_000, 64
"""Largest number of rows of a mixture; and largest D, beyond which it is fitted to that many leading principal components."""
COMPONENTS = (1, 2, 3, 5, 8, 12, 18, 25, 35, 50, 75, 100)
"""Numbers of Gaussians from which BIC selects."""
MANY_ROWS, MANY_COMPONENTS = 10_000, 50
"""From this many rows of more than two values on, the number of Gaussians is fixed: a search would take minutes."""
FLOOR = 1e-4
"""Least variance of a Gaussian in a mixture, as a share of the data's mean variance."""
MOST_PRINCIPAL = 200
WIDTHS = tuple(10 ** (-3 + i / 8) for i in range(25))
"""Bandwidths from which cross-validation selects, in deviations of the data: 0.001 to 1 in equal ratios."""
KERNEL_ROWS, FOLDS, NUM_SCORED = 20_000, 5, 500
"""Largest number of centres of a kernel density; folds of its cross-validation; number of points scored over all folds."""


class Model(Protocol):
    """A fitted model of rows. summary: its name, a colon, and its numbers."""

    @property
    def summary(self) -> str: ...
    def sample(self, num: int, seed: int) -> Tensor: ...


@dataclass(frozen=True)
class Normal:
    """N(mean, root^T root + noise^2 I), of any rank. mean: (D,), root: (K, D) float64; noise: a deviation, 0 for none."""

    summary: str
    mean: Tensor = field(repr=False)
    root: Tensor = field(repr=False)
    noise: float = 0.0

    @property
    def covariance(self) -> Tensor:
        """(D, D) float64."""
        eye = torch.eye(len(self.mean), dtype=torch.float64)
        return self.root.T @ self.root + self.noise**2 * eye

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, D) float32."""
        return self.draw(num, torch.Generator().manual_seed(seed)).float()

    def draw(self, num: int, generator: torch.Generator) -> Tensor:
        """(num, D) float64."""
        found = self.mean + torch.randn(num, len(self.root), generator=generator, dtype=torch.float64) @ self.root
        if self.noise:
            found += self.noise * torch.randn(found.shape, generator=generator, dtype=torch.float64)
        return found


@dataclass(frozen=True)
class Family:
    """The likeliest of the one-dimensional distributions. likelihoods: mean log-density of the rows under each, in nats."""

    summary: str
    kind: str
    location: float
    scale: float
    likelihoods: Mapping[str, float]

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, 1) float32."""
        samples = _families()[self.kind].rvs(self.location, self.scale, size=(num, 1), random_state=seed)
        return torch.from_numpy(samples).float()


@dataclass(frozen=True)
class MixtureModel:
    """Gaussians with weights (K,) that sum to 1."""

    summary: str
    weights: Tensor
    parts: tuple[Normal, ...] = field(repr=False)

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, D) float32, the components mixed."""
        generator = torch.Generator().manual_seed(seed)
        which = torch.multinomial(self.weights, num, replacement=True, generator=generator)
        samples = torch.empty(num, len(self.parts[0].mean))
        for index, part in enumerate(self.parts):
            rows_of_part = which == index
            samples[rows_of_part] = part.draw(int(rows_of_part.sum()), generator).float()
        return samples


@dataclass(frozen=True)
class KernelDensity:
    """A normal of one width around each centre (N, D)."""

    summary: str
    centres: Tensor = field(repr=False)
    width: float

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, D) float32."""
        generator = torch.Generator().manual_seed(seed)
        which = torch.randint(len(self.centres), (num,), generator=generator)
        noise = torch.randn(num, self.centres.shape[1], generator=generator)
        return self.centres[which].float() + self.width * noise


@dataclass(frozen=True)
class Shaped:
    """Makes a model of flat rows generate samples of a shape, clamped to [-1, 1]."""

    model: Model = field(repr=False)
    shape: tuple[int, ...]

    @property
    def summary(self) -> str:
        """That of the model."""
        return self.model.summary

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, *shape) float32 in [-1, 1]."""
        return self.model.sample(num, seed).clamp(-1, 1).reshape(num, *self.shape)


def sample_fit_rows(num_rows: int, num_values: int, most: int = MOST_VALUES, seed: int = 0) -> Tensor:
    """Indices (n,) int64 of the rows to fit to: all, or a random sample with at most `most` values."""
    return sample_rows(num_rows, max(2, most // num_values), seed)


def classical(rows: Tensor, num_rows: int | None = None) -> Mapping[str, Callable[[], Model]]:
    """The models that suit `rows` (N, D): name -> a function that fits it.

    num_rows: how many rows there are in all, when `rows` are `sample_fit_rows` ones; more than 2**24 values are thinned
    out here too. UserError for fewer than two rows and for numbers that are not finite.
    """
    if rows.ndim != 2 or len(rows) < 2 or not bool(torch.isfinite(rows).all()):
        raise UserError(f"baselines: rows {tuple(rows.shape)} must be two or more, as (N, D), and finite")
    total, num_dims = num_rows or len(rows), rows.shape[1]
    rows = rows[sample_fit_rows(*rows.shape)]
    fits: dict[str, Callable[[Tensor, int], Model]] = {"family": family} if num_dims == 1 else {"normal": normal}
    fits |= {"mixture": mixture, "kernel": kernel}
    if num_dims > 2:
        fits["pca"] = pca
    return {name: functools.partial(fit, rows, total) for name, fit in fits.items()}


def normal(rows: Tensor, total: int = 0) -> Normal:
    """The normal of maximum likelihood: the rows' mean and covariance (divided by N), which may be singular."""
    exact = rows.double()
    mean = exact.mean(0)
    # The triangular factor of the centred rows: no covariance is inverted or squared, so any rank will do.
    root = torch.linalg.qr(exact - mean, mode="r").R / math.sqrt(len(rows))
    return Normal(f"normal distribution: full covariance, {_fitted_to(rows, total)}", mean, root)


def family(rows: Tensor, total: int = 0) -> Family:
    """The likeliest of normal, uniform, exponential (from the least value on) and Laplace, for (N, 1) rows."""
    values = rows[:, 0].double().numpy()
    fits = {name: tuple(map(float, kind.fit(values))) for name, kind in _families().items()}
    # All rows equal: every family shrinks to that point.
    likelihoods = {
        name: float(_families()[name].logpdf(values, *fit).mean()) if fit[1] else math.inf for name, fit in fits.items()
    }
    best = max(likelihoods, key=lambda name: likelihoods[name])
    listed = ", ".join(f"{name} {value:.3f}" for name, value in likelihoods.items())
    location, scale = fits[best]
    words = {
        "normal": f"mean {location:.4g}, deviation {scale:.4g}",
        "uniform": f"from {location:.4g}, {scale:.4g} wide",
        "exponential": f"from {location:.4g}, mean {scale:.4g} above it",
        "Laplace": f"median {location:.4g}, scale {scale:.4g}",
    }[best]
    summary = f"{best} distribution: {words}, {_fitted_to(rows, total)}; nats a row: {listed}"
    return Family(summary, best, location, scale, likelihoods)


def _families() -> dict[str, Any]:
    from scipy import stats

    return {"normal": stats.norm, "uniform": stats.uniform, "exponential": stats.expon, "Laplace": stats.laplace}


def mixture(rows: Tensor, total: int = 0) -> MixtureModel:
    """Gaussians by expectation maximisation, as many and with full or diagonal covariances as selected by BIC.

    From 10,000 rows of more than two values on, always 50 with full covariances. If D > 64, they are fitted to the 64 leading
    principal components, whose share of the variance is in the summary.
    """
    sampled = rows[sample_fit_rows(len(rows), 1, MIXTURE_ROWS)].double()
    middle, basis, where = sampled.mean(0), torch.eye(rows.shape[1], dtype=torch.float64), ""
    if rows.shape[1] > MIXTURE_DIMS:
        found = fit_ppca(sampled, MIXTURE_DIMS)
        basis = found.directions
        share = float(found.variances.sum()) / found.total
        where = f" in {len(basis)} principal components with {share:.1%} of the variance"
    inside = (sampled - middle) @ basis.T
    fixed = len(rows) >= MANY_ROWS and rows.shape[1] > 2
    kinds = ["full"] if fixed or rows.shape[1] == 1 else ["full", "diag"]
    counts = [MANY_COMPONENTS] if fixed else [count for count in COMPONENTS if 2 * count <= len(sampled)] or [1]
    fits_tried = [_gaussians(inside, count, kind) for kind in kinds for count in counts]
    best = fits_tried[0] if fixed else min(fits_tried, key=lambda fit: fit.bic(inside.numpy()))
    parts = tuple(
        Normal("", middle + torch.from_numpy(mean) @ basis, root.T @ basis)
        for mean, root in zip(best.means_, _roots(best), strict=True)
    )
    how = "" if fixed else f", the best by BIC of {', '.join(map(str, counts))}"
    late = "" if best.converged_ else f", stopped after {best.max_iter} iterations"
    covariance = {"full": "full", "diag": "diagonal"}[best.covariance_type]
    what = f"{len(parts)}-component Gaussian mixture: {covariance} covariances{where}{how}{late}"
    return MixtureModel(f"{what}, {_fitted_to(sampled, total or len(rows))}", torch.from_numpy(best.weights_), parts)


def _gaussians(rows: Tensor, count: int, kind: str) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    floor = FLOOR * float(rows.var(0, correction=0).mean()) or 1e-12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the summary states it; repeated rows cause it too
        return GaussianMixture(count, covariance_type=kind, reg_covar=floor, random_state=0).fit(rows.numpy())


def _roots(model: Any) -> Tensor:
    """(K, d, d): L with L L^T = covariance, for each component."""
    found = torch.from_numpy(model.covariances_)
    return torch.linalg.cholesky(found) if model.covariance_type == "full" else torch.diag_embed(found.sqrt())


def kernel(rows: Tensor, total: int = 0) -> KernelDensity:
    """A normal around every row; its width is selected from 25 by the likelihood of left-out rows in 5 folds."""
    total, rows = total or len(rows), rows[sample_fit_rows(len(rows), 1, KERNEL_ROWS)]
    spread = float(rows.double().var(0, correction=0).mean().sqrt())
    widths, width = [spread * factor for factor in WIDTHS], 0.0
    if spread:
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
        folds, sums = min(FOLDS, len(rows)), torch.zeros(len(widths), dtype=torch.float64)
        for fold in range(folds):
            kept = torch.arange(len(rows)) % folds != fold
            scored = order[~kept][: NUM_SCORED // folds]
            sums += log_densities(rows[scored], rows[order[kept]], widths).sum(1)
        width = widths[int(sums.argmax())]
    fits_tried = f"the best of {len(widths)} from {widths[0]:.3g} to {widths[-1]:.3g} by {FOLDS}-fold likelihood"
    return KernelDensity(
        f"kernel density (training rows with noise): normals of width {width:.3g}, {fits_tried}, {_fitted_to(rows, total)}",
        rows,
        width,
    )


def pca(rows: Tensor, total: int = 0) -> Normal:
    """Probabilistic PCA: the number of components maximises the likelihood of a left-out tenth; then it is fitted to all rows."""
    exact = rows.double()
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    held, kept = exact[order[: max(1, len(rows) // 10)]], exact[order[max(1, len(rows) // 10) :]]
    most = min(MOST_PRINCIPAL, len(kept) - 1, rows.shape[1] - 1)
    count = int(fit_ppca(kept, most).log_likelihoods(held).argmax())
    found = fit_ppca(exact, max(1, count))
    variances, noise = found.variances[:count], found.noises()[count]
    root = (variances - noise).clamp_min(0).sqrt()[:, None] * found.directions[:count]
    share = float(variances.sum()) / found.total if found.total else 1.0
    summary = (
        f"{count}-component probabilistic PCA: {share:.1%} of the variance, the rest as equal noise; the likeliest of "
        f"0 to {most} on a left-out tenth, {_fitted_to(rows, total)}"
    )
    return Normal(summary, found.mean, root, math.sqrt(float(noise)))


def _fitted_to(rows: Tensor, total: int) -> str:
    return f"fitted to {len(rows):,}" + (f" of {total:,} rows" if total > len(rows) else " rows")
