"""Tables out: text files, Parquet files and DataFrames, a part at a time, spelled as the table that was learnt."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zerosum.domains.tables.columns import CATEGORICAL, Column
from zerosum.domains.tables.dates import DateFormat
from zerosum.domains.tables.numbers import NumberFormat
from zerosum.domains.tables.reading import TextStyle, frames, style_of, text
from zerosum.domains.tables.table import Table
from zerosum.errors import UserError

NULLABLE = ("Int", "UInt", "Float", "boolean", "string")
TEXTS = ("object", "str", "string")


class Writer(Protocol):
    """A file that takes tables of the same columns, one below the other. It appears when all is written."""

    def add(self, table: Table) -> None:
        """Writes the rows of one more table."""

    def close(self) -> None:
        """No more rows are to come."""


class Writing:
    """A file in the making, for `with`: written aside, renamed at the end; after an error nothing is left of it."""

    def __init__(self, path: Path, columns: Iterable[Column], style: TextStyle = TextStyle()) -> None:
        if not suits(path):
            raise UserError(f"--out {path}: a table is written as .csv, .tsv, .csv.gz or .parquet.")
        self.path = path
        self._aside = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._columns = [column for column in columns if not column.left_out]
        self._style = replace(style, delimiter="\t") if path.name.lower().endswith((".tsv", ".tsv.gz")) else style

    def __enter__(self) -> Writer:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.name.lower().endswith(frames.SUFFIXES):
            self._writer: Writer = _ParquetFile(self._aside)
        else:
            self._writer = _TextFile(self._aside, self._columns, self._style, packed=self.path.suffix == ".gz")
        return self._writer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        if kind is None:
            os.replace(self._aside, self.path)
        else:
            self._aside.unlink(missing_ok=True)


def suits(path: Path) -> bool:
    """Whether a file of this name can be written."""
    return path.name.lower().endswith((*text.SUFFIXES, *frames.SUFFIXES))


class _TextFile:
    def __init__(self, path: Path, columns: Iterable[Column], style: TextStyle, packed: bool) -> None:
        opener = gzip.open if packed else open
        encoding = "utf-8-sig" if style.byte_order_mark else "utf-8"
        self._file: Any = opener(path, "wt", encoding=encoding, newline="")
        self._csv = csv.writer(self._file, delimiter=style.delimiter, lineterminator=style.line_end)
        self._csv.writerow([column.name for column in columns])

    def add(self, table: Table) -> None:
        """The rows as lines of text."""
        self._csv.writerows(zip(*(table.spelled(column) for column in table.written)))

    def close(self) -> None:
        """Flushes and closes the file."""
        self._file.close()


class _ParquetFile:
    def __init__(self, path: Path) -> None:
        self._pyarrow = frames.needed("pyarrow", "Writing Parquet")
        self._parquet = frames.needed("pyarrow.parquet", "Writing Parquet")
        self._path = path
        self._file: Any = None

    def add(self, table: Table) -> None:
        """The rows as one group."""
        part = self._pyarrow.Table.from_pandas(to_frame(table), preserve_index=False)
        if self._file is None:
            self._file = self._parquet.ParquetWriter(self._path, part.schema)
        self._file.write_table(part.cast(self._file.schema))

    def close(self) -> None:
        """Writes the end of the file."""
        if self._file is not None:
            self._file.close()


# --- DataFrames


def to_frame(table: Table) -> Any:
    """A pandas DataFrame with the dtypes of the DataFrame or Parquet file that was learnt; of a text file, with those that
    pandas would give the columns."""
    pandas = frames.needed("pandas", "A DataFrame")
    return pandas.DataFrame({column.name: _series(pandas, table, column) for column in table.written})


def _series(pandas: Any, table: Table, column: Column) -> Any:
    dtype = column.dtype
    if column.kind in ("continuous", "integer"):
        return _numbers(pandas, table.arrays[column.name], column)
    if column.kind == "date" and isinstance(column.form, DateFormat) and (not dtype or dtype.startswith("datetime64")):
        times = pandas.Series(column.form.times(table.arrays[column.name]))
        if ", " in dtype:  # a time zone
            times = times.dt.tz_localize("UTC")
        return times.astype(dtype) if dtype else times
    words = pandas.Series(table.spelled(column), dtype=object)
    if column.kind == "boolean" and dtype in ("bool", "boolean"):
        return words.map({"True": True, "False": False}).astype(dtype)
    if dtype == "category":
        return pandas.Series(pandas.Categorical(words, categories=[v for v in column.levels if v is not None]))
    if column.kind in CATEGORICAL or column.kind in ("identifier", "constant"):
        return words if not dtype and column.padded else _typed(pandas, words, dtype)
    return words.astype(dtype) if dtype else words


def _numbers(pandas: Any, values: NDArray[np.float64], column: Column) -> Any:
    if column.dtype in TEXTS:
        assert column.form is not None
        known = np.where(np.isnan(values), 0.0, values)
        return pandas.Series(column.form.spelled(known), dtype=object).mask(np.isnan(values)).astype(column.dtype)
    whole = column.kind == "integer" and not np.isnan(values).any()
    if isinstance(column.form, NumberFormat) and column.form.offset:  # of more digits than a double holds
        rounded = np.round(np.nan_to_num(values)).astype(np.int64) + column.form.offset
        return pandas.Series(pandas.arrays.IntegerArray(rounded, np.isnan(values))).astype(
            column.dtype or ("int64" if whole else "Int64")
        )
    if column.dtype.startswith(NULLABLE):
        return pandas.Series(values).astype("Float64").astype(column.dtype)
    return pandas.Series(values).astype(column.dtype or ("int64" if whole else "float64"))


def _typed(pandas: Any, words: Any, dtype: str) -> Any:
    """Spelled cells as a column of a dtype: codes that are numbers become numbers again."""
    if not dtype:
        found = pandas.to_numeric(words, errors="coerce")
        return found if bool((found.notna() | words.isna()).all()) and bool(found.notna().any()) else words
    if dtype in TEXTS:
        return words.astype(dtype)
    if dtype.startswith("datetime64"):
        return pandas.to_datetime(words, utc=", " in dtype).astype(dtype)
    if dtype in ("bool", "boolean"):
        return words.map({"True": True, "False": False}).astype(dtype)
    numbers = pandas.to_numeric(words)
    return numbers.astype(dtype)


def written(table: Table, path: Path, facts: Mapping[str, Any]) -> list[Path]:
    """A table as one file."""
    with Writing(path, table.columns, style_of(facts)) as file:
        file.add(table)
    return [path]
