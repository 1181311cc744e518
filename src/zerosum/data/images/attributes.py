"""Attributes of images: a table of numbers next to the files, standardised over the training images.

A CSV file with a header: first the path of an image (or its file name alone), then one number a column.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from zerosum.data.images.loaded import AttributeTable, LoadedImages
from zerosum.data.opening import read_bytes
from zerosum.errors import UserError

FILE = "attributes.csv"
MAX_BYTES = 512 * 2**20
NUM_SHOWN = 5
Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class StandardisedAttributes:
    """Standardised attributes. scales: mean and standard deviation of each over the training images, before standardisation.

    train, heldout, validation: (N, K) float32, or None for a missing part. notes: one sentence each.
    """

    names: tuple[str, ...]
    scales: tuple[tuple[float, float], ...]
    train: Values
    heldout: Values | None
    validation: Values | None
    notes: tuple[str, ...]


def read(path: Path) -> AttributeTable:
    """The table in a file. Raises UserError."""
    try:
        return parse(read_bytes(path, MAX_BYTES), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from error


def parse(data: bytes, where: str) -> AttributeTable:
    """The table in the bytes of a CSV file. Raises UserError that names line and column of what is wrong."""
    try:
        lines = csv.reader(io.StringIO(data.decode("utf-8-sig")), strict=True)
        header = [name.strip() for name in next(lines, [])]
        columns = tuple(header[1:])
        if not columns or len(set(columns)) < len(columns) or not all(columns):
            raise UserError(
                f"{where}: the first line is {','.join(header)!r}; expected a header such as file,age,smile: the image's "
                "file name, then one name for each column of numbers, all different."
            )
        rows: dict[str, tuple[float, ...]] = {}
        for cells in lines:
            if not cells:
                continue
            name = PurePosixPath(cells[0].strip()).as_posix()
            if name in rows:
                raise UserError(f"{where}, line {lines.line_num}: a second row for {name!r}. Remove one of them.")
            rows[name] = _numbers(cells[1:], columns, f"{where}, line {lines.line_num}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where}: not a CSV file in UTF-8 ({error}).") from error
    return AttributeTable(columns, rows, where)


def _numbers(cells: Sequence[str], columns: Sequence[str], where: str) -> tuple[float, ...]:
    if len(cells) != len(columns):
        raise UserError(f"{where}: {len(cells)} values for the {len(columns)} columns {', '.join(columns)}.")
    values = []
    for cell, column in zip(cells, columns, strict=True):
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            problem = "no value" if not cell.strip() else f"{cell.strip()!r} is not a finite number"
            raise UserError(
                f"{where}, column {column!r}: {problem}. Every column must hold numbers and every image have all of them: "
                "fill in the value, or remove the row's image or the column (write names of kinds as columns of 0 and 1)."
            )
        values.append(value)
    return tuple(values)


def standardise(images: LoadedImages, table: AttributeTable) -> StandardisedAttributes:
    """The attributes of all rows of a source, minus the mean and divided by the deviation of its training images.

    Raises UserError for images that have no row, and for a table in which all training images have equal values.
    """
    find = _RowLookup(images, table)
    train, heldout, validation = (None if part is None else find(part.files) for part in images.parts())
    assert train is not None
    mean, deviation = train.mean(0), train.std(0)
    varying = np.flatnonzero(deviation > 1e-12 * np.maximum(1, np.abs(mean)))
    if not len(varying):
        raise UserError(
            f"{table.where}: every column has one value for all training images, so it carries no information."
        )
    notes = [
        f"The attribute {column!r} has one value for all training images and is left out."
        for i, column in enumerate(table.columns)
        if i not in varying
    ]
    if unused := len(table.rows) - sum(len(part.files) for part in images.parts() if part is not None):
        notes += [f"{unused} row(s) of {table.where} belong to images that are not used."] if unused > 0 else []

    def scaled(values: npt.NDArray[np.float64] | None) -> Values | None:
        return None if values is None else ((values - mean)[:, varying] / deviation[varying]).astype(np.float32)

    first = scaled(train)
    assert first is not None
    names = tuple(table.columns[i] for i in varying)
    scales = tuple((float(mean[i]), float(deviation[i])) for i in varying)
    return StandardisedAttributes(names, scales, first, scaled(heldout), scaled(validation), tuple(notes))


class _RowLookup:
    """Looks rows up by the path of an image, or by its file name where the table has file names only."""

    def __init__(self, images: LoadedImages, table: AttributeTable) -> None:
        files = [file for part in images.parts() if part is not None for file in part.files]
        if not files:
            raise UserError(
                f"{table.where}: attributes go with image files, and {images.name} has no files: its rows have no names."
            )
        self.table, self.rows = table, _rows_by_path(files, table)

    def __call__(self, files: Sequence[str]) -> npt.NDArray[np.float64]:
        """(N, K) numbers."""
        missing = [file for file in files if file not in self.rows]
        if missing:
            shown = ", ".join(missing[:NUM_SHOWN]) + (" ..." if len(missing) > NUM_SHOWN else "")
            raise UserError(
                f"{self.table.where}: no row for {len(missing)} image(s): {shown}. Rows begin with the path of an image "
                "inside its folder or archive, or with its file name. Add them, or use --set data.attributes=false."
            )
        return np.array([self.rows[file] for file in files], dtype=np.float64)


def _rows_by_path(files: Sequence[str], table: AttributeTable) -> Mapping[str, tuple[float, ...]]:
    names = [PurePosixPath(file).name for file in files]
    short = all("/" not in name for name in table.rows) and len(set(names)) == len(names)
    if not short:
        return table.rows
    return {file: table.rows[name] for file, name in zip(files, names, strict=True) if name in table.rows}
