"""Findings about a game: rules over its numbers, each with evidence and advice; and the stages of a step.

Rules that are also health checks of a run use the same bounds (`training/diagnostics.py`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zerosum.training.diagnostics import (
    COLLAPSED,
    EXCESS,
    SURE,
    SWING,
    THIN,
    Finding,
    beat_of,
    gradient_excess,
    missing_level,
    spread_level,
)

LOG_4 = math.log(4)
CHECKS_IN_A_ROW = 8
"""Frames over which the median of a number is taken, so that one noisy frame triggers no rule."""
EVEN = 0.1
"""Difference of D's mean outputs on reals and fakes below which D does not separate them."""
FAR, NEAR = 20.0, 6.0
"""Distance of D from the best D in per cent: above the first D is far from optimal, below the second close to it."""
APART, TOGETHER = 0.1, 0.02
"""JSD in nats (at most 0.693): above the first a good D could separate reals and fakes, below the second hardly."""
FAINT = 0.05
"""Mean slope of G's loss below which G learns almost nothing from D."""
EARLY = 300
"""Steps during which a generator far from the data is normal."""
LEVELS = ("alarm", "warning", "info", "ok")
MOST = 5
Points = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class GameFacts:
    """Properties of a game that the rules need. deviation: standard deviation of the data."""

    loss: str
    penalty: str
    deviation: float = 1.0


def examine(points: Points, facts: GameFacts) -> list[Finding]:
    """At most five findings about the last of these points of a history, the most serious first; none before the first step."""
    if not points or points[-1]["step"] == 0:
        return []
    found = [finding for rule in RULES for finding in rule(points, facts)]
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))[:MOST]


def _median(points: Points, key: str, looks: int = CHECKS_IN_A_ROW) -> float | None:
    """The median of a number over the last points; None when it was not measured."""
    values = [point[key] for point in points[-looks:] if point.get(key) is not None]
    return statistics.median(values) if values else None


def _newest(points: Points, key: str) -> float | None:
    """The newest measurement of a number; None when there is none."""
    return next((point[key] for point in reversed(points) if point.get(key) is not None), None)


# --- the rules


def strength(points: Points, facts: GameFacts) -> Iterator[Finding]:
    """D is nearly always right, and G's gradient may have vanished."""
    accuracy, slope, on_fake = (_median(points, key) for key in ("accuracy/fake", "slope", "D(G(z))"))
    if accuracy is None or slope is None or on_fake is None:
        return
    if slope < FAINT and accuracy > 0.9:
        yield Finding(
            "alarm",
            "Vanished gradient",
            "G's gradient has vanished: D is certain about the fakes, and G's loss is flat there.",
            f"mean slope of G's loss at the fakes {slope:.2g} (at most 1; faint below {FAINT}), D(G(z)) {on_fake:.2g}",
            "Use the non_saturating loss: it is steep where D is certain. Or weaken D: a lower lr_d, a penalty."
            if facts.loss in ("minimax", "fgan_gan")
            else "Weaken D: a lower lr_d, fewer moves k, a penalty such as R1; or start a new game.",
        )
    elif accuracy >= SURE:
        more = "more weight for the penalty" if facts.penalty != "none" else "a penalty such as R1"
        yield Finding(
            "warning",
            "Overpowering discriminator",
            "D is too strong: it classifies nearly every fake as fake, so G gets little information.",
            f"D classifies {accuracy:.1%} of the fakes as fake (too strong from {SURE:.0%} on), D(G(z)) {on_fake:.2g}",
            f"Try {more}, a lower lr_d, or fewer moves k. Early on, while G is far from the data, this is normal.",
        )


def optimality(points: Points, facts: GameFacts) -> Iterator[Finding]:
    """The distance of D from the best D, and whether D is weak."""
    gap, js = _newest(points, "gap"), _newest(points, "js")
    if gap is None or js is None:
        return
    on_real, on_fake = _median(points, "D(x)") or 0.5, _median(points, "D(G(z))") or 0.5
    if gap > FAR and js > APART and abs(on_real - on_fake) < EVEN:
        yield Finding(
            "warning",
            "Weak discriminator",
            "D is too weak: it hardly separates reals from fakes, although they differ.",
            f"mean D of reals {on_real:.2f}, of fakes {on_fake:.2f}, at a JSD of {js:.2f}; the best D is {gap:.0f}% away",
            "Give D more moves (k), a higher lr_d, more width, or less weight of the penalty.",
        )
    elif gap > FAR:
        yield Finding(
            "info",
            "Discriminator far from optimal",
            "D is far from optimal, so G does not yet get the true difference of the densities.",
            f"D is {gap:.0f}% away from the best D against this G (far above {FAR:.0f}%)",
            "Make some moves of D alone to see D approach D*; or raise k.",
        )
    elif gap < NEAR and js > TOGETHER:
        yield Finding(
            "ok",
            "Discriminator close to optimal",
            "D is close to optimal: its output is the true probability that a point is real.",
            f"{gap:.1f}% away from the best D against this G",
        )


def modes(points: Points, facts: GameFacts) -> Iterator[Finding]:
    """Modes that are missing, and modes that were covered before and are lost."""
    total, found = points[-1].get("num_modes"), _median(points, "modes", 3)
    if not total or total < 2 or found is None:
        return
    best = max(points, key=lambda point: point.get("modes") or 0)
    lost = (best.get("modes") or 0) - found if (best.get("modes") or 0) >= 2 else 0  # a single mode is not stable
    counted = f"modes found {found:.0f} of {total:.0f}"
    if found >= total:
        yield Finding("ok", "All modes", f"All {total:.0f} modes are covered.", counted)
        return
    collapsed = missing_level(found, total) == "alarm"
    if collapsed:
        yield Finding(
            "info" if points[-1]["step"] < EARLY else "alarm",
            "Mode collapse",
            f"Mode collapse: G makes {found:.0f} of {total:.0f} modes."
            if found
            else "G has not reached any mode of the data yet.",
            f"modes with at least a tenth of their share of the points: {found:.0f} of {total:.0f}",
            "Early on this is normal. If it persists: add R1 and R2, lower both rates, or use a relativistic loss.",
        )
    if lost >= 1:
        words = "A mode was" if lost < 2 else f"{lost:.0f} modes were"
        yield Finding(
            "warning",
            "Lost modes",
            f"{words} lost since step {best['step']:,}.",
            f"modes found: {best['modes']:.0f} of {total:.0f} at step {best['step']:,}, {found:.0f} now",
            "If modes come and go, the rates are too high: lower lr_g, or strengthen the penalty.",
        )
    if not collapsed and lost < 1:
        yield Finding("info", "Missing modes", f"G makes {found:.0f} of {total:.0f} modes.", counted)


def spread(points: Points, facts: GameFacts) -> Iterator[Finding]:
    """Fakes that are all at one position, or far from the data."""
    value = _median(points, "spread")
    if value is None:
        return
    level, seen = (
        spread_level(value / facts.deviation),
        f"deviation of the fakes {value:.3g}, of the data {facts.deviation:.2f}",
    )
    if level != "ok" and points[-1]["step"] < EARLY:
        yield Finding("info", "Low spread", "At the start of training the fakes are still close together.", seen)
    elif level != "ok":
        yield Finding(
            level,
            "Low spread",
            "All fakes are close together: G ignores its noise."
            if level == "alarm"
            else "The fakes are closer together than the data.",
            f"{seen} (warning below {THIN} of it, alarm below {COLLAPSED})",
            "Add R1 and R2, lower lr_g, or start a new game with another seed.",
        )
    elif value > 5 * facts.deviation:
        yield Finding(
            "alarm",
            "Divergence",
            "The game diverges: the fakes are far from the data.",
            seen,
            "Rewind, lower both rates, and add a penalty such as R1.",
        )


def divergence(points: Points, facts: GameFacts) -> Iterator[Finding]:
    """Gradients far above their usual size."""
    for key, name in (("d_gradient_norm", "D"), ("g_gradient_norm", "G")):
        values = [point[key] for point in points if point.get(key) is not None]
        excess = gradient_excess(values)
        if excess is not None and excess > EXCESS:
            yield Finding(
                "alarm",
                "Exploding gradient",
                f"{name}'s gradient explodes.",
                f"gradient norm {values[-1]:.3g}, recently {excess:.3g} times the usual (alarm above {EXCESS:.0f})",
                f"Rewind and lower lr_{name.lower()}; a penalty on D keeps its gradients small.",
            )
            return


def oscillation(points: Points, facts: GameFacts) -> Iterator[Finding]:
    """The mean of the fakes oscillates periodically."""
    for key in ("mean_x", "mean_y"):
        seen = [(point["step"], point[key]) for point in points if point.get(key) is not None][-120:]
        lag, peak, swing = beat_of([value for _, value in seen]) or (0, 0.0, 0.0)
        if lag and swing >= SWING * facts.deviation:
            steps = lag * (seen[-1][0] - seen[0][0]) / (len(seen) - 1)
            yield Finding(
                "warning",
                "Oscillation",
                "The game oscillates: the fakes move back and forth and do not settle.",
                f"the mean of the fakes repeats about every {steps:.0f} steps, by +-{swing:.2f} (autocorrelation {peak:.2f}, "
                "oscillation above 0.5)",
                "Damp it: a penalty such as R1, or more weight of it; lower rates; with Adam a beta1 of 0.",
            )
            return


def equilibrium(points: Points, facts: GameFacts) -> Iterator[Finding]:
    """V near -log 4 because G matches the data, not because D is weak."""
    js, gap, value = (_newest(points, key) for key in ("js", "gap", "V"))
    if js is None or js > TOGETHER or (value is not None and abs(value + LOG_4) > 0.1):
        return
    at_half = f", V {value:.3f} (-log 4 is {-LOG_4:.3f})" if value is not None else ""
    yield Finding(
        "ok",
        "Equilibrium",
        "Equilibrium: the fakes have the distribution of the data, and the best D is 1/2.",
        f"JSD {js:.3f}{at_half}" + (f", D {gap:.1f}% away from D*" if gap is not None else ""),
    )


def movement(points: Points, facts: GameFacts) -> Iterator[Finding]:
    """Whether G changes at all."""
    moved, js = _median(points, "moved"), _newest(points, "js")
    if moved is None:
        return
    share, evidence = moved / facts.deviation, f"a fake of fixed noise moves by {moved:.2g} per step"
    if share >= 2e-4:
        yield Finding("info", "Movement", "G moves." if share >= 2e-3 else "G moves slowly.", evidence)
        return
    arrived = js is not None and js < 2 * TOGETHER
    yield Finding(
        "info" if arrived else "warning",
        "Movement",
        "G does not move.",
        f"{evidence} (threshold {2e-4 * facts.deviation:.1g})",
        "" if arrived else "Raise lr_g, or see the other findings for the reason.",
    )


RULES: tuple[Callable[[Points, GameFacts], Iterator[Finding]], ...] = (
    *(divergence, strength, spread, modes),
    *(oscillation, optimality, equilibrium, movement),
)


# --- the stages of a step, for slow motion

STAGES = {
    "discriminator": {
        "Noise": "Numbers z are drawn at random. Each fake is made from one such z.",
        "Fakes": "The generator G turns each z into a point G(z). G is frozen in this move: it makes fakes and does not learn.",
        "Scores": "The discriminator D gives each real point and each fake a number D between 0 (fake) and 1 (real).",
        "Loss": "Real points should get 1 and fakes 0. D's loss measures the distance from that; it is smallest for the D that "
        "separates the two best.",
        "Update": "The gradient of the loss flows back through D, every weight of D takes a small step downhill, and the "
        "map of D changes. G has not moved. The best possible D against this G is p / (p + q).",
    },
    "generator": {
        "Noise": "New numbers z are drawn. The real data are not needed: G learns only from D's output on the fakes.",
        "Fakes": "G turns each z into a point G(z). This time the computation is recorded, so that G's weights get a gradient.",
        "Scores": "D scores the fakes. D is frozen in this move, but the gradient flows through it to G.",
        "Loss": "Now the fakes are labelled 1: G's loss is small when D scores its fakes as real. The arrows show the "
        "direction in which each fake would have to move for that.",
        "Update": "The gradient flows back through D to each fake and on into G, whose weights take a small step. All fakes move "
        "a little along the arrows. D has not moved: it learns in the next move.",
    },
}
"""Player -> title -> text, as the page shows them."""
