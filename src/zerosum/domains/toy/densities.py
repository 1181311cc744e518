"""Distributions on the line and in the plane whose density is known exactly, so that games on them can be checked.

A density is a mixture of K copies of one kernel, shifted and scaled: with x in D dimensions
p(x) = sum_k w_k prod_d f((x_d - c_kd) / s_k) / s_k. Curves are dense rows of normal distributions: the row is the
definition, so that density and samples agree exactly.

Legend: N points, D dimensions (1 or 2), K components. All tensors float64, samples float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zerosum.domain import DatasetInfo
from zerosum.engine.seeds import generator
from zerosum.errors import UserError, known_as

# --- kernels

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Kernel:
    """A distribution on the line with location 0 and scale 1. quantile(u), u in (0, 1), also turns uniform numbers into
    samples."""

    log_prob: Function
    cdf: Function
    quantile: Function


def _log_prob_inside(inside: Tensor, log_prob: Tensor) -> Tensor:
    return torch.where(inside, log_prob, -math.inf)


NORMAL = Kernel(
    lambda z: -0.5 * z.square() - 0.5 * math.log(2 * math.pi),
    torch.special.ndtr,
    torch.special.ndtri,
)

UNIFORM = Kernel(  # on [-1/2, 1/2]
    lambda z: _log_prob_inside(z.abs() <= 0.5, torch.zeros_like(z)),
    lambda z: (z + 0.5).clamp(0, 1),
    lambda u: u - 0.5,
)

EXPONENTIAL = Kernel(  # on [0, inf)
    lambda z: _log_prob_inside(z >= 0, -z),
    lambda z: -torch.expm1(-z.clamp(min=0)),
    lambda u: -torch.log1p(-u),
)

LAPLACE = Kernel(  # exp(-|z|) / 2
    lambda z: -z.abs() - math.log(2),
    lambda z: torch.where(z < 0, z.clamp(max=0).exp() / 2, 1 - (-z.clamp(min=0)).exp() / 2),
    lambda u: -torch.sign(u - 0.5) * torch.log1p(-2 * (u - 0.5).abs()),
)


# --- mixtures

ROWS = 8192  # points evaluated at once, which bounds the memory
Box = tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Density:
    """A mixture of one kernel. weights: (K,), summing to 1. centres: (K, D). scales: (K,).

    box: (low, high) for each dimension, the part shown in pictures. separate: the components are modes that a generator
    can miss.
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
        """(K, D) centres of the modes; None if the components are not separate modes."""
        return self.centres if self.separate else None

    @property
    def spread(self) -> float | None:
        """The standard deviation of a mode; None without modes."""
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
        """(N,) in (0, 1) -> (N,) the x with P(X <= x) = u, to 1e-12, by bisection; on the line only."""
        self._on_the_line("quantile")
        ends = torch.stack([u.min(), u.max()]).double()
        reach = self.centres + self.scales[:, None] * self.kernel.quantile(ends)  # no component's quantile lies outside
        low, high = torch.full_like(u, float(reach.min())).double(), torch.full_like(u, float(reach.max())).double()
        for _ in range(50):
            middle = (low + high) / 2
            below = self.cdf(middle) < u
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def cells(self, edges: Sequence[Tensor]) -> Tensor:
        """(n_1, ..., n_D): the exact probability of each cell of a grid.

        edges: for each dimension the n_d - 1 increasing inner edges; the outermost cells extend to infinity.
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


# --- modes that a sample has found

MIN_MODE_SHARE = 0.1
"""A mode counts as found if it has at least this part of its share of the points."""
MODE_SIGMAS = 3.0
"""A point belongs to a mode within so many standard deviations."""


def nearest_mode(points: Tensor, density: Density) -> Tensor:
    """(N, D) -> (N,) int64: the mode within MODE_SIGMAS of each point, -1 where there is none."""
    distance, mode = (torch.cdist(points.double(), density.centres) / density.scales).min(1)
    return torch.where(distance < MODE_SIGMAS, mode, -1)


def mode_shares(points: Tensor, density: Density) -> Tensor:
    """(K,) float64: the share of the points within MODE_SIGMAS of each mode."""
    near = nearest_mode(points, density)
    return torch.bincount(near[near >= 0], minlength=len(density.weights)).double() / len(points)


def modes_found(points: Tensor, density: Density) -> Tensor:
    """(K,) bool: which modes have at least MIN_MODE_SHARE of their share of the points."""
    return mode_shares(points, density) >= MIN_MODE_SHARE * density.weights


# --- the densities by name


def _float64(values: Sequence[float] | Sequence[Sequence[float]] | Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def _mixture(
    name: str,
    summary: str,
    centres: Sequence[Sequence[float]] | Tensor,
    scales: float | Tensor,
    *,
    kernel: Kernel = NORMAL,
    weights: Sequence[float] | Tensor | None = None,
    box: Box | None = None,
    separate: bool = False,
) -> Density:
    """A Density, by default with equal weights, and with a box that holds nearly all of the probability."""
    centres = _float64(centres)
    shares = torch.ones(len(centres), dtype=torch.float64) if weights is None else _float64(weights)
    if len(shares) != len(centres) or not bool((shares > 0).all()):
        raise ValueError(f"weights must be {len(centres)} numbers above 0, got {shares.tolist()}")
    widths = torch.as_tensor(scales, dtype=torch.float64).expand(len(centres))
    if not bool((widths > 0).all()):
        raise ValueError(f"spread must be more than 0, got {float(widths.min())}")
    return Density(
        name, summary, kernel, shares / shares.sum(), centres, widths, box or _box(centres, widths), separate
    )


def _box(centres: Tensor, widths: Tensor) -> Box:
    """An interval or a square around all centres, with a margin of 4 widths and 0.2."""
    low, high = (centres - 4 * widths[:, None]).min(0).values, (centres + 4 * widths[:, None]).max(0).values
    middle, half = (low + high) / 2, (high - low).max() / 2 + 0.2
    return tuple((float(m - half), float(m + half)) for m in middle)


# --- on the line


def normal(*, mean: float = 0.0, deviation: float = 1.0) -> Density:
    """The normal distribution."""
    return _mixture("normal", "The normal distribution.", [[mean]], deviation)


def uniform() -> Density:
    """Uniform, of deviation 1: on [-sqrt 3, sqrt 3]."""
    width = 2 * math.sqrt(3)
    return _mixture("uniform", "The uniform distribution.", [[0.0]], width, kernel=UNIFORM, box=((-2.6, 2.6),))


def exponential() -> Density:
    """Exponential, of mean and deviation 1: a hard edge at 0 and a tail."""
    return _mixture(
        "exponential",
        "The exponential distribution: an edge and a tail.",
        [[0.0]],
        1.0,
        kernel=EXPONENTIAL,
        box=((-1.0, 6.0),),
    )


def laplace() -> Density:
    """Laplace, of deviation 1: a peak and two tails."""
    scale = math.sqrt(0.5)
    return _mixture(
        "laplace", "The Laplace distribution: a peak and two tails.", [[0.0]], scale, kernel=LAPLACE, box=((-4.5, 4.5),)
    )


def mixture(
    *,
    means: tuple[float, ...] = (-1.3, 0.1, 1.4),
    weights: tuple[float, ...] = (0.3, 0.5, 0.2),
    spread: float = 0.2,
) -> Density:
    """Normal distributions next to each other on the line, with different weights."""
    centres = [[mean] for mean in means]
    return _mixture(
        "mixture",
        f"{len(means)} normals of different weights on the line.",
        centres,
        spread,
        weights=weights,
        separate=True,
    )


def discrete(
    *,
    values: tuple[float, ...] = (-2.0, -1.0, 0.0, 1.0, 2.0),
    probabilities: tuple[float, ...] = (0.1, 0.2, 0.4, 0.2, 0.1),
    spread: float = 0.05,
) -> Density:
    """A discrete distribution, each value blurred by a narrow normal so that there is a density."""
    centres = [[value] for value in values]
    return _mixture(
        "discrete",
        f"{len(values)} values on the line, each a little blurred.",
        centres,
        spread,
        weights=probabilities,
        separate=True,
    )


# --- in the plane


def ring(*, modes: int = 8, radius: float = math.sqrt(2), spread: float = 0.05) -> Density:
    """Equal normals on a circle: the classic test for lost modes (Metz et al. 2017, arXiv:1611.02163)."""
    angle = torch.arange(modes, dtype=torch.float64) * (2 * math.pi / modes)
    centres = radius * torch.stack([angle.cos(), angle.sin()], 1)
    return _mixture("ring", f"{modes} normals on a circle.", centres, spread, separate=True)


def grid(*, side: int = 5, spacing: float = math.sqrt(0.5), spread: float = 0.03) -> Density:
    """Equal normals on a square grid (Srivastava et al. 2017, arXiv:1705.07761)."""
    ticks = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * spacing
    return _mixture(
        "grid", f"{side**2} normals on a square grid.", torch.cartesian_prod(ticks, ticks), spread, separate=True
    )


def moons(*, spread: float = 0.12) -> Density:
    """Two interleaved half circles, each a row of 64 normals."""
    angle = (torch.arange(64, dtype=torch.float64) + 0.5) * (math.pi / 64)
    upper = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], 1)
    return _mixture("moons", "Two half moons.", 1.4 * torch.cat([upper, -upper]), spread)


def spiral(*, turns: float = 1.75, spread: float = 0.08) -> Density:
    """One arm of an Archimedean spiral, a row of 160 normals at equal distances along it."""
    # r = b t has an arc of about b t^2 / 2, so equal arcs are equal steps of t^2.
    share = (torch.arange(160, dtype=torch.float64) + 0.5) / 160
    angle = (share * (1 - 0.02) + 0.02).sqrt() * (2 * math.pi * turns)
    arm = torch.stack([angle.cos(), angle.sin()], 1) * angle[:, None] / (2 * math.pi * turns)
    return _mixture("spiral", "One arm of a spiral.", 2.0 * arm, spread)


def pinwheel(*, arms: int = 5, spread: float = 0.07) -> Density:
    """Bent arms, each a row of 40 normals whose weights are greatest in the middle and whose widths grow outwards
    (Johnson et al. 2016)."""
    place = torch.linspace(-2.2, 2.2, 40, dtype=torch.float64)
    radius = 1.3 + 0.4 * place
    angle = 0.35 * radius.exp() / 2
    turned = [angle + 2 * math.pi * arm / arms for arm in range(arms)]
    centres = torch.cat([radius[:, None] * torch.stack([t.cos(), t.sin()], 1) for t in turned])
    weights = (-place.square() / 2).exp().repeat(arms)
    return _mixture("pinwheel", f"A pinwheel of {arms} arms.", centres, spread * radius.repeat(arms), weights=weights)


def checkerboard(*, side: int = 4) -> Density:
    """Uniform on every other square of a board."""
    width = 3.4 / side
    places = [(i, j) for i in range(side) for j in range(side) if (i + j) % 2 == 0]
    centres = (_float64(places) - (side - 1) / 2) * width
    box = ((-2.1, 2.1),) * 2
    return _mixture(
        "checkerboard", f"A checkerboard of {side} x {side} squares.", centres, width, kernel=UNIFORM, box=box
    )


# --- at given points


def drawn(*, points: tuple[tuple[float, ...], ...] = (), spread: float = 0.1) -> Density:
    """The equal mixture of normals at the given points, [[x], ...] or [[x, y], ...]."""
    if not points or len({len(point) for point in points}) != 1 or len(points[0]) not in (1, 2):
        raise ValueError("points must be a list of [x] or of [x, y], for example data.points='[[-1, 0], [1, 0]]'")
    centres = _float64(points)
    apart = torch.pdist(centres).min() if len(centres) > 1 else torch.tensor(math.inf)
    return _mixture(
        "drawn", f"Normals at {len(points)} given points.", centres, spread, separate=bool(apart > 6 * spread)
    )


DENSITIES: Mapping[str, Callable[..., Density]] = {
    maker.__name__: maker
    for maker in (
        normal, uniform, exponential, laplace, mixture, discrete,
        ring, grid, moons, spiral, pinwheel, checkerboard, drawn,
    )
}  # fmt: skip


def build(kind: str, **options: Any) -> Density:
    """The density of that name. UserError names the known densities."""
    maker = known_as(kind, DENSITIES, "density")
    try:
        return maker(**options)
    except ValueError as error:
        raise UserError(f"{kind}: {error}.") from None


def of(info: DatasetInfo) -> Density:
    """The density of a data set; for measured data its estimate."""
    return build(**info.payload["density"])


# --- an estimate for measured points

MAX_CENTRES = 300
"""The number of points of an estimate, small enough for the description of a run."""


def kernel_estimate(points: Tensor, seed: int = 0) -> dict[str, Any]:
    """The options of the density `drawn` for points (N, D): up to MAX_CENTRES of them, and the spread that predicts
    best.

    The spread is the one of 24 values between 0.01 and 1 with the greatest likelihood of each point given the others
    (leave-one-out likelihood, Silverman 1986, section 3.4.4).
    """
    order = torch.randperm(len(points), generator=generator(seed, "estimate"))[:MAX_CENTRES]
    centres = points[order].double()
    spreads = torch.logspace(-2, 0, 24, dtype=torch.float64).tolist()
    best = max(spreads, key=lambda spread: _left_out(centres, spread))
    return {"kind": "drawn", "points": [[round(x, 5) for x in row] for row in centres.tolist()], "spread": best}


def _left_out(points: Tensor, spread: float) -> float:
    """The mean log-likelihood of each point under the others', up to a constant."""
    squares = torch.cdist(points, points).square().fill_diagonal_(math.inf)
    return float(torch.logsumexp(-0.5 * squares / spread**2, 1).mean()) - points.shape[1] * math.log(spread)
