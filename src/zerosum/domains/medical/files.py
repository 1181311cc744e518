"""Finds and reads the scans of a file or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zerosum.domains.medical import nifti
from zerosum.domains.medical.geometry import Scan
from zerosum.errors import UserError


@dataclass(frozen=True)
class ReadOptions:
    """classes: whether classes are read. table: a .csv of people. class_column: of the table. correct_tilt: see dicom."""

    classes: bool = True
    table: str = ""
    class_column: str = ""
    correct_tilt: bool = False


@dataclass(frozen=True, eq=False)
class Loaded:
    """The scans at a path. split: indices of training and held-out scans where the data bring a split."""

    name: str
    scans: Sequence[Scan]
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    split: tuple[list[int], list[int]] | None = None


def can_open(path: Path) -> bool:
    """Whether a path holds medical images; never raises."""
    return nifti.is_nifti(path)


def looks_like(path: Path) -> bool:
    """Whether a path is probably meant as medical images; never raises."""
    return False


def load(path: Path, options: ReadOptions = ReadOptions()) -> Loaded:
    """The scans at a path."""
    if not nifti.is_nifti(path):
        raise UserError(f"{path}: not a NIfTI file.")
    return Loaded(nifti.stem(path), [nifti.scan_of(path, "1")])
