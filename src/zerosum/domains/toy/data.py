"""The source of points: drawn from a density, or read from a CSV file with one or two columns."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zerosum import domain
from zerosum.data.opening import expand_path
from zerosum.data.sources import SourceInfo
from zerosum.domain import DatasetInfo, SampleInfo, kit
from zerosum.domains.toy.densities import DENSITIES, Density, kernel_estimate
from zerosum.domains.toy.files import SUFFIXES, looks_like_points, read_table
from zerosum.engine.seeds import generator
from zerosum.errors import UserError, nearest
from zerosum.recipe import Component, part

SAMPLING = ("num", "seed")
"""The options of `data` besides those of the density."""


@dataclass(frozen=True)
class PointPayload:
    """density: as plain values, see densities.of. exact: whether it is exact or an estimate. columns, offset, scale:
    the data's own names and units, value = offset + scale * point."""

    density: dict[str, Any]
    exact: bool
    columns: list[str]
    offset: list[float]
    scale: list[float]


@dataclass(frozen=True, eq=False, kw_only=True)
class PointSource(kit.TensorSource):
    """Points (N, D) float32 with a standard deviation of about 1, and their density.

    density: as plain values, see densities.of; exact: whether it is exact or an estimate.
    columns, offset, scale: the data's own names and units, value = offset + scale * point.
    """

    density: Mapping[str, Any]
    exact: bool = True
    columns: tuple[str, ...] = ("x", "y")
    offset: tuple[float, ...] = (0.0, 0.0)
    scale: tuple[float, ...] = (1.0, 1.0)

    def info(self) -> DatasetInfo:
        """The description of the data set, from which networks, previews and files are made without the points."""
        dims = self.data.shape[1]
        payload = PointPayload(
            dict(self.density),
            self.exact,
            list(self.columns[:dims]),
            list(self.offset[:dims]),
            list(self.scale[:dims]),
        )
        sample = SampleInfo({"dimensions": dims}, "a point on the line" if dims == 1 else "a point in the plane")
        return kit.info(self, sample, asdict(payload))


def open_source(data: Component, allow_download: bool) -> PointSource:
    """The source of a recipe's data part: a density by name, or a CSV file by path."""
    if data.kind not in DENSITIES:
        measured: PointSource = domain.make("data", {data.kind: _from_file}, data, expand_path(data.kind))
        return measured
    for name in data.options:
        if name not in _options(data.kind):
            raise UserError(f"data: there is no option {name!r}. {nearest(name, _options(data.kind))}")
    mine = {name: value for name, value in data.options.items() if name in SAMPLING}
    options = {name: value for name, value in data.options.items() if name not in SAMPLING}
    density: Density = domain.make("data", DENSITIES, part(data.kind, **options))
    source: PointSource = domain.make("data", {data.kind: _from_density}, part(data.kind, **mine), density, options)
    return source


def _options(kind: str) -> tuple[str, ...]:
    return (*inspect.signature(DENSITIES[kind]).parameters, *SAMPLING)


def _from_density(density: Density, options: Mapping[str, Any], *, num: int = 100_000, seed: int = 0) -> PointSource:
    """`num` training points and a tenth as many held-out points, drawn from the density."""
    if num < 1:
        raise ValueError(f"num must be at least 1, got {num}")
    rows = density.sample(num + max(1, num // 10), generator(seed, "toy", density.name))
    plain = {"kind": density.name, **options}
    return PointSource(density.name, rows[:num], rows[num:], density=plain, notes=(_heldout_note(len(rows) - num),))


def _from_file(path: Path, *, heldout: float = 0.1) -> PointSource:
    """The rows of a CSV file, each column standardised to mean 0 and standard deviation 1; a part of them is held
    out."""
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{path} is neither a named density nor a CSV file of one or two columns of numbers. "
            + nearest(str(path), DENSITIES)
        )
    kit.refuse_share(heldout)
    table, columns = read_table(path)
    if len(table) < 2:
        raise UserError(f"{path} holds one point; a distribution needs at least two.")
    offset, scale = table.mean(0), table.std(0, correction=0)
    for name, value, deviation in zip(columns, table[0].tolist(), scale.tolist()):
        if deviation == 0:
            raise UserError(f"{path}: column {name!r} is {value:g} in every line; a constant column cannot be learned.")
    training, held = kit.heldout_split(len(table), heldout)
    points = ((table - offset) / scale).float()
    density = kernel_estimate(points[training])
    notes = (
        "Each column is scaled to mean 0 and standard deviation 1 for training; samples are written in the units of the file.",
        f"Pictures show an estimate of the density: {len(density['points'])} normals of spread {density['spread']:.2g}.",
        _heldout_note(len(held)),
    )
    return PointSource(
        path.stem, points[training], points[held], notes=notes, density=density, exact=False,
        columns=columns, offset=tuple(offset.tolist()), scale=tuple(scale.tolist()),
    )  # fmt: skip


def _heldout_note(num: int) -> str:
    return f"{num:,} more points are held out: not used for training, used to measure what D remembers."


def can_open(where: str) -> bool:
    """Whether `where` names a density, or a CSV file of one or two columns of numbers. Reads only a few lines; never
    raises."""
    return where in DENSITIES or looks_like_points(expand_path(where))


def sources() -> Mapping[str, SourceInfo]:
    """The densities that can be opened by name alone."""
    return {name: _info(name) for name in DENSITIES if name != "drawn"}


def _info(name: str) -> SourceInfo:
    density = DENSITIES[name]()
    details = {"num_dims": density.num_dims, "options": _options(name)}
    return SourceInfo(density.summary, details=details)
