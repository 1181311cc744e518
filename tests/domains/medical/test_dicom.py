"""DICOM series: the grey values and positions that pydicom gives; what is no regular volume is refused with numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from scan_making import image, series

from zerosum.domains.medical import dicom, files
from zerosum.domains.medical.geometry import Scan, Stored
from zerosum.errors import UserError

VOLUME = np.random.default_rng(0).integers(0, 2000, (6, 5, 4)).astype("<i2")


def one(paths: list[Path]) -> Scan:
    scans, _ = dicom.read_series(paths)
    assert len(scans) == 1
    return scans[0]


def at(scan: Scan, slice_: int, row: int, column: int) -> float:
    """The value at the position that DICOM gives to a pixel."""
    position = np.array([-9.0 + 2.0 * column, -7.0 + 1.5 * row, 2.5 * slice_])
    index = np.linalg.inv(scan.affine) @ np.array([-position[0], -position[1], position[2], 1])
    np.testing.assert_allclose(index, np.rint(index), atol=1e-4)
    x, y, z = np.rint(index[:3]).astype(int)
    return float(scan.values()[x, y, z])


def test_values_and_positions_are_those_of_pydicom(tmp_path: Path) -> None:
    scan = one(series(tmp_path, VOLUME))
    for place in [(0, 0, 0), (5, 4, 3), (2, 1, 3)]:
        assert at(scan, *place) == VOLUME[place] - 1024
    assert scan.spacing == pytest.approx((2.0, 1.5, 2.5))
    assert scan.stored.units == "HU"
    assert (scan.stored.slope, scan.stored.inter, scan.person) == (1.0, -1024.0, "p1")


def test_several_series_are_several_scans(tmp_path: Path) -> None:
    series(tmp_path / "a", VOLUME, "1.1")
    series(tmp_path / "b", VOLUME[:4], "1.2", PatientID="p2")
    found = files.load(tmp_path)
    assert [scan.numbers.shape[2] for scan in found.scans] == [6, 4]
    assert {scan.person for scan in found.scans} == {"p1", "p2"}


def test_copies_are_left_out_and_told(tmp_path: Path) -> None:
    paths = series(tmp_path, VOLUME)
    pydicom.dcmwrite(tmp_path / "copy.dcm", image(2, VOLUME[2], "1.2.3"), enforce_file_format=True)
    scans, notes = dicom.read_series([*paths, tmp_path / "copy.dcm"])
    assert scans[0].numbers.shape[2] == 6
    assert "1 images are copies" in notes[0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({2: {"ImagePositionPatient": [-9.0, -7.0, 2.5]}}, "two different images at position 2.5 mm"),
        ({3: None}, "1 images are missing: from 5 to 10 mm"),
        ({5: {"ImagePositionPatient": [-9.0, -7.0, 13.7]}}, "uneven: from 10 to 13.7 mm it is 3.7 mm, elsewhere 2.5 mm"),
        ({k: {"ImagePositionPatient": [-9.0, -7.0 + 0.7 * k, 2.5 * k]} for k in range(6)}, "tilted gantry: .* 15.6 degrees"),
        ({1: {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}}, "different directions"),
        ({1: {"PixelSpacing": [1.0, 1.0]}}, "different sizes or pixel spacings"),
        ({0: {"ImageType": ["ORIGINAL", "PRIMARY", "MOSAIC"]}}, "mosaic"),
        ({0: {"PixelData": b"12"}}, "cannot be decoded"),
        ({0: {"Modality": "SEG"}}, "a DICOM segmentation"),
        ({k: {"ImagePositionPatient": None} for k in range(6)}, "have no positions"),
    ],
)  # fmt: skip
def test_what_is_no_regular_volume_is_refused(changed: dict[int, Any], said: str, tmp_path: Path) -> None:
    paths = []
    for index, pixels in enumerate(VOLUME):
        if index in changed and changed[index] is None:
            continue
        paths.append(tmp_path / f"{index}.dcm")
        made = image(index, pixels, "1.2.3", **(changed.get(index) or {}))
        pydicom.dcmwrite(paths[-1], made, enforce_file_format=True)
    with pytest.raises(UserError, match=said):
        dicom.read_series(paths)


def test_bits_of_overlays_above_the_stored_ones_do_not_count(tmp_path: Path) -> None:
    values = np.array([[-2048, -1], [5, 2047]], "<i2")
    stained = (values & 0x0FFF) | np.array([[0x1000, 0], [0x7000, 0x2000]], "<i2")
    scan = one(series(tmp_path, np.stack([stained] * 3), BitsStored=12, HighBit=11, RescaleIntercept=0))
    assert sorted(np.unique(scan.values()).tolist()) == [-2048, -1, 5, 2047]


def test_monochrome1_is_exchanged_and_padding_replaced(tmp_path: Path) -> None:
    pixels = np.array([[0, 10], [200, 255]], np.uint8)
    stack = np.stack([pixels] * 3)
    plain = {"RescaleIntercept": 0, "PhotometricInterpretation": "MONOCHROME1"}
    scan = one(series(tmp_path / "m", stack, **plain))
    assert sorted(np.unique(scan.values()).tolist()) == [0, 55, 245, 255]
    padded = np.where(stack == 0, -2000, stack.astype("<i2")).astype("<i2")
    scan = one(series(tmp_path / "p", padded, PixelPaddingValue=-2000, RescaleIntercept=0))
    assert sorted(np.unique(scan.values()).tolist()) == [10, 200, 255]
    both = {"PixelPaddingValue": 0, **plain}
    scan = one(series(tmp_path / "b", stack, **both))
    assert sorted(np.unique(scan.values()).tolist()) == [0, 55, 245], "padding becomes dark"
    paths = []
    for index in range(3):
        paths.append(tmp_path / f"{index}.dcm")
        made = image(index, padded[index], "1.2", PixelPaddingValue=-2000, RescaleSlope=index + 1, RescaleIntercept=0)
        pydicom.dcmwrite(paths[-1], made, enforce_file_format=True)
    assert one(paths).values().min() == 10, "padding is replaced before slices are rescaled"


def test_slices_of_different_slopes_have_their_own_values(tmp_path: Path) -> None:
    paths = []
    for index in range(3):
        paths.append(tmp_path / f"{index}.dcm")
        made = image(index, VOLUME[index], "1.2", RescaleSlope=index + 1, RescaleIntercept=0)
        pydicom.dcmwrite(paths[-1], made, enforce_file_format=True)
    scan = one(paths)
    assert [at(scan, index, 0, 0) for index in range(3)] == [VOLUME[index, 0, 0] * (index + 1) for index in range(3)]


def test_an_enhanced_image_of_many_frames(tmp_path: Path) -> None:
    made = image(0, VOLUME[0], "1.2", ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None)
    made.NumberOfFrames, made.PixelData = len(VOLUME), VOLUME.tobytes()
    shared, frames = Dataset(), []
    shared.PixelMeasuresSequence = Sequence([Dataset()])
    shared.PixelMeasuresSequence[0].PixelSpacing = [1.5, 2.0]
    shared.PlaneOrientationSequence = Sequence([Dataset()])
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    for index in range(len(VOLUME)):
        frame = Dataset()
        frame.PlanePositionSequence = Sequence([Dataset()])
        frame.PlanePositionSequence[0].ImagePositionPatient = [-9.0, -7.0, 2.5 * index]
        frames.append(frame)
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = Sequence([shared]), Sequence(frames)
    pydicom.dcmwrite(tmp_path / "e.dcm", made, enforce_file_format=True)
    scan = one([tmp_path / "e.dcm"])
    assert at(scan, 4, 2, 1) == VOLUME[4, 2, 1] - 1024
    assert scan.spacing == pytest.approx((2.0, 1.5, 2.5))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_a_written_series_is_read_back(dtype: str, tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).integers(0, 200, (5, 4, 3)).astype(dtype)
    affine = np.array([[2.0, 0, 0, -11], [0, 1.5, 0, 8.5], [0, 0, 3, -4], [0, 0, 0, 1]])
    dicom.write(tmp_path, numbers, affine, Stored(dtype, 0.5, -10, units="HU"))
    scan = one(sorted(tmp_path.iterdir()))
    np.testing.assert_allclose(scan.values(), numbers * 0.5 - 10, atol=1e-3 if dtype == "float32" else 0)
    np.testing.assert_allclose(scan.affine, affine, atol=1e-5)
    first, second = (pydicom.dcmread(path) for path in sorted(tmp_path.iterdir())[:2])
    assert (first.SyntheticData, first.PatientID, first.ImageType[0]) == ("YES", "SYNTHETIC", "DERIVED")
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_a_file_that_is_damaged_is_told(tmp_path: Path) -> None:
    paths = series(tmp_path, VOLUME)
    (tmp_path / "x.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"rest")
    _, notes = dicom.read_series([*paths, tmp_path / "x.dcm"])
    assert notes == []  # it has no pixels, so it is no image
    (tmp_path / "y.dcm").write_bytes(b"\0" * 10)
    _, notes = dicom.read_series([*paths, tmp_path / "y.dcm"])
    assert "1 files cannot be read and are left out, the first one: y.dcm" in notes[0]
