"""Which images lie in a folder or a zip, in which order, with which labels and which split."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from zerosum.data.images import attributes
from zerosum.data.images.files import SUFFIXES
from zerosum.data.images.raw import Labels, Table
from zerosum.data.opening import check_size, decoding
from zerosum.errors import UserError

MAX_ZIP_MEMBERS = 2_000_000
MAX_ZIP_BYTES = 2**40
MAX_MEMBER_BYTES = 512 * 2**20
MAX_RATIO = 200
RATIO_MATTERS_BYTES = 16 * 2**20
"""Below this size a member's compression ratio is not looked at: a plain drawing compresses without end."""

TRAIN = frozenset(("train", "training"))
HELDOUT = frozenset(("test", "testing", "val", "valid", "validation"))


@dataclass(frozen=True, slots=True)
class Member:
    """One file: its path inside the folder or archive, with forward slashes, and how to open it.

    num_bytes: its size. stamp: changes when the file does (time of the last change in ns, or a checksum).
    """

    name: str
    open: Callable[[], BinaryIO]
    num_bytes: int = 0
    stamp: int = 0


@dataclass(frozen=True)
class Listing:
    """Images in natural order of their paths (2.png before 10.png), and what was passed over.

    table: the attributes that lie beside them. labels: the text that labels each image, where the source carries them
    apart from the paths; else empty. told: further notes.
    """

    members: tuple[Member, ...]
    num_others: int = 0
    num_links: int = 0
    table: Callable[[], Table] | None = None
    labels: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def num_bytes(self) -> int:
        """Of all images."""
        return sum(member.num_bytes for member in self.members)

    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of names, sizes, stamps and labels: changes when a file does."""
        digest = hashlib.sha256()
        for member in self.members:
            digest.update(f"{member.name}\0{member.num_bytes}\0{member.stamp}\n".encode(errors="surrogateescape"))
        digest.update("\0".join(self.labels).encode())
        return digest.hexdigest()

    def notes(self) -> tuple[str, ...]:
        """One sentence for each kind of thing that was passed over."""
        found = []
        if self.num_others:
            found.append(f"{self.num_others} other file(s) without an image suffix were passed over.")
        if self.num_links:
            found.append(f"{self.num_links} link(s) to folders or out of the folder were not followed.")
        return (*found, *self.told)


@dataclass(frozen=True)
class Arrangement:
    """Positions in a listing: train and heldout (empty: no split), their classes by position, sorted class names."""

    train: tuple[int, ...]
    heldout: tuple[int, ...]
    classes: dict[int, int]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]

    def labels(self, positions: Iterable[int]) -> Labels | None:
        """(N,) int64 classes of these images; None when one has none."""
        found = [self.classes.get(int(position), -1) for position in positions]
        return None if -1 in found or not self.classes else np.array(found, dtype=np.int64)


def is_image_name(name: str) -> bool:
    """Whether the last part of a path has an image suffix (any case) and is not hidden."""
    last = PurePosixPath(name).name
    return not last.startswith(".") and PurePosixPath(last).suffix.lower() in SUFFIXES


def natural(name: str) -> tuple[tuple[list[str | int], str], ...]:
    """Sorting key under which numbers in a path count as numbers; the text itself breaks ties."""
    parts = PurePosixPath(name).parts
    return tuple(([int(bit) if bit.isdecimal() else bit for bit in re.split(r"(\d+)", part)], part) for part in parts)


def list_folder(folder: Path) -> Listing:
    """Every image under a folder, hidden files and folders left out. Raises UserError for an unreadable folder."""
    root = folder.resolve()
    members, num_others, num_links, table = [], 0, 0, None
    for base, folders, files in os.walk(root, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        num_links += sum(os.path.islink(os.path.join(base, name)) for name in folders)
        for file in files:
            path = Path(base, file)
            if file.startswith("."):
                continue
            if file == attributes.FILE and base == str(root):
                table = functools.partial(attributes.read, path)
            elif not is_image_name(file) or not path.is_file():
                num_others += 1
            elif path.is_symlink() and not path.resolve().is_relative_to(root):
                num_links += 1
            else:
                name, facts = path.relative_to(root).as_posix(), path.stat()
                members.append(Member(name, _opener(path), facts.st_size, facts.st_mtime_ns))
    members.sort(key=lambda member: natural(member.name))
    return Listing(tuple(members), num_others, num_links, table)


def list_zip(archive: zipfile.ZipFile, path: Path) -> Listing:
    """Every image in a zip, read in place; folders that wrap everything are dropped from the names.

    Raises UserError for a member whose name leaves the archive, and for an archive that would unpack beyond bounds.
    """
    infos = [info for info in archive.infolist() if not info.is_dir()]
    _check_zip(infos, path)
    visible = [info for info in infos if not hidden(info.filename)]
    images = [info for info in visible if is_image_name(info.filename)]
    wrapped = wrapping([info.filename for info in images])
    members = [Member(i.filename[wrapped:], _zip_opener(archive, i), i.file_size, i.CRC) for i in images]
    members.sort(key=lambda member: natural(member.name))
    tables = [info for info in visible if info.filename[wrapped:] == attributes.FILE]
    table = functools.partial(_zipped_table, archive, tables[0], path) if tables else None
    return Listing(tuple(members), len(visible) - len(images) - len(tables), table=table)


def arrange(names: Sequence[str], where: Path) -> Arrangement:
    """Finds the split and the labels in the paths of the images.

    Split: every image lies under one of TRAIN or HELDOUT at the top, and both kinds are there. Labels: every image (of
    a part) lies in one of at least two first-level sub-folders. Raises UserError when a held-out class is never trained.
    """
    parts = [PurePosixPath(name).parts for name in names]
    tops = {part[0].lower() if len(part) > 1 else "" for part in parts}
    split = bool(tops & TRAIN) and bool(tops & HELDOUT) and tops <= TRAIN | HELDOUT
    train = [i for i, part in enumerate(parts) if not split or part[0].lower() in TRAIN]
    chosen = set(train)
    heldout = [i for i in range(len(parts)) if i not in chosen]
    inner = [part[1:] for part in parts] if split else parts
    notes = [f"{len(heldout)} images of {', '.join(sorted(tops & HELDOUT))}/ are held out."] if split else []
    class_names = _classes([inner[i] for i in train])
    classes = {i: class_names.index(inner[i][0]) for i in train} if class_names else {}
    if class_names and heldout and all(len(inner[i]) > 1 for i in heldout):
        unknown = sorted({inner[i][0] for i in heldout} - set(class_names))
        if unknown:
            raise UserError(
                f"{where}: the held-out class {unknown[0]!r} has no training images. Training classes: "
                f"{', '.join(class_names)}. Rename or remove the folder."
            )
        classes |= {i: class_names.index(inner[i][0]) for i in heldout}
    elif class_names and heldout:
        notes.append("The held-out images have no class folders, so they are unlabelled.")
    return Arrangement(tuple(train), tuple(heldout), classes, class_names, tuple(notes))


def by_label(plan: Arrangement, labels: Sequence[str], where: Path) -> Arrangement:
    """The arrangement with the classes of these texts, one for each image; whole numbers are sorted as numbers."""
    names = sorted({labels[i] for i in plan.train}, key=natural)
    unknown = sorted({labels[i] for i in plan.heldout} - set(names), key=natural)
    if unknown:
        raise UserError(f"{where}: the held-out class {unknown[0]!r} has no training images.")
    if len(names) < 2:
        return replace(
            plan,
            classes={},
            class_names=(),
            notes=(*plan.notes, f"All images have the label {names[0]!r}, which is not used."),
        )
    at = {name: place for place, name in enumerate(names)}
    classes = {i: at[labels[i]] for i in (*plan.train, *plan.heldout)}
    return replace(plan, classes=classes, class_names=tuple(names))


def _classes(parts: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    if not all(len(part) > 1 for part in parts):
        return ()
    names = sorted({part[0] for part in parts})
    return tuple(names) if len(names) > 1 else ()


def _refuse_folder(error: OSError) -> None:
    raise UserError(
        f"{error.filename}: the folder cannot be read ({error.strerror}). Check its permissions."
    ) from error


def _opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: path.open("rb")


def _zipped_table(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Table:
    where = f"{path}[{info.filename}]"
    check_size(info.file_size, attributes.MAX_BYTES, where)
    with decoding(where, "a file that can be unpacked"):
        data = archive.read(info)
    return attributes.parse(data, where)


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(archive.read(info))


def hidden(name: str) -> bool:
    """Whether a part of the path begins with a dot, or belongs to a Mac's resource forks."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def wrapping(names: Sequence[str]) -> int:
    """Length of the folder prefix that all names share, up to a folder that says train or test."""
    length = 0
    while names:
        heads = {name[length:].partition("/")[0] for name in names if "/" in name[length:]}
        flat = any("/" not in name[length:] for name in names)
        if flat or len(heads) != 1 or next(iter(heads)).lower() in TRAIN | HELDOUT:
            break
        length += len(heads.pop()) + 1
    return length


def refuse_outside(name: str, path: Path) -> None:
    """Raises UserError for the name of an archive's member that leaves the archive."""
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        raise UserError(
            f"{path}: member {name!r} points outside the archive. Make the {path.suffix[1:]} again without such names."
        )


def _check_zip(infos: Sequence[zipfile.ZipInfo], path: Path) -> None:
    for info in infos:
        name = info.orig_filename
        refuse_outside(name, path)
        if info.file_size > MAX_MEMBER_BYTES:
            raise UserError(f"{path}: member {name!r} unpacks to {info.file_size} bytes, beyond {MAX_MEMBER_BYTES}.")
        if info.file_size > max(RATIO_MATTERS_BYTES, MAX_RATIO * info.compress_size):
            raise UserError(
                f"{path}: member {name!r} unpacks {info.compress_size} bytes to {info.file_size} (a zip bomb?). "
                "Unpack it yourself if you trust it, and give the folder."
            )
        if info.flag_bits & 1 and is_image_name(name):
            raise UserError(f"{path}: member {name!r} is encrypted. Unpack the archive and give the folder.")
    total = sum(info.file_size for info in infos)
    if len(infos) > MAX_ZIP_MEMBERS or total > MAX_ZIP_BYTES:
        raise UserError(
            f"{path}: {len(infos)} members of {total} bytes in all, beyond {MAX_ZIP_MEMBERS} members or {MAX_ZIP_BYTES} bytes."
        )
