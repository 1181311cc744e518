"""Reads points from CSV files, with errors that name the line, and writes CSV files, NumPy arrays and pictures."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor

from zerosum.data import coordinates
from zerosum.data.opening import MAX_FILE_BYTES, is_regular, limit_size, open_regular
from zerosum.domain import DatasetInfo, PreviewContext, WriteOptions
from zerosum.domains.toy import preview
from zerosum.errors import UserError

SUFFIXES = (".csv", ".tsv")
ENDINGS = (".csv", ".npy", ".png")
"""Suffixes of files that are read, and of those that are written."""
LINES_TO_RECOGNISE = 20
"""The number of lines that are read to recognise a file."""


def read_table(path: Path) -> tuple[Tensor, tuple[str, ...]]:
    """(N, 1 or 2) float64 and the columns' names, of a file of numbers separated by commas, semicolons or tabs.

    The first line may name the columns; empty lines and lines that begin with # are skipped. UserError names the line
    and the value at fault.
    """
    try:
        with _text(path) as file:
            return _parse(path, _cells(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read as a table of numbers: {reason}.") from None


def _text(path: Path) -> TextIO:
    """The text of a file of at most MAX_FILE_BYTES."""
    return io.TextIOWrapper(limit_size(open_regular(path), MAX_FILE_BYTES, path), encoding="utf-8-sig", newline="")


def _cells(file: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """(line number, values) of every line with values; the separator is that of the first line."""
    delimiter = ""
    for number, line in enumerate(file, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        delimiter = delimiter or next((mark for mark in ";\t," if mark in line), ",")
        yield number, [value.strip() for value in next(csv.reader([line], delimiter=delimiter))]


def _parse(path: Path, lines: Iterator[tuple[int, list[str]]]) -> tuple[Tensor, tuple[str, ...]]:
    names: tuple[str, ...] = ()
    rows: list[list[float]] = []
    for number, values in lines:
        if not names:
            if len(values) not in (1, 2):
                raise UserError(f"{path}, line {number}: {len(values)} columns; points have one or two.")
            headed = not any(map(_is_number, values))
            names = tuple(values) if headed else ("x", "y")[: len(values)]
            if headed:
                continue
        if len(values) != len(names):
            raise UserError(f"{path}, line {number}: {len(values)} values where {len(names)} are expected.")
        rows.append([_number(path, number, value) for value in values])
    if not rows:
        raise UserError(f"{path} holds no numbers.")
    return torch.tensor(rows, dtype=torch.float64), names


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _number(path: Path, line: int, value: str) -> float:
    if not _is_number(value):
        raise UserError(f"{path}, line {line}: {value!r} is not a number. Correct or delete the line.")
    if not math.isfinite(float(value)):
        raise UserError(f"{path}, line {line}: {value!r} is not finite. Correct or delete the line.")
    return float(value)


def looks_like_points(path: Path) -> bool:
    """Whether a line among the first of a file holds one or two numbers and nothing else. Never raises."""
    try:
        if path.suffix.lower() not in SUFFIXES or not is_regular(path):
            return False
        with _text(path) as file:
            first = itertools.islice(_cells(file), LINES_TO_RECOGNISE)
            return any(len(values) in (1, 2) and all(map(_is_number, values)) for _, values in first)
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def _num_columns(num: int) -> str:
    return f"{num} column{'' if num == 1 else 's'}"


def read(paths: Sequence[Path], info: DatasetInfo) -> Tensor:
    """(N, D) float32 points of CSV files in the data's own units, as the discriminator takes them."""
    parts = []
    for path in paths:
        table, _ = read_table(path)
        if table.shape[1:] != info.sample.shape:
            raise UserError(
                f"{path} has {_num_columns(table.shape[1])}; this run's points have {_num_columns(*info.sample.shape)}."
            )
        parts.append(table)
    offset, scale = (torch.tensor(info.payload[name], dtype=torch.float64) for name in ("offset", "scale"))
    return ((torch.cat(parts) - offset) / scale).float()


def write(samples: Tensor, path: Path, info: DatasetInfo, options: WriteOptions = WriteOptions()) -> list[Path]:
    """Samples as .csv or .npy in the data's own units, or as a .png picture. The options do not apply to
    points."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix.lower()
    frame = info.payload["offset"], info.payload["scale"]
    points = coordinates.restore_values(samples.numpy(), *frame)
    if suffix == ".csv":
        header = ",".join(info.payload["columns"])
        digits = coordinates.digits_for(*frame)
        np.savetxt(path, points, delimiter=",", header=header, comments="", fmt=f"%.{digits}g")
    elif suffix == ".npy":
        np.save(path, points.astype(coordinates.dtype_for(*frame)))
    elif suffix == ".png":
        preview.picture(samples, path, PreviewContext(0, info), generated=True)
    else:
        raise UserError(f"--out {path}: cannot write {suffix or 'a folder of points'}. Use .csv, .npy or .png.")
    return [path]
