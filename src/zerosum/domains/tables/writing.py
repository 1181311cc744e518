"""Writes tables as text files, Parquet files and DataFrames, part by part, in the format of the training table."""

from __future__ import annotations

import contextlib
import csv
import gzip
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zerosum.domain import DatasetInfo
from zerosum.domains.tables.dates import DateFormat
from zerosum.domains.tables.numbers import NumberFormat
from zerosum.domains.tables.reading import TextStyle, frames, style_of, text
from zerosum.domains.tables.table import BOOLS, CATEGORICAL, Column, Table, is_missing
from zerosum.errors import UserError

ENDINGS = (*text.SUFFIXES, *frames.SUFFIXES)
"""Suffixes of files to which a table is written."""
NULLABLE = ("Int", "UInt", "Float", "boolean", "string")
TEXTS = ("object", "str", "string")
OBJECT = re.compile(
    r"(?P<decimal>decimal)(?:\d*\((?P<digits>\d+), (?P<scale>\d+)\))?|(?P<other>date|time|binary)(?!time|delta)"
)
"""Types of columns of Python objects."""


class Writer(Protocol):
    """A file to which tables of the same columns are appended. It exists under its name only when it is complete."""

    def add(self, table: Table) -> None:
        """Writes the rows of one more table."""

    def close(self) -> None:
        """Ends the file."""


@contextlib.contextmanager
def open_writer(path: Path, columns: Iterable[Column], style: TextStyle = TextStyle()) -> Iterator[Writer]:
    """Opens a file that is written under a temporary name and renamed at the end. After an error, such as a full disk, it is
    removed."""
    from zerosum.store import writing  # it imports torch, which reading tables does not need

    if not can_write(path):
        raise UserError(f"--out {path}: a table is written as .csv, .tsv, .csv.gz or .parquet.")
    columns = [column for column in columns if not column.left_out]
    style = replace(style, delimiter="\t") if path.name.lower().endswith((".tsv", ".tsv.gz")) else style
    with writing(path) as temporary:
        if path.name.lower().endswith(frames.SUFFIXES):
            file: Writer = _ParquetFile(temporary, style)
        else:
            file = _TextFile(temporary, columns, style, packed=path.suffix == ".gz")
        with contextlib.closing(file):
            yield file


def can_write(path: Path) -> bool:
    """Whether a file of this name can be written."""
    return path.name.lower().endswith(ENDINGS)


def write_table(table: Table, path: Path, info: DatasetInfo) -> list[Path]:
    """A table as one file."""
    with open_writer(path, table.columns, style_of(info.payload)) as file:
        file.add(table)
    return [path]


class _TextFile:
    def __init__(self, path: Path, columns: Iterable[Column], style: TextStyle, packed: bool) -> None:
        opener = gzip.open if packed else open
        encoding = "utf-8-sig" if style.byte_order_mark and style.encoding == "utf-8" else style.encoding
        self._file: Any = opener(path, "wt", encoding=encoding, newline="")
        self._csv = csv.writer(self._file, delimiter=style.delimiter, lineterminator=style.line_end)
        if style.header:
            self._csv.writerow([column.name for column in columns])

    def add(self, table: Table) -> None:
        """The rows as lines of text."""
        self._csv.writerows(zip(*(table.format(column) for column in table.written)))

    def close(self) -> None:
        """Flushes and closes the file."""
        self._file.close()


class _ParquetFile:
    def __init__(self, path: Path, style: TextStyle) -> None:
        self._pyarrow = frames.require("pyarrow", "Writing Parquet")
        self._parquet = frames.require("pyarrow.parquet", "Writing Parquet")
        self._path, self._labels = path, style.labels
        self._file: Any = None

    def add(self, table: Table) -> None:
        """The rows as one group."""
        frame = to_frame(table, self._labels)
        if self._file is None:
            self._schema = self._schema_of(frame, table)
            self._file = self._parquet.ParquetWriter(self._path, self._schema)
        self._file.write_table(self._pyarrow.Table.from_pandas(frame, preserve_index=False).cast(self._schema))

    def _schema_of(self, frame: Any, table: Table) -> Any:
        """The types of the columns; for Python objects those of the training file, independent of the first rows."""
        # Only with the index does pyarrow store the type of the names of the columns; this index takes no space.
        schema = self._pyarrow.Table.from_pandas(frame, preserve_index=None if self._labels else False).schema
        kinds = {"date": self._pyarrow.date32(), "time": self._pyarrow.time64("us"), "binary": self._pyarrow.binary()}
        for place, column in enumerate(table.written):
            kind = OBJECT.match(column.dtype)
            if kind and kind["decimal"]:
                found = self._pyarrow.decimal128(int(kind["digits"] or 38), int(kind["scale"] or 10))
            elif kind:
                found = kinds[kind["other"]]
            elif self._pyarrow.types.is_null(schema.field(place).type):
                found = self._pyarrow.string()
            else:
                continue
            schema = schema.set(place, schema.field(place).with_type(found))
        return schema

    def close(self) -> None:
        """Writes the end of the file."""
        if self._file is not None:
            self._file.close()


# --- DataFrames


def to_frame(table: Table, labels: str = "") -> Any:
    """A pandas DataFrame with the dtypes of the training DataFrame or Parquet file; for a text file with those that pandas
    would infer. labels: see TextStyle."""
    pandas = frames.require("pandas", "A DataFrame")
    frame = pandas.DataFrame({column.name: _series(pandas, table, column) for column in table.written})
    if labels == "int":
        frame.columns = pandas.Index([int(name) for name in frame.columns])
    return frame


def _series(pandas: Any, table: Table, column: Column) -> Any:
    dtype = column.dtype
    if dtype.endswith("[pyarrow]"):
        plain = replace(column, dtype=frames.pandas_type("a run", column.name, dtype))
        return _series(pandas, table, plain).astype(dtype)
    if column.categories is not None:
        return _categorical(pandas, table.format(column), column.categories)
    if OBJECT.match(dtype) or dtype.startswith("timedelta64"):
        return _objects(pandas, table.format(column), dtype)
    if column.kind in ("continuous", "integer"):
        return _numbers(pandas, table.arrays[column.name], column)
    if column.kind == "date" and isinstance(column.form, DateFormat) and (not dtype or dtype.startswith("datetime64")):
        times = pandas.Series(column.form.times(table.arrays[column.name]))
        if ", " in dtype or column.form.zones:  # a time zone
            times = times.dt.tz_localize("UTC")
        return times.astype(dtype) if dtype else times
    words = pandas.Series(table.format(column), dtype=object)
    if dtype in BOOLS:
        found = words.map({"True": True, "False": False})
        return found if dtype == "bool[object]" else found.astype(dtype)
    if dtype == "category":  # of a run that did not yet keep all categories
        return pandas.Series(pandas.Categorical(words, categories=[v for v in column.levels if v is not None]))
    if column.kind in CATEGORICAL or column.kind in ("identifier", "constant"):
        return words if not dtype and column.padded else _typed(pandas, words, dtype)
    return words.astype(dtype) if dtype else words


def _categorical(pandas: Any, words: Sequence[str | None], known: Mapping[str, Any]) -> Any:
    places = {word: place for place, word in enumerate(known["values"])}
    categories = _typed(pandas, pandas.Series(known["values"], dtype=object), known["of"])
    codes = [-1 if word is None else places.get(word, -1) for word in words]
    made = pandas.Categorical.from_codes(codes, categories=pandas.Index(categories), ordered=known["ordered"])
    return pandas.Series(made)


def _objects(pandas: Any, words: Sequence[str | None], dtype: str) -> Any:
    """Decimals, days, times of day, bytes and durations; None, or NaT, where missing."""
    kind = OBJECT.match(dtype)
    if kind is None:
        unit = dtype.removeprefix("timedelta64[").removesuffix("]")
        known = {word: round(Decimal(word).scaleb(frames.DIGITS[unit])) for word in {*words} if word}
        held = [known.get(word or "", "NaT") for word in words]
        return pandas.Series(np.array(held, dtype=f"timedelta64[{unit}]"))
    read: Mapping[str, Callable[[str], Any]] = {
        "date": date.fromisoformat, "time": time.fromisoformat, "binary": str.encode,
    }  # fmt: skip
    parse = read.get(kind["other"] or "", Decimal)
    if kind["scale"]:
        scale = Decimal(1).scaleb(-int(kind["scale"]))
        parse = lambda word: Decimal(word).quantize(scale)  # noqa: E731
    made = {word: None if word is None or is_missing(word) else parse(word) for word in {*words}}
    return pandas.Series([made[word] for word in words], dtype=object)


def _numbers(pandas: Any, values: NDArray[np.float64], column: Column) -> Any:
    if column.dtype in TEXTS:
        assert column.form is not None
        known = np.where(np.isnan(values), 0.0, values)
        return pandas.Series(column.form.format(known), dtype=object).mask(np.isnan(values)).astype(column.dtype)
    whole = column.kind == "integer" and not np.isnan(values).any()
    if isinstance(column.form, NumberFormat) and column.form.offset:  # of more digits than a double holds
        rounded = np.round(np.nan_to_num(values)).astype(np.int64) + column.form.offset
        series = pandas.Series(pandas.arrays.IntegerArray(rounded, np.isnan(values)))
        return series.astype(column.dtype or ("int64" if whole else "Int64"))
    if column.dtype.startswith(NULLABLE):
        return pandas.Series(values).astype("Float64").astype(column.dtype)
    return pandas.Series(values).astype(column.dtype or ("int64" if whole else "float64"))


def _typed(pandas: Any, words: Any, dtype: str) -> Any:
    """Cells as a column of a dtype: codes that are numbers become numbers again."""
    if not dtype:
        found = pandas.to_numeric(words, errors="coerce")
        return found if bool((found.notna() | words.isna()).all()) and bool(found.notna().any()) else words
    if dtype in TEXTS:
        return words.astype(dtype)
    if dtype.startswith("datetime64"):
        return pandas.to_datetime(words, utc=", " in dtype).astype(dtype)
    if dtype in BOOLS:
        return words.map({"True": True, "False": False}).astype(dtype)
    return pandas.to_numeric(words).astype(dtype)
