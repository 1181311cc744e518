"""Typed tables: Parquet files and pandas DataFrames. pandas and pyarrow are asked for only here and in `writing`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from zerosum.data.opening import decoding, opened
from zerosum.domains.tables.reading.cells import RawColumn, RawTable
from zerosum.errors import UserError

SUFFIXES = (".parquet", ".pq")
MAX_CELLS = 10**9
"""Most cells of a Parquet file, which may hold one value millions of times in a few bytes."""


def needed(module: str, use: str) -> Any:
    """The module; UserError names the extra that brings it. use: what it is wanted for."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise UserError(f"{use} needs {package}, which is not installed: pip install 'zerosum[tables]'.") from None


def read_parquet(path: Path) -> RawTable:
    """A Parquet file."""
    pandas, _ = needed("pandas", f"Reading {path}"), needed("pyarrow", f"Reading {path}")
    from pyarrow import parquet

    with opened(path) as file, decoding(path, "a Parquet file"):
        about = parquet.ParquetFile(file).metadata
        if about.num_rows * about.num_columns > MAX_CELLS:
            raise UserError(
                f"{path}: {about.num_rows:,} rows of {about.num_columns:,} columns, more than the {MAX_CELLS:,} cells that are "
                "read. Save a part of it."
            )
        frame = pandas.read_parquet(file)
    return of_frame(frame, str(path))


def of_frame(frame: Any, where: str = "the DataFrame") -> RawTable:
    """The columns of a pandas DataFrame; its index is left out."""
    columns = tuple(_column(where, str(name), frame.iloc[:, place]) for place, name in enumerate(frame.columns))
    if not columns:
        raise UserError(f"{where} has no columns.")
    return RawTable(where, columns, len(frame))


def _column(where: str, name: str, series: Any) -> RawColumn:
    pandas, dtype = needed("pandas", where), str(series.dtype)
    if dtype.startswith("datetime64"):
        series = _times(series)
    try:
        codes, uniques = pandas.factorize(series, use_na_sentinel=True)
    except TypeError:
        raise UserError(
            f"{where}: column {name!r} holds {type(series.iloc[0]).__name__} objects, not single values. Leave it out."
        ) from None
    spellings: list[str | None] = [spelled(value) for value in uniques]
    codes = np.asarray(codes, dtype=np.int32)
    if (codes < 0).any():
        codes = np.where(codes < 0, len(spellings), codes).astype(np.int32)
        spellings.append(None)
    return RawColumn(name, codes, tuple(spellings), dtype)


def _times(series: Any) -> Any:
    """A column of times as texts of one form: in UTC where it has a zone, with no finer parts than there are."""
    if series.dt.tz is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    times = series.to_numpy().astype("datetime64[us]")
    known = times[~np.isnat(times)]
    unit: Any = next((unit for unit in ("D", "s", "ms") if (known.astype(f"datetime64[{unit}]") == known).all()), "us")
    texts = [
        None if text == "NaT" else text.replace("T", " ") for text in np.datetime_as_string(times, unit=unit).tolist()
    ]
    return needed("pandas", "Reading times").Series(texts, dtype=object)


def spelled(value: Any) -> str:
    """A value of a typed table as text from which it can be read again."""
    if hasattr(value, "isoformat"):
        text: str = value.isoformat()
        return text.replace("T", " ")
    return str(value)
