"""Images in tar shards, read in place: WebDataset's layout (key.jpg, key.cls, key.json) or a folder that was packed.

Only the headers are scanned; the bytes of an image are read when it is used. Nothing is unpacked to disk.
"""

from __future__ import annotations

import functools
import io
import itertools
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from zerosum.data.images import attributes
from zerosum.data.images.listing import (
    HELDOUT,
    MAX_MEMBER_BYTES,
    TRAIN,
    Listing,
    Member,
    common_prefix_length,
    ending_of,
    is_hidden,
    is_image_name,
    natural_key,
    refuse_outside,
    with_forward_slashes,
)
from zerosum.data.images.loaded import AttributeTable
from zerosum.data.opening import check_regular, decoding
from zerosum.errors import Damaged, UserError
from zerosum.jsonfile import parse_json

PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
MAX_HEADER_BYTES = 2**20
"""Longest extended header that is read into memory."""
MAX_SIDE_BYTES = 2**20
"""Largest .cls or .json file."""
_BLOCK = 512


@dataclass
class _SideFiles:
    """The files stored with an image under its key: the label of .cls or .json, and the attributes of .json."""

    label: str | None = None
    numbers: dict[str, float] | None = None


@dataclass
class _Found:
    images: list[Member] = field(default_factory=list)
    keys: list[tuple[str, str]] = field(default_factory=list)
    side_files: dict[tuple[str, str], _SideFiles] = field(default_factory=dict)
    table: Callable[[], AttributeTable] | None = None
    others: Counter[str] = field(default_factory=Counter)
    num_links: int = 0


def is_shard(path: Path) -> bool:
    """Whether the name is that of a tar archive, packed or not."""
    return path.name.lower().endswith((".tar", *PACKED)) and not path.name.startswith(".")


def shards_in(folder: Path) -> list[Path]:
    """The tar archives under a folder, in natural order."""
    found = [path for path in folder.rglob("*") if is_shard(path) and path.is_file()]
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def list_shards(shards: Sequence[Path], where: Path) -> Listing:
    """Every image of all shards, in natural order of their paths, with the labels and attributes stored with them.

    Shards named train-* and val-* (or test-*), or in folders of these names, make a split. Links, devices and sparse files
    are skipped. Raises UserError for compressed shards, damaged headers, and names that leave the archive.
    """
    found, prefixes = _Found(), _split_prefixes(shards, where)
    for shard, prefix in zip(shards, prefixes, strict=True):
        _scan_shard(shard, prefix, found)
    cut = common_prefix_length([member.name for member in found.images])
    order = sorted(range(len(found.images)), key=lambda i: natural_key(found.images[i].name))
    members = tuple(_renamed(found.images[i], cut) for i in order)
    side_files = [found.side_files.get(found.keys[i], _SideFiles()) for i in order]
    labels, label_notes = _labels(side_files, members)
    links = f"{found.num_links} link(s), device(s) or sparse file(s) were skipped."
    return Listing(
        members,
        found.others,
        table=found.table or _table(side_files, members, where),
        labels=labels,
        extra_notes=(*label_notes, *([links] if found.num_links else [])),
    )


def holds_images(path: Path) -> bool:
    """Whether there is an image among the first 1,000 members of a shard. Raises UserError and OSError."""
    return any(info.isreg() and is_image_name(info.name) for info in itertools.islice(_members(path), 1000))


def _split_prefixes(shards: Sequence[Path], where: Path) -> list[str]:
    """A prefix (train/, val/ ...) for each shard if the names of the shards, or of their folders, state a split; else empty.
    Shards with other names get the prefix of their own name, which is in no part of the split."""
    for words in (
        [PurePosixPath(shard.relative_to(where)).parts[0].lower() if shard != where else "" for shard in shards],
        [re.split(r"[-_.0-9]", shard.name.lower())[0] for shard in shards],
    ):
        if set(words) & TRAIN and set(words) & HELDOUT:
            return [f"{word}/" for word in words]
    return [""] * len(shards)


def _scan_shard(shard: Path, prefix: str, found: _Found) -> None:
    stamp = shard.stat().st_mtime_ns
    for info in _members(shard):
        refuse_outside(info.name, shard)
        name = with_forward_slashes(info.name.removeprefix("./"))
        if is_hidden(name) or info.isdir():
            continue
        if not info.isreg() or info.issparse():
            found.num_links += 1
            continue
        folder, _, last = name.rpartition("/")
        stem, _, suffix = last.partition(".")
        key = (str(shard), f"{folder}/{stem}")
        place = functools.partial(_read, shard, info.offset_data, info.size)
        if is_image_name(name):
            if info.size > MAX_MEMBER_BYTES:
                raise UserError(f"{shard}: member {name!r} has {info.size} bytes, beyond {MAX_MEMBER_BYTES}.")
            found.images.append(Member(prefix + name, place, info.size, stamp))
            found.keys.append(key)
        elif suffix in ("cls", "json") and info.size <= MAX_SIDE_BYTES:
            _read_side_file(found.side_files.setdefault(key, _SideFiles()), suffix, place().read(), f"{shard}[{name}]")
        elif last == attributes.FILE and info.size <= attributes.MAX_BYTES:
            found.table = functools.partial(_read_csv, place, f"{shard}[{name}]")
        else:
            found.others[ending_of(name)] += 1


def _read_side_file(files: _SideFiles, suffix: str, data: bytes, where: str) -> None:
    try:
        if suffix == "cls":
            files.label = data.decode().strip() or None
            return
        values = parse_json(data, where)
    except Damaged as error:
        raise UserError(f"{error}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not text in UTF-8 ({error}).") from error
    if not isinstance(values, dict):
        return
    label, numbers = values.get("label"), values.get("attributes")
    if isinstance(label, str | int) and not isinstance(label, bool):
        files.label = str(label) if files.label is None else files.label
    if numbers is not None:
        files.numbers = _parse_attributes(numbers, where)


def _parse_attributes(values: Any, where: str) -> dict[str, float]:
    try:
        return {str(name): float(value) for name, value in values.items()}
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f'{where}: "attributes" must be an object of numbers, such as {{"age": 31}}.') from error


def _labels(side_files: Sequence[_SideFiles], members: Sequence[Member]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    labels = [files.label for files in side_files]
    present = [label for label in labels if label is not None]
    if len(present) == len(labels):
        return tuple(present), ()
    if not present:
        return (), ()
    first = members[labels.index(None)].name
    return (), (f"{len(labels) - len(present)} image(s) have no label (the first is {first}), so labels are not used.",)


def _table(
    side_files: Sequence[_SideFiles], members: Sequence[Member], where: Path
) -> Callable[[], AttributeTable] | None:
    if not any(files.numbers for files in side_files):
        return None
    columns = tuple(sorted({name for files in side_files for name in files.numbers or ()}))
    rows = {}
    for files, member in zip(side_files, members, strict=True):
        numbers = files.numbers or {}
        missing = [column for column in columns if column not in numbers]
        if missing:
            raise UserError(f"{where}: {member.name} has no attribute {missing[0]!r} in its .json; others have.")
        rows[member.name] = tuple(numbers[column] for column in columns)
    return lambda: AttributeTable(columns, rows, str(where))


def _read_csv(place: Callable[[], BinaryIO], where: str) -> AttributeTable:
    return attributes.parse(place().read(), where)


def _renamed(member: Member, cut: int) -> Member:
    return Member(member.name[cut:], member.open, member.num_bytes, member.stamp) if cut else member


def _read(shard: Path, offset: int, size: int) -> BinaryIO:
    with shard.open("rb") as file:
        file.seek(offset)
        return io.BytesIO(file.read(size))


# --- headers


class _ForwardReader(io.BufferedReader):
    """A file that is read forwards in small pieces: a crafted header can neither fill the memory nor cause a loop."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def _members(shard: Path) -> Iterator[tarfile.TarInfo]:
    """Yields the headers of a shard and keeps none. Raises UserError for files that are not complete plain tar archives."""
    if shard.name.lower().endswith(PACKED):
        raise UserError(
            f"{shard}: compressed shards cannot be read in place. Images are compressed already: unpack it once to a plain "
            ".tar (gunzip, unxz or zstd -d)."
        )
    total = check_regular(shard).st_size
    with (
        decoding(shard, "a tar archive"),
        _ForwardReader(io.FileIO(shard)) as file,
        tarfile.open(fileobj=file, mode="r:") as archive,
    ):
        end = 0
        while (info := archive.next()) is not None:
            if info.offset < end or info.size < 0:
                raise tarfile.ReadError(f"a header at byte {info.offset} points back")
            end = info.offset_data + (0 if info.issparse() or not info.isreg() else info.size)
            if end > total:
                raise tarfile.ReadError(f"{info.name} ends at byte {end} of {total}")
            archive.members = []  # type: ignore[attr-defined]  # otherwise the archive keeps every header
            yield info
        file.seek(archive.offset)
        if file.read(_BLOCK).strip(b"\0"):
            raise tarfile.ReadError(f"the bytes at {archive.offset} are not a header")
