"""What went into a NIfTI file comes out of it: numbers, type, orientation, affine, codes, units, slope and intercept."""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest

from zerosum.domains.medical import nifti
from zerosum.domains.medical.geometry import Stored
from zerosum.errors import UserError


def file_with(
    path: Path, orientation: str, dtype: str, slope: float = 1.0, inter: float = 0.0, shear: float = 0.0
) -> None:
    """A file of another program, with an oblique affine in this orientation."""
    draw = np.random.default_rng(zlib.crc32(f"{orientation}{dtype}".encode()))
    top = 127 if dtype == "int8" else 250
    numbers = draw.integers(0, top, (4, 5, 6)).astype(dtype)
    turn = np.array([[0.995, -0.0998, 0], [0.0998, 0.995, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.8, 1.25, 3.0])
    affine[0, 1] += shear
    affine[:3, 3] = (-31.5, 12.25, 7.0)
    turned = nibabel.orientations
    change = turned.ornt_transform(turned.axcodes2ornt("RAS"), turned.axcodes2ornt(tuple(orientation)))
    made = nibabel.Nifti1Image(
        turned.apply_orientation(numbers, change), affine @ turned.inv_ornt_aff(change, numbers.shape), dtype=np.dtype(dtype)
    )  # fmt: skip
    made.header.set_xyzt_units("mm", "sec")
    made.set_qform(made.affine, code=1)
    made.set_sform(made.affine, code=4)
    made.header.set_slope_inter(slope, inter)
    made.to_filename(path)


@pytest.mark.parametrize("orientation", nifti.orientations())
def test_every_orientation_comes_back(orientation: str, tmp_path: Path) -> None:
    check_round_trip(tmp_path, orientation, "int16")


@pytest.mark.parametrize("dtype", nifti.DTYPES)
@pytest.mark.parametrize("orientation", ["RAS", "PSR", "LIP"])
def test_every_type_comes_back(dtype: str, orientation: str, tmp_path: Path) -> None:
    check_round_trip(tmp_path, orientation, dtype)


def test_slope_and_intercept_come_back(tmp_path: Path) -> None:
    check_round_trip(tmp_path, "LAS", "int16", slope=0.5, inter=-1024.0)


def test_a_sheared_affine_comes_back_in_the_sform(tmp_path: Path) -> None:
    check_round_trip(tmp_path, "RAS", "float32", shear=0.4)


def check_round_trip(folder: Path, orientation: str, dtype: str, **scale: float) -> None:
    before, after = folder / "before.nii.gz", folder / "after.nii.gz"
    file_with(before, orientation, dtype, **scale)
    numbers, affine, stored = nifti.read(before)
    assert nibabel.aff2axcodes(affine) == ("R", "A", "S")
    assert stored.orientation == orientation
    nifti.write(after, numbers, affine, stored)
    one, other = nibabel.load(before), nibabel.load(after)
    np.testing.assert_array_equal(one.get_fdata(), other.get_fdata())
    np.testing.assert_array_equal(one.dataobj.get_unscaled(), other.dataobj.get_unscaled())
    np.testing.assert_allclose(other.affine, one.affine, atol=1e-5)
    assert one.get_data_dtype() == other.get_data_dtype()
    assert nibabel.aff2axcodes(other.affine) == tuple(orientation)
    for field in ("sform_code", "xyzt_units"):
        assert one.header[field] == other.header[field]
    if not scale.get("shear"):
        assert other.header["qform_code"] == one.header["qform_code"]
        np.testing.assert_allclose(other.get_qform(), one.get_qform(), atol=1e-5)
    np.testing.assert_allclose(one.header.get_zooms(), other.header.get_zooms(), atol=1e-6)
    assert other.header["descrip"].item().startswith(b"SYNTHETIC")


@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 2), (2, 4)])
def test_codes_and_a_qform_that_differs_come_back(codes: tuple[int, int], tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), None)
    image.header.set_zooms((2, 3, 4))
    scanner, atlas = np.diag([2.0, 3, 4, 1]), np.diag([-2.0, 3, 4, 1])
    scanner[:3, 3], atlas[:3, 3] = (5, 6, 7), (-1, 2, 3)
    image.set_qform(scanner, code=codes[0])
    image.set_sform(atlas if codes[1] else None, code=codes[1])
    image.to_filename(tmp_path / "a.nii")
    nifti.write(tmp_path / "b.nii", *nifti.read(tmp_path / "a.nii"))
    one, other = nibabel.load(tmp_path / "a.nii"), nibabel.load(tmp_path / "b.nii")
    np.testing.assert_array_equal(one.get_fdata(), other.get_fdata())
    np.testing.assert_allclose(one.affine, other.affine, atol=1e-5)
    assert (int(other.header["qform_code"]), int(other.header["sform_code"])) == codes
    if all(codes):
        np.testing.assert_allclose(one.get_qform(), other.get_qform(), atol=1e-5)


def test_what_is_no_volume_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"nothing")
    with pytest.raises(UserError, match="not a NIfTI file"):
        nifti.read(tmp_path / "a.nii")
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 3, 3, 7), np.int16), np.eye(4)), tmp_path / "b.nii")
    with pytest.raises(UserError, match="7 volumes"):
        nifti.read(tmp_path / "b.nii")
    nibabel.save(nibabel.Nifti1Image(np.full((3, 3, 3), np.nan, np.float32), np.eye(4)), tmp_path / "c.nii")
    with pytest.raises(UserError, match="NaN"):
        nifti.read(tmp_path / "c.nii")
    flat = nibabel.Nifti1Image(np.zeros((3, 3, 3), np.int16), np.eye(4))
    flat.set_sform(np.array([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]), code=2)
    nibabel.save(flat, tmp_path / "d.nii")
    with pytest.raises(UserError, match="no inverse"):
        nifti.read(tmp_path / "d.nii")
    with pytest.raises(UserError, match="cannot be written"):
        nifti.write(tmp_path / "e.nii", np.zeros((3, 3, 3), np.float16), np.eye(4), Stored("float16"))


def test_numbers_are_rounded_and_limited() -> None:
    values = np.array([-5000.0, -1024.0, 10.26, 99_999.0])
    stored = Stored("int16", 0.5, -1024)
    assert nifti.to_numbers(values, stored).tolist() == [-7952, 0, 2069, 32767]
