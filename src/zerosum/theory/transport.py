"""Wasserstein-1 on the line in closed form, and what a critic with a gradient penalty makes of it.

W1(p, q) = max over f with |f'| <= 1 of E_p f - E_q f. On the line it is the area between the distribution functions.
Villani 2009, theorem 5.10 and remark 2.19.
"""

from __future__ import annotations

import math


def w1_normal(mean: float, deviation: float, other_mean: float, other_deviation: float) -> float:
    """W1 between two normal distributions: E |m + s z| with z normal, m and s the differences of means and deviations."""
    m, s = mean - other_mean, abs(deviation - other_deviation)
    if s == 0:
        return abs(m)
    inside = math.erf(m / (s * math.sqrt(2)))
    return s * math.sqrt(2 / math.pi) * math.exp(-0.5 * (m / s) ** 2) + m * inside


def penalised_value(distance: float, weight: float, wrong_way: bool = False) -> float:
    """E_p f - E_q f of the straight critic between two points, under weight * (|f'| - 1)^2.

    Of slope s against the way it is s * distance, least loss at s = 1 + distance / (2 weight): an overestimate. The penalty
    is as content with the slope -1: up to weights above distance / 2 there is another minimum, s = -1 + distance / (2
    weight), where a critic that begins the wrong way stays.
    """
    slope = (-1.0 if wrong_way else 1.0) + distance / (2 * weight)
    return slope * distance
