"""The source of point clouds: N shapes of P points each, normalised, some of them held out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from zerosum import domain
from zerosum.data import coordinates
from zerosum.data.opening import expand_path
from zerosum.data.sources import SourceInfo
from zerosum.domain import DatasetInfo, SampleInfo, kit
from zerosum.domains.points import builtin_sources, files
from zerosum.domains.points.files import Shapes
from zerosum.errors import UserError, nearest
from zerosum.recipe import Component

Normalise = Literal["shape", "global", "none"]
Axis = Literal["x", "y", "z"]
MIN_POINTS = 16


@dataclass(frozen=True)
class CloudPayload:
    """normalise: see `normalise_clouds`. centre, radius: see CloudSource. up: the axis that points up in pictures. dtype: of
    the coordinates in files."""

    normalise: Normalise
    centre: list[float]
    radius: float
    up: Axis
    dtype: str


@dataclass(frozen=True, eq=False, kw_only=True)
class CloudSource(kit.TensorSource):
    """Clouds (N, P, 3) float32. In the files' own units a point is centre + radius * point, in float64.

    normalise: see `normalise_clouds`. up: the axis that points up in pictures. dtype: of coordinates in files,
    "float32" or "float64".
    """

    class_names: tuple[str, ...] = ()
    normalise: Normalise = "shape"
    centre: tuple[float, ...] = (0.0, 0.0, 0.0)
    radius: float = 1.0
    up: Axis = "z"
    dtype: str = "float32"

    def info(self) -> DatasetInfo:
        """The description of the data set; networks, previews and files are made from it without the shapes."""
        points, coordinates = self.data.shape[1:]
        sample = SampleInfo({"points": points, "coordinates": coordinates}, f"a shape of {points} points")
        return kit.info(
            self, sample, asdict(CloudPayload(self.normalise, list(self.centre), self.radius, self.up, self.dtype))
        )


def open_source(data: Component, allow_download: bool) -> CloudSource:
    """The source of a recipe's data part: a named one, or a path."""
    opened = _open_named if data.kind in builtin_sources.SOURCES else _open_path
    source: CloudSource = domain.make("data", {data.kind: opened}, data, data.kind)
    return source


def _open_named(
    name: str, *, points: int = 512, num: int = 0, normalise: Normalise = "shape", labelled: bool = True,
    heldout: float = 0.1, up: Axis = "z", seed: int = 0,
) -> CloudSource:  # fmt: skip
    """A named source, see builtin_sources.load."""
    _check(points, heldout)
    if num < 0 or num == 1:
        raise ValueError(f"num must be at least 2, or 0 for {builtin_sources.NUM_TRAIN:,}; got {num}")
    return _make_source(builtin_sources.load(name, num, points, seed), normalise, labelled, heldout, up)


def _open_path(
    where: str, *, points: int = 512, normalise: Normalise = "shape", labelled: bool = True, heldout: float = 0.1,
    up: Axis = "z", seed: int = 0,
) -> CloudSource:  # fmt: skip
    """The shapes at a path, see files.load."""
    _check(points, heldout)
    path = expand_path(where)
    if not os.path.exists(path):
        raise UserError(
            f"{where!r}: no named source of shapes and no such path. {nearest(where, builtin_sources.SOURCES)}"
        )
    try:
        return _make_source(files.load(path, points, seed), normalise, labelled, heldout, up)
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror or error}).") from None


def _check(points: int, heldout: float) -> None:
    if points < MIN_POINTS:
        raise ValueError(f"points must be at least {MIN_POINTS}, got {points}")
    kit.refuse_share(heldout)


def _make_source(shapes: Shapes, normalise: Normalise, labelled: bool, share: float, up: Axis) -> CloudSource:
    """Normalises and splits shapes: by the source's own test part, else by a shuffle with seed 0."""
    clouds, centre, radius, note = normalise_clouds(torch.from_numpy(shapes.clouds), normalise, shapes.name)
    dtype = "float64" if shapes.clouds.dtype == np.float64 else coordinates.dtype_for(centre, [radius])
    if (held := shapes.heldout) is None:
        train, test = kit.heldout_split(len(clouds), share, most=len(clouds) - 2)
    else:
        train, test = torch.arange(len(clouds)).tensor_split([len(clouds) - held])
    labels = (
        torch.from_numpy(np.asarray(shapes.labels, dtype=np.int64)) if labelled and shapes.labels is not None else None
    )
    names = () if labels is None else shapes.class_names
    return CloudSource(
        shapes.name, clouds[train], clouds[test],
        None if labels is None else labels[train], None if labels is None else labels[test],
        kit.class_condition(labels[train], names) if labels is not None and names else None,
        (*shapes.notes, note, kit.heldout_note(len(test), "shapes")),
        class_names=names, normalise=normalise, centre=centre, radius=radius, up=up, dtype=dtype,
    )  # fmt: skip


def normalise_clouds(clouds: Tensor, how: Normalise, name: str) -> tuple[Tensor, tuple[float, ...], float, str]:
    """(N, P, 3) float32 or float64 -> (clouds, float32, centre, radius, a note). UserError for a shape without extent.

    shape: moves the centre of each shape's bounding box to the origin and scales its farthest point to distance 1.
    global: one centre and one radius for all shapes, so that their sizes remain comparable. none: unchanged; points
    must be in the unit ball.
    """
    boxes = (clouds.amax(1) + clouds.amin(1)) / 2
    centres = (
        boxes if how == "shape" else boxes.mean(0, keepdim=True) if how == "global" else torch.zeros_like(boxes[:1])
    )
    moved = clouds - centres[:, None]
    reach = moved.square().sum(2).amax(1).sqrt()
    if bool((flat := reach <= 0).any()):
        raise UserError(f"{name}: shape {int(flat.nonzero()[0])} has all its points at one position.")
    if how == "shape":
        note = (
            "Each shape is centred by its bounding box and scaled into the unit ball, and so are samples; position and size "
            "are kept with data.normalise=global."
        )
        return (moved / reach[:, None, None]).float(), (0.0, 0.0, 0.0), 1.0, note
    if how == "global":
        note = "All shapes are moved and scaled by one amount, and the largest fits into the unit ball. Samples keep the units."
        return (moved / reach.max()).float(), tuple(centres[0].tolist()), float(reach.max()), note
    if float(reach.max()) > 1.001:
        raise UserError(
            f"{name}: points reach {float(reach.max()):.3g} from the origin. Use data.normalise=shape or global."
        )
    return moved.float(), (0.0, 0.0, 0.0), 1.0, "Coordinates are used as they are."


def can_open(where: str) -> bool:
    """Whether `where` names a source of shapes, or a path that holds meshes or clouds. Reads only names and headers;
    never raises."""
    return where in builtin_sources.SOURCES or files.can_open(where)


def sources() -> Mapping[str, SourceInfo]:
    """The named sources."""
    return builtin_sources.SOURCES
