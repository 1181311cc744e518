"""Typed tables: Parquet files and pandas DataFrames. Only this module and `writing` import pandas and pyarrow."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerosum.data.opening import MAX_FILE_BYTES, check_size, decoding, open_regular
from zerosum.domains.tables.reading.raw_table import RawColumn, RawTable, TextStyle
from zerosum.errors import UserError
from zerosum.jsonfile import parse_json

SUFFIXES = (".parquet", ".pq")
READ = re.compile(
    r"(bool|u?int\d+|float\d+|U?Int\d+|Float\d+|boolean|string|str|object|category|datetime64|timedelta64|period)\b.*"
)
"""Types of columns that are read."""
OBJECTS = {
    "decimal": "decimal", "date": "date32[day]", "time": "time64[us]", "bytes": "binary", "boolean": "bool[object]",
}  # fmt: skip
"""Columns of Python objects: the name that pandas infers, and the type used here unless the file specifies another one."""
ARROW = {
    "float": "Float32", "double": "Float64", "bool": "boolean", "large_string": "string", "string": "string",
    **{f"{sign}int{size}": f"{cap}Int{size}" for sign, cap in (("", ""), ("u", "U")) for size in (8, 16, 32, 64)},
}  # fmt: skip
"""pandas' types for columns that are stored by Arrow."""
KEPT = b"zerosum"
"""The key of a Parquet file's metadata under which `save_frame` stores what the types of Parquet cannot."""
DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
"""Decimal digits of a second in each unit of durations."""
LEAVE_OUT = "Leave it out with data.drop."


def require(module: str, use: str) -> Any:
    """The module; UserError names the extra that installs it. use: what it is needed for."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise UserError(f"{use} needs {package}, which is not installed: pip install 'zerosum[tables]'.") from None


def read_parquet(path: Path, most: int | None = None, drop: Sequence[str] = ()) -> RawTable:
    """A Parquet file. most: bytes that it may take in memory, as it states; by default MAX_FILE_BYTES. drop: see `from_frame`."""
    pandas, parquet = (require(module, f"Reading {path}") for module in ("pandas", "pyarrow.parquet"))
    with open_regular(path) as file, decoding(path, "a Parquet file"):
        source = parquet.ParquetFile(file)
        about, schema = source.metadata, source.schema_arrow
        groups = [about.row_group(number).total_byte_size for number in range(about.num_row_groups)]
        # One value may stand for millions of cells in a few bytes.
        num_bytes = max(sum(groups), 8 * about.num_rows * about.num_columns)
        check_size(num_bytes, MAX_FILE_BYTES if most is None else most, path, "takes, unpacked,")
        frame = pandas.read_parquet(file)
        kept, noted = (parse_json((schema.metadata or {}).get(name, b"{}"), path) for name in (KEPT, b"pandas"))
        known = noted.get("columns", [])
        coded = {str(column["name"]) for column in known if column.get("pandas_type") == "categorical"}
        for name in frame.columns:
            if str(name) in coded and str(frame[name].dtype) != "category":  # Parquet knows categories of texts only
                frame[name] = frame[name].astype("category")
    types = {field.name: str(field.type) for field in schema}
    return from_frame(frame, str(path), drop, types, kept)


def save_frame(frame: Any, path: Path) -> None:
    """Writes a DataFrame to a Parquet file from which `read_parquet` reads the same columns, with all categories."""
    pyarrow, parquet = (require(module, "Writing Parquet") for module in ("pyarrow", "pyarrow.parquet"))
    categories = {column.name: column.categories for column in from_frame(frame).columns if column.categories}
    table = pyarrow.Table.from_pandas(frame.reset_index(drop=True))
    about = {**(table.schema.metadata or {}), KEPT: json.dumps(categories).encode()}
    parquet.write_table(table.replace_schema_metadata(about), path)


def from_frame(
    frame: Any,
    where: str = "the DataFrame",
    drop: Sequence[str] = (),
    types: Mapping[str, str] = {},
    categories: Mapping[str, Any] = {},
) -> RawTable:
    """The columns of a pandas DataFrame without its index.

    drop: columns that need not be readable. types: Arrow's, of columns of Python objects. categories: of columns whose own
    categories are incomplete, see RawColumn.
    """
    labels = _labels(where, list(frame.columns))
    columns = []
    for place, name in enumerate(map(str, frame.columns)):
        try:
            column = _column(where, name, frame.iloc[:, place], types.get(name, ""), categories.get(name))
        except UserError:
            if name not in drop:
                raise
            column = RawColumn(name, np.zeros(len(frame), dtype=np.int32), (None,))
        columns.append(column)
    if not columns:
        raise UserError(f"{where} has no columns.")
    return RawTable(where, tuple(columns), len(frame), TextStyle(labels=labels))


def _labels(where: str, names: Sequence[Any]) -> str:
    """ "int" where whole numbers name the columns, "" where texts do."""
    kinds = {"int" if isinstance(name, (int, np.integer)) else "" if isinstance(name, str) else "odd" for name in names}
    if len(kinds) > 1 or "odd" in kinds or any(isinstance(name, (bool, np.bool_)) for name in names):
        odd = next((name for name in names if not isinstance(name, str)), "")
        raise UserError(
            f"{where}: {odd!r} is the name of a column. The names must be either all texts or all integers: "
            "frame.columns = frame.columns.map(str)."
        )
    return "int" if kinds == {"int"} else ""


def _column(where: str, name: str, series: Any, arrow: str, known: Any) -> RawColumn:
    pandas, dtype = require("pandas", where), str(series.dtype)
    if not (dtype.endswith("[pyarrow]") or READ.fullmatch(dtype)):
        raise UserError(f"{where}: column {name!r} is of type {dtype}, which is not read. {LEAVE_OUT}")
    spell: Callable[[Any], str] = _spell
    held, categories = series, None
    if dtype.endswith("[pyarrow]"):
        held = series.astype(pandas_type(where, name, dtype))
    elif dtype == "category":
        values = series.cat.categories
        categories = {"ordered": bool(series.cat.ordered), "values": [*map(_spell, values)], "of": str(values.dtype)}
    elif dtype == "object":
        found = pandas.api.types.infer_dtype(series, skipna=True)
        dtype = (arrow if found == "decimal" else "") or OBJECTS.get(found, dtype)
        if found in ("timedelta", "datetime"):
            held = series.astype(f"{found}64[us]")
            dtype = str(held.dtype)
    if str(held.dtype).startswith("datetime64"):
        held = _times(held)
    elif str(held.dtype).startswith("timedelta64"):
        held, spell = held.astype("object").map(_seconds, na_action="ignore"), str
    codes, spellings = _codes(where, name, held, spell)
    if categories is not None and _can_be_categories(known, spellings):
        categories = known
    return RawColumn(name, codes, spellings, dtype, categories)


def _codes(
    where: str, name: str, series: Any, spell: Callable[[Any], str]
) -> tuple[NDArray[np.int32], tuple[str | None, ...]]:
    """(N,) indices of distinct spellings, and these; None for missing cells."""
    try:
        codes, distinct = require("pandas", where).factorize(series, use_na_sentinel=True)
        spellings: list[str | None] = [spell(value) for value in distinct]
    except TypeError:
        kind = type(series.iloc[0]).__name__
        raise UserError(f"{where}: column {name!r} holds {kind} objects, not single values. {LEAVE_OUT}") from None
    except UnicodeDecodeError:
        raise UserError(f"{where}: column {name!r} holds bytes that are no UTF-8 text. {LEAVE_OUT}") from None
    if (codes < 0).any():
        codes = np.where(codes < 0, len(spellings), codes)
        spellings.append(None)
    return np.asarray(codes, dtype=np.int32), tuple(spellings)


def _can_be_categories(known: Any, spellings: Sequence[str | None]) -> bool:
    """Whether the categories that are stored in a file fit a column with these spellings."""
    if not isinstance(known, dict) or {*known} != {"ordered", "values", "of"}:
        return False
    values = known["values"]
    strings = isinstance(values, list) and all(isinstance(value, str) for value in [*values, known["of"]])
    return strings and {*spellings} <= {None, *values} and len({*values}) == len(values)


def pandas_type(where: str, name: str, dtype: str) -> str:
    """pandas' type for a type stored by Arrow, such as "int64[pyarrow]"."""
    inner = dtype.removesuffix("[pyarrow]")
    if inner.startswith("timestamp"):
        return inner.replace("timestamp", "datetime64").replace(", tz=", ", ")
    if inner not in ARROW:
        raise UserError(f"{where}: column {name!r} is of type {dtype}, which is not read. {LEAVE_OUT}")
    return ARROW[inner]


def _times(series: Any) -> Any:
    """A column of times as texts in one format: in UTC if it has a zone, in the coarsest unit that is exact."""
    if series.dt.tz is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    times = series.to_numpy()
    known = times[~np.isnat(times)]
    units = ("D", "s", "ms", "us", "ns")
    unit: Any = next(unit for unit in units if (known.astype(f"datetime64[{unit}]").astype(known.dtype) == known).all())
    texts = [None if text == "NaT" else text.replace("T", " ") for text in np.datetime_as_string(times, unit).tolist()]
    return require("pandas", "Reading times").Series(texts, dtype=object)


def _seconds(value: Any) -> str:
    """A duration in seconds, to its last digit."""
    number = Decimal(int(value.to_timedelta64().astype("timedelta64[ns]").astype(np.int64))).scaleb(-DIGITS["ns"])
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _spell(value: Any) -> str:
    """A value of a typed table as text that can be parsed again."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value.isoformat()).replace("T", " ") if hasattr(value, "isoformat") else str(value)
