"""Which images lie in a folder or a zip, in which order, and what else lies there."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from zerosum.data.images import attributes
from zerosum.data.images.arrangement import natural, wrapping
from zerosum.data.images.files import SUFFIXES, UNREAD
from zerosum.data.images.types import Table
from zerosum.data.opening import check_size, decoding, is_regular
from zerosum.errors import UserError

MAX_ZIP_MEMBERS = 2_000_000
MAX_ZIP_BYTES = 2**40
MAX_MEMBER_BYTES = 512 * 2**20
MAX_RATIO = 200
RATIO_MATTERS_BYTES = 16 * 2**20
"""Below this size a member's compression ratio is not looked at: a plain drawing compresses without end."""
_SHOWN = 6


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

    others: number of other files for each ending. num_links: of links that were not followed. table: the attributes that lie
    beside the images. labels: the text that labels each image, where the source carries them apart from the paths; else
    empty. told: further notes.
    """

    members: tuple[Member, ...]
    others: Mapping[str, int] = field(default_factory=dict)
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
        return (*passed_over(self.others, self.num_links), *self.told)


def passed_over(others: Mapping[str, int], num_links: int) -> tuple[str, ...]:
    """One sentence for pictures of kinds that are not read, for other files (number by ending), and for links."""
    unread = {ending: num for ending, num in others.items() if ending in UNREAD}
    rest = {ending: num for ending, num in others.items() if ending not in UNREAD}
    found = []
    if unread:
        found.append(
            f"{sum(unread.values())} picture(s) of kinds that are not read: {_by_ending(unread)}. Convert them to PNG."
        )
    if rest:
        found.append(
            f"{sum(rest.values())} other file(s) without an image suffix were passed over: {_by_ending(rest)}."
        )
    if num_links:
        found.append(
            f"{num_links} link(s) to folders or out of the folder were not followed; data.links=true reads the images behind "
            "links to files."
        )
    return tuple(found)


def ending_of(name: str) -> str:
    """The ending of the last part of a path, in small letters."""
    return PurePosixPath(name).suffix.lower()


def _by_ending(numbers: Mapping[str, int]) -> str:
    shown = sorted(numbers.items(), key=lambda one: (-one[1], one[0]))[:_SHOWN]
    more = sum(numbers.values()) - sum(num for _, num in shown)
    return ", ".join(f"{num} {ending or 'without an ending'}" for ending, num in shown) + (
        f", {more} more" if more else ""
    )


def is_image_name(name: str, suffixes: Set[str] = SUFFIXES) -> bool:
    """Whether the last part of a path has an image suffix (any case) and is not hidden."""
    return not PurePosixPath(name).name.startswith(".") and ending_of(name) in suffixes


def list_folder(folder: Path, suffixes: Set[str] = SUFFIXES, links: bool = False) -> Listing:
    """Every image under a folder, hidden files and folders left out. Raises UserError for an unreadable folder.

    links: whether links to files outside of the folder are followed. Links to folders never are, nor are devices and pipes read.
    """
    root = folder.resolve()
    others, num_links, members, table = Counter[str](), 0, [], None
    for base, folders, files in os.walk(root, onerror=_refuse_folder):
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
                name, facts = path.relative_to(root).as_posix(), path.stat()
                members.append(Member(name, _opener(path), facts.st_size, facts.st_mtime_ns))
    members.sort(key=lambda member: natural(member.name))
    return Listing(tuple(members), others, num_links, table)


def list_zip(archive: zipfile.ZipFile, path: Path) -> Listing:
    """Every image in a zip, read in place; folders that wrap everything are dropped from the names.

    Raises UserError for a member whose name leaves the archive, and for an archive that would unpack beyond bounds.
    """
    _check_zip(archive.infolist(), path)
    named = [(slashed(info.filename), info) for info in archive.infolist()]
    visible = [(name, info) for name, info in named if not name.endswith("/") and not hidden(name)]
    images = [(name, info) for name, info in visible if is_image_name(name)]
    wrapped = wrapping([name for name, _ in images])
    members = [Member(name[wrapped:], _zip_opener(archive, i), i.file_size, i.CRC) for name, i in images]
    members.sort(key=lambda member: natural(member.name))
    tables = [info for name, info in visible if name[wrapped:] == attributes.FILE]
    table = functools.partial(_zipped_table, archive, tables[0], path) if tables else None
    others = Counter(
        ending_of(name) for name, _ in visible if not is_image_name(name) and name[wrapped:] != attributes.FILE
    )
    return Listing(tuple(members), others, table=table)


def slashed(name: str) -> str:
    """The name of an archive's member with forward slashes: some programs of Windows write backslashes."""
    return name if "/" in name else name.replace("\\", "/")


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
