"""Previews, files and reading for the discriminator.

Legend: N rows, * spatial sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zerosum.domain import DatasetInfo, PreviewContext, SampleOption, WriteOptions
from zerosum.domains.medical import dicom, drawing, nifti
from zerosum.domains.medical.data import ACROSS, Options, _part
from zerosum.domains.medical.geometry import Affine, Stored, Values, from_unit
from zerosum.errors import UserError
from zerosum.store import numbered_names

WIDEST = 1100
ENDINGS = (".nii.gz", ".nii", ".png", ".npy", "")
LIKE = SampleOption(
    "like",
    "text",
    "a NIfTI file whose type, orientation, codes, units and scale are taken over; its grid too where the size is equal.",
    metavar="FILE",
    writing=True,
)
DICOM = SampleOption(
    "dicom", "flag", "write each scan as a folder of DICOM files instead of NIfTI.", default=False, writing=True
)


def preview(samples: Tensor, path: Path, context: PreviewContext) -> None:
    """One PNG: three planes of each volume, or slices; beside the inputs where there are some."""
    generated = context.noise is not None
    columns = [(samples, "output" if generated else "target", 0)]
    if context.condition is not None and context.condition.dim() > 1:
        columns = [(context.condition[: len(samples)].cpu(), "input", len(context.info.payload["codes"])), *columns]
    else:
        columns = [(samples, "", 0)]
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.sheet(columns, _across(columns, context.info, context.columns), context.info, generated).save(
        path, format="PNG"
    )


def _across(columns: Sequence[tuple[Tensor, str, int]], info: DatasetInfo, wanted: int) -> int:
    """How many groups fit beside each other."""
    width = sum(drawing.tile(rows[0, 0], info.payload["plane"], num_labels=labels).width for rows, _, labels in columns)
    return max(1, min(wanted or 8, WIDEST // (width + 8)))


def stored_of(info: DatasetInfo, like: Stored | None = None) -> Stored:
    """How the training files are stored; with the orientation and the codes of another file, where one is given."""
    stored = Stored(**info.payload["stored"])
    if like is None:
        return stored
    return replace(
        stored, orientation=like.orientation, qform_code=like.qform_code, sform_code=like.sform_code, xyzt_units=like.xyzt_units
    )  # fmt: skip


def frame_of(info: DatasetInfo) -> tuple[Affine, Stored, tuple[int, int, int]]:
    """The canonical affine, storage and size of a sample, whose middle lies at the origin."""
    spacing = info.payload["spacing"]
    size = list(info.sample.shape[1:])
    if info.payload["rows"] == "slices":
        size.insert(ACROSS[info.payload["plane"]], 1)
    x, y, z = size
    return nifti.matching_affine(spacing, size), stored_of(info), (x, y, z)


def write(samples: Tensor, path: Path, info: DatasetInfo, options: WriteOptions = WriteOptions()) -> list[Path]:
    """Writes samples as NIfTI (.nii.gz, .nii: numbered if there are several; a folder without an ending), as a sheet (.png), or
    as an array in the units of the data (.npy). Every NIfTI file says SYNTHETIC in its description."""
    name = path.name.lower()
    ending = next((one for one in ENDINGS if one and name.endswith(one)), path.suffix.lower())
    if ending and ending not in ENDINGS:
        raise UserError(
            f"--out {path}: cannot write {ending}. Use {', '.join(ENDINGS[:-1])}, or a folder for .nii.gz files."
        )
    if ending in (".png", ".npy") and (LIKE.value(options) or DICOM.value(options)):
        raise UserError(f"--out {path}: --like and --dicom are for scans: use .nii.gz or a folder.")
    (path if not ending else path.parent).mkdir(parents=True, exist_ok=True)
    if ending == ".png":
        columns = [(samples, "", 0)]
        across = _across(columns, info, max(1, round(len(samples) ** 0.5)))
        drawing.sheet(columns, across, info, True).save(path, format="PNG")
        return [path]
    window = info.payload["window"]
    values = from_unit(samples[:, 0], (window[0], window[1]))
    affine, stored, size = frame_of(info)
    if LIKE.value(options):
        affine, stored = like(Path(LIKE.value(options)), affine, size)
    if ending == ".npy":
        np.save(path, values.astype(np.float32))
        return [path]
    return [
        write_scan(target, nifti.to_numbers(row.reshape(size), stored), affine, stored, bool(DICOM.value(options)))
        for row, target in zip(values, _names(path, ending, len(values), options.names), strict=True)
    ]


def write_scan(path: Path, numbers: Values, affine: Affine, stored: Stored, as_dicom: bool = False) -> Path:
    """Writes one scan as NIfTI, or as a folder of DICOM files of the same name without its ending."""
    if as_dicom:
        return dicom.write(path.with_name(nifti.stem(path)), numbers, affine, stored)
    return nifti.write(path, numbers, affine, stored)


def like(path: Path, affine: Affine, size: tuple[int, int, int]) -> tuple[Affine, Stored]:
    """The affine and storage of written samples for the file of --like: its affine where the size is equal."""
    if not path.is_file():
        raise UserError(f"--like {path}: there is no such file.")
    numbers, found, stored = nifti.read(path)
    return (found if numbers.shape == size else affine), stored


def _names(path: Path, ending: str, num: int, classes: Sequence[str]) -> list[Path]:
    if not ending:
        return [path / name for name in numbered_names(num, ".nii.gz", classes)]
    stem = path.name[: -len(ending)]
    return [path] if num == 1 else [path.with_name(name) for name in numbered_names(num, ending, classes, f"{stem}-")]


def read(paths: Sequence[Path], info: DatasetInfo) -> Tensor:
    """(N, 1, *) of files as the discriminator takes them: whole scans on the grid of the training rows; of a slice domain the
    middle slice."""
    from zerosum.domains.medical import files

    payload, parts = info.payload, list[Tensor]()
    _, _, size = frame_of(info)
    options = Options(payload["rows"], payload["plane"])
    window = payload["window"][0], payload["window"][1]
    spacing = payload["spacing"][0], payload["spacing"][1], payload["spacing"][2]
    for path in paths:
        found = files.load(path, files.ReadOptions(False)).scans
        part = _part(
            found,
            options=options,
            kind="none",
            window=window,
            input_window=window,
            codes=(),
            crop=size,
            spacing=spacing,
        )
        for index, scan in enumerate(part.scans):
            rows = part.rows[part.rows[:, 0] == index]
            if not len(rows):
                raise UserError(f"{path}: it shows nothing within the window {window[0]:g} to {window[1]:g}.")
            corner = rows[len(rows) // 2, 1:].tolist()
            block = scan[tuple(slice(start, start + side) for start, side in zip(corner, size, strict=True))]
            parts.append(block.reshape(1, *info.sample.shape[1:]))
    return torch.stack(parts)
