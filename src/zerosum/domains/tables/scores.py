"""Scores of generated rows against real ones, each with its controls.

Trees are scikit-learn's histogram boosting at its defaults; codes are its native categories while there are few of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerosum.domain.contract import stage
from zerosum.domains.tables.table import Floats
from zerosum.domains.tables.table_similarity import NumericMatrix, mean, shapes, trends
from zerosum.errors import UserError
from zerosum.metrics.neighbours import nearest, sample_rows
from zerosum.metrics.record import MetricInfo

FEWEST, FEWEST_TESTED = 100, 20
"""The least number of held-out rows with which generated rows are compared, and on which a prediction is tested."""
FEWEST_MISSING = 20
"""The least number of real rows with a missing number for comparing the other columns of such rows."""
MOST_LEVELS = 20
"""Levels that a column may have to be the target of trees."""
MOST_SEARCHED, MOST_REALS = 2_000, 50_000
"""Number of generated rows whose closest real rows are searched for, and of training rows that are searched."""
MOST_NATIVE = 255
"""Codes that scikit-learn's trees can treat as categories; columns of more are taken as numbers."""
FEWEST_SAMPLES, FEWEST_OF_CLASS = 10, 10
"""Rows of either side of a two-sample test; rows to be tested on that a class has, and lacks, at least: with fewer its area has
an error of 0.1 and more."""
MOST_CODES = 200
"""Codes that a distance distinguishes; all further ones count as one."""


MEANINGS: Mapping[str, MetricInfo] = {
    "column_shapes": MetricInfo("higher", "How similar the columns' distributions are, one by one; 1 is equal."),
    "pair_trends": MetricInfo("higher", "How similar the association of two columns is, over all pairs; 1 is equal."),
    "missing_pairs": MetricInfo(
        "higher", "How similar the other columns are among the rows that lack a number, column by column; 1 is equal."
    ),
    "constraints_kept": MetricInfo(
        "higher",
        "Share of generated rows that satisfy the rules of all training rows: sums, functions, orders, looked-up columns.",
    ),
    "two_sample": MetricInfo(
        "near 0.5",
        "How well trees separate generated from real rows, by the area under the ROC curve; 0.5 is not at all.",
    ),
    "learnt_from": MetricInfo(
        "higher", "How well trees that were trained on generated rows only predict the target in real rows."
    ),
    "closer_to_training": MetricInfo(
        "lower",
        "Share of generated rows whose closest real row is a training row; more than their share of all real rows is copying.",
    ),
    "copied_rows": MetricInfo("lower", "Share of generated rows that equal a training row in every column."),
}


# --- trees


def two_sample(real: NumericMatrix, fake: NumericMatrix, seed: int, folds: int = 2) -> float:
    """The area under the ROC curve of a classifier of reals and as many fakes; each row is classified by trees that were not
    trained on it. 0.5 if no difference is found, 1 if every row is classified correctly. Lopez-Paz and Oquab 2017,
    arXiv:1610.06545."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    size = min(len(real), len(fake))
    if size < FEWEST_SAMPLES:
        given = f"{len(real)} reals and {len(fake)} fakes"
        raise UserError(f"two-sample test: {given}; give at least {FEWEST_SAMPLES} of each")
    some = [side.values[sample_rows(len(side), size, seed).numpy()] for side in (real, fake)]
    values, is_real = np.concatenate(some), np.repeat([1, 0], size)
    model = _trees(real, values, range(len(real.names)), "classifier", seed)
    order = StratifiedKFold(folds, shuffle=True, random_state=seed)
    scores = cross_val_predict(model, values, is_real, cv=order, method="predict_proba")[:, 1]
    return float(roc_auc_score(is_real, scores))


def predictive(train: NumericMatrix, test: NumericMatrix, target: str, seed: int) -> float:
    """How well trees that were trained on column `target` of `train` predict it in `test`.

    Codes: the area under the ROC curve, the mean over the `classes_tested` against the rest where there are more than two; NaN
    where there is none. Numbers: the share of the variance predicted (R^2). A target with a single value in `train` gives 0.5
    or at most 0.
    """
    place = train.names.index(target)
    others = [c for c in range(len(train.names)) if c != place]
    known = [~np.isnan(side.values[:, place]) for side in (train, test)]
    (x, y), (u, v) = ((t.values[k][:, others], t.values[k, place]) for t, k in zip((train, test), known, strict=True))
    kind = "regressor" if train.numeric[place] else "classifier"
    if kind == "classifier" and len(np.unique(y)) < 2:
        return 0.5
    fitted = _trees(train, np.concatenate([x, u]), others, kind, seed).fit(x, y)
    return float(fitted.score(u, v)) if kind == "regressor" else _roc(v, fitted.predict_proba(u), fitted.classes_)


def classes_tested(values: Floats) -> list[float]:
    """The classes that an area can be measured of: at least FEWEST_OF_CLASS of the values have the class, and as many lack it."""
    classes, counts = np.unique(values, return_counts=True)
    enough = (counts >= FEWEST_OF_CLASS) & (len(values) - counts >= FEWEST_OF_CLASS)
    return [float(one) for one in classes[enough]]


def _roc(truth: Floats, scores: Floats, classes: NDArray[Any]) -> float:
    """The mean area over the `classes_tested` classes; a class that is not in the training rows has the score 0."""
    from sklearn.metrics import roc_auc_score

    column = {one: scores[:, place] for place, one in enumerate(classes)}
    present = classes_tested(truth)
    if len(np.unique(truth)) == 2:  # both classes have the same area
        present = present[1:]
    areas = [roc_auc_score(truth == one, column.get(one, np.zeros(len(truth)))) for one in present]
    return float(np.mean(areas)) if areas else float("nan")


def _trees(table: NumericMatrix, values: Floats, columns: Any, kind: str, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    make = {"classifier": HistGradientBoostingClassifier, "regressor": HistGradientBoostingRegressor}[kind]
    codes = [not table.numeric[c] and values[:, at].max() < MOST_NATIVE for at, c in enumerate(columns)]
    return make(random_state=seed, categorical_features=codes)


# --- closest real rows


def points(table: NumericMatrix, reference: NumericMatrix) -> Tensor:
    """(N, P) float32: rows as points. Two codes that differ lie 1 apart; numbers as far as their ranks among the
    reference's values, 0 to 1; known and missing lie 1 apart. Squares add up over columns."""
    parts = []
    for c, numeric in enumerate(table.numeric):
        column, known = table.values[:, c], reference.values[:, c]
        if numeric:
            missing = np.isnan(column)
            parts.append(
                torch.from_numpy(np.column_stack([np.where(missing, 0.5, ranks(column, known)), missing])).float()
            )
        else:
            num = int(min(known.max(initial=0) + 1, MOST_CODES)) + 1
            codes = torch.from_numpy(column).long().clamp(max=num - 1)
            parts.append(torch.nn.functional.one_hot(codes, num).float() * 0.5**0.5)
    return torch.cat(parts, 1)


def ranks(values: Floats, reference: Floats) -> Floats:
    """(N,) the mid-ranks of numbers among the known ones of a reference, 0 to 1."""
    known = np.sort(reference[~np.isnan(reference)])
    found = np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")
    return np.asarray(found / (2 * max(1, len(known))), dtype=np.float64)


def closer_share(fake: NumericMatrix, train: NumericMatrix, heldout: NumericMatrix) -> float:
    """The share of fakes whose closest real row is a training row rather than a held-out one; ties count by `expected_share`,
    which is the expected score of a generator without copies. More is copying."""
    some = points(fake, train)
    near, far = (nearest(some, points(side, train))[0] for side in (train, heldout))
    tied = expected_share(len(train), len(heldout))
    return float(((near < far).double() + tied * (near == far).double()).mean())


def expected_share(num_train: int, num_heldout: int) -> float:
    """The training rows' part of all real rows."""
    return num_train / (num_train + num_heldout)


def copies(fake: NumericMatrix, train: NumericMatrix) -> float:
    """The share of fakes that equal a training row in every column."""
    known = {row.tobytes() for row in _canonical(train)}
    return float(np.mean([row.tobytes() in known for row in _canonical(fake)]))


def _canonical(table: NumericMatrix) -> Floats:
    """Values with one NaN and one zero, so that equal rows have equal bytes."""
    return np.ascontiguousarray(np.where(np.isnan(table.values), np.nan, table.values + 0.0))


# --- missing numbers


def missing_pairs(real: NumericMatrix, made: NumericMatrix) -> float:
    """The mean over pairs of a column with missing numbers and another: the other's `shape` among the rows that lack the number;
    0 where no made row lacks it. NaN where fewer than FEWEST_MISSING real rows lack any."""
    scores = []
    for c in range(len(real.names)):
        lacking = [side.rows(np.isnan(side.values[:, c])) for side in (real, made)]
        if real.numeric[c] and len(lacking[0]) >= FEWEST_MISSING:
            found = np.delete(shapes(*lacking), c) if len(lacking[1]) else np.zeros(len(real.names) - 1)
            scores += found.tolist()
    return mean(np.array(scores)) if scores else float("nan")


def least_missing(rows: NumericMatrix) -> NumericMatrix:
    """The same rows, but the least numbers of each column are missing, and the missing ones are replaced by the median: the
    error of a generator that treats missing as a small number."""
    values = rows.values.copy()
    for column in values.T:  # codes are never missing
        gone = np.isnan(column)
        if gone.any() and not gone.all():
            column[gone] = np.nanmedian(column)
            column[np.argsort(column, kind="stable")[: gone.sum()]] = np.nan
    return replace(rows, values=values)


# --- all scores


@dataclass(frozen=True, eq=False)
class ReferenceData:
    """Rows with which generated rows are compared.

    train: the training rows. heldout: rows on which no generator was trained. target: the column that trees predict. seed: of
    trees and of the controls. kept: see `Transform.shares_kept`.
    """

    train: NumericMatrix
    heldout: NumericMatrix
    target: str
    seed: int
    kept: Callable[[Mapping[str, np.ndarray]], Mapping[str, float]] | None = None

    def constraints(self, rows: NumericMatrix) -> Mapping[str, float]:
        """Each rule, with the share of rows in which it holds."""
        return self.kept(dict(zip(rows.names, rows.values.T, strict=True))) if self.kept else {}

    @property
    def fresh(self) -> NumericMatrix:
        """The held-out rows, or the training rows where there are few of them."""
        return self.heldout if len(self.heldout) >= FEWEST else self.train

    @property
    def where(self) -> str:
        """Which rows `fresh` are, in words."""
        return "held-out rows" if self.fresh is self.heldout else "training rows (few are held out)"

    @property
    def levels_tested(self) -> str:
        """Which levels of the target count in `learnt_from`, in words; "" for a number."""
        if self.train.numeric[self.train.names.index(self.target)]:
            return ""
        values = self.heldout.column(self.target)
        used, every = len(classes_tested(values)), len(np.unique(self.train.column(self.target)))
        rows = f"at least {FEWEST_OF_CLASS} of {len(values):,} held-out rows have, and {FEWEST_OF_CLASS} lack"
        return f"{used} of {every} levels: those that {rows}"

    def controls(self, num: int) -> dict[str, NumericMatrix]:
        """Rows for comparison with a score: training rows, their columns shuffled one by one, and copies of them."""
        real = self.train.rows(np.random.default_rng(self.seed).permutation(len(self.train))[:num])
        return {
            "training rows": real,
            "columns shuffled": self.train.shuffled(self.seed).rows(slice(0, num)),
            "bootstrap copy": self.train.resampled(num, self.seed),
        }


def target_of(train: NumericMatrix, heldout: NumericMatrix) -> str:
    """The column that trees predict: the last of two levels, else the last of at most MOST_LEVELS, else the last number. Where
    rows are held out, a column counts only if they have enough rows of a level, and of the others, to test on."""
    counts = {name: len(np.unique(train.values[:, c])) for c, name in enumerate(train.names) if not train.numeric[c]}
    if len(heldout) >= FEWEST_TESTED:
        counts = {name: count for name, count in counts.items() if classes_tested(heldout.column(name))}
    for most in (2, MOST_LEVELS):
        if fitting := [name for name, count in counts.items() if 2 <= count <= most]:
            return fitting[-1]
    numbers = [name for name, numeric in zip(train.names, train.numeric, strict=True) if numeric]
    return (numbers or list(train.names))[-1]


def scores_of(made: NumericMatrix, truth: ReferenceData) -> dict[str, float]:
    """All scores of generated rows, by full name."""
    size = min(len(made), len(truth.fresh))
    values = {
        f"column_shapes[n={len(made)}]": mean(shapes(truth.fresh, made)),
        f"pair_trends[n={len(made)}]": mean(trends(truth.fresh, made)),
        f"missing_pairs[n={len(made)}]": missing_pairs(truth.fresh, made),
        f"constraints_kept[n={len(made)}]": mean(np.array([*truth.constraints(made).values(), np.nan])),
    }
    if size >= FEWEST_SAMPLES and stage("trees that separate generated from real rows"):
        values[f"two_sample[trees,n={size}]"] = two_sample(truth.fresh, made, truth.seed)
    tested = len(truth.heldout) >= FEWEST_TESTED
    if tested and len(made.names) > 1 and stage(f"trees that predict {truth.target}"):
        area = predictive(made, truth.heldout, truth.target, truth.seed)
        values[f"learnt_from[{truth.target},n={len(made)}]"] = area
    if tested and stage("closest real rows"):
        some = made.rows(slice(0, MOST_SEARCHED))
        known = truth.train.rows(sample_rows(len(truth.train), MOST_REALS, truth.seed).numpy())
        values[f"closer_to_training[n={len(some)}]"] = closer_share(some, known, truth.heldout)
    values[f"copied_rows[n={len(made)}]"] = copies(made, truth.train)
    return {name: value for name, value in values.items() if not np.isnan(value)}


def shapes_by_column(made: NumericMatrix, truth: ReferenceData, most: int = 20) -> dict[str, float]:
    """The shape scores of single columns, the worst first."""
    scores = shapes(truth.fresh, made)
    order = np.argsort(scores)[:most]
    return {made.names[c]: round(float(scores[c]), 4) for c in order if not np.isnan(scores[c])}


@dataclass(frozen=True, eq=False)
class Controls:
    """The same scores of control rows, computed on first use."""

    truth: ReferenceData
    num: int

    @functools.cached_property
    def values(self) -> dict[str, dict[str, float]]:
        """Control -> base name of the score -> value."""
        rows = self.truth.controls(self.num)
        found = {
            name: {full.partition("[")[0]: value for full, value in scores_of(part, self.truth).items()}
            for name, part in rows.items()
            if stage(f"control: {name}")
        }
        least = missing_pairs(self.truth.fresh, least_missing(rows["training rows"]))
        return found if np.isnan(least) else {**found, "least numbers missing": {"missing_pairs": least}}

    def reference(self, name: str) -> float | None:
        """The score of a perfect generator: that of training rows against held-out ones; for copies, that of held-out rows."""
        if name == "closer_to_training":
            return expected_share(min(MOST_REALS, len(self.truth.train)), len(self.truth.heldout))
        if name == "copied_rows":
            return self.heldout_copies
        return self.values.get("training rows", {}).get(name) if self.truth.fresh is self.truth.heldout else None

    @functools.cached_property
    def heldout_copies(self) -> float | None:
        """The share of held-out rows that equal a training row."""
        enough = len(self.truth.heldout) >= FEWEST_TESTED
        return copies(self.truth.heldout, self.truth.train) if enough else None

    def words(self, name: str) -> str:
        """The controls' scores in words."""
        shown = {one: values[name] for one, values in self.values.items() if name in values and one != "training rows"}
        return "".join(f" {one.capitalize()}: {value:.3f}." for one, value in shown.items())
