"""Reads and writes DICOM series. pydicom decodes the pixels; the geometry is checked here, and refused with numbers where it
is not that of one regular volume.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerosum.data.opening import is_regular
from zerosum.domains.medical import nifti
from zerosum.domains.medical.geometry import Affine, Scan, Stored, Values
from zerosum.errors import UserError

MAGIC = b"DICM"
SPACING_SHARE = 0.02
"""Differences between the steps from slice to slice up to this share of a step are rounding in the files."""
TILT_DEGREES = 0.5
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's directions are left and back; those of an affine are right and front."""


def package() -> Any:
    """The package pydicom; UserError where it is not installed."""
    try:
        import pydicom
    except ImportError:
        raise UserError(
            "Reading and writing DICOM files needs pydicom, which is not installed: pip install 'zerosum[medical]'."
        ) from None
    return pydicom


def is_dicom(path: Path) -> bool:
    """Whether a regular file begins as DICOM files do; never raises. A pipe or a device might never end."""
    if not is_regular(path):
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == MAGIC
    except OSError:
        return False


@dataclass(frozen=True, eq=False)
class _Slice:
    """One plane of pixels (rows, columns) and where it lies; all of one file that share a rescaling."""

    pixels: Values
    position: NDArray[np.float64]
    slope: float
    inter: float
    where: str


def read_series(paths: Sequence[Path]) -> tuple[list[Scan], list[str]]:
    """(scans, notes): one scan of each series, in the order of their names. UserError names the series and what is wrong."""
    found, notes = read_with_folders(paths)
    return [scan for _, scan in found], notes


def read_with_folders(paths: Sequence[Path]) -> tuple[list[tuple[Path, Scan]], list[str]]:
    """The same with the folder of the first file of each series."""
    pydicom = package()
    series: defaultdict[str, list[tuple[Path, Any]]] = defaultdict(list)
    unreadable = []
    for path in paths:
        try:
            dataset = pydicom.dcmread(path)
        except Exception as error:
            unreadable.append(f"{path.name} ({error})")
            continue
        if "PixelData" in dataset or "FloatPixelData" in dataset:
            series[str(dataset.get("SeriesInstanceUID", path.parent.name))].append((path, dataset))
    notes = []
    if unreadable:
        notes.append(f"{len(unreadable)} files cannot be read and are left out, the first one: {unreadable[0]}.")
    scans = []
    for files in sorted(series.values(), key=lambda files: str(files[0][0])):
        scan, said = _scan(files)
        scans.append((files[0][0].parent, scan))
        notes += said
    return scans, list(dict.fromkeys(notes))


def _scan(files: Sequence[tuple[Path, Any]]) -> tuple[Scan, list[str]]:
    """The scan of the files of one series, and notes."""
    path, first = files[0]
    notes: list[str] = []
    for where, dataset in files:
        _refuse_kind(where, dataset)
    slices, directions, spacing = list[_Slice](), list[NDArray[np.float64]](), list[tuple[float, float]]()
    for where, dataset in files:
        for one, direction, step in _slices(where, dataset):
            slices.append(one)
            directions.append(direction)
            spacing.append(step)
    name = _name(path, first)
    if len(slices) > 1 and any(np.isnan(one.position).any() for one in slices):
        raise UserError(
            f"{name}: its images have no positions, so their order is unknown. Convert the series to NIfTI first."
        )
    if any(np.abs(direction - directions[0]).max() > 1e-3 for direction in directions):
        raise UserError(f"{name}: its images lie in different directions (a localiser?). Leave this series out.")
    if len({(*one.pixels.shape, *step) for one, step in zip(slices, spacing, strict=True)}) > 1:
        raise UserError(f"{name}: its images have different sizes or pixel spacings. Leave this series out.")
    ordered, step_vector, said = _ordered(name, slices, directions[0], float(first.get("SliceThickness") or 1.0))
    notes += said
    numbers, said = _corrected(name, first, np.stack([one.pixels for one in ordered]))
    notes += said
    numbers = numbers.transpose(2, 1, 0)
    affine = np.eye(4)
    affine[:3, 0] = directions[0][0] * spacing[0][1]
    affine[:3, 1] = directions[0][1] * spacing[0][0]
    affine[:3, 2] = step_vector
    affine[:3, 3] = np.nan_to_num(ordered[0].position)
    affine = TO_RAS @ affine
    numbers, slope, inter = _rescaled(numbers, ordered)
    turn = nifti.package("Reading DICOM files").orientations
    orientation = turn.io_orientation(affine)
    stored = Stored(
        numbers.dtype.name, slope, inter, "".join(turn.ornt2axcodes(orientation)),
        units="HU" if first.get("Modality") == "CT" else "",
    )  # fmt: skip
    canonical = np.ascontiguousarray(turn.apply_orientation(numbers, orientation))
    person = str(first.get("PatientID") or first.get("SeriesInstanceUID", path.parent.name))
    return Scan(canonical, affine @ turn.inv_ornt_aff(orientation, numbers.shape), stored, person), notes


def _name(path: Path, dataset: Any) -> str:
    described = dataset.get("SeriesDescription") or dataset.get("SeriesNumber") or ""
    return f"{path.parent}: series {described}".rstrip()


def _refuse_kind(path: Path, dataset: Any) -> None:
    """UserError for images that are not grey values of one plane or one regular volume."""
    if dataset.get("Modality") == "SEG":
        raise UserError(
            f"{path} is a DICOM segmentation, whose regions may overlap; it is not read. Convert it to a NIfTI label map."
        )
    if "MOSAIC" in [str(word).upper() for word in dataset.get("ImageType") or ()]:
        raise UserError(
            f"{path} is a mosaic, one picture of all slices. Convert the series to NIfTI first: dcm2niix makes a volume of it."
        )
    if int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise UserError(f"{path} is a colour image; grey values are expected.")
    if "FloatPixelData" in dataset:
        raise UserError(f"{path} holds floating-point pixels, which are not read. Convert it to NIfTI.")


def _slices(path: Path, dataset: Any) -> list[tuple[_Slice, NDArray[np.float64], tuple[float, float]]]:
    """(slice, directions (2, 3) of rows and columns, spacing of rows and columns) of each frame of a file."""
    try:
        pixels = np.asarray(dataset.pixel_array)
    except Exception as error:
        raise UserError(
            f"{path}: its pixels cannot be decoded ({error}). JPEG with 12 bits needs a decoder that zerosum[medical] leaves "
            "out for its licence; convert the series to NIfTI with dcm2niix."
        ) from None
    pixels = _without_overlays(dataset, pixels)
    frames = pixels.reshape(-1, *pixels.shape[-2:])
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or ()), None)
    each = dataset.get("PerFrameFunctionalGroupsSequence") or [None] * len(frames)
    if len(frames) > 1 and each[0] is None:
        raise UserError(f"{path} holds {len(frames)} frames without positions. Convert it to NIfTI with dcm2niix.")
    found = []
    for frame, own in zip(frames, each, strict=True):
        parts = [part for part in (own, shared, dataset) if part is not None]
        measures = _group(parts, "PixelMeasuresSequence", "PixelSpacing")
        orientation = _group(parts, "PlaneOrientationSequence", "ImageOrientationPatient")
        position = _group(parts, "PlanePositionSequence", "ImagePositionPatient")
        slope = _group(parts, "PixelValueTransformationSequence", "RescaleSlope")
        inter = _group(parts, "PixelValueTransformationSequence", "RescaleIntercept")
        if orientation is None or position is None:
            if len(frames) > 1:
                raise UserError(f"{path}: its frames have no position or direction.")
            orientation, position = orientation or (1, 0, 0, 0, 1, 0), position or (np.nan,) * 3
        directions = np.array(orientation, dtype=np.float64).reshape(2, 3)
        row, column = map(float, measures or dataset.get("ImagerPixelSpacing") or (1, 1))
        one = _Slice(
            frame, np.array(position, dtype=np.float64), 1.0 if slope is None else float(slope), float(inter or 0), str(path)
        )  # fmt: skip
        found.append((one, directions, (row, column)))
    return found


def _group(parts: Sequence[Any], sequence: str, keyword: str) -> Any:
    """A value of an enhanced image's groups, the frame's own first, else of the plain image."""
    for part in parts:
        inner = part.get(sequence)
        value = inner[0].get(keyword) if inner else part.get(keyword)
        if value is not None:
            return value
    return None


def _without_overlays(dataset: Any, pixels: Values) -> Values:
    """Pixels of which only the BitsStored lowest bits count, with their sign: overlays of old files lie in the bits above."""
    unused = int(dataset.BitsAllocated) - int(dataset.BitsStored)
    if unused <= 0 or pixels.dtype.kind not in "iu":
        return pixels
    shift = pixels.dtype.type(unused)
    return np.right_shift(np.left_shift(pixels, shift), shift)


def _ordered(
    name: str, slices: Sequence[_Slice], directions: NDArray[np.float64], thickness: float
) -> tuple[list[_Slice], NDArray[np.float64], list[str]]:
    """(slices along their normal, the step (3,) from one to the next in millimetres, notes)."""
    normal = np.cross(*directions)
    notes: list[str] = []
    if len(slices) == 1:
        return list(slices), normal * thickness, notes
    ordered = sorted(slices, key=lambda one: float(one.position @ normal))
    kept = [ordered[0]]
    for one in ordered[1:]:
        if abs(float((one.position - kept[-1].position) @ normal)) > 1e-3:
            kept.append(one)
        elif not np.array_equal(one.pixels, kept[-1].pixels):
            raise UserError(
                f"{name}: two different images at position {float(one.position @ normal):g} mm: {Path(kept[-1].where).name} and "
                f"{Path(one.where).name}. Several scans share one series (phases, echoes); put them into folders of their own."
            )
    if len(kept) < len(ordered):
        notes.append(f"{name}: {len(ordered) - len(kept)} images are copies of another one and are left out.")
    if len(kept) == 1:
        return kept, normal * thickness, notes
    places = np.array([float(one.position @ normal) for one in kept])
    steps = np.diff(places)
    step = float(np.median(steps))
    if float(np.abs(steps - step).max()) > max(SPACING_SHARE * step, 1e-3):
        worst = int(np.abs(steps - step).argmax())
        missing = steps[worst] / step
        what = (
            f"about {round(missing) - 1} images are missing" if missing > 1.5 else "the spacing of its images is uneven"
        )
        raise UserError(
            f"{name}: {what}: from {places[worst]:g} to {places[worst + 1]:g} mm it is {steps[worst]:.4g} mm, elsewhere "
            f"{step:.4g} mm."
        )
    whole = (kept[-1].position - kept[0].position) / (len(kept) - 1)
    angle = float(np.degrees(np.arccos(np.clip(whole @ normal / np.linalg.norm(whole), -1, 1))))
    if angle > TILT_DEGREES:
        raise UserError(
            f"{name}: a tilted gantry: its images are moved by {angle:.1f} degrees against each other. Resample the series first "
            "(dcm2niix does)."
        )
    return kept, whole, notes


def _rescaled(numbers: Values, slices: Sequence[_Slice]) -> tuple[Values, float, float]:
    """(numbers, slope, intercept): those of the files where all slices share them, else float32 values."""
    scales = {(one.slope, one.inter) for one in slices}
    if len(scales) == 1:
        slope, inter = scales.pop()
        return numbers, slope, inter
    values = numbers * np.array([one.slope for one in slices]) + np.array([one.inter for one in slices])
    return values.astype(np.float32), 1.0, 0.0


def _corrected(name: str, dataset: Any, numbers: Values) -> tuple[Values, list[str]]:
    """Stored numbers, of which those of MONOCHROME1, where large ones are dark, are exchanged, and then padding is replaced by
    the darkest other one."""
    notes = []
    padding = dataset.get("PixelPaddingValue")
    outside = numbers == padding if padding is not None else np.zeros(numbers.shape, bool)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        signed = int(dataset.PixelRepresentation)
        largest = 2 ** (int(dataset.BitsStored) - signed) - 1
        least = -(2 ** (int(dataset.BitsStored) - 1)) if signed else 0
        numbers = (largest + least - numbers.astype(np.int64)).astype(numbers.dtype)
        notes.append(f"{name}: large numbers are dark in it (MONOCHROME1); they are exchanged with small ones.")
    if outside.any() and not outside.all():
        numbers = np.where(outside, numbers[~outside].min(), numbers)
        notes.append(f"{name}: {outside.mean():.0%} of its voxels are padding and get the least value of the others.")
    return numbers, notes


# --- writing


def write(folder: Path, numbers: Values, affine: Affine, stored: Stored) -> Path:
    """Writes numbers (X, Y, Z) in canonical orientation as a series of axial slices, one file each, with new UIDs.

    Every file is marked as synthetic (Synthetic Data = YES, image type DERIVED, patient SYNTHETIC). Types other than 8- and
    16-bit integers become int16 with a slope and an intercept that cover their values.
    """
    pydicom = package()
    numbers, stored = _as_integers(numbers, stored)
    folder.mkdir(parents=True, exist_ok=True)
    uid = pydicom.uid.generate_uid
    study, series, frame = uid(), uid(), uid()
    to_lps = TO_RAS @ affine @ np.diag([-1.0, -1.0, 1.0, 1.0])
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(0))
    rows = to_lps[:3, 0] / spacing[0], to_lps[:3, 1] / spacing[1]
    bits = np.dtype(stored.dtype).itemsize * 8
    for index in range(numbers.shape[2]):
        one = pydicom.dataset.Dataset()
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = uid()
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
        one.ImageType, one.SyntheticData, one.ConversionType = ["DERIVED", "SECONDARY"], "YES", "SYN"
        one.PatientName = one.PatientID = "SYNTHETIC"
        one.SeriesDescription = nifti.DESCRIPTION.decode()
        one.Modality = "CT" if stored.units == "HU" else "OT"
        one.PatientBirthDate = one.PatientSex = one.StudyDate = one.StudyTime = one.AccessionNumber = ""
        one.StudyID = one.ReferringPhysicianName = one.PositionReferenceIndicator = ""
        one.SeriesNumber, one.InstanceNumber, one.BurnedInAnnotation = 1, index + 1, "NO"
        place = affine @ np.array([numbers.shape[0] - 1, numbers.shape[1] - 1, index, 1])
        one.ImagePositionPatient = [_decimal(value) for value in (TO_RAS @ place)[:3]]
        one.ImageOrientationPatient = [_decimal(value) for value in itertools.chain(*rows)]
        one.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]
        one.SliceThickness = one.SpacingBetweenSlices = _decimal(spacing[2])
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.Rows, one.Columns = numbers.shape[1], numbers.shape[0]
        one.BitsAllocated = one.BitsStored = bits
        one.HighBit, one.PixelRepresentation = bits - 1, int(np.dtype(stored.dtype).kind == "i")
        one.RescaleSlope, one.RescaleIntercept = _decimal(stored.slope), _decimal(stored.inter)
        one.RescaleType = stored.units or "US"
        plane = np.ascontiguousarray(numbers[::-1, ::-1, index].T)
        one.PixelData = plane.astype(plane.dtype.newbyteorder("<")).tobytes()
        pydicom.dcmwrite(folder / f"{index + 1:04d}.dcm", one, enforce_file_format=True)
    return folder


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters, as DICOM wants it."""
    return next(text for digits in range(16, 0, -1) if len(text := f"{float(value):.{digits}g}") <= 16)


def _as_integers(numbers: Values, stored: Stored) -> tuple[Values, Stored]:
    if numbers.dtype.kind in "iu" and numbers.dtype.itemsize <= 2:
        return numbers, stored
    values = numbers.astype(np.float64) * stored.slope + stored.inter
    low, high = float(values.min()), float(values.max())
    slope = max(high - low, 1e-6) / 65_000
    inter = (high + low) / 2
    made = np.rint((values - inter) / slope).astype(np.int16)
    return made, replace(stored, dtype="int16", slope=slope, inter=inter)
