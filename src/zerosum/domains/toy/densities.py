"""Distributions on the line and in the plane whose density is known exactly, so that a game over them can be checked.

Each is a mixture of copies of one kernel, see density.py. Curves are fine rows of normals: the row is the definition, so
that density and samples agree exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zerosum.domain import DatasetInfo
from zerosum.domains.toy.density import Box, Density
from zerosum.domains.toy.kernels import EXPONENTIAL, LAPLACE, NORMAL, UNIFORM, Kernel
from zerosum.errors import UserError, known_as

__all__ = ["DENSITIES", "Box", "Density", "build", "of"]


def _table(values: Sequence[float] | Sequence[Sequence[float]] | Tensor) -> Tensor:
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
    """A Density with equal weights and scales, and a box that holds nearly all of it, where nothing else is said."""
    centres = _table(centres)
    shares = torch.ones(len(centres), dtype=torch.float64) if weights is None else _table(weights)
    if len(shares) != len(centres) or not bool((shares > 0).all()):
        raise ValueError(f"weights must be {len(centres)} numbers above 0, got {shares.tolist()}")
    widths = torch.as_tensor(scales, dtype=torch.float64).expand(len(centres))
    if not bool((widths > 0).all()):
        raise ValueError(f"spread must be more than 0, got {float(widths.min())}")
    return Density(
        name, summary, kernel, shares / shares.sum(), centres, widths, box or _box(centres, widths), separate
    )


def _box(centres: Tensor, widths: Tensor) -> Box:
    """All centres with room around them; in the plane a square, so that circles look round."""
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
    """Normals side by side on the line, of different weights."""
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
    """A few values, each blurred by a narrow normal: a table of probabilities has no density, this has one."""
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
    """Two half circles that reach into each other, each a row of 64 normals."""
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
    """Bent arms, each a row of 40 normals whose weights and widths swell in the middle (Johnson et al. 2016)."""
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
    centres = (_table(places) - (side - 1) / 2) * width
    box = ((-2.1, 2.1),) * 2
    return _mixture(
        "checkerboard", f"A checkerboard of {side} x {side} squares.", centres, width, kernel=UNIFORM, box=box
    )


# --- given by points


def drawn(*, points: tuple[tuple[float, ...], ...] = (), spread: float = 0.1) -> Density:
    """The equal mixture of normals at the given points, [[x], ...] or [[x, y], ...]."""
    if not points or len({len(point) for point in points}) != 1 or len(points[0]) not in (1, 2):
        raise ValueError("points must be a list of [x] or of [x, y], for example data.points='[[-1, 0], [1, 0]]'")
    centres = _table(points)
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
    """The density of that name. UserError names the choices."""
    maker = known_as(kind, DENSITIES, "density")
    try:
        return maker(**options)
    except ValueError as error:
        raise UserError(f"{kind}: {error}.") from None


def of(info: DatasetInfo) -> Density:
    """The density of a data set; of measured data, the estimate that stands for it."""
    return build(**info.payload["density"])
