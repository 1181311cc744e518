"""What is happening, in sentences: plain rules over the numbers of a game, each with its evidence and what to try.

Where the health of a run has a rule for the same thing, it is the same rule with the same bounds (`training/diagnostics.py`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zerosum.training.diagnostics import COLLAPSED, EXCESS, SURE, SWING, THIN, missing_level, spread_level
from zerosum.training.oscillation import beat_of
from zerosum.training.rollback import gradient_excess

LOG_4 = math.log(4)
LOOKS = 8
"""Frames over which a number must have held (its median counts), so that one noisy look raises no sentence."""
EVEN = 0.1
"""D tells nothing apart below this difference of its mean verdicts."""
FAR, NEAR = 20.0, 6.0
"""Per cent away from the best D: above, D lags behind; below, it is as good as optimal."""
APART, TOGETHER = 0.1, 0.02
"""JSD in nats (at most 0.693): above, a good D could tell reals from fakes; below, hardly."""
FAINT = 0.05
"""Slope of G's loss below which almost nothing of D's verdict reaches G."""
EARLY = 300
"""Steps in which a generator that has not reached the data is no cause for alarm."""
LEVELS = ("alarm", "warning", "info", "ok")
MOST = 5
Points = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Explanation:
    """level: ok, info, warning or alarm. evidence: the number behind the text. advice: what to try, may be empty."""

    level: str
    text: str
    evidence: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Facts:
    """What the rules must know of a game beside its numbers. deviation: of the data."""

    loss: str
    penalty: str
    deviation: float = 1.0


def examine(points: Points, facts: Facts) -> list[Explanation]:
    """At most five sentences about the last of these points of a history, the gravest first; none before the first step."""
    if not points or points[-1]["step"] == 0:
        return []
    found = [sentence for rule in RULES for sentence in rule(points, facts)]
    return sorted(found, key=lambda sentence: LEVELS.index(sentence.level))[:MOST]


def _lately(points: Points, key: str, looks: int = LOOKS) -> float | None:
    """The median of the last looks at a number; None when there were none."""
    values = [point[key] for point in points[-looks:] if point.get(key) is not None]
    return statistics.median(values) if values else None


def _newest(points: Points, key: str) -> float | None:
    """The newest measurement of a number; None when there is none."""
    return next((point[key] for point in reversed(points) if point.get(key) is not None), None)


# --- the rules


def strength(points: Points, facts: Facts) -> list[Explanation]:
    """D wins nearly always, and whether G still hears anything of it."""
    accuracy, slope, on_fake = (_lately(points, key) for key in ("accuracy/fake", "slope", "D(G(z))"))
    if accuracy is None or slope is None or on_fake is None:
        return []
    if slope < FAINT and accuracy > 0.9:
        return [
            Explanation(
                "alarm",
                "G's gradient has vanished: D is sure of the fakes, and there G's loss is flat.",
                f"mean slope of G's loss at the fakes {slope:.2g} (of at most 1; faint below {FAINT}), D(G(z)) {on_fake:.2g}",
                "Take the non_saturating loss: it is steep just where D is sure. Or make D weaker: a lower lr_d, a penalty."
                if facts.loss in ("minimax", "fgan_gan")
                else "Make D weaker: a lower lr_d, fewer moves k, a penalty such as R1; or begin anew.",
            )
        ]
    if accuracy < SURE:
        return []
    more = "more weight for the penalty" if facts.penalty != "none" else "a penalty such as R1"
    return [
        Explanation(
            "warning",
            "D is too strong: it calls nearly every fake fake, so G is hardly told which way is better.",
            f"D calls {accuracy:.1%} of the fakes fake (too strong from {SURE:.0%} on), D(G(z)) {on_fake:.2g}",
            f"Try {more}, a lower lr_d, or fewer moves k. Early on, while G is far off, this is normal.",
        )
    ]


def optimality(points: Points, facts: Facts) -> list[Explanation]:
    """How far D is from the best D there is, and whether it lags because it is weak."""
    gap, js = _newest(points, "gap"), _newest(points, "js")
    if gap is None or js is None:
        return []
    on_real, on_fake = _lately(points, "D(x)") or 0.5, _lately(points, "D(G(z))") or 0.5
    if gap > FAR and js > APART and abs(on_real - on_fake) < EVEN:
        return [
            Explanation(
                "warning",
                "D is too weak: it hardly tells reals from fakes, although they differ.",
                f"D says {on_real:.2f} to reals and {on_fake:.2f} to fakes, at a JSD of {js:.2f}; the best D is {gap:.0f}% away",
                "Give D more moves (k) or a higher lr_d, more width, or less weight of the penalty.",
            )
        ]
    if gap > FAR:
        return [
            Explanation(
                "info",
                "D is far from optimal: what it tells G is not yet the true difference.",
                f"D is {gap:.0f}% away from the best D against this G (far above {FAR:.0f}%)",
                "Pause G and make some D moves to see D reach D*; or raise k.",
            )
        ]
    if gap < NEAR and js > TOGETHER:
        return [
            Explanation(
                "ok",
                "D is close to optimal: its verdict is the true odds of real against made.",
                f"{gap:.1f}% away from the best D against this G",
            )
        ]
    return []


def modes(points: Points, facts: Facts) -> list[Explanation]:
    """Modes missing, and modes lost that were there before."""
    total, found = points[-1].get("num_modes"), _lately(points, "modes", 3)
    if not total or total < 2 or found is None:
        return []
    best = max(points, key=lambda point: point.get("modes") or 0)
    lost = (best.get("modes") or 0) - found if (best.get("modes") or 0) >= 2 else 0  # a first mode comes and goes
    if found >= total:
        return [Explanation("ok", f"All {total:.0f} modes are covered.", f"modes found {found:.0f} of {total:.0f}")]
    sentences = []
    if missing_level(found, total) == "alarm":
        sentences.append(
            Explanation(
                "info" if points[-1]["step"] < EARLY else "alarm",
                f"Mode collapse: G makes {found:.0f} of {total:.0f} modes."
                if found
                else "G has not reached any mode of the data yet.",
                f"modes with a tenth of their share of the points: {found:.0f} of {total:.0f}",
                "Early on this is normal. If it stays: add R1 and R2, lower both rates, or take a relativistic loss.",
            )
        )
    if lost >= 1:
        text = f"{'A mode was' if lost < 2 else f'{lost:.0f} modes were'} dropped"
        sentences.append(
            Explanation(
                "warning",
                f"{text} since step {best['step']:,}.",
                f"modes found: {best['modes']:.0f} of {total:.0f} at step {best['step']:,}, {found:.0f} now",
                "If modes come and go, the rates are too high: lower lr_g, or strengthen the penalty.",
            )
        )
    if not sentences:
        text = f"G makes {found:.0f} of {total:.0f} modes."
        sentences.append(Explanation("info", text, f"modes found {found:.0f} of {total:.0f}"))
    return sentences


def spread(points: Points, facts: Facts) -> list[Explanation]:
    """All fakes in one place, or far out."""
    value = _lately(points, "spread")
    if value is None:
        return []
    ratio = value / facts.deviation
    level = spread_level(ratio)
    if level != "ok" and points[-1]["step"] < EARLY:
        text = "G has only begun: its fakes still lie close together."
        return [Explanation("info", text, f"deviation of the fakes {value:.2f}, of the data {facts.deviation:.2f}")]
    if level != "ok":
        return [
            Explanation(
                level,
                "All fakes lie close together: G ignores its noise."
                if level == "alarm"
                else "The fakes lie closer together than the data.",
                f"deviation of the fakes {value:.2f}, of the data {facts.deviation:.2f} (warning below {THIN} of it, alarm below "
                f"{COLLAPSED})",
                "Add R1 and R2, lower lr_g, or begin anew with another seed.",
            )
        ]
    if ratio > 5:
        return [
            Explanation(
                "alarm",
                "The game diverges: fakes fly far away from the data.",
                f"deviation of the fakes {value:.3g}, of the data {facts.deviation:.2f}",
                "Rewind, lower both rates, and add a penalty such as R1.",
            )
        ]
    return []


def divergence(points: Points, facts: Facts) -> list[Explanation]:
    """Gradients that have risen far above what was usual."""
    for key, name in (("d_gradient_norm", "D"), ("g_gradient_norm", "G")):
        values = [point[key] for point in points if point.get(key) is not None]
        excess = gradient_excess(values)
        if excess is not None and excess > EXCESS:
            return [
                Explanation(
                    "alarm",
                    f"{name}'s gradient explodes.",
                    f"gradient norm {values[-1]:.3g}, for some looks {excess:.3g} times the usual (alarm above {EXCESS:.0f})",
                    f"Rewind and lower lr_{name.lower()}; a penalty on D keeps its gradients small.",
                )
            ]
    return []


def oscillation(points: Points, facts: Facts) -> list[Explanation]:
    """The fakes' mean swings back and forth at a steady beat."""
    for key in ("mean_x", "mean_y"):
        seen = [(point["step"], point[key]) for point in points if point.get(key) is not None][-120:]
        beat = beat_of([value for _, value in seen])
        if beat is None:
            continue
        lag, peak, swing = beat
        if swing < SWING * facts.deviation:
            continue
        steps = lag * (seen[-1][0] - seen[0][0]) / (len(seen) - 1)
        return [
            Explanation(
                "warning",
                "The game oscillates: the fakes swing to and fro instead of settling.",
                f"the mean of the fakes repeats every {steps:.0f} steps or so, by +-{swing:.2f} (autocorrelation {peak:.2f}, "
                "oscillation above 0.5)",
                "Damp it: a penalty such as R1, or more of it; lower rates; with Adam a beta1 of 0.",
            )
        ]
    return []


def equilibrium(points: Points, facts: Facts) -> list[Explanation]:
    """V near -log 4 because G makes what the data are, not because D is weak."""
    js, gap, value = (_newest(points, key) for key in ("js", "gap", "V"))
    if js is None or js > TOGETHER:
        return []
    at_half = f", V {value:.3f} (-log 4 is {-LOG_4:.3f})" if value is not None else ""
    if value is not None and abs(value + LOG_4) > 0.1:
        return []
    return [
        Explanation(
            "ok",
            "Equilibrium: G makes what the data are, and D can do no better than 1/2.",
            f"JSD {js:.3f}{at_half}" + (f", D {gap:.1f}% away from D*" if gap is not None else ""),
        )
    ]


def movement(points: Points, facts: Facts) -> list[Explanation]:
    """Whether G learns at all."""
    moved, js = _lately(points, "moved"), _newest(points, "js")
    if moved is None:
        return []
    share = moved / facts.deviation
    if share >= 2e-4:
        text = "G is on the move." if share >= 2e-3 else "G moves slowly."
        return [Explanation("info", text, f"a fake of fixed noise moves by {moved:.2g} a step")]
    return [
        Explanation(
            "info" if js is not None and js < 2 * TOGETHER else "warning",
            "G stands still.",
            f"a fake of fixed noise moves by {moved:.2g} a step (standing below {2e-4 * facts.deviation:.1g})",
            "" if js is not None and js < 2 * TOGETHER else "Raise lr_g, or see above what keeps G from learning.",
        )
    ]


RULES: tuple[Callable[[Points, Facts], list[Explanation]], ...] = (
    divergence,
    strength,
    spread,
    modes,
    oscillation,
    optimality,
    equilibrium,
    movement,
)
