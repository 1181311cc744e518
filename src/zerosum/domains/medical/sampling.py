"""`zerosum sample --input`: whole scans from label maps or images of files, on the grid of the file.

Legend: (X, Y, Z) a scan in RAS, (A, B) the axes of a slice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum.data.opening import distinct_names, input_files
from zerosum.domain import DatasetInfo, GeneratorHandle, SampleOption, SampleRequest, SampleResult
from zerosum.domains.medical import dicom, drawing, files, media, nifti
from zerosum.domains.medical.data import ACROSS
from zerosum.domains.medical.geometry import Affine, Scan, Values, from_unit, resample, to_unit
from zerosum.domains.medical.networks import MapUNet
from zerosum.errors import UserError

INPUT = SampleOption(
    "input",
    "paths",
    "a label map or an image to make a scan from: a NIfTI file, a folder of such files, or one of DICOM files; may be repeated.",
)
BLOCK = 64
"""Sides of the blocks in which a volume is made, in voxels, without their overlap."""
SLICES_AT_ONCE = 8


def sample(generator: GeneratorHandle, info: DatasetInfo, request: SampleRequest) -> SampleResult | None:
    """Makes a scan from each file of --input; None without one, for the general function."""
    inputs = INPUT.value(request)
    if not inputs:
        return None
    if not isinstance(generator.network, MapUNet):
        raise UserError(
            "--input: this generator makes scans from noise alone. Train one on images with label maps beside them."
        )
    if request.num is not None:
        raise UserError("--num applies to scans from noise; each --input gives one scan.")
    pictures = _check_out(request)
    found = list(_inputs(inputs))
    as_dicom = bool(media.DICOM.value(request))
    single = len(found) == 1 and bool(request.out.suffix)
    names = distinct_names([one.name for one in found], [".png" if pictures else ".nii.gz"] * len(found))
    folder = request.out if not request.out.suffix else request.out.parent / nifti.stem(request.out)
    targets = [request.out] if single else [folder / name for name in names]
    written = [target.with_name(nifti.stem(target)) if as_dicom else target for target in targets]
    clash = {one.path.resolve() for one in found} & {path.resolve() for path in written}
    if clash:
        raise UserError(f"{clash.pop()} would be overwritten. Choose another --out.")
    noise = generator.noise(1, request.seed).to(generator.device)
    for one, target in zip(found, targets, strict=True):
        scan = one.read()
        made, affine = make(generator.network, scan, info, noise, str(one.path))
        if pictures:
            _draw(_given(scan, info.payload, str(one.path)), made, info, target)
            continue
        stored = media.stored_of(info, like=scan.stored)
        values = from_unit(made, (info.payload["window"][0], info.payload["window"][1]))
        media.write_scan(target, nifti.to_numbers(values, stored), affine, stored, as_dicom)
    return SampleResult(written, len(written))


def transform(generator: GeneratorHandle, info: DatasetInfo, data: Values, request: SampleRequest) -> Values:
    """A label map or an image in memory, (X, Y, Z) in RAS with the spacing of training -> (X, Y, Z) float64 in
    the units of the training data."""
    if not isinstance(generator.network, MapUNet):
        raise UserError("this generator makes scans from noise alone. Train one on images with label maps beside them.")
    if data.dtype.kind not in "buif" or data.ndim != 3 or not data.size or not np.isfinite(data).all():
        raise UserError(
            f"a volume in memory is an array (X, Y, Z) of finite numbers, got {data.shape} of {data.dtype}."
        )
    scan = Scan(data, np.diag([*info.payload["spacing"], 1.0]))
    noise = generator.noise(1, request.seed).to(generator.device)
    made, _ = make(generator.network, scan, info, noise)
    return from_unit(made, (info.payload["window"][0], info.payload["window"][1]))


@dataclass(frozen=True)
class _Input:
    """One scan of --input. name: of the file that is made of it, without ending. path: a file, or the folder of a series. scan:
    of a series; files are read when their turn comes."""

    name: str
    path: Path
    scan: Scan | None = None

    def read(self) -> Scan:
        """The scan."""
        return self.scan or files.load(self.path, files.ReadOptions(False)).scans[0]


def _inputs(paths: Sequence[Path]) -> Iterator[_Input]:
    """The NIfTI files and the DICOM series at some paths. UserError for a folder without either, and for what is not there."""
    for path in paths:
        series = files.dicom_files(files.all_files(path)) if path.is_dir() else []
        if series and not any(map(nifti.is_nifti, path.iterdir())):
            for folder, scan in dicom.read_with_folders(series)[0]:
                yield _Input(folder.resolve().name, folder, scan)
            continue
        for file in input_files([path], nifti.is_nifti, "NIfTI files and DICOM series", (*nifti.ENDINGS, ".dcm")):
            yield _Input(nifti.stem(file), file)


def _check_out(request: SampleRequest) -> bool:
    """Whether pictures are asked for. UserError for endings and options that do not go with --input."""
    ending = request.out.suffix.lower()
    if media.LIKE.value(request):
        raise UserError("--like does not go with --input: a scan is written on the grid of its input.")
    if ending and ending != ".png" and not nifti.is_nifti(request.out):
        raise UserError(
            f"--out {request.out}: with --input scans are written, as .nii.gz, .nii or a folder, or a picture of each, as .png."
        )
    if ending == ".png" and media.DICOM.value(request):
        raise UserError(f"--out {request.out}: --dicom is for scans: use .nii.gz or a folder.")
    return ending == ".png"


def _draw(given: Tensor, made: Tensor, info: DatasetInfo, path: Path) -> None:
    """The middle planes of an input and of what was made of it, as a picture."""
    labels = len(info.payload["codes"]) if info.payload["input"] == "labels" else 0
    columns = [(given[None, None], "input", labels), (made[None, None], "output", 0)]
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.sheet(columns, 1, info, True).save(path, format="PNG")


@torch.no_grad()
def make(network: MapUNet, scan: Scan, info: DatasetInfo, noise: Tensor, where: str = "input") -> tuple[Tensor, Affine]:
    """((X, Y, Z) in [-1, 1], affine) of the scan that the network makes from a label map or an image.

    The input is brought to the spacing of training, and the output back to the grid of the input; from thick slices it keeps the
    finer spacing across them. noise: (1, L).
    """
    payload = info.payload
    across = ACROSS[payload["plane"]] if payload["rows"] == "slices" else None
    steps, starts = [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]
    spacing = payload["spacing"]
    for axis in range(3):
        step = spacing[axis] / scan.spacing[axis]
        if axis != across and abs(step - 1) > 1e-3:
            steps[axis], starts[axis] = step, (step - 1) / 2
    sizes = [max(1, round(side / step)) for side, step in zip(scan.numbers.shape, steps, strict=True)]
    given = resample(_given(scan, payload, where), starts, steps, sizes, nearest=payload["input"] == "labels").float()
    device = next(network.parameters()).device
    made = _volume(network, given, noise, device) if across is None else _slices(network, given, noise, across, device)
    kept = 2 if payload["input"] == "thick" else None
    back = [1 / step if axis != kept else 1.0 for axis, step in enumerate(steps)]
    finished = [sizes[axis] if axis == kept else side for axis, side in enumerate(scan.numbers.shape)]
    offsets = [0.0 if step == 1 else (step - 1) / 2 for step in back]
    affine = scan.affine.copy()
    if kept is not None and steps[kept] != 1:
        affine[:3, 3] += affine[:3, kept] * starts[kept]
        affine[:3, kept] *= steps[kept]
    return resample(made, offsets, back, finished), affine


def _given(scan: Scan, payload: Any, where: str) -> Tensor:
    """(X, Y, Z): label numbers, or an image in [-1, 1]. UserError for labels that are not those of training."""
    if payload["input"] != "labels":
        return to_unit(scan.values(), (payload["input_window"][0], payload["input_window"][1]))
    codes = np.array(payload["codes"])
    values = scan.values()
    if not np.array_equal(values, np.rint(values)):
        raise UserError(
            f"{where}: this generator takes label maps, and this file holds values that are not whole numbers."
        )
    unknown = sorted(set(np.unique(values).tolist()) - set(codes.tolist()))
    if unknown:
        raise UserError(
            f"{where}: {len(unknown)} values that no label map of the training had, for example {unknown[0]:g}. The labels are "
            f"{', '.join(map(str, codes[:12].tolist()))}{' ...' if len(codes) > 12 else ''}."
        )
    return torch.from_numpy(np.searchsorted(codes, values.astype(np.int64)).astype(np.float32))


def _slices(network: MapUNet, given: Tensor, noise: Tensor, across: int, device: torch.device) -> Tensor:
    """Each slice by itself, with the same noise."""
    rows = given.movedim(across, 0)[:, None]
    parts = [
        network(noise.expand(len(some), -1), some.to(device)).float().cpu()
        for some in torch.split(rows, SLICES_AT_ONCE)
    ]
    return torch.cat(parts)[:, 0].movedim(0, across)


def _volume(network: MapUNet, given: Tensor, noise: Tensor, device: torch.device, side: int = BLOCK) -> Tensor:
    """The whole volume in blocks that overlap by what a voxel depends on: the same volume as in one block, to rounding."""
    multiple = network.multiple
    halo = -(-network.reach // multiple) * multiple
    side = -(-side // multiple) * multiple
    made = torch.empty_like(given)
    for corner in itertools.product(*(range(0, length, side) for length in given.shape)):
        first = [max(0, start - halo) for start in corner]
        last = [min(length, start + side + halo) for start, length in zip(corner, given.shape, strict=True)]
        block = given[tuple(map(slice, first, last))][None, None].to(device)
        out = network(noise, block, origin=first).float().cpu()[0, 0]
        inner = [slice(start - begin, start - begin + side) for start, begin in zip(corner, first, strict=True)]
        made[tuple(slice(start, start + side) for start in corner)] = out[tuple(inner)]
    return made
