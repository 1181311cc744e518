"""What is measured of made rows against real ones, each score beside its controls."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from zerosum.domain.eval_stages import stage
from zerosum.domains.tables.measures import boosting, closest_record
from zerosum.domains.tables.measures.table_similarity import Mixed, mean, shapes, trends
from zerosum.metrics.rows import drawn_rows

FEWEST, FEWEST_TESTED = 100, 20
"""Held-out rows from which on made rows are held against them, and a prediction is tested on them."""
FEWEST_MISSING = 20
"""Real rows that lack a number, from which on what goes with that is measured."""
MOST_LEVELS = 20
"""Levels that a column may have to be what trees foretell."""
MOST_SEARCHED, MOST_REALS = 2_000, 50_000
"""Made rows whose closest real rows are searched for, and training rows among which."""


class Meaning(NamedTuple):
    """Which way is better, and one plain sentence."""

    better: str
    sentence: str


MEANINGS: Mapping[str, Meaning] = {
    "column_shapes": Meaning("higher", "How alike the columns' distributions are, one by one; 1 is equal."),
    "pair_trends": Meaning("higher", "How alike what lies between two columns is, over all pairs; 1 is equal."),
    "missing_pairs": Meaning(
        "higher", "How alike the other columns lie among the rows that lack a number, column by column; 1 is equal."
    ),
    "constraints_kept": Meaning(
        "higher",
        "Share of made rows that keep what holds in every training row: sums, functions, orders, looked-up columns.",
    ),
    "two_sample": Meaning(
        "near 0.5", "How well trees tell made rows from real ones, by the area under the curve; 0.5 is not at all."
    ),
    "learnt_from": Meaning(
        "higher", "How well trees that learnt from made rows alone foretell the target in real rows."
    ),
    "closer_to_training": Meaning(
        "lower",
        "Share of made rows whose closest real row is a training row; more than these are of all real rows is copying.",
    ),
    "copied_rows": Meaning("lower", "Share of made rows that equal a training row in every column."),
}


@dataclass(frozen=True, eq=False)
class ReferenceData:
    """What made rows are held against.

    train: the training rows. heldout: rows that no generator knows. target: the column that trees foretell. seed: of trees
    and of the controls. kept: see `Transform.kept`.
    """

    train: Mixed
    heldout: Mixed
    target: str
    seed: int
    kept: Callable[[Mapping[str, np.ndarray]], Mapping[str, float]] | None = None

    def constraints(self, rows: Mixed) -> Mapping[str, float]:
        """What must hold in every row, each with the share of rows in which it does."""
        return self.kept(dict(zip(rows.names, rows.values.T, strict=True))) if self.kept else {}

    @property
    def fresh(self) -> Mixed:
        """The held-out rows, or the training rows where there are few of them."""
        return self.heldout if len(self.heldout) >= FEWEST else self.train

    @property
    def where(self) -> str:
        """Which rows `fresh` are, in words."""
        return "held-out rows" if self.fresh is self.heldout else "training rows (few are held out)"

    def controls(self, num: int) -> dict[str, Mixed]:
        """Rows that tell what a score is worth: training rows, their columns shuffled one by one, and copies of them."""
        real = self.train.rows(np.random.default_rng(self.seed).permutation(len(self.train))[:num])
        return {
            "training rows": real,
            "columns shuffled": self.train.shuffled(self.seed).rows(slice(0, num)),
            "bootstrap copy": self.train.resampled(num, self.seed),
        }


def target_of(train: Mixed, heldout: Mixed) -> str:
    """The column that trees foretell: the last of two levels, else the last of at most MOST_LEVELS, else the last number. Where
    rows are held out, a column counts only if they have enough rows of a level, and of the others, to test on."""
    counts = {name: len(np.unique(train.values[:, c])) for c, name in enumerate(train.names) if not train.numeric[c]}
    if len(heldout) >= FEWEST_TESTED:
        counts = {name: count for name, count in counts.items() if boosting.classes_tested(_column(heldout, name))}
    for most in (2, MOST_LEVELS):
        fitting = [name for name, count in counts.items() if 2 <= count <= most]
        if fitting:
            return fitting[-1]
    numbers = [name for name, numeric in zip(train.names, train.numeric, strict=True) if numeric]
    return (numbers or list(train.names))[-1]


def missing_pairs(real: Mixed, made: Mixed) -> float:
    """The mean over pairs of a column with missing numbers and another: the other's `shape` among the rows that lack the number;
    0 where no made row lacks it. NaN where fewer than FEWEST_MISSING real rows lack any."""
    scores = []
    for c in range(len(real.names)):
        lacking = [side.rows(np.isnan(side.values[:, c])) for side in (real, made)]
        if real.numeric[c] and len(lacking[0]) >= FEWEST_MISSING:
            found = np.delete(shapes(*lacking), c) if len(lacking[1]) else np.zeros(len(real.names) - 1)
            scores += found.tolist()
    return mean(np.array(scores)) if scores else float("nan")


def least_missing(rows: Mixed) -> Mixed:
    """The same rows, but the numbers missing are the least of their column, and those that were missing are its middle: what a
    generator makes that takes missing for a small number."""
    values = rows.values.copy()
    for column in values.T:  # codes are never missing
        gone = np.isnan(column)
        if gone.any() and not gone.all():
            column[gone] = np.nanmedian(column)
            column[np.argsort(column, kind="stable")[: gone.sum()]] = np.nan
    return replace(rows, values=values)


def levels_tested(truth: ReferenceData) -> str:
    """Which levels of the target have a say in `learnt_from`, in words; "" for a number."""
    if truth.train.numeric[truth.train.names.index(truth.target)]:
        return ""
    values = _column(truth.heldout, truth.target)
    used, every = len(boosting.classes_tested(values)), len(np.unique(_column(truth.train, truth.target)))
    least = boosting.FEWEST_OF_CLASS
    return (
        f"{used} of {every} levels: those that at least {least} of {len(values):,} held-out rows have, and {least} lack"
    )


def _column(rows: Mixed, name: str) -> np.ndarray:
    values: np.ndarray = rows.values[:, rows.names.index(name)]
    return values


def of_rows(made: Mixed, truth: ReferenceData) -> dict[str, float]:
    """All measures of made rows, by full name."""
    size = min(len(made), len(truth.fresh))
    values = {
        f"column_shapes[n={len(made)}]": mean(shapes(truth.fresh, made)),
        f"pair_trends[n={len(made)}]": mean(trends(truth.fresh, made)),
        f"missing_pairs[n={len(made)}]": missing_pairs(truth.fresh, made),
        f"constraints_kept[n={len(made)}]": mean(np.array([*truth.constraints(made).values(), np.nan])),
    }
    if size >= boosting.FEWEST and stage("trees that tell made rows from real ones"):
        values[f"two_sample[trees,n={size}]"] = boosting.two_sample(truth.fresh, made, truth.seed)
    tested = len(truth.heldout) >= FEWEST_TESTED
    if tested and len(made.names) > 1 and stage(f"trees that foretell {truth.target}"):
        area = boosting.predictive(made, truth.heldout, truth.target, truth.seed)
        values[f"learnt_from[{truth.target},n={len(made)}]"] = area
    if tested and stage("closest real rows"):
        some = made.rows(slice(0, MOST_SEARCHED))
        known = truth.train.rows(drawn_rows(len(truth.train), MOST_REALS, truth.seed).numpy())
        share = closest_record.closer_share(some, known, truth.heldout)
        values[f"closer_to_training[n={len(some)}]"] = share
    values[f"copied_rows[n={len(made)}]"] = closest_record.copies(made, truth.train)
    return {name: value for name, value in values.items() if not np.isnan(value)}


def by_column(made: Mixed, truth: ReferenceData, most: int = 20) -> dict[str, float]:
    """The shape scores of single columns, the worst first."""
    scores = shapes(truth.fresh, made)
    order = np.argsort(scores)[:most]
    return {made.names[c]: round(float(scores[c]), 4) for c in order if not np.isnan(scores[c])}


@dataclass(frozen=True, eq=False)
class Controls:
    """The same measures of rows that are no generator's, computed when first asked for."""

    truth: ReferenceData
    num: int

    @functools.cached_property
    def values(self) -> dict[str, dict[str, float]]:
        """Control -> base name of the measure -> value."""
        rows = self.truth.controls(self.num)
        found = {
            name: {full.partition("[")[0]: value for full, value in of_rows(part, self.truth).items()}
            for name, part in rows.items()
            if stage(f"control: {name}")
        }
        least = missing_pairs(self.truth.fresh, least_missing(rows["training rows"]))
        return found if np.isnan(least) else {**found, "least numbers missing": {"missing_pairs": least}}

    def reference(self, name: str) -> float | None:
        """What a perfect generator would score: training rows against held-out ones; of rows that must not be known, the
        held-out rows' own score."""
        if name == "closer_to_training":
            return closest_record.expected_share(min(MOST_REALS, len(self.truth.train)), len(self.truth.heldout))
        if name == "copied_rows":
            return self.heldout_copies
        return self.values.get("training rows", {}).get(name) if self.truth.fresh is self.truth.heldout else None

    @functools.cached_property
    def heldout_copies(self) -> float | None:
        """The share of held-out rows that equal a training row."""
        enough = len(self.truth.heldout) >= FEWEST_TESTED
        return closest_record.copies(self.truth.heldout, self.truth.train) if enough else None

    def told(self, name: str) -> str:
        """The controls' scores in words."""
        shown = {one: values[name] for one, values in self.values.items() if name in values and one != "training rows"}
        return "".join(f" {one.capitalize()}: {value:.3f}." for one, value in shown.items())
