"""Slices of brain volumes as pairs: label maps in trainA/ and testA/, MRI slices in trainB/ and testB/, as PNG files.

    python benchmarks/brain_pairs.py $ZEROSUM_DATA/brain_mri_ixi brains
    zerosum train brains --set data.crop=64

The volumes are NIfTI-1 files (T1 in t1/, label maps in seg/, axes front to back, foot to head, left to right). The most
frequent labels keep a class of their own, the others share one. The last volumes are held out whole, so no person is in both
parts.
"""

from __future__ import annotations

import argparse
import gzip
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Volume = npt.NDArray[np.uint8]


def read_nifti(path: Path) -> Volume:
    """The voxels of a gzipped little-endian NIfTI-1 file of uint8 (https://nifti.nimh.nih.gov/nifti-1, header nifti1.h)."""
    data = gzip.decompress(path.read_bytes())
    size, dims = struct.unpack_from("<i", data, 0)[0], struct.unpack_from("<8h", data, 40)
    kind, start = struct.unpack_from("<h", data, 70)[0], int(struct.unpack_from("<f", data, 108)[0])
    if size != 348 or data[344:348] != b"n+1\0" or kind != 2 or dims[0] != 3:
        raise SystemExit(f"{path}: not a NIfTI-1 volume of three dimensions and uint8 values")
    shape = dims[1:4]
    return np.frombuffer(data, np.uint8, count=int(np.prod(shape)), offset=start).reshape(shape, order="F")


def frequent(volumes: list[Path], classes: int) -> npt.NDArray[np.uint8]:
    """(256,) the class of each label: 0 stays 0, the most frequent ones get 1, 2, ..., all others the last."""
    counts: Counter[int] = Counter()
    for path in volumes:
        counts.update(dict(enumerate(np.bincount(read_nifti(path).ravel(), minlength=256).tolist())))
    counts.pop(0)
    table = np.full(256, classes - 1, np.uint8)
    table[0] = 0
    for number, (label, _) in enumerate(counts.most_common(classes - 2), 1):
        table[label] = number
    return table


def main() -> None:
    """Writes the folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--classes", type=int, default=24)
    parser.add_argument("--heldout", type=int, default=6, help="volumes")
    parser.add_argument("--slices", type=int, nargs=3, default=(55, 95, 4), help="first, behind the last, step")
    wish = parser.parse_args()
    maps = sorted((wish.data / "seg").glob("*.nii.gz"))
    if len(maps) <= wish.heldout:
        raise SystemExit(f"{wish.data}/seg: {len(maps)} volumes, wanted more than {wish.heldout}")
    table = frequent(maps[: -wish.heldout], wish.classes)
    num = 0
    for index, path in enumerate(maps):
        name, part = path.name.split("_")[0], "test" if index >= len(maps) - wish.heldout else "train"
        labels, image = table[read_nifti(path)], read_nifti(wish.data / "t1" / f"{name}_T1_brain.nii.gz")
        for height in range(*wish.slices):
            for side, volume in (("A", labels), ("B", image)):
                target = wish.out / f"{part}{side}" / f"{name}-{height:03d}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.ascontiguousarray(volume[:, height, :])).save(target)
            num += 1
    print(f"{num} pairs of {labels.shape[2]}x{labels.shape[0]} pixels, {wish.classes} classes, in {wish.out}")


if __name__ == "__main__":
    main()
