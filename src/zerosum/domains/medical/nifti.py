"""Reads and writes NIfTI files: the exact stored numbers, affines, codes and units.

Canonical orientation inside is RAS: turning there and back exchanges and reverses axes and changes no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerosum.data.opening import check_regular
from zerosum.domains.medical.geometry import Affine, Scan, Stored, Values
from zerosum.errors import UserError

ENDINGS = (".nii", ".nii.gz")
DESCRIPTION = b"SYNTHETIC: made by zerosum, not a patient"
DTYPES = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
SHEARED = 1e-4
"""Difference of a matrix from rotation times spacing above which an affine cannot be stored as a quaternion."""


def is_nifti(path: Path) -> bool:
    """Whether the name ends like that of a NIfTI file."""
    return path.name.lower().endswith(ENDINGS)


def stem(path: Path) -> str:
    """The name without .nii or .nii.gz."""
    name = path.name
    return next((name[: -len(ending)] for ending in (".nii.gz", ".nii") if name.lower().endswith(ending)), path.stem)


def package(use: str = "Reading and writing NIfTI files") -> Any:
    """The package nibabel; UserError where it is not installed."""
    try:
        import nibabel
    except ImportError:
        raise UserError(f"{use} needs nibabel, which is not installed: pip install 'zerosum[medical]'.") from None
    return nibabel


def read(path: Path) -> tuple[Values, Affine, Stored]:
    """(numbers as stored (X, Y, Z), affine, how they are stored) of a file in canonical orientation.

    UserError for a file that cannot be read, for several volumes in one file, and for an affine that has no inverse.
    """
    nibabel = package()
    check_regular(path)
    try:
        image = nibabel.load(path)
        header = image.header
        numbers = np.asanyarray(image.dataobj.get_unscaled())
        affine = np.asarray(image.affine, dtype=np.float64)
    except Exception as error:
        raise UserError(f"{path}: not a NIfTI file that can be read ({error}).") from None
    while numbers.ndim > 3 and numbers.shape[-1] == 1:
        numbers = numbers[..., 0]
    if numbers.ndim > 3:
        raise UserError(f"{path} holds {numbers.shape[3]} volumes; split it into files of one volume each.")
    if numbers.dtype.fields or numbers.dtype.kind not in "iuf":
        raise UserError(f"{path} holds values of type {numbers.dtype}; expected one number for each voxel.")
    numbers = numbers.reshape(*numbers.shape, *[1] * (3 - numbers.ndim))
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise UserError(f"{path}: its affine has no inverse, so left and right are unknown. Repair the header first.")
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
        raise UserError(f"{path} has values that are NaN or infinite. Replace them first.")
    slope, inter = image.dataobj.slope, image.dataobj.inter
    orientation = nibabel.orientations.io_orientation(affine)
    codes = "".join(nibabel.orientations.ornt2axcodes(orientation))
    stored = Stored(
        numbers.dtype.newbyteorder("=").name, float(slope), float(inter), codes, int(header["qform_code"]),
        int(header["sform_code"]), int(header["xyzt_units"]), qform=_change(image),
    )  # fmt: skip
    canonical = nibabel.orientations.apply_orientation(numbers, orientation)
    turned = affine @ nibabel.orientations.inv_ornt_aff(orientation, numbers.shape)
    return np.ascontiguousarray(canonical.astype(canonical.dtype.newbyteorder("="))), turned, stored


def _change(image: Any) -> tuple[float, ...]:
    """The first three rows of the matrix that makes the qform of the sform; () unless a file has both and they differ."""
    (qform, qform_code), (sform, sform_code) = image.get_qform(coded=True), image.get_sform(coded=True)
    if not qform_code or not sform_code or np.allclose(qform, sform, atol=1e-4):
        return ()
    return tuple((np.linalg.inv(sform) @ qform)[:3].ravel().tolist())


def scan_of(path: Path, person: str, row_class: int = -1) -> Scan:
    """The scan in a file."""
    numbers, affine, stored = read(path)
    return Scan(numbers, affine, stored, person, row_class)


def to_numbers(values: NDArray[np.float64], stored: Stored) -> Values:
    """The numbers as which values are stored, rounded and limited to what the type can hold."""
    numbers = (values - stored.inter) / stored.slope
    dtype = np.dtype(stored.dtype)
    if dtype.kind == "f":
        return numbers.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(numbers), limits.min, limits.max).astype(dtype)


def write(path: Path, numbers: Values, affine: Affine, stored: Stored, description: bytes = DESCRIPTION) -> Path:
    """Writes numbers (X, Y, Z) in canonical orientation as a file in the orientation of `stored`.

    Affine, codes, units, slope and intercept are those given; nothing is scaled. An affine with shear is stored in the sform
    alone. UserError for a type that NIfTI does not have, or numbers of another type.
    """
    nibabel = package()
    if stored.dtype not in DTYPES or numbers.dtype != np.dtype(stored.dtype):
        raise UserError(f"{path}: numbers of type {numbers.dtype} cannot be written as {stored.dtype}.")
    turn = nibabel.orientations
    to_file = turn.ornt_transform(turn.axcodes2ornt("RAS"), turn.axcodes2ornt(tuple(stored.orientation)))
    turned = turn.apply_orientation(numbers, to_file)
    new_affine = affine @ turn.inv_ornt_aff(to_file, numbers.shape)
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.dtype(stored.dtype))
    image = nibabel.Nifti1Image(np.ascontiguousarray(turned), None, header, dtype=np.dtype(stored.dtype))
    image.header.set_data_shape(turned.shape)
    sheared = is_sheared(new_affine)
    sform, qform = max(stored.sform_code, int(sheared)), stored.qform_code
    if not sheared:
        change = np.vstack([np.reshape(stored.qform or np.eye(4)[:3], (3, 4)), [0, 0, 0, 1]])
        image.set_qform(new_affine @ change, code=qform)
    image.set_sform(new_affine if sform else None, code=sform)
    if sheared:
        image.header["qform_code"] = 0
        zooms = np.sqrt((new_affine[:3, :3] ** 2).sum(0))
        image.header.set_zooms(zooms)
    image.header["xyzt_units"] = stored.xyzt_units
    image.header["descrip"] = description
    image.header.set_slope_inter(1 if stored.slope == 1 and stored.inter == 0 else stored.slope, stored.inter)
    path.parent.mkdir(parents=True, exist_ok=True)
    _save(nibabel, image, turned, path, stored)
    return path


def _save(nibabel: Any, image: Any, numbers: Values, path: Path, stored: Stored) -> None:
    """Writes header and numbers as they are: `nibabel.save` would choose a slope of its own."""
    with nibabel.openers.ImageOpener(str(path), "wb") as file:
        header = image.header.copy()
        header["vox_offset"] = 352
        header["magic"] = b"n+1"
        header["scl_slope"], header["scl_inter"] = stored.slope, stored.inter
        header.write_to(file)
        file.write(b"\0" * (352 - file.tell()))
        file.write(numbers.tobytes(order="F"))


def is_sheared(affine: Affine) -> bool:
    """Whether an affine is more than a rotation, a reflection and a spacing along each axis."""
    columns = affine[:3, :3] / np.sqrt((affine[:3, :3] ** 2).sum(0))
    return bool(np.abs(columns.T @ columns - np.eye(3)).max() > SHEARED)


def orientations() -> list[str]:
    """The 48 orientations that a file can have."""
    import itertools

    found = []
    for order in itertools.permutations((("R", "L"), ("A", "P"), ("S", "I"))):
        found += ["".join(one) for one in itertools.product(*order)]
    return found


def matching_affine(spacing: Sequence[float], size: Sequence[int]) -> Affine:
    """A canonical affine with the middle of the grid at the origin."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-(side - 1) / 2 * step for side, step in zip(size, spacing, strict=True)]
    return affine
