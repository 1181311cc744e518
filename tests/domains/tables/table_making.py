"""Small tables with a bit of everything, and a generator whose distribution is known."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from zerosum.domains.tables import layout, transform
from zerosum.domains.tables.data import TableSource, open_source
from zerosum.engine.seeds import Prior
from zerosum.recipe import part

HEADER = ["id", "age", "price", "city", "member", "joined", "seen", "score", "code", "fixed"]


def rows_of(num: int, seed: int = 0) -> list[list[str]]:
    """Rows with a counted identifier, whole numbers, money, places with a leading blank, yes/no, dates, times, missing values,
    leading zeros and a column that never changes."""
    draw = np.random.default_rng(seed)
    start = np.datetime64("2019-01-01")
    rows = []
    for number in range(num):
        member = "yes" if draw.random() < 0.3 else "no"
        rows.append(
            [
                f"C-{number + 1:05d}",
                str(draw.integers(18, 91)),
                f"${draw.gamma(2, 700):,.2f}",
                " " + str(draw.choice(["Bern", "Oslo", "Rome, Italy"], p=[0.6, 0.3, 0.1])),
                member,
                str(start + int(draw.integers(0, 700))),
                f"{draw.integers(0, 24):02d}:{draw.integers(0, 60):02d}",
                "" if draw.random() < 0.2 else f"{draw.normal():.3f}",
                f"{draw.integers(0, 30):03d}",
                "CH",
            ]
        )
    return rows


def text_of(header: Sequence[str], rows: Sequence[Sequence[str]], delimiter: str = ",") -> str:
    """The rows as a text file would hold them."""
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows([header, *rows])
    return file.getvalue()


def written(path: Path, num: int = 600, seed: int = 0) -> Path:
    """A file of such rows."""
    path.write_text(text_of(HEADER, rows_of(num, seed)), encoding="utf-8")
    return path


def source_of(path: Path, **options: object) -> TableSource:
    """The source of a file."""
    return open_source(part(str(path), **options), False)


class Repeater(nn.Module):
    """A generator that repeats training rows: row by noise; told columns are put into them as they are told."""

    def __init__(self, source: TableSource, heard: bool = True) -> None:
        super().__init__()
        self.source, self.heard, self.prior = source, heard, Prior(2)
        self.network, self.examples, self.device = self, None, torch.device("cpu")
        self.info = source.info()
        self.calls = 0

    def noise(self, num: int, seed: int = 0) -> Tensor:
        return torch.rand(num, 2, generator=torch.Generator().manual_seed(seed % 2**62), dtype=torch.float64)

    def conditions(self, num: int, seed: int) -> Tensor | None:
        return self.info.condition.sample(num, seed) if self.heard else None

    def make(self, noise: Tensor, condition: Tensor | None, batch: int = 512) -> Tensor:
        self.calls += 1
        keys = (noise[:, 1] * 2**40).long()
        made = self.source.rows.data((noise[:, 0] * len(self.source.train)).long(), keys)
        if condition is None:
            return made
        mask, values = layout.split(condition, self.source.transform.blocks)
        return made * (1 - mask) + values


def assert_rows_come_back(source: TableSource) -> None:
    """The training rows, encoded and decoded with what the payload says alone, are what they were."""
    fit = transform.from_payload(json.loads(json.dumps(source.info().payload)))
    rows = torch.arange(len(source.train))
    back = fit.decode(source.rows.data(rows, rows))
    assert list(back.arrays) == list(source.train.arrays)
    for name, values in source.train.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], values)
