"""What is happening in the game of two numbers: it closes in, goes round or flies apart, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from zerosum.lab.explanations import Explanation
from zerosum.lab.settings import Settings

REST = 0.01
"""Distance from the equilibrium at which the game has arrived."""
TREND = 0.001
"""Change of the distance a step, relative, below which a game goes round."""


def examine(path: Sequence[Sequence[float]], settings: Settings, portrait: Mapping[str, Any]) -> list[Explanation]:
    """Sentences about a path of (theta, psi), the start first; none before the first step."""
    if len(path) < 2:
        return []
    return [*_motion(path, settings), *_theory(settings, portrait)]


def rate_of(path: Sequence[Sequence[float]], looks: int = 120) -> float:
    """The mean relative growth of the distance from (0, 0) a step, over the last steps: by a line through its logarithm."""
    logs = [math.log(math.hypot(*place) + 1e-30) for place in path[-looks:]]
    middle, centre = (len(logs) - 1) / 2, sum(logs) / len(logs)
    slope = sum((i - middle) * (value - centre) for i, value in enumerate(logs))
    return slope / sum((i - middle) ** 2 for i in range(len(logs)))


def _motion(path: Sequence[Sequence[float]], settings: Settings) -> list[Explanation]:
    distance, rate = math.hypot(*path[-1]), rate_of(path)
    evidence = f"distance from (0, 0): {math.hypot(*path[0]):.3g} at the start, {distance:.3g} now"
    if distance < REST:
        return [Explanation("ok", "The game has come to rest at the equilibrium: the fake lies on the data.", evidence)]
    calm = "Give D a penalty: R1 pulls psi towards 0 and damps the turning."
    if rate > TREND:
        other = (
            " Or let the players take turns: alternating steps do not spiral outwards." if settings.simultaneous else ""
        )
        text = "The game spirals outwards: each player answers to where the other was."
        return [Explanation("alarm", text, f"{evidence}; {rate:+.2%} a step", calm + other)]
    if rate < -TREND:
        half = math.log(0.5) / rate
        return [
            Explanation("ok", "The game spirals in.", f"{evidence}; {rate:+.2%} a step, halved in {half:.0f} steps")
        ]
    if settings.penalty == "none":
        return [
            Explanation("warning", "The game goes round and does not arrive.", f"{evidence}; {rate:+.2%} a step", calm)
        ]
    advice = "Change its weight: too little does not damp, too much makes psi creep."
    return [Explanation("info", "The game hardly comes closer.", f"{evidence}; {rate:+.2%} a step", advice)]


def _theory(settings: Settings, portrait: Mapping[str, Any]) -> list[Explanation]:
    radius = portrait["radius"]
    if radius["theory"] is None:
        text = "For this penalty there is no linear theory: it pulls D's slope to 1, away from the equilibrium."
        return [Explanation("info", text, f"penalty {settings.penalty}", "Try r1, r2 or zero_centred.")]
    says = "below 1: it must arrive" if radius["theory"] < 1 - 1e-9 else "above 1: it must leave"
    if abs(radius["theory"] - 1) <= 1e-9:
        says = "exactly 1: near the equilibrium it can only go round"
    evidence = f"spectral radius of a step {radius['theory']:.5f}, measured on the engine {radius['engine']:.5f}"
    return [Explanation("info", f"The linear theory says: {says}.", evidence)]
