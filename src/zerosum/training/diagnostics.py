"""Diagnostics of a training: rules over logged numbers. Each finding has its evidence and an advice.

`examine` applies the rules to the numbers of one boundary, `swing_of` and `beat_of` analyse a series, and RunMonitor follows a
run: it keeps the numbers of earlier boundaries and reports each kind of problem once.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zerosum.engine.game import Game
from zerosum.planning import trial_step
from zerosum.recipe import Recipe

COLLAPSED, THIN = 0.5, 0.75
"""Diversity of the fakes as a share of the reals': below the first is an alarm, below the second a warning."""
SURE = 0.95
"""Share of the fakes that are called fake from which on the discriminator leaves the generator little to learn from."""
FEW = 0.6
"""Part of the modes or classes below which those missing are an alarm."""
GAP_WARNING, GAP_ALARM = 0.5, 0.85
"""Share of the distance from train reals to fakes that lies between train and held-out reals; 1 is pure memory."""
EXCESS, GROWTH = 20.0, 30.0
"""A gradient that stays so many times above its running median, or above its median at the beginning, may leave the numbers."""
SWING = 0.15
"""Amplitude of D(G(z)), or in the lab of the fakes' mean in deviations of the data, from which on a game oscillates."""
CHECKS_IN_A_ROW = 3
"""Consecutive checks in which a noisy number must be beyond its bound."""
MEMORISED = 0.001
"""P-value below which the nearest reals of the fakes show memorisation. Null hypothesis: the generator is as near to training as
to held-out rows."""
EARLY = "Early on this is normal. If it stays: "
LEAST_NUMBERS = 24
"""Least number of values of a series that is analysed."""
LEAST_TURNS = 4
"""Least number of reversals of a series that oscillates."""
TROUBLE = ("alarm", "warning")
VERDICT_WINDOW = 60
"""Log lines over which the discriminator's outputs on the fakes are analysed."""
QUIET = 4
"""Nothing is reported in the first 1/QUIET of a run: numbers that are alarming later are normal there."""
EARLIEST = 200
"""Samples before this step are never judged, however short the run is: the generator is not trained yet."""

GRADIENT_WINDOW, GRADIENT_PATIENCE, GRADIENT_LEAST = 50, 5, 10
"""Log lines over which a gradient's median is taken, that must lie above it in a row, and that must be there to compare with."""


@dataclass(frozen=True)
class Finding:
    """One statement about the health of a run. level: alarm, warning, ok, or none where nothing could be judged."""

    level: str
    title: str
    sentence: str
    evidence: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """Plain values for the log."""
        return asdict(self)

    def describe(self) -> str:
        """The text that is printed during training."""
        return (
            f"{self.level.capitalize()}, {self.title.lower()}: {self.sentence}\n    {self.evidence}\n    {self.advice}"
        )


def examine(
    now: Mapping[str, float], history: Sequence[Mapping[str, float]] = (), augment: str | None = None
) -> list[Finding]:
    """Findings from the health numbers of this boundary and of the earlier ones. augment: the kind that is at work.

    Read, where present: diversity, classes_found, num_classes, modes_found, num_modes, accuracy/real, accuracy/fake,
    heldout_gap, contrast, swing, gradient_excess/<player>, gradient_growth/<player>.
    """
    recent = [*history[1 - CHECKS_IN_A_ROW :], now]
    found = [
        *_diversity(recent),
        *_missing_parts(recent, "classes", "Classes that a classifier sees among the fakes", "train with labels"),
        *_missing_parts(
            recent,
            "modes",
            "Modes with at least a tenth of their share of the fakes",
            "pair reals with fakes (--set loss=relativistic), train longer",
        ),
        *_discriminator_strength(recent),
        *_overfitting(recent, augment),
        *_contrast(now),
        *_oscillation(now),
        *_gradients(now),
    ]
    return found or [_healthy(recent)]


def examine_records(records: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Findings from the records of an evaluation (plain values); none where they show no problem.

    They make the findings of a report agree with its metrics.
    """
    sure = [record for record in records if not record.get("protocol", {}).get("cannot_judge")]
    named = {str(record["name"]).partition("[")[0]: record for record in reversed(sure)}
    values = {name: float(record["value"]) for name, record in named.items() if record.get("value") is not None}
    found = []
    if "discriminator_fakes" in values:
        on_reals = named.get("discriminator_heldout", {}).get("reference") or values.get("discriminator_train")
        found += _overpowering(values["discriminator_fakes"], "in the evaluation", on_reals)
    for name in ("classes", "modes"):
        wanted = named.get(f"{name}_found", {}).get("reference")
        if f"{name}_found" in values and wanted:
            numbers = {f"{name}_found": values[f"{name}_found"], f"num_{name}": float(wanted)}
            found += _missing_parts([numbers], name, f"{name.capitalize()} found in the evaluation", "train longer")
    chance = values.get("nearest_in_train_p")
    if chance is not None and chance < MEMORISED:
        evidence = f"chance of so many if the generator favoured neither set = {chance:.2g} (alarm below {MEMORISED})"
        found.append(_memorised("More of the fakes' nearest reals are training rows than chance allows.", evidence))
    return found


def missing_level(found: float, wanted: float) -> str:
    """alarm, warning or ok for `found` of `wanted` modes or classes."""
    return "ok" if found >= wanted else "alarm" if found < FEW * wanted else "warning"


def spread_level(ratio: float) -> str:
    """alarm, warning or ok for the mean distance between fakes as a share of that between reals."""
    return "alarm" if ratio < COLLAPSED else "warning" if ratio < THIN else "ok"


def _healthy(recent: Sequence[Mapping[str, float]]) -> Finding:
    """A finding that lists the checks that were made and passed."""
    now, passed = recent[-1], []
    if "diversity" in now:
        passed.append("the fakes are varied")
    passed += [
        f"all {now[f'num_{what}']:.0f} {what} are there" for what in ("classes", "modes") if f"num_{what}" in now
    ]
    if _least_recent(recent, "accuracy/fake") is not None:
        passed.append("the discriminator does not win")
    if _least_recent(recent, "heldout_gap") is not None:
        passed.append("it does not memorise")
    names = {
        "diversity": "diversity",
        "accuracy/real": "accuracy on reals",
        "accuracy/fake": "on fakes",
        "heldout_gap": "held-out gap",
    }
    evidence = ", ".join(f"{text} {now[name]:.2f}" for name, text in names.items() if name in now)
    if not passed:
        return Finding("none", "Not judged", "Too little has been measured yet to say how the game goes.", evidence)
    sentence = ", ".join(passed[:-1]) + (" and " if len(passed) > 1 else "") + passed[-1]
    return Finding("ok", "Healthy", f"{sentence[0].upper()}{sentence[1:]}.", evidence)


def _least_recent(recent: Sequence[Mapping[str, float]], name: str) -> float | None:
    """The least value of the last checks, so that one noisy boundary raises no alarm; None while there are too few."""
    values = [float(x[name]) for x in recent if name in x]
    return min(values) if len(values) >= CHECKS_IN_A_ROW else None


def _diversity(recent: Sequence[Mapping[str, float]]) -> list[Finding]:
    values = [float(x["diversity"]) for x in recent if "diversity" in x]
    if not values or spread_level(max(values)) == "ok":
        return []
    ratio = max(values)
    return [
        Finding(
            spread_level(ratio),
            "Mode collapse" if ratio < COLLAPSED else "Low diversity",
            f"Fakes differ from each other only {ratio:.0%} as much as reals do.",
            f"mean pairwise feature distance, fakes / reals = {ratio:.2f} (alarm below {COLLAPSED}, warning below {THIN})",
            f"{EARLY}lower both learning rates, strengthen R1, or add R2.",
        )
    ]


def _missing_parts(recent: Sequence[Mapping[str, float]], what: str, counted: str, advice: str) -> list[Finding]:
    """Modes or classes that the fakes lack, by the most that the recent looks have found."""
    counts, wanted = [x[f"{what}_found"] for x in recent if f"{what}_found" in x], recent[-1].get(f"num_{what}")
    if not counts or not wanted or max(counts) >= wanted:
        return []
    found = max(counts)
    return [
        Finding(
            missing_level(found, wanted),
            f"Missing {what}",
            f"The fakes show {found:.0f} of {wanted:.0f} {what} of the data.",
            f"{counted} = {found:.0f} of {wanted:.0f}",
            f"{EARLY}add R1 and R2, lower both learning rates, {advice}.",
        )
    ]


def _discriminator_strength(recent: Sequence[Mapping[str, float]]) -> list[Finding]:
    fake = _least_recent(recent, "accuracy/fake")
    return (
        []
        if fake is None
        else _overpowering(fake, "at least, in the last three looks", recent[-1].get("accuracy/real"))
    )


def _overpowering(fake: float, when: str, real: float | None = None) -> list[Finding]:
    # A discriminator that also calls most reals fake is not too strong.
    if fake < SURE or (real is not None and real < 0.5):
        return []
    also = "" if real is None else f"; reals called real {real:.2f}"
    return [
        Finding(
            "warning",
            "Overpowering discriminator",
            f"The discriminator calls {fake:.0%} of the fakes fake, so the generator learns from a faint error.",
            f"fakes called fake {fake:.3f} {when}{also} (warning from {SURE} on)",
            "Early on this is normal. If it stays: lower the discriminator's rate or width, add R1, use fewer discriminator "
            "steps; with few data an augmentation.",
        )
    ]


STRONGER = {
    None: "for images an augmentation (--set augment=shift), ",
    "shift": "a stronger augmentation (--set augment=diffaugment), ",
    "diffaugment": "an augmentation that follows the discriminator (ada with an adaptive strength: docs/augmentation.md), ",
}
"""What to try against overfitting, by the augmentation that is in use."""


def _overfitting(recent: Sequence[Mapping[str, float]], augment: str | None) -> list[Finding]:
    gap = _least_recent(recent, "heldout_gap")
    if gap is None or gap < GAP_WARNING:
        return []
    return [
        Finding(
            "alarm" if gap > GAP_ALARM else "warning",
            "Discriminator overfitting",
            "Held-out reals get scores nearer to the fakes' than to the training reals': the discriminator remembers.",
            f"(train - held-out) / (train - fake) = {gap:.2f}, three boundaries in a row (warning above {GAP_WARNING})",
            f"More data, {STRONGER.get(augment, '')}dropout, a narrower discriminator, fewer steps.",
        )
    ]


def _contrast(now: Mapping[str, float]) -> list[Finding]:
    contrast = now.get("contrast")
    if contrast is None or contrast >= 0.3:
        return []
    return [
        Finding(
            "alarm",
            "Flat samples",
            f"Fakes vary over their area only {contrast:.0%} as much as reals do.",
            f"mean standard deviation within a sample, fakes / reals = {contrast:.2f} (alarm below 0.3)",
            "A tanh output may be saturated: end the generator linearly (--set generator.output=linear).",
        )
    ]


def _oscillation(now: Mapping[str, float]) -> list[Finding]:
    swing = now.get("swing", 0.0)
    if swing < SWING:
        return []
    return [
        Finding(
            "warning",
            "Oscillation",
            "The discriminator's verdict on the fakes swings to and fro: the players chase each other.",
            f"the mean of D(G(z)) swings by +-{swing:.2f} over the last log lines (warning from {SWING} on)",
            "Damp it: R1 or more of it (and R2), lower rates or rates that fall, with Adam a beta1 of 0.",
        )
    ]


RISEN = {
    "excess": (EXCESS, "was usual", "least gradient norm of the last log lines / median before"),
    "growth": (GROWTH, "it was at the beginning", "median gradient norm of the last log lines / of the first ones"),
}


def _gradients(now: Mapping[str, float]) -> list[Finding]:
    """One finding for each player whose gradient has risen, by the rule whose bound it exceeds most."""
    worst: dict[str, tuple[float, str, float]] = {}
    for name, times in now.items():
        kind, _, player = name.removeprefix("gradient_").partition("/")
        if name.startswith("gradient_") and times > RISEN[kind][0]:
            worst[player] = max(worst.get(player, (0.0, "", 0.0)), (times / RISEN[kind][0], kind, times))
    return [
        Finding(
            "warning",
            "Growing gradients",
            f"The {player}'s gradient stays {times:,.0f} times above what {RISEN[kind][1]}: the game may diverge.",
            f"{RISEN[kind][2]} = {times:,.0f} (warning above {RISEN[kind][0]:.0f})",
            "Lower both learning rates, clip the gradient (--set learning.generator.clip_norm=1, or discriminator), or let "
            "the run go back by itself (--on-nonfinite rollback).",
        )
        for player, (_, kind, times) in worst.items()
    ]


def _memorised(sentence: str, evidence: str) -> Finding:
    return Finding(
        "alarm",
        "Copies of training rows",
        sentence,
        evidence,
        "More data, an augmentation, a smaller discriminator, fewer steps; look at the nearest training rows of the samples.",
    )


# --- a series that swings


def swing_of(values: Sequence[float], least: float) -> float | None:
    """The amplitude of a series that goes back and forth: half the median height between its reversals. None where means of
    three neighbours turn fewer than four times by twice `least`: a drift, a jump, or noise from one number to the next."""
    if len(values) < LEAST_NUMBERS:
        return None
    calm = [statistics.fmean(values[i - 1 : i + 2]) for i in range(1, len(values) - 1)]
    ends, low, high = [], calm[0], calm[0]
    rising: bool | None = None
    for value in calm:
        low, high = min(low, value), max(high, value)
        if rising is not False and high - value >= 2 * least:
            ends.append(high)
            rising, low = False, value
        elif rising is not True and value - low >= 2 * least:
            ends.append(low)
            rising, high = True, value
    if len(ends) < LEAST_TURNS:
        return None
    return statistics.median(abs(a - b) for a, b in itertools.pairwise(ends)) / 2


def _detrended(values: Sequence[float]) -> list[float]:
    num = len(values)
    middle, centre = (num - 1) / 2, statistics.fmean(values)
    slope = sum((i - middle) * (v - centre) for i, v in enumerate(values)) / sum((i - middle) ** 2 for i in range(num))
    return [v - centre - slope * (i - middle) for i, v in enumerate(values)]


def beat_of(values: Sequence[float]) -> tuple[int, float, float] | None:
    """(lag, autocorrelation, amplitude) of the strongest beat above 0.5 in an evenly looked at series; None without one.

    The linear trend is taken out; a beat counts from its first return, after the autocorrelation has been below 0.
    """
    num = len(values)
    if num < LEAST_NUMBERS:
        return None
    rest = _detrended(values)
    power = sum(v * v for v in rest) / num
    if power < 1e-12:
        return None
    # Each lag is averaged over its own pairs, so that a long period is not taken for a fading one.
    scores = [
        sum(a * b for a, b in zip(rest, rest[lag:], strict=False)) / (num - lag) / power for lag in range(num // 2)
    ]
    below = next((lag for lag, score in enumerate(scores) if score < 0), None)
    if below is None:
        return None
    top = max(scores[below:])
    if top <= 0.5:
        return None
    # The first of nearly equal peaks: the others are its multiples.
    peaks = (
        lag
        for lag in range(below, len(scores))
        if scores[lag] >= 0.9 * top and scores[lag] >= max(scores[lag : lag + 2])
    )
    lag = next(peaks)
    return lag, scores[lag], math.sqrt(2 * power)


# --- a run as it goes


def monitor_of(recipe: Recipe, game: Game) -> RunMonitor:
    """The RunMonitor of a run of a recipe."""
    augment = recipe.augment.kind if recipe.augment else None
    return RunMonitor(recipe.steps, augment, trial_step.phases(game, recipe.steps)[-1])


class RunMonitor:
    """Applies the rules during a run and keeps the numbers that they need. steps: of the whole run. augment: the kind of
    augmentation in use, if any. begins: the step at which the last phase of a game in phases begins; earlier samples are
    not judged."""

    def __init__(self, steps: int, augment: str | None = None, begins: int = 0) -> None:
        self.steps, self.augment, self.begins = steps, augment, begins
        self._history: list[Mapping[str, float]] = []
        self._reset_series()
        self._reported: set[str] = set()

    def _reset_series(self) -> None:
        self._gradients = GradientWatch()
        self._verdicts: deque[float] = deque(maxlen=VERDICT_WINDOW)

    def restore(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Restores the state from the lines of a log."""
        found = [line["values"] for line in lines if line["kind"] == "health" and line["step"] >= self.begins]
        self._history = [{name: x for name, x in values.items() if x is not None} for values in found]
        self._reset_series()
        for line in lines:
            if line["kind"] == "train":
                self.update(line["values"])

    def update(self, values: Mapping[str, float | None]) -> None:
        """Adds the values of one log line of the training."""
        self._gradients.update(values)
        verdict = values.get("D(G(z))")
        if verdict is not None:
            self._verdicts.append(float(verdict))

    def check(self, step: int, values: dict[str, float]) -> list[Finding]:
        """Findings of this boundary. Adds the numbers of the log lines to `values`. Samples of the first steps are not judged."""
        risen, swing = self._gradients.values(), swing_of(list(self._verdicts), SWING)
        values |= risen | ({} if swing is None else {"swing": swing})
        if step >= self.begins + EARLIEST:
            found = examine(values, self._history, self.augment)
        else:  # gradients alone can be judged
            found = [finding for finding in examine(risen) if finding.level in TROUBLE] or [self._too_early(step)]
        if step >= self.begins:
            self._history.append(values)
        return found

    def check_records(self, step: int, records: Sequence[Mapping[str, Any]]) -> list[Finding]:
        """Findings from the records of an evaluation at this step; none in the first steps."""
        return examine_records(records) if step >= self.begins + EARLIEST else []

    def _too_early(self, step: int) -> Finding:
        begins = self.begins + EARLIEST
        return Finding(
            "none",
            "Not judged",
            f"Samples are judged from step {begins:,} on: what is hardly trained is neither collapsed nor flat.",
            f"step {step:,} of {self.steps:,}",
            f"Train for longer: --steps {2 * begins} or more." if self.steps < begins else "",
        )

    def new_messages(self, step: int, findings: Sequence[Finding]) -> list[str]:
        """Messages about the findings: each kind of problem once, and none early in the run."""
        if step < self.begins + (self.steps - self.begins) // QUIET:
            return []
        fresh = [finding for finding in findings if finding.level in TROUBLE and finding.title not in self._reported]
        self._reported |= {finding.title for finding in fresh}
        return [finding.describe() for finding in fresh]


# --- gradient norms over the log


def gradient_excess(norms: Sequence[float]) -> float | None:
    """The least of the newest GRADIENT_PATIENCE gradient norms divided by the median of the GRADIENT_WINDOW before.

    None while there are fewer than GRADIENT_LEAST before them.
    """
    usual, newest = norms[-GRADIENT_WINDOW - GRADIENT_PATIENCE : -GRADIENT_PATIENCE], norms[-GRADIENT_PATIENCE:]
    return min(newest) / max(statistics.median(usual), 1e-30) if len(usual) >= GRADIENT_LEAST else None


class GradientWatch:
    """Measures how far the gradient norm of each player has risen over the log lines of a run."""

    def __init__(self) -> None:
        self._norms: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=GRADIENT_WINDOW + GRADIENT_PATIENCE))
        self._first: dict[str, list[float]] = defaultdict(list)

    def update(self, values: Mapping[str, float | None]) -> None:
        """Adds the gradient norms of one log line."""
        for name, norm in values.items():
            player, _, what = name.rpartition("/")
            if what == "gradient_norm" and norm is not None:
                self._norms[player].append(float(norm))
                if len(self._first[player]) < GRADIENT_LEAST:
                    self._first[player].append(float(norm))

    def values(self) -> dict[str, float]:
        """gradient_excess/<player>: see `gradient_excess`, a sudden rise. gradient_growth/<player>: the median of the newest
        GRADIENT_LEAST norms over that of the first GRADIENT_LEAST of the run, a slow one."""
        found = {}
        for player, norms in self._norms.items():
            seen = list(norms)
            excess = gradient_excess(seen)
            if excess is not None:
                found[f"gradient_excess/{player}"] = excess
            if len(seen) >= 3 * GRADIENT_LEAST:
                first, newest = (statistics.median(part) for part in (self._first[player], seen[-GRADIENT_LEAST:]))
                found[f"gradient_growth/{player}"] = newest / max(first, 1e-30)
        return found
