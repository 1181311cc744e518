"""f-divergences and how a critic bounds them from below: Nowozin et al. 2016, arXiv:1606.00709, tables 1, 2 and 6.

D_f(p || q) = sum q f(p / q) for a convex f with f(1) = 0. Every critic T gives sum p T - q f*(T) <= D_f, and the best,
T* = f'(p / q), gives equality. p is the data, q what the generator makes: tables (..., K), float64, over the same symbols.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

from zerosum.theory import divergence

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FDivergence:
    """One divergence. All functions act elementwise.

    f: of the ratio u = p/q > 0. slope: f'. conjugate: f*(t) = max over u of u t - f(u), on `domain` (ends included).
    exact: D_f(p || q), (..., K) -> (...), by its own formula. output: a network's number v -> T in the domain.
    best_number: u -> the v of the best critic, output(v) = f'(u). formula: of f, as text.
    """

    formula: str
    f: Function
    slope: Function
    conjugate: Function
    exact: Callable[[Tensor, Tensor], Tensor]
    output: Function
    best_number: Function
    domain: tuple[float, float]

    def best(self, p: Tensor, q: Tensor) -> Tensor:
        """T* = f'(p / q), where both are more than 0."""
        return self.slope(p / q)

    def bound(self, t: Tensor, p: Tensor, q: Tensor) -> Tensor:
        """sum p T - q f*(T): at most D_f(p || q), for any T of the domain."""
        return (p * t - q * self.conjugate(t)).sum(-1)


_INF = math.inf


def _log_mean(u: Tensor) -> Tensor:
    return ((1 + u) / 2).log()


FDIVERGENCES: Mapping[str, FDivergence] = {
    "kl": FDivergence(
        "u log u",
        f=lambda u: u * u.log(),
        slope=lambda u: 1 + u.log(),
        conjugate=lambda t: (t - 1).exp(),
        exact=divergence.kl,
        output=lambda v: v,
        best_number=lambda u: 1 + u.log(),
        domain=(-_INF, _INF),
    ),
    "reverse_kl": FDivergence(
        "-log u",
        f=lambda u: -u.log(),
        slope=lambda u: -1 / u,
        conjugate=lambda t: -1 - (-t).log(),
        exact=lambda p, q: divergence.kl(q, p),
        output=lambda v: -(-v).exp(),
        best_number=lambda u: u.log(),
        domain=(-_INF, 0.0),
    ),
    "pearson": FDivergence(
        "(u - 1)^2",
        f=lambda u: (u - 1).square(),
        slope=lambda u: 2 * (u - 1),
        conjugate=lambda t: (1 + t / 2).clamp(min=0).square() - 1,  # below -2 the largest is at u = 0
        exact=divergence.pearson,
        output=lambda v: v,
        best_number=lambda u: 2 * (u - 1),
        domain=(-_INF, _INF),
    ),
    "hellinger": FDivergence(
        "(sqrt u - 1)^2",
        f=lambda u: (u.sqrt() - 1).square(),
        slope=lambda u: 1 - u.rsqrt(),
        conjugate=lambda t: t / (1 - t),
        exact=divergence.squared_hellinger,
        output=lambda v: 1 - (-v).exp(),
        best_number=lambda u: u.log() / 2,
        domain=(-_INF, 1.0),
    ),
    "js": FDivergence(
        "u log u - (u + 1) log((u + 1) / 2)",
        f=lambda u: u * u.log() - (u + 1) * _log_mean(u),
        slope=lambda u: u.log() - _log_mean(u),
        conjugate=lambda t: -(2 - t.exp()).log(),
        exact=lambda p, q: 2 * divergence.js(p, q),
        output=lambda v: math.log(2) - softplus(-v),
        best_number=lambda u: u.log(),
        domain=(-_INF, math.log(2)),
    ),
    "total_variation": FDivergence(
        "|u - 1| / 2",
        f=lambda u: (u - 1).abs() / 2,
        slope=lambda u: (u - 1).sign() / 2,
        conjugate=lambda t: t,  # -1/2 for t < -1/2, infinite above 1/2
        exact=divergence.total_variation,
        output=lambda v: v.tanh() / 2,
        best_number=lambda u: (u - 1).sign().atanh(),  # without end
        domain=(-0.5, 0.5),
    ),
    "gan": FDivergence(
        "u log u - (u + 1) log(u + 1)",
        f=lambda u: u * u.log() - (u + 1) * (u + 1).log(),
        slope=lambda u: u.log() - (u + 1).log(),
        conjugate=lambda t: -(-t.expm1()).log(),
        exact=lambda p, q: 2 * divergence.js(p, q) - math.log(4),
        output=lambda v: -softplus(-v),
        best_number=lambda u: u.log(),
        domain=(-_INF, 0.0),
    ),
}
"""By name. "js" is the paper's, twice the usual Jensen-Shannon divergence; "gan" is 2 JSD - log 4, so that f(1) = -log 4."""
