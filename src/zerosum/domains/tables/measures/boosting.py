"""What a boosted tree learns of a table: whether it can tell fakes from reals, and what it has learnt from fakes of reals.

Trees are scikit-learn's histogram boosting at its defaults; codes are its native categories while there are few of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerosum.domains.tables.measures.table_similarity import Floats, Mixed
from zerosum.errors import UserError
from zerosum.metrics.rows import drawn_rows

MOST_LEVELS = 255
"""Codes that scikit-learn's trees can treat as categories; columns of more are taken as numbers."""
FEWEST = 10
FEWEST_OF_CLASS = 10
"""Rows to be tested on that a class has, and lacks, at least: with fewer its area says nothing (its error is 0.1 and more)."""


def two_sample(real: Mixed, fake: Mixed, seed: int, folds: int = 2) -> float:
    """The area under the ROC curve of a classifier that tells reals from as many fakes, each row judged by trees that never
    saw it: 0.5 when no difference is found, 1 when every row is told. Lopez-Paz and Oquab 2017, arXiv:1610.06545."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    size = min(len(real), len(fake))
    if size < FEWEST:
        raise UserError(f"two-sample test: {len(real)} reals and {len(fake)} fakes; give at least {FEWEST} of each")
    some = [side.values[drawn_rows(len(side), size, seed).numpy()] for side in (real, fake)]
    values, told = np.concatenate(some), np.repeat([1, 0], size)
    model = _trees(real, values, range(len(real.names)), "classifier", seed)
    order = StratifiedKFold(folds, shuffle=True, random_state=seed)
    scores = cross_val_predict(model, values, told, cv=order, method="predict_proba")[:, 1]
    return float(roc_auc_score(told, scores))


def predictive(train: Mixed, test: Mixed, target: str, seed: int) -> float:
    """How well trees that learnt column `target` from `train` foretell it in `test`.

    Codes: the area under the ROC curve, the mean over the `classes_tested` against the rest where there are more than two; NaN
    where there is none. Numbers: the share of the variance foretold (R^2). A target of which `train` knows a single value gives
    0.5 or at most 0.
    """
    place = train.names.index(target)
    others = [c for c in range(len(train.names)) if c != place]
    known = [~np.isnan(side.values[:, place]) for side in (train, test)]
    (x, y), (u, v) = ((t.values[k][:, others], t.values[k, place]) for t, k in zip((train, test), known, strict=True))
    every = np.concatenate([x, u])
    if train.numeric[place]:
        fitted = _trees(train, every, others, "regressor", seed).fit(x, y)
        return float(fitted.score(u, v))
    if len(np.unique(y)) < 2:
        return 0.5
    fitted = _trees(train, every, others, "classifier", seed).fit(x, y)
    return _roc(v, fitted.predict_proba(u), fitted.classes_)


def classes_tested(values: Floats) -> list[float]:
    """The classes that an area can be measured of: FEWEST_OF_CLASS of the values at least are of the class, and as many not."""
    classes, counts = np.unique(values, return_counts=True)
    enough = (counts >= FEWEST_OF_CLASS) & (len(values) - counts >= FEWEST_OF_CLASS)
    return [float(one) for one in classes[enough]]


def _roc(truth: Floats, scores: Floats, classes: NDArray[Any]) -> float:
    """The mean area over the `classes_tested` classes; one that was never learnt scores 0 everywhere."""
    from sklearn.metrics import roc_auc_score

    column = {one: scores[:, place] for place, one in enumerate(classes)}
    present = classes_tested(truth)
    if len(np.unique(truth)) == 2:  # the area of the one is the area of the other
        present = present[1:]
    areas = [roc_auc_score(truth == one, column.get(one, np.zeros(len(truth)))) for one in present]
    return float(np.mean(areas)) if areas else float("nan")


def _trees(table: Mixed, values: Floats, columns: Any, kind: str, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    make = {"classifier": HistGradientBoostingClassifier, "regressor": HistGradientBoostingRegressor}[kind]
    codes = [not table.numeric[c] and values[:, at].max() < MOST_LEVELS for at, c in enumerate(columns)]
    return make(random_state=seed, categorical_features=codes)
