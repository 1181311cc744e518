"""The source of medical images: rows are whole small volumes, slices, or patches of scans; the split is by person.

Legend: N rows, * spatial sizes, (X, Y) or (X, Y, Z).
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from zerosum import domain
from zerosum.data.opening import expand_path
from zerosum.data.sources import SourceInfo
from zerosum.domain import DatasetInfo, OtherCondition, SampleInfo, kit
from zerosum.domain.info import Condition
from zerosum.domains.medical import phantoms
from zerosum.domains.medical.geometry import (
    WINDOWS,
    Scan,
    Stored,
    foreground_box,
    percentile_range,
    resample,
    to_unit,
    window_range,
)
from zerosum.engine.game import Batch
from zerosum.engine.seeds import generator
from zerosum.errors import UserError, nearest
from zerosum.recipe import Component

Rows = Literal["volumes", "slices", "patches"]
Plane = Literal["axial", "coronal", "sagittal"]
Input = Literal["auto", "none", "labels", "image", "thick"]
ACROSS = {"sagittal": 0, "coronal": 1, "axial": 2}
"""The axis that a plane is perpendicular to."""
NUM_EXAMPLES = 16
LEAST_SIDE = 8
LARGEST = {"volumes": 32, "slices": 64, "patches": 16}
"""The largest side of a row in voxels, if its size is not given."""
LEAST_SHOWN = 0.05
"""Slices with a smaller share of foreground are left out."""
PATCHES_A_SCAN = 64
MOST_LABELS = 4096


@dataclass(frozen=True)
class MedicalPayload:
    """rows, plane: what a row is. spacing: millimetres along each axis of a row. window: the values of -1 and 1. window_name:
    what it was made of. stored: a Stored as plain values, of written files. input: "none", "labels", "image" or "thick". codes:
    of the labels in files, in the order of their numbers. thick: voxels that a thick slice combines. input_window: the window of
    input images. num_scans: training scans and held-out ones."""

    rows: str
    plane: str
    spacing: list[float]
    window: list[float]
    window_name: str
    stored: dict[str, Any]
    input: str
    codes: list[int]
    thick: int
    input_window: list[float]
    num_scans: list[int]


@dataclass(frozen=True, eq=False)
class Part:
    """The scans of one part of the split. scans: (X, Y, Z) float32 in [-1, 1]. inputs: (X, Y, Z) label numbers or images.
    classes: of the scans. rows: (R, 4) int64, the scan of each row and its first voxel."""

    scans: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    classes: Tensor | None
    rows: Tensor


@dataclass(frozen=True, eq=False)
class ScanSource:
    """Rows of scans: data (N, 1, *) float32 in [-1, 1]; the condition is (N,) classes or the input (N, 1, *): whole label
    numbers, or an image in [-1, 1]. crop: (x, y, z) of a row, with 1 across a slice."""

    name: str
    train: Part
    heldout: Part
    crop: tuple[int, int, int]
    payload: MedicalPayload
    condition: Condition | None
    notes: tuple[str, ...] = ()
    device: torch.device = torch.device("cpu")

    @property
    def num_rows(self) -> int:
        """Training rows."""
        return len(self.train.rows)

    @property
    def num_heldout(self) -> int:
        """Rows of people who are never trained on."""
        return len(self.heldout.rows)

    @property
    def size(self) -> tuple[int, ...]:
        """The spatial sizes of a row."""
        return tuple(
            side for axis, side in enumerate(self.crop) if self.payload.rows != "slices" or axis != self.across
        )

    @property
    def across(self) -> int:
        """The axis across a slice."""
        return ACROSS[self.payload.plane]

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the training scans, their inputs and classes, and the rows that are made of them."""
        digest = hashlib.sha256(repr((self.crop, asdict(self.payload))).encode())
        for part in (*self.train.scans, *self.train.inputs, self.train.rows):
            digest.update(part.contiguous().numpy().tobytes())
        if self.train.classes is not None:
            digest.update(self.train.classes.numpy().tobytes())
        return digest.hexdigest()

    def batch(self, indices: Tensor) -> Batch:
        """The training rows of `indices`."""
        return self._rows(self.train, indices)

    def heldout_batch(self, indices: Tensor) -> Batch:
        """The held-out rows of `indices`."""
        return self._rows(self.heldout, indices)

    def _rows(self, part: Part, indices: Tensor) -> Batch:
        rows = part.rows[indices.cpu()].tolist()
        data = torch.stack([self._cut(part.scans[scan], corner) for scan, *corner in rows])
        condition = None
        if part.inputs:
            condition = torch.stack([self._cut(part.inputs[scan], corner) for scan, *corner in rows]).to(self.device)
        elif part.classes is not None:
            condition = part.classes[[row[0] for row in rows]].to(self.device)
        return Batch(data.to(self.device), condition)

    def _cut(self, scan: Tensor, corner: Sequence[int]) -> Tensor:
        """(1, *) float32."""
        x, y, z = corner
        block = scan[x : x + self.crop[0], y : y + self.crop[1], z : z + self.crop[2]].float()
        return (block.squeeze(self.across) if self.payload.rows == "slices" else block)[None]

    def examples(self) -> Batch:
        """At most NUM_EXAMPLES evenly spaced rows: held-out ones if there are any, else training rows."""
        num = self.num_heldout or self.num_rows
        picked = (torch.arange(min(NUM_EXAMPLES, num)) + 0.5) * num / min(NUM_EXAMPLES, num)
        return self.heldout_batch(picked.long()) if self.num_heldout else self.batch(picked.long())

    def to(self, device: torch.device) -> ScanSource:
        """The same source with its batches on another device."""
        return replace(self, device=device)

    def info(self) -> DatasetInfo:
        """The description of the data set; networks, previews and files are made from it without the scans."""
        names = ("x", "y", "z")
        axes = [name for axis, name in enumerate(names) if self.payload.rows != "slices" or axis != self.across]
        shape = {"channels": 1, **dict(zip(axes, self.size, strict=True))}
        what = {"volumes": "a volume", "slices": f"{self.payload.plane} slices", "patches": "patches of volumes"}
        spacing = "x".join(f"{one:.3g}" for one in self.payload.spacing)
        described = f"{what[self.payload.rows]} of {'x'.join(map(str, self.size))} voxels of {spacing} mm"
        return DatasetInfo(
            self.name, self.num_rows, self.num_heldout, self.fingerprint, SampleInfo(shape, described), self.notes,
            self.condition, asdict(self.payload),
        )  # fmt: skip


# --- opening


SOURCES: Mapping[str, SourceInfo] = {
    "phantoms": SourceInfo(
        "head-like phantoms made by code: volumes of 32x32x24 voxels with label maps, half of them with a lesion",
        class_names=("no lesion", "lesion"),
    ),
}


def sources() -> Mapping[str, SourceInfo]:
    """The named sources."""
    return SOURCES


def open_source(data: Component, allow_download: bool) -> ScanSource:
    """The source of a recipe's data part: a named one, or a path."""
    opened = _open_phantoms if data.kind == "phantoms" else _open_path
    source: ScanSource = domain.make("data", {data.kind: opened}, data, data.kind)
    return source


def _open_phantoms(
    name: str, *, num: int = 256, heldout: int = 64, rows: Rows = "volumes", plane: Plane = "axial",
    size: int | tuple[int, ...] = 0, input: Input = "none", classes: bool = False, thick: int = 4, seed: int = 0,
) -> ScanSource:  # fmt: skip
    """Phantoms: the first `num` are trained on, the next `heldout` are held out. classes: condition on lesion or none. The other
    options are those of a path."""
    if num < 2 or heldout < 0:
        raise ValueError(f"num must be at least 2 and heldout at least 0, got {num} and {heldout}")
    volumes, maps, lesions = phantoms.phantoms(num + heldout, seed)
    affine = np.diag([*[phantoms.SPACING] * 3, 1.0])
    affine[:3, 3] = -(np.array(phantoms.SHAPE) - 1) / 2 * phantoms.SPACING
    stored = Stored("int16")
    scans = [
        Scan(np.rint(volume), affine, stored, f"{index:05d}", int(lesion) if classes else -1, labels)
        for index, (volume, labels, lesion) in enumerate(zip(volumes, maps, lesions, strict=True))
    ]
    options = Options(rows, plane, _sizes(size), "percentiles", 0.0, input, thick, True)
    return make_source(
        "phantoms", scans, options, list(range(num)), list(range(num, num + heldout)),
        SOURCES["phantoms"].class_names if classes else (), (),
    )  # fmt: skip


def _open_path(
    where: str, *, rows: Rows = "volumes", plane: Plane = "axial", size: int | tuple[int, ...] = 0,
    window: str | tuple[float, float] = "percentiles", spacing: float = 0.0, input: Input = "auto", thick: int = 4,
    classes: bool = True, table: str = "", class_column: str = "", centre: bool = True, heldout: float = 0.1,
    flip_left_right: bool = False, seed: int = 0, images: str = "",
) -> ScanSource:  # fmt: skip
    """The scans at a path. UserError if they cannot be used.

    rows: whole volumes, slices, or patches at random places. plane: of slices. size: of a row in voxels, one number for all axes
    or one each. window: the values that become -1 and 1: a name (brain, lung, bone, soft-tissue; in Hounsfield units), two
    numbers, or "percentiles": 0.5 and 99.5 of all training scans. spacing: millimetres of a voxel, 0 to choose it: such that
    every scan's foreground fits into a whole volume or slice. input: what an image is made from: none, the label map beside it,
    another image beside it, or itself with slices `thick` times as thick. classes: condition on the sub-folders, or on
    `class_column` of the table. table: a .csv or .tsv whose first column names people or files; by default one in the folder.
    images: of two folders of images side by side the one whose images are made. centre: move the middle of the foreground to the
    middle of a volume or slice. heldout: share of the people who are held out. flip_left_right: adds mirror images, which
    exchange the sides of the body.
    """
    from zerosum.domains.medical import files

    kit.refuse_share(heldout)
    path = expand_path(where)
    if not where or not os.path.exists(path):
        raise UserError(f"{where!r}: no named source of medical images and no such path. {nearest(where, SOURCES)}")
    try:
        found = files.load(path, files.ReadOptions(classes, table, class_column, images))
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror or error}).") from None
    people = sorted({scan.person for scan in found.scans})
    train, held = found.split if found.split else (None, None)
    if train is None:
        _, holding = kit.heldout_split(len(people), heldout, seed)
        chosen = {people[int(index)] for index in holding}
        train = [index for index, scan in enumerate(found.scans) if scan.person not in chosen]
        held = [index for index, scan in enumerate(found.scans) if scan.person in chosen]
    assert held is not None
    if all(scan.numbers.shape[2] == 1 for scan in found.scans):
        rows, plane = "slices", "axial"
    options = Options(rows, plane, _sizes(size), window, spacing, input, thick, centre, flip_left_right, seed)
    return make_source(found.name, found.scans, options, train, held, found.class_names, found.notes, len(people))


@dataclass(frozen=True)
class Options:
    """How rows are made of scans: the options of `_open_path`."""

    rows: Rows = "volumes"
    plane: Plane = "axial"
    size: tuple[int, ...] = ()
    window: str | tuple[float, float] = "percentiles"
    spacing: float = 0.0
    input: Input = "auto"
    thick: int = 4
    centre: bool = True
    flip_left_right: bool = False
    seed: int = 0

    @property
    def across(self) -> int:
        """The axis across a slice."""
        return ACROSS[self.plane]


def _sizes(size: int | tuple[int, ...]) -> tuple[int, ...]:
    given = (size,) if isinstance(size, int) else size
    if given != (0,) and any(side < LEAST_SIDE for side in given):
        raise ValueError(f"size must be at least {LEAST_SIDE} voxels, got {size}")
    return () if given == (0,) else given


def make_source(
    name: str, scans: Sequence[Scan], options: Options, train: Sequence[int], held: Sequence[int],
    class_names: Sequence[str], notes: Sequence[str], num_people: int = 0,
) -> ScanSource:  # fmt: skip
    """Rows of scans. train, held: the scans of both parts, which share no person."""
    if not train:
        raise UserError(f"{name}: there is no scan to train on.")
    training = [scans[index] for index in train]
    kind = _input_kind(scans, options)
    window, window_name = _window(training, options.window)
    codes = _codes(scans, name) if kind == "labels" else ()
    input_window = percentile_range(training, partner=True) if kind == "image" else window
    crop, spacing = _grid(training, options, window)
    maker = functools.partial(
        _part,
        options=options,
        kind=kind,
        window=window,
        input_window=input_window,
        codes=codes,
        crop=crop,
        spacing=spacing,
    )
    parts = [maker([scans[index] for index in chosen]) for chosen in (train, held)]
    for part, what in zip(parts, ("training", "held-out"), strict=True):
        if len(part.scans) and not len(part.rows):
            raise UserError(
                f"{name}: no slice of the {what} scans shows more than {100 * LEAST_SHOWN:g} % of foreground."
            )
    payload = MedicalPayload(
        options.rows, options.plane, list(spacing), list(window), window_name, asdict(_common(training)), kind, list(codes),
        options.thick if kind == "thick" else 1, list(input_window), [len(train), len(held)],
    )  # fmt: skip
    said = list(notes)
    if held:
        people = len({scans[index].person for index in held})
        said.append(
            f"{people:,} of {num_people or len({scan.person for scan in scans}):,} people are held out with all their images: "
            "never trained on, used to measure by."
        )
    if class_names and kind != "none":
        said.append("Classes are not used, because each image is made from its input; data.input=none uses them.")
    if options.flip_left_right:
        said.append("Mirror images are added: left and right of the body are exchanged in them.")
    said.append(
        f"Values {window[0]:g} to {window[1]:g} ({window_name}) are learned; values outside of them are clamped."
    )
    source = ScanSource(name, parts[0], parts[1], crop, payload, None, tuple(said))
    return replace(source, condition=_condition(source, class_names))


def _condition(source: ScanSource, class_names: Sequence[str]) -> Condition | None:
    payload = source.payload
    if payload.input != "none":
        what = {
            "labels": f"a label map of {len(payload.codes)} labels",
            "image": "an image",
            "thick": "an image of thick slices",
        }
        return OtherCondition(f"the input: {what[payload.input]}", (1, *source.size), examples=True)
    if source.train.classes is None or not class_names:
        return None
    return kit.class_condition(source.train.classes[source.train.rows[:, 0]], class_names)


def _input_kind(scans: Sequence[Scan], options: Options) -> str:
    """What an image is made from. UserError where some scans lack it."""
    kind = options.input
    maps, partners = (sum(getattr(scan, name) is not None for scan in scans) for name in ("labels", "partner"))
    if kind == "auto":
        kind = "labels" if maps == len(scans) else "image" if partners == len(scans) else "none"
    there = {"labels": maps, "image": partners}.get(kind, len(scans))
    if there < len(scans):
        raise UserError(
            f"data.input = {kind!r}: {len(scans) - there} of {len(scans)} scans have none. Put them into a folder beside that of "
            "the images, with the same names: t1/ and seg/."
        )
    if kind == "thick" and options.thick < 2:
        raise UserError(f"data.thick must be at least 2, got {options.thick}.")
    if kind == "thick" and options.rows == "slices" and options.plane == "axial":
        raise UserError("data.input = 'thick' needs rows along z: data.rows=patches, or data.plane=coronal.")
    return kind


def _window(scans: Sequence[Scan], given: str | tuple[float, float]) -> tuple[tuple[float, float], str]:
    """The window and what it was made of. UserError for an unknown name."""
    if not isinstance(given, str):
        low, high = given
        if not high > low:
            raise UserError(f"data.window = {list(given)}: the second number must be larger than the first.")
        return (low, high), "given"
    if given == "percentiles":
        return percentile_range(scans), "percentiles 0.5 and 99.5"
    if given not in WINDOWS:
        raise UserError(f"data.window: there is no window {given!r}. {nearest(given, [*WINDOWS, 'percentiles'])}")
    return window_range(given), f"window {given}"


def _codes(scans: Sequence[Scan], name: str) -> tuple[int, ...]:
    """The values of the label maps in order; 0, the background, is always one of them."""
    found = {0}
    for scan in scans:
        assert scan.labels is not None
        found |= {int(code) for code in np.unique(scan.labels)}
        if len(found) > MOST_LABELS:
            raise UserError(f"{name}: the label maps have more than {MOST_LABELS} values. Use data.input=image.")
    return tuple(sorted(found))


def _common(scans: Sequence[Scan]) -> Stored:
    """How most scans are stored."""
    counted: dict[Stored, int] = {}
    for scan in scans:
        counted[scan.stored] = counted.get(scan.stored, 0) + 1
    return max(counted, key=lambda stored: counted[stored])


def _grid(
    scans: Sequence[Scan], options: Options, window: tuple[float, float]
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """(voxels of a row, millimetres of a voxel) along each axis.

    A whole volume or slice keeps the proportions of the body: one spacing for all of its axes, the least that every foreground
    fits into, or that of the files where these fit as they are.
    """
    spacings = np.array([scan.spacing for scan in scans])
    shapes = np.array([scan.numbers.shape for scan in scans])
    flat = options.rows == "slices"
    used = [axis for axis in range(3) if not flat or axis != options.across]
    own = tuple(np.median(spacings, 0).tolist())
    if options.rows == "patches":
        size = (
            options.size * 3
            if len(options.size) == 1
            else options.size or tuple(int(min(LARGEST["patches"], one)) for one in shapes.min(0))
        )
        spacing = (options.spacing,) * 3 if options.spacing else own
    else:
        alike = len({(*scan.numbers.shape, *scan.spacing) for scan in scans}) == 1
        given = options.size * len(used) if len(options.size) == 1 else options.size
        if not given:
            given = tuple(int(min(LARGEST[options.rows], shapes[:, axis].max())) for axis in used)
        if len(given) != len(used):
            raise UserError(f"data.size = {list(options.size)} must have 1 or {len(used)} numbers for {options.rows}.")
        full = list(shapes.max(0))
        for axis, side in zip(used, given, strict=True):
            full[axis] = side
        if flat:
            full[options.across] = 1
        fits = alike and all(scans[0].numbers.shape[axis] == full[axis] for axis in used)
        step = options.spacing or (0.0 if fits else _fitting(scans, used, full, window, options.centre))
        spacing = own if not step else tuple(step if axis in used else own[axis] for axis in range(3))
        size = tuple(full)
    if len(size) != 3:
        raise UserError(f"data.size = {list(options.size)} must have 1 or 3 numbers for {options.rows}.")
    x, y, z = map(int, size)
    return (x, y, z), (float(spacing[0]), float(spacing[1]), float(spacing[2]))


def _fitting(
    scans: Sequence[Scan], used: Sequence[int], full: Sequence[int], window: tuple[float, float], centre: bool
) -> float:
    """The least spacing with which the foreground of every scan (the whole scan unless `centre`) fits into the grid."""
    steps = []
    for scan in scans:
        box = foreground_box(to_unit(scan.values(), window)) if centre else [(0, side) for side in scan.numbers.shape]
        steps += [(box[axis][1] - box[axis][0] + 1) * scan.spacing[axis] / full[axis] for axis in used]
    return max(steps)


def _part(
    scans: Sequence[Scan], *, options: Options, kind: str, window: tuple[float, float], input_window: tuple[float, float],
    codes: Sequence[int], crop: tuple[int, int, int], spacing: tuple[float, float, float],
) -> Part:  # fmt: skip
    """Resamples scans and lists their rows."""
    images, inputs, numbers, classes = list[Tensor](), list[Tensor](), list[list[int]](), list[int]()
    draw = generator(options.seed, "patches")
    for scan in scans:
        unit = to_unit(scan.values(), window)
        frame = placement(unit, scan.spacing, crop, spacing, options)
        image = resample(unit, *frame)
        given = None
        if kind == "labels":
            mapped = np.searchsorted(np.array(codes), np.asarray(scan.labels).astype(np.int64))
            given = resample(torch.from_numpy(mapped.astype(np.int16)), *frame, nearest=True)
        elif kind == "image":
            partner = replace(scan, numbers=np.asarray(scan.partner), stored=Stored()).values()
            given = resample(to_unit(partner, input_window), *frame)
        elif kind == "thick":
            given = thickened(image, options.thick)
        for mirrored in (False, True) if options.flip_left_right else (False,):
            images.append(image.flip(0) if mirrored else image)
            inputs += [] if given is None else [given.flip(0) if mirrored else given]
            classes.append(scan.row_class)
            numbers += [[len(images) - 1, *corner] for corner in _corners(images[-1], crop, options, draw)]
    rows = torch.tensor(numbers, dtype=torch.int64).view(-1, 4)
    labels = torch.tensor(classes) if classes and min(classes) >= 0 else None
    return Part(tuple(images), tuple(inputs), labels, rows)


def placement(
    unit: Tensor, own: Sequence[float], crop: Sequence[int], spacing: Sequence[float], options: Options
) -> tuple[list[float], list[float], list[int]]:
    """(starts, steps, sizes) for `resample`: rows of volumes and slices are grids around the middle of the foreground, patches
    are cut from the whole resampled scan."""
    steps = [new / old for new, old in zip(spacing, own, strict=True)]
    steps = [round(step, 6) for step in steps]
    starts, sizes = [0.0] * 3, [max(1, math.ceil(side / step)) for side, step in zip(unit.shape, steps, strict=True)]
    if options.rows == "patches":
        sizes = [max(side, least) for side, least in zip(sizes, crop, strict=True)]
        return starts, steps, sizes
    box = foreground_box(unit) if options.centre else [(0, side) for side in unit.shape]
    for axis in range(3):
        if options.rows == "slices" and axis == options.across:
            continue
        sizes[axis] = crop[axis]
        if crop[axis] != unit.shape[axis] or steps[axis] != 1:
            middle = (sum(box[axis]) - 1) / 2
            starts[axis] = middle - (crop[axis] - 1) / 2 * steps[axis]
    return starts, steps, sizes


def thickened(image: Tensor, thick: int) -> Tensor:
    """(X, Y, Z) as a scan with slices `thick` voxels thick shows it, interpolated back to the same grid."""
    size = image.shape[2]
    padded = torch.cat([image, image[:, :, -1:].expand(-1, -1, -size % thick)], 2)
    slabs = padded.reshape(*padded.shape[:2], -1, thick).mean(3)
    places = ((torch.arange(size) + 0.5) / thick - 0.5).clamp(0, slabs.shape[2] - 1)
    below = places.floor().long()
    share = places - below
    mixed: Tensor = slabs[:, :, below] * (1 - share) + slabs[:, :, (below + 1).clamp_max(slabs.shape[2] - 1)] * share
    return mixed


def _corners(image: Tensor, crop: Sequence[int], options: Options, draw: torch.Generator) -> list[list[int]]:
    """The first voxel of each row of a scan."""
    if options.rows == "volumes":
        return [[0, 0, 0]]
    if options.rows == "slices":
        shown = (image > 2 * 0.05 - 1).movedim(options.across, 0).flatten(1).float().mean(1)
        picked = (shown >= LEAST_SHOWN).nonzero().flatten().tolist() if image.shape[options.across] > 1 else [0]
        return [[index if axis == options.across else 0 for axis in range(3)] for index in picked]
    free = [side - part + 1 for side, part in zip(image.shape, crop, strict=True)]
    return [[int(torch.randint(most, (), generator=draw)) for most in free] for _ in range(PATCHES_A_SCAN)]


def can_open(where: str) -> bool:
    """Whether `where` names a source, or a path that holds medical images. Reads only names and headers; never raises."""
    from zerosum.domains.medical import files

    return where in SOURCES or (bool(where) and files.can_open(expand_path(where)))
