"""Tables that come with scikit-learn, so that something real can be trained without a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from zerosum.data.sources import SourceInfo
from zerosum.domains.tables.reading.raw_table import RawColumn, RawTable

UCI = "CC BY 4.0 (UCI Machine Learning Repository)"


def _info(summary: str, num_rows: int, num_columns: int, target: str, licence: str = UCI) -> SourceInfo:
    """target: the column that is usually predicted from the others."""
    details = {"num_columns": num_columns, "target": target}
    return SourceInfo(summary, licence=licence, num_train=num_rows, details=details)


SOURCES: Mapping[str, SourceInfo] = {
    "wine": _info("chemical measurements of wines of three growers", 178, 14, "grower"),
    "breast-cancer": _info("measurements of cell nuclei, benign or malignant", 569, 31, "diagnosis"),
    "diabetes": _info(
        "age, sex, blood values of patients, and their disease a year later", 442, 11, "progression", "public"
    ),
}


def read_bundled(name: str) -> RawTable:
    """One of SOURCES, spelled as a text file would be."""
    from sklearn import datasets

    loaders: Mapping[str, Callable[[], Any]] = {
        "wine": datasets.load_wine,
        "breast-cancer": datasets.load_breast_cancer,
        "diabetes": lambda: datasets.load_diabetes(scaled=False),
    }
    bunch = loaders[name]()
    data = {str(feature): bunch.data[:, place] for place, feature in enumerate(bunch.feature_names)}
    columns = [_column(feature.replace("/", "_per_"), values) for feature, values in data.items()]
    target = bunch.target_names[bunch.target] if "target_names" in bunch else bunch.target
    columns.append(_column(SOURCES[name].details["target"], target))
    return RawTable(name, tuple(columns), len(bunch.target))


def _column(name: str, values: Any) -> RawColumn:
    distinct, codes = np.unique(values, return_inverse=True)
    spellings = tuple(_plain(value) for value in distinct.tolist())
    return RawColumn(name.replace(" ", "_"), codes.astype(np.int32), spellings)


def _plain(value: str | float) -> str:
    """A text, or a number without a needless ".0"."""
    return value if isinstance(value, str) else f"{value:.12g}"
