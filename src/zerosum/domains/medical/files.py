"""Finds and reads the scans of a file or a folder: NIfTI files, DICOM series, pictures, arrays; with label maps, other images or
classes beside them.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zerosum.data import numpy_files
from zerosum.data.opening import is_regular
from zerosum.domains.medical import dicom, nifti
from zerosum.domains.medical.geometry import Scan, Stored, Values
from zerosum.errors import UserError, nearest

LABEL_FOLDERS = re.compile(r"(seg|segs|segmentation|segmentations|label|labels|labelstr|mask|masks|maps|dlmuse)", re.I)
"""Names of folders of label maps."""
PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
NOT_READ: Mapping[str, str] = {
    ".mha": "MetaImage", ".mhd": "MetaImage", ".nrrd": "NRRD", ".hdr": "Analyze", ".mgz": "FreeSurfer", ".mnc": "MINC",
}  # fmt: skip
"""Endings of volumes that are not read, and the names of their formats."""
IMAGE_KEYS = ("images", "volumes", "x", "data")
ENTRIES_TO_RECOGNISE = 2000
"""The number of directory entries that are read to recognise a folder."""
LEAST_SHARE, NUM_OPENED = 0.1, 20
"""The share of scans among the files of a folder from which it is recognised, and how many files are opened for it."""
MAX_FILES = 100_000
MAX_VOXELS = 2**30
"""The most voxels of all scans together: they are kept in memory as float32."""


@dataclass(frozen=True)
class ReadOptions:
    """classes: whether classes are read. table: a .csv or .tsv of people or files. class_column: of the table. images: the folder
    of the images to be made, where there are several beside each other."""

    classes: bool = True
    table: str = ""
    class_column: str = ""
    images: str = ""


@dataclass(frozen=True, eq=False)
class Loaded:
    """The scans at a path. split: indices of training and held-out scans where the data bring a split."""

    name: str
    scans: Sequence[Scan]
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    split: tuple[list[int], list[int]] | None = None


def can_open(path: Path) -> bool:
    """Whether a path holds medical images: NIfTI or DICOM files, or an .npz of volumes; never raises."""
    try:
        if path.is_dir():
            return _holds_scans(_entries(path))
        if path.suffix.lower() == ".npz" and is_regular(path):
            return any(len(header.shape) == 4 and header.shape[-1] > 4 for header in _image_arrays(path).values())
        return is_regular(path) and (nifti.is_nifti(path) or dicom.is_dicom(path))
    except (OSError, UserError):
        return False


def looks_like(path: Path) -> bool:
    """Whether a path is a volume of a format that is not read, or a folder of such; never raises."""
    try:
        files = _entries(path) if path.is_dir() else [path]
    except OSError:
        return False
    return any(file.suffix.lower() in NOT_READ for file in files)


def _entries(folder: Path) -> list[Path]:
    """The first files below a folder, without hidden ones."""
    found: list[Path] = []
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(base, name) for name in sorted(names) if not name.startswith(".")]
        if len(found) > ENTRIES_TO_RECOGNISE:
            break
    return found[:ENTRIES_TO_RECOGNISE]


def _holds_scans(entries: Sequence[Path]) -> bool:
    """Whether at least LEAST_SHARE of some files are NIfTI files, or may be DICOM files and some of the first ones are."""
    least = max(1.0, LEAST_SHARE * len(entries))
    if sum(map(nifti.is_nifti, entries)) >= least:
        return True
    may_be = [path for path in entries if path.suffix.lower() in (".dcm", ".ima", "")]
    return len(may_be) >= least and any(map(dicom.is_dicom, may_be[:NUM_OPENED]))


def load(path: Path, options: ReadOptions = ReadOptions()) -> Loaded:
    """The scans at a path. UserError names the file and what is wrong with it."""
    if path.is_dir():
        found = _read_folder(path, options)
    elif nifti.is_nifti(path):
        found = Loaded(nifti.stem(path), [nifti.scan_of(path, person_of(path))])
    elif path.suffix.lower() == ".npz":
        found = _read_arrays(path, options)
    elif path.suffix.lower() in PICTURES:
        found = Loaded(path.stem, [_read_picture(path)])
    elif dicom.is_dicom(path):
        scans, notes = dicom.read_series([path])
        found = Loaded(path.stem, scans, notes=tuple(notes))
    else:
        raise _not_read(path, [path])
    if not found.scans:
        raise _not_read(path, _entries(path) if path.is_dir() else [path])
    num_voxels = sum(scan.numbers.size for scan in found.scans)
    if num_voxels > MAX_VOXELS:
        raise UserError(
            f"{path}: {len(found.scans):,} scans with {num_voxels:,} voxels, more than the {MAX_VOXELS:,} that are kept in "
            "memory. Use fewer scans, or make them smaller first."
        )
    return found


def _not_read(path: Path, files: Sequence[Path]) -> UserError:
    kinds = sorted({NOT_READ[file.suffix.lower()] for file in files if file.suffix.lower() in NOT_READ})
    why = f"{' and '.join(kinds)} files are not read; convert them to NIfTI" if kinds else "no medical images here"
    return UserError(
        f"{path}: {why}. Use .nii, .nii.gz, DICOM files, .npz as of MedMNIST, {', '.join(PICTURES[:3])}, or a folder of them."
    )


def person_of(path: Path) -> str:
    """The name of the person in a file name: what stands before the first underscore, "sub-01" or "IXI132"."""
    return nifti.stem(path).partition("_")[0]


# --- folders


def _read_folder(folder: Path, options: ReadOptions) -> Loaded:
    files = [path for path in all_files(folder) if path.suffix.lower() not in (".csv", ".tsv", ".json", ".md", ".txt")]
    volumes = [path for path in files if nifti.is_nifti(path)]
    maps = [path for path in volumes if _holds_labels(folder, path)]
    if len(volumes) > len(maps):
        return _read_files(folder, volumes, _read_volume, options)
    series = dicom_files(files)
    if series:
        return _read_series(folder, series, maps, options)
    pictures = [path for path in files if path.suffix.lower() in PICTURES]
    return _read_files(folder, pictures, _read_picture, options)


def _read_volume(path: Path) -> Scan:
    return nifti.scan_of(path, person_of(path))


def _holds_labels(folder: Path, path: Path) -> bool:
    """Whether a file lies in a sub-folder of label maps."""
    return path.parent != folder and LABEL_FOLDERS.fullmatch(path.relative_to(folder).parts[0]) is not None


def dicom_files(paths: Sequence[Path]) -> list[Path]:
    """The DICOM files among some files."""
    return [path for path in paths if path.suffix.lower() not in PICTURES and dicom.is_dicom(path)]


def all_files(folder: Path) -> list[Path]:
    """The regular files below a folder. UserError for more than MAX_FILES."""
    found: list[Path] = []
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(base, name) for name in sorted(names) if not name.startswith(".")]
        if len(found) > MAX_FILES:
            raise UserError(f"{folder}: more than {MAX_FILES:,} files. Give the folder of the scans.")
    return [path for path in found if is_regular(path)]


@dataclass(frozen=True, eq=False)
class _Arranged:
    """What the sub-folders of a folder are. images: to be learned, with the name of their sub-folder. maps, partners: of each
    image that has one. classes: names of sub-folders, () if they are no classes."""

    images: Sequence[tuple[str, Path]]
    maps: Mapping[Path, Path]
    partners: Mapping[Path, Path]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def _arrange(folder: Path, paths: Sequence[Path], options: ReadOptions, pairs: bool) -> _Arranged:
    """Sub-folders are label maps by their name; two others whose files have the same names are inputs and images (where `pairs`,
    or where data.images names one); else they are classes."""
    below: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths:
        below[path.relative_to(folder).parts[0] if path.parent != folder else ""].append(path)
    labels = [path for name in below if LABEL_FOLDERS.fullmatch(name) for path in below[name]]
    others = {name: files for name, files in below.items() if not LABEL_FOLDERS.fullmatch(name)}
    keys = [{person_of(path) for path in files} for files in others.values()]
    images = [(name, path) for name, files in others.items() for path in files]
    if len(others) == 2 and keys[0] == keys[1] and "" not in others and (pairs or options.images):
        wanted = options.images or max(others)
        if wanted not in others:
            raise UserError(f"data.images: {folder} has no folder {wanted!r}. {nearest(wanted, others)}")
        (other,) = set(others) - {wanted}
        said = (
            f"Images of {other}/ are the inputs, those of {wanted}/ are made; --set data.images={other} exchanges them."
        )
        partners = _paired(others[wanted], others[other], other)
        return _Arranged(
            [(wanted, path) for path in others[wanted]], _paired(others[wanted], labels, "label maps"), partners, (), (said,)
        )  # fmt: skip
    if options.images:
        raise UserError(f"data.images = {options.images!r}: {folder} has no two folders with images of the same names.")
    are_classes = options.classes and len(others) > 1 and "" not in others
    maps = _paired([path for _, path in images], labels, "label maps")
    return _Arranged(images, maps, {}, tuple(sorted(others)) if are_classes else ())


def _paired(images: Sequence[Path], others: Sequence[Path], what: str) -> dict[Path, Path]:
    """The other file of each image that has one: that of the same name, else that of the same person where both have one only.
    UserError where a person has several files whose names differ."""
    exact = {nifti.stem(path): path for path in others}
    theirs, mine = Counter(map(person_of, others)), Counter(map(person_of, images))
    by_person = {person_of(path): path for path in others}
    found = {}
    for path in images:
        person = person_of(path)
        if nifti.stem(path) in exact:
            found[path] = exact[nifti.stem(path)]
        elif person in by_person:
            if theirs[person] > 1 or mine[person] > 1:
                raise UserError(
                    f"{path.name}: which of {theirs[person]} {what} of {person!r} belongs to it is unclear. Give both files the "
                    "same name."
                )
            found[path] = by_person[person]
    return found


def _read_files(folder: Path, paths: Sequence[Path], read: Callable[[Path], Scan], options: ReadOptions) -> Loaded:
    """Files of one scan each; those that cannot be read are left out, with a note, unless all of them are."""
    arranged = _arrange(folder, paths, options, pairs=read is not _read_picture)
    scans, wrong = [], list[str]()
    for name, path in arranged.images:
        try:
            scan = read(path)
        except UserError as error:
            wrong.append(str(error))
            continue
        if path in arranged.maps:
            scan = replace(scan, labels=_beside(path, scan, arranged.maps[path], read))
        if path in arranged.partners:
            scan = replace(scan, partner=_beside(path, scan, arranged.partners[path], read))
        scans.append((path, replace(scan, row_class=arranged.classes.index(name) if arranged.classes else -1)))
    notes = list(arranged.notes)
    if wrong and not scans:
        raise UserError(wrong[0])
    if wrong:
        notes.append(f"{len(wrong)} of {len(arranged.images)} files are left out, the first one: {wrong[0]}")
    return _with_people(folder, scans, arranged.classes, notes, options)


def _beside(path: Path, scan: Scan, other: Path, read: Callable[[Path], Scan]) -> Values:
    """The numbers of a label map or another image of a scan. UserError unless both are on the same grid."""
    found = read(other)
    if found.numbers.shape != scan.numbers.shape or np.abs(found.affine - scan.affine).max() > 1e-2:
        raise UserError(
            f"{other.name} ({'x'.join(map(str, found.numbers.shape))} voxels) is not on the grid of {path.name} "
            f"({'x'.join(map(str, scan.numbers.shape))}): sizes or affines differ. Resample it first."
        )
    return found.numbers if found.stored.slope == 1 and found.stored.inter == 0 else found.values()


def _with_people(
    folder: Path, scans: Sequence[tuple[Path, Scan]], classes: Sequence[str], notes: list[str], options: ReadOptions
) -> Loaded:
    """Adds classes of a table; where each name begins alike, every file is a person of its own."""
    if len({scan.person for _, scan in scans}) == 1 < len(scans):
        scans = [(path, replace(scan, person=nifti.stem(path))) for path, scan in scans]
        notes.append("Each file counts as a person of its own: all names begin alike.")
    names = tuple(classes)
    if options.class_column:
        scans, names = _classes_of_table(folder, scans, options)
    elif options.table:
        raise UserError("data.table is given without data.class_column.")
    num = len({scan.person for _, scan in scans})
    notes.append(f"{len(scans):,} scans of {num:,} people, by the beginning of the file names.")
    return Loaded(folder.resolve().name, [scan for _, scan in scans], names, tuple(notes))


def _classes_of_table(
    folder: Path, scans: Sequence[tuple[Path, Scan]], options: ReadOptions
) -> tuple[list[tuple[Path, Scan]], tuple[str, ...]]:
    """The class of each scan from the row of the table that begins with its person or its name."""
    table = Path(options.table).expanduser() if options.table else next(iter(sorted(folder.glob("*.[ct]sv"))), None)
    if table is None or not table.is_file():
        raise UserError(
            f"data.class_column: there is no table {repr(options.table) if options.table else f'in {folder}'}; give data.table."
        )
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t" if table.suffix.lower() == ".tsv" else ","))
    columns = list(rows[0]) if rows else []
    if options.class_column not in columns:
        raise UserError(f"{table}: no column {options.class_column!r}. {nearest(options.class_column, columns)}")
    values = {str(row[columns[0]]): str(row[options.class_column]) for row in rows}
    found = [
        (path, scan, values.get(scan.person, values.get(nifti.stem(path), values.get(path.name))))
        for path, scan in scans
    ]
    missing = [path.name for path, _, value in found if value is None]
    if missing:
        raise UserError(f"{table}: no row for {len(missing)} of {len(found)} scans, for example {missing[0]}.")
    names = tuple(sorted({str(value) for _, _, value in found}))
    return [(path, replace(scan, row_class=names.index(str(value)))) for path, scan, value in found], names


def _read_series(folder: Path, paths: Sequence[Path], maps: Sequence[Path], options: ReadOptions) -> Loaded:
    """DICOM series; sub-folders of the first level are classes where each holds several people. maps: NIfTI label maps beside
    them; series in a sub-folder of label maps are label maps too."""
    groups: defaultdict[str, list[Path]] = defaultdict(list)
    drawn = [path for path in paths if _holds_labels(folder, path)]
    if len(drawn) == len(paths):
        drawn = []
    for path in sorted(set(paths) - set(drawn)):
        groups[path.relative_to(folder).parts[0] if path.parent != folder else ""].append(path)
    found, notes = list[tuple[Path, Scan]](), list[str]()
    counted: Counter[str] = Counter()
    classes = sorted(groups) if options.classes and len(groups) > 1 and "" not in groups else []
    for name, files in groups.items():
        read, said = dicom.read_with_folders(files)
        counted[name] = len({scan.person for _, scan in read})
        notes += said
        found += [(where, replace(scan, row_class=classes.index(name) if classes else -1)) for where, scan in read]
    if classes and min(counted.values()) < 2:  # a folder for each person
        classes = []
        found = [(where, replace(scan, row_class=-1)) for where, scan in found]
    if maps or drawn:
        found = _with_maps(folder, found, maps, drawn)
    num = len({scan.person for _, scan in found})
    notes.append(f"{len(found):,} series of {num:,} people, by their patient IDs.")
    scans = [scan for _, scan in found]
    return Loaded(folder.resolve().name, scans, tuple(classes), tuple(dict.fromkeys(notes)))


def _with_maps(
    folder: Path, series: Sequence[tuple[Path, Scan]], maps: Sequence[Path], drawn: Sequence[Path]
) -> list[tuple[Path, Scan]]:
    """Adds the label map of each series that has one: that with the name of its folder, else with its patient ID. drawn: DICOM
    files of label maps, which are found by the names of their folders or by their patient IDs too."""
    given: dict[Path, Scan | None] = dict.fromkeys(maps)
    for where, scan in dicom.read_with_folders(drawn)[0] if drawn else ():
        named = where.name if where.parent != folder else scan.person
        given[where / f"{named}.nii"] = scan
    keys = [where / f"{where.name}.nii" for where, _ in series]
    theirs = _paired(keys, list(given), "label maps")
    found = []
    for key, (where, scan) in zip(keys, series, strict=True):
        if key not in theirs:
            key = where / f"{scan.person}.nii"
            theirs |= _paired([key], list(given), "label maps")
        if key in theirs:
            scan = replace(
                scan, labels=_beside(where, scan, theirs[key], lambda path: given[path] or _read_volume(path))
            )
        found.append((where, scan))
    return found


# --- pictures and arrays


def flat(pixels: Values) -> Values:
    """(H, W), the first row on top -> (X, Y, 1) in RAS: the picture's left is the person's right, as radiologists look at it."""
    return np.ascontiguousarray(pixels[::-1, ::-1].T)[..., None]


def _read_picture(path: Path) -> Scan:
    """A grey picture of 8 or 16 bits as a scan of one slice with voxels of 1 mm."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if picture.mode in ("L", "1"):
                pixels: Values = np.asarray(picture.convert("L"))
            elif picture.mode.startswith("I"):
                pixels = np.asarray(picture).astype(np.uint16)
            else:
                pixels = np.asarray(picture.convert("RGB"))
                if not (pixels[..., :1] == pixels).all():
                    raise UserError(f"{path} is a colour picture; grey values are expected.")
                pixels = pixels[..., 0]
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{path}: not a picture that can be read ({error}).") from None
    numbers = flat(pixels)
    return Scan(numbers, np.eye(4), Stored(numbers.dtype.name), person_of(path))


def _image_arrays(path: Path) -> Mapping[str, numpy_files.Header]:
    """The arrays of images of an .npz: `images`, `train_images`, `test_images` ..."""
    headers = numpy_files.read_headers(path)
    return {
        name: header
        for name, header in headers.items()
        if name.rpartition("_")[2].lower() in IMAGE_KEYS and header.numeric and len(header.shape) in (3, 4)
    }


def _read_arrays(path: Path, options: ReadOptions) -> Loaded:
    """An .npz of images (N, H, W) or volumes (N, X, Y, Z), with the split and the labels of MedMNIST where it has them."""
    with numpy_files.open_arrays(path) as arrays:
        found = _image_arrays(path)
        if not found:
            raise UserError(
                f"{path}: no array of images; it has {', '.join(arrays) or 'none'}. Expected `images` (N, X, Y, Z)."
            )
        parts = {name: arrays.read(name) for name in found}
        labels = {name: _labels(arrays, name) for name in found}
    train = next((name for name in parts if name.startswith("train")), next(iter(parts)))
    test = next((name for name in parts if name.startswith("test")), None) if len(parts) > 1 else None
    notes, scans, split = list[str](), list[Scan](), (list[int](), list[int]())
    classes: tuple[str, ...] = ()
    if options.classes and labels[train] is not None:
        classes = tuple(map(str, np.unique(labels[train]).tolist()))
    for part, name in enumerate(one for one in (train, test) if one):
        for index, numbers in enumerate(parts[name]):
            value = labels[name]
            row_class = classes.index(str(value[index])) if classes and value is not None else -1
            volume = flat(numbers) if numbers.ndim == 2 else np.ascontiguousarray(numbers)
            split[part].append(len(scans))
            scans.append(Scan(volume, np.eye(4), Stored(volume.dtype.name), f"{name}-{index}", row_class))
    left = sorted(set(parts) - {train, test})
    if left:
        notes.append(f"{', '.join(left)} of the file {'is' if len(left) == 1 else 'are'} not used.")
    return Loaded(path.stem, scans, classes, tuple(notes), split if test else None)


def _labels(arrays: numpy_files.Arrays, name: str) -> Any:
    """(N,) the labels of an array of images; None without, or with several for each image."""
    key = name.rpartition("_")[0] + "_labels" if "_" in name else "labels"
    if key not in arrays or arrays[key].shape[1:] not in ((), (1,)):
        return None
    return arrays.read(key).reshape(-1)
