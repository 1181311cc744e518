"""Lists the images in a folder or a zip in a fixed order, and derives their split and their classes from the paths."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from zerosum.data.images import attributes
from zerosum.data.images.files import SUFFIXES, UNREAD
from zerosum.data.images.loaded import AttributeTable, Labels
from zerosum.data.opening import check_size, decoding, is_regular
from zerosum.errors import UserError

TRAIN = frozenset(("train", "training"))
HELDOUT = frozenset(("test", "testing", "val", "valid", "validation", "eval", "dev", "holdout", "heldout"))
UNLABELLED = frozenset(("unlabeled", "unlabelled", "unsup", "unsupervised"))
"""Names of folders, in any letter case, that state the use of their images."""
_SPLIT_FOLDERS = {"train": TRAIN, "heldout": HELDOUT, "unlabelled": UNLABELLED}
MAX_STRAY = 0.05
"""Largest share of images outside class folders (one image is always allowed) that is left out so that classes can be used."""
_NUM_SHOWN = 3


@dataclass(frozen=True)
class Arrangement:
    """Positions in a listing: train and heldout (empty: no split), their classes by position, sorted class names."""

    train: tuple[int, ...]
    heldout: tuple[int, ...]
    classes: dict[int, int]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]

    def labels(self, positions: Iterable[int]) -> Labels | None:
        """(N,) int64 classes of these images; None if one of them has no class."""
        found = [self.classes.get(int(position), -1) for position in positions]
        return None if -1 in found or not self.classes else np.array(found, dtype=np.int64)


def natural_key(name: str) -> tuple[tuple[list[str | int], str], ...]:
    """Sort key that compares the numbers in a path as numbers; ties are broken by the text."""
    parts = PurePosixPath(name).parts
    return tuple(([int(bit) if bit.isdecimal() else bit for bit in re.split(r"(\d+)", part)], part) for part in parts)


@dataclass(frozen=True)
class Split:
    """Positions of training images, of held-out images, and of images in folders for unlabelled ones. depth, heldout_depth: the
    number of folders above the class folder in a training path and in a held-out path."""

    train: tuple[int, ...]
    heldout: tuple[int, ...] = ()
    unlabelled: tuple[int, ...] = ()
    depth: int = 0
    heldout_depth: int = 0
    notes: tuple[str, ...] = ()


def find_split(names: Sequence[str], noun: str = "image") -> Split:
    """The split that the names of the first folders state; folders that contain everything are skipped. noun: what the files are.

    A folder named as in TRAIN is the training part if there is also one named as in HELDOUT, or no folder of another name;
    images elsewhere are left out, with a note. Without a TRAIN folder, a HELDOUT folder holds out images from the images next
    to it, or from the folders next to it if its own folders have the same names. An UNLABELLED folder is never a class. In all
    other cases such a folder is treated like any other, with a note.
    """
    cut = common_prefix_length(names)
    depth = len(PurePosixPath(names[0][:cut]).parts) if cut else 0
    parts = [PurePosixPath(name[cut:]).parts for name in names]
    kinds = [_kind(part[0]) if len(part) > 1 else "loose" for part in parts]
    rows = {
        kind: tuple(i for i, one in enumerate(kinds) if one == kind) for kind in (*_SPLIT_FOLDERS, "other", "loose")
    }
    tops = {kind: {parts[i][0] for i in found} for kind, found in rows.items()}
    train, held, other, loose = (rows[kind] for kind in ("train", "heldout", "other", "loose"))
    few = len(loose) <= max(1, MAX_STRAY * len(names))
    if train and (held or (not other and few)):
        notes = [f"{len(held):,} {noun}s of {_folder_list(tops['heldout'])} are held out."] if held else []
        if left := tuple(sorted((*other, *loose))):
            notes.append(
                f"{len(left):,} {noun}(s) are in no part of the split and are left out: {_shorten(names, left)}."
            )
        return Split(train, held, rows["unlabelled"], depth + 1, depth + 1, tuple(notes))
    inner = {parts[i][1] for i in held if len(parts[i]) > 2}
    if held and not train and (inner <= tops["other"] if other else loose and not inner) and (inner or not other):
        note = f"{len(held):,} {noun}s of {_folder_list(tops['heldout'])} are held out; the other {noun}s are for training."
        return Split(tuple(sorted((*other, *loose))), held, rows["unlabelled"], depth, depth + 1, (note,))
    if not (other or loose):
        named = tops["heldout"] | tops["unlabelled"]
        note = f"There is no train/ next to {_folder_list(named)}: all {noun}s are trained on."
        return Split(tuple(range(len(names))), depth=depth + 1, notes=(note,) if len(named) > 1 else ())
    notes = [
        f"{_folder_list([word])} is not used as a part of a split, because there are folders or {noun}s of other names next to "
        "it. If it is one, give the path of that part, or move the others away."
        for word in sorted(tops["train"] | tops["heldout"])
    ]
    return Split(tuple(sorted((*train, *held, *other, *loose))), (), rows["unlabelled"], depth, depth, tuple(notes))


def _kind(top: str) -> str:
    return next((kind for kind, names in _SPLIT_FOLDERS.items() if top.lower() in names), "other")


def arrange(names: Sequence[str], where: Path, labelled: bool = True, noun: str = "image") -> Arrangement:
    """Finds the split and, if `labelled`, the labels in the paths of the images, or of other files (noun: what they are).

    Split: see `find_split`. Labels: the images of the training part are in at least two sub-folders. A few images outside
    these folders are left out, with a note; with many of them there are no labels. Raises UserError for a held-out class that
    has no training images.
    """
    split = find_split(names, noun)
    inner = {i: PurePosixPath(names[i]).parts[split.depth :] for i in split.train}
    inner |= {i: PurePosixPath(names[i]).parts[split.heldout_depth :] for i in split.heldout}
    class_names, stray, notes = _classes(names, split.train, inner, noun) if labelled else ((), (), ())
    train, notes = tuple(sorted({*split.train} - {*stray})), (*split.notes, *notes)
    heldout, classes = split.heldout, {i: class_names.index(inner[i][0]) for i in train} if class_names else {}
    if class_names and heldout:
        heldout, found, more = _heldout_classes(names, heldout, inner, class_names, where, noun)
        classes, notes = classes | found, (*notes, *more)
    if split.unlabelled and class_names:
        num = f"{len(split.unlabelled):,} {noun}(s) of a folder for {noun}s without labels"
        notes = (*notes, f"{num} are left out; data.labelled=false trains on them too.")
    elif split.unlabelled:
        train = tuple(sorted((*train, *split.unlabelled)))
    return Arrangement(train, heldout, classes, class_names, notes)


Inner = dict[int, tuple[str, ...]]


def _classes(
    names: Sequence[str], rows: Sequence[int], inner: Inner, noun: str
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[str, ...]]:
    """(class names, images outside the class folders, which are left out, notes)."""
    stray = tuple(i for i in rows if len(inner[i]) < 2)
    found = sorted({inner[i][0] for i in rows if len(inner[i]) > 1})
    if len(found) < 2:
        return (), (), ()
    if len(stray) > max(1, MAX_STRAY * len(rows)):
        reason = (
            f"{len(stray):,} of {len(rows):,} {noun}s are outside the {len(found)} folders ({_shorten(names, stray)})"
        )
        return (
            (),
            (),
            (f"{reason}, so the folders are not used as labels. Move these {noun}s into folders of their classes.",),
        )
    note = f"{len(stray)} {noun}(s) outside the class folders have no label and are left out: {_shorten(names, stray)}."
    return tuple(found), stray, (note,) if stray else ()


def _heldout_classes(
    names: Sequence[str],
    heldout: tuple[int, ...],
    inner: Inner,
    class_names: tuple[str, ...],
    where: Path,
    noun: str,
) -> tuple[tuple[int, ...], dict[int, int], tuple[str, ...]]:
    """(held-out images, their classes, notes)."""
    stray = tuple(i for i in heldout if len(inner[i]) < 2)
    if len(stray) > max(1, MAX_STRAY * len(heldout)) or len(stray) == len(heldout):
        return heldout, {}, (f"The held-out {noun}s have no class folders, so they are unlabelled.",)
    kept = tuple(sorted({*heldout} - {*stray}))
    unknown = sorted({inner[i][0] for i in kept} - {*class_names})
    if unknown:
        raise UserError(
            f"{where}: the held-out class {unknown[0]!r} has no training {noun}s. Training classes: "
            f"{', '.join(class_names)}. Rename or remove the folder."
        )
    note = f"{len(stray)} held-out {noun}(s) outside the class folders are left out: {_shorten(names, stray)}."
    return kept, {i: class_names.index(inner[i][0]) for i in kept}, (note,) if stray else ()


def arrange_by_labels(plan: Arrangement, labels: Sequence[str], where: Path, noun: str = "image") -> Arrangement:
    """The arrangement with classes from these texts, one for each image; whole numbers are sorted as numbers."""
    names = sorted({labels[i] for i in plan.train}, key=natural_key)
    unknown = sorted({labels[i] for i in plan.heldout} - set(names), key=natural_key)
    if unknown:
        raise UserError(f"{where}: the held-out class {unknown[0]!r} has no training {noun}s.")
    if len(names) < 2:
        return replace(
            plan,
            classes={},
            class_names=(),
            notes=(*plan.notes, f"All {noun}s have the label {names[0]!r}, which is not used."),
        )
    indices = {name: index for index, name in enumerate(names)}
    classes = {i: indices[labels[i]] for i in (*plan.train, *plan.heldout)}
    return replace(plan, classes=classes, class_names=tuple(names))


def common_prefix_length(names: Sequence[str]) -> int:
    """Length of the folder prefix that all names share, up to a folder whose name states the use of its images."""
    length = 0
    while names:
        heads = {name[length:].partition("/")[0] for name in names if "/" in name[length:]}
        flat = any("/" not in name[length:] for name in names)
        if flat or len(heads) != 1 or _kind(next(iter(heads))) != "other":
            break
        length += len(heads.pop()) + 1
    return length


def _folder_list(tops: Iterable[str]) -> str:
    return ", ".join(f"{top}/" for top in sorted(tops))


def _shorten(names: Sequence[str], rows: Sequence[int]) -> str:
    more = f" and {len(rows) - _NUM_SHOWN:,} more" if len(rows) > _NUM_SHOWN else ""
    return ", ".join(names[i] for i in rows[:_NUM_SHOWN]) + more


MAX_ZIP_MEMBERS = 2_000_000
MAX_ZIP_BYTES = 2**40
MAX_MEMBER_BYTES = 512 * 2**20
MAX_RATIO = 200
RATIO_MATTERS_BYTES = 16 * 2**20
"""Below this size the compression ratio of a member is not checked: plain drawings compress very well."""
_ENDINGS_SHOWN = 6


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
    """Images in natural order of their paths (2.png before 10.png), and counts of what was skipped.

    others: number of other files for each ending. num_links: of links that were not followed. table: the attributes
    stored with the images. labels: the label text of each image if the source stores labels apart from the paths; else
    empty. extra_notes: further notes.
    """

    members: tuple[Member, ...]
    others: Mapping[str, int] = field(default_factory=dict)
    num_links: int = 0
    table: Callable[[], AttributeTable] | None = None
    labels: tuple[str, ...] = ()
    extra_notes: tuple[str, ...] = ()

    @property
    def num_bytes(self) -> int:
        """Size of all images in bytes."""
        return sum(member.num_bytes for member in self.members)

    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of names, sizes, stamps and labels: changes when a file does."""
        digest = hashlib.sha256()
        for member in self.members:
            digest.update(f"{member.name}\0{member.num_bytes}\0{member.stamp}\n".encode(errors="surrogateescape"))
        digest.update("\0".join(self.labels).encode())
        return digest.hexdigest()

    def notes(self) -> tuple[str, ...]:
        """One sentence for each kind of file that was skipped."""
        return (*skipped_notes(self.others, self.num_links), *self.extra_notes)


def skipped_notes(others: Mapping[str, int], num_links: int) -> tuple[str, ...]:
    """One sentence for images of unsupported formats, one for other files (numbers by suffix), and one for links."""
    unread = {ending: num for ending, num in others.items() if ending in UNREAD}
    rest = {ending: num for ending, num in others.items() if ending not in UNREAD}
    notes = []
    if unread:
        notes.append(
            f"{sum(unread.values())} picture(s) of kinds that are not read: {_by_ending(unread)}. Convert them to PNG."
        )
    if rest:
        notes.append(
            f"{sum(rest.values())} other file(s) without an image suffix were passed over: {_by_ending(rest)}."
        )
    if num_links:
        notes.append(
            f"{num_links} link(s) to folders or out of the folder were not followed; data.links=true reads the images behind "
            "links to files."
        )
    return tuple(notes)


def ending_of(name: str) -> str:
    """The suffix of the last part of a path, in lower case."""
    return PurePosixPath(name).suffix.lower()


def _by_ending(numbers: Mapping[str, int]) -> str:
    shown = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))[:_ENDINGS_SHOWN]
    more = sum(numbers.values()) - sum(num for _, num in shown)
    return ", ".join(f"{num} {ending or 'without an ending'}" for ending, num in shown) + (
        f", {more} more" if more else ""
    )


def is_image_name(name: str, suffixes: Set[str] = SUFFIXES) -> bool:
    """Whether the last part of a path has an image suffix (any case) and is not hidden."""
    return not PurePosixPath(name).name.startswith(".") and ending_of(name) in suffixes


def list_folder(folder: Path, suffixes: Set[str] = SUFFIXES, links: bool = False) -> Listing:
    """Every image under a folder, without hidden files and folders. Raises UserError for an unreadable folder.

    links: whether links to files outside of the folder are followed. Links to folders are never followed; devices and pipes
    are never read.
    """
    root = folder.resolve()
    others, num_links, members, table = Counter[str](), 0, [], None
    for base, folders, files in os.walk(root, onerror=_raise_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        num_links += sum(os.path.islink(os.path.join(base, name)) for name in folders)
        for file in files:
            path = Path(base, file)
            if file.startswith("."):
                continue
            if file == attributes.FILE and base == str(root):
                table = functools.partial(attributes.read, path)
            elif not is_image_name(file, suffixes) or not is_regular(path):
                others[ending_of(file)] += 1
            elif not links and path.is_symlink() and not path.resolve().is_relative_to(root):
                num_links += 1
            else:
                name, status = path.relative_to(root).as_posix(), path.stat()
                members.append(Member(name, _opener(path), status.st_size, status.st_mtime_ns))
    members.sort(key=lambda member: natural_key(member.name))
    return Listing(tuple(members), others, num_links, table)


def list_zip(archive: zipfile.ZipFile, path: Path) -> Listing:
    """Every image in a zip, read in place; folders that contain everything are dropped from the names.

    Raises UserError for a member whose name leaves the archive, and for an archive whose unpacked size exceeds the limits.
    """
    check_zip(archive.infolist(), path)
    named = [(with_forward_slashes(info.filename), info) for info in archive.infolist()]
    visible = [(name, info) for name, info in named if not name.endswith("/") and not is_hidden(name)]
    images = [(name, info) for name, info in visible if is_image_name(name)]
    wrapped = common_prefix_length([name for name, _ in images])
    members = [Member(name[wrapped:], _zip_opener(archive, i), i.file_size, i.CRC) for name, i in images]
    members.sort(key=lambda member: natural_key(member.name))
    tables = [info for name, info in visible if name[wrapped:] == attributes.FILE]
    table = functools.partial(_read_zipped_table, archive, tables[0], path) if tables else None
    others = Counter(
        ending_of(name) for name, _ in visible if not is_image_name(name) and name[wrapped:] != attributes.FILE
    )
    return Listing(tuple(members), others, table=table)


def with_forward_slashes(name: str) -> str:
    """The name of an archive's member with forward slashes: some Windows programs write backslashes."""
    return name if "/" in name else name.replace("\\", "/")


def _raise_unreadable(error: OSError) -> None:
    raise UserError(
        f"{error.filename}: the folder cannot be read ({error.strerror}). Check its permissions."
    ) from error


def _opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: path.open("rb")


def _read_zipped_table(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> AttributeTable:
    where = f"{path}[{info.filename}]"
    check_size(info.file_size, attributes.MAX_BYTES, where)
    with decoding(where, "a file that can be unpacked"):
        data = archive.read(info)
    return attributes.parse(data, where)


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(archive.read(info))


def is_hidden(name: str) -> bool:
    """Whether a part of the path begins with a dot or is a macOS resource fork."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def refuse_outside(name: str, path: Path) -> None:
    """Raises UserError for the name of an archive's member that leaves the archive."""
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        raise UserError(
            f"{path}: member {name!r} points outside the archive. Make the {path.suffix[1:]} again without such names."
        )


def check_zip(infos: Sequence[zipfile.ZipInfo], path: Path, is_read: Callable[[str], bool] = is_image_name) -> None:
    """UserError for a name that leaves the archive, for contents beyond bounds, and for an encrypted member to be read."""
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
        if info.flag_bits & 1 and is_read(name):
            raise UserError(f"{path}: member {name!r} is encrypted. Unpack the archive and give the folder.")
    total = sum(info.file_size for info in infos)
    if len(infos) > MAX_ZIP_MEMBERS or total > MAX_ZIP_BYTES:
        raise UserError(
            f"{path}: {len(infos)} members of {total} bytes in all, beyond {MAX_ZIP_MEMBERS} members or {MAX_ZIP_BYTES} bytes."
        )
