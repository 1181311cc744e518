"""Small scans as files: NIfTI volumes and DICOM series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SHAPE = (10, 9, 8)


def head(seed: int = 0, shape: tuple[int, ...] = SHAPE, dtype: str = "int16") -> np.ndarray:
    """A bright ellipsoid with some structure on black."""
    draw = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij"))
    inside = ((places / draw.uniform(0.8, 0.95)) ** 2).sum(0) < 1
    return (inside * draw.integers(40, 120, shape)).astype(dtype)


def save(path: Path, numbers: np.ndarray, spacing: tuple[float, ...] = (2.0, 2.0, 3.0)) -> Path:
    """Writes numbers as NIfTI with nibabel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(numbers, np.diag([*spacing, 1.0])), path)
    return path


def image(index: int, pixels: np.ndarray, series: str, **changes: Any) -> Dataset:
    """One image of a CT series, at z = 2.5 * index; changes: attributes, None to leave one out."""
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = CTImageStorage
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    one.SeriesInstanceUID, one.PatientID, one.Modality = series, "p1", "CT"
    one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    one.ImagePositionPatient, one.ImageOrientationPatient = [-9.0, -7.0, 2.5 * index], [1, 0, 0, 0, 1, 0]
    one.PixelSpacing, one.SliceThickness = [1.5, 2.0], 2.5
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.Rows, one.Columns = pixels.shape
    one.BitsAllocated = one.BitsStored = pixels.dtype.itemsize * 8
    one.HighBit, one.PixelRepresentation = one.BitsStored - 1, int(pixels.dtype.kind == "i")
    one.RescaleSlope, one.RescaleIntercept = 1, -1024
    one.PixelData = pixels.tobytes()
    for name, value in changes.items():
        if value is None:
            delattr(one, name)
        else:
            setattr(one, name, value)
    return one


def series(folder: Path, volume: np.ndarray, name: str = "1.2.3", **changes: Any) -> list[Path]:
    """A series of (K, rows, columns), its files in another order than its slices."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, pixels in enumerate(volume):
        paths.append(folder / f"{(index * 5 + 3) % 97:02d}.dcm")
        pydicom.dcmwrite(paths[-1], image(index, pixels, name, **changes), enforce_file_format=True)
    return paths
