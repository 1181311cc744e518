"""Images in tar shards, read in place: WebDataset's layout (key.jpg, key.cls, key.json) or a folder that was packed.

Only headers are walked through; the bytes of an image are read when it is wanted. Nothing is ever unpacked.
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
    ending_of,
    hidden,
    is_image_name,
    natural,
    refuse_outside,
    slashed,
    wrapping,
)
from zerosum.data.images.loaded import AttributeTable
from zerosum.data.opening import decoding, regular
from zerosum.errors import Damaged, UserError
from zerosum.jsonfile import parse_json

PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
MAX_HEADER_BYTES = 2**20
"""Longest extended header that is read into memory."""
MAX_SIDE_BYTES = 2**20
"""Largest .cls or .json file."""
_BLOCK = 512


@dataclass
class _Side:
    """What lies beside an image under its key: text of .cls, bytes of .json."""

    label: str | None = None
    numbers: dict[str, float] | None = None


@dataclass
class _Found:
    images: list[Member] = field(default_factory=list)
    keys: list[tuple[str, str]] = field(default_factory=list)
    sides: dict[tuple[str, str], _Side] = field(default_factory=dict)
    table: Callable[[], AttributeTable] | None = None
    others: Counter[str] = field(default_factory=Counter)
    num_links: int = 0


def is_shard(path: Path) -> bool:
    """Whether the name is that of a tar archive, packed or not."""
    return path.name.lower().endswith((".tar", *PACKED)) and not path.name.startswith(".")


def shards_in(folder: Path) -> list[Path]:
    """The tar archives under a folder, in natural order."""
    found = [path for path in folder.rglob("*") if is_shard(path) and path.is_file()]
    return sorted(found, key=lambda path: natural(path.relative_to(folder).as_posix()))


def list_shards(shards: Sequence[Path], where: Path) -> Listing:
    """Every image of the shards together, in natural order of their paths; labels and attributes from beside them.

    Shards named train-* and val-* (or test-*), or in folders of these names, make a split. Links, devices and sparse files
    are passed over. Raises UserError for compressed shards, damaged headers, names that leave the archive.
    """
    found, tops = _Found(), _tops(shards, where)
    for shard, top in zip(shards, tops, strict=True):
        _walk(shard, top, found)
    cut = wrapping([member.name for member in found.images])
    order = sorted(range(len(found.images)), key=lambda i: natural(found.images[i].name))
    members = tuple(_renamed(found.images[i], cut) for i in order)
    sides = [found.sides.get(found.keys[i], _Side()) for i in order]
    labels, label_notes = _labels(sides, members)
    links = f"{found.num_links} link(s), device(s) or sparse file(s) were passed over."
    return Listing(
        members,
        found.others,
        table=found.table or _table(sides, members, where),
        labels=labels,
        label_notes=(*label_notes, *([links] if found.num_links else [])),
    )


def holds_images(path: Path) -> bool:
    """Whether there is an image among the first 1,000 members of a shard. Raises UserError and OSError."""
    return any(info.isreg() and is_image_name(info.name) for info in itertools.islice(_members(path), 1000))


def _tops(shards: Sequence[Path], where: Path) -> list[str]:
    """train, val ... for each shard where the names of some say so, by the folder they lie in or by how they begin; else nothing.
    What other shards begin with makes them neither."""
    for words in (
        [PurePosixPath(shard.relative_to(where)).parts[0].lower() if shard != where else "" for shard in shards],
        [re.split(r"[-_.0-9]", shard.name.lower())[0] for shard in shards],
    ):
        if set(words) & TRAIN and set(words) & HELDOUT:
            return [f"{word}/" for word in words]
    return [""] * len(shards)


def _walk(shard: Path, top: str, found: _Found) -> None:
    stamp = shard.stat().st_mtime_ns
    for info in _members(shard):
        refuse_outside(info.name, shard)
        name = slashed(info.name.removeprefix("./"))
        if hidden(name) or info.isdir():
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
            found.images.append(Member(top + name, place, info.size, stamp))
            found.keys.append(key)
        elif suffix in ("cls", "json") and info.size <= MAX_SIDE_BYTES:
            _note_side(found.sides.setdefault(key, _Side()), suffix, place().read(), f"{shard}[{name}]")
        elif last == attributes.FILE and info.size <= attributes.MAX_BYTES:
            found.table = functools.partial(_csv, place, f"{shard}[{name}]")
        else:
            found.others[ending_of(name)] += 1


def _note_side(side: _Side, suffix: str, data: bytes, where: str) -> None:
    try:
        if suffix == "cls":
            side.label = data.decode().strip() or None
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
        side.label = str(label) if side.label is None else side.label
    if numbers is not None:
        side.numbers = _as_numbers(numbers, where)


def _as_numbers(values: Any, where: str) -> dict[str, float]:
    try:
        return {str(name): float(value) for name, value in values.items()}
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f'{where}: "attributes" must be an object of numbers, such as {{"age": 31}}.') from error


def _labels(sides: Sequence[_Side], members: Sequence[Member]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    given = [side.label for side in sides]
    known = [label for label in given if label is not None]
    if len(known) == len(given):
        return tuple(known), ()
    if not known:
        return (), ()
    first = members[given.index(None)].name
    return (), (f"{len(given) - len(known)} image(s) have no label (the first is {first}), so labels are not used.",)


def _table(sides: Sequence[_Side], members: Sequence[Member], where: Path) -> Callable[[], AttributeTable] | None:
    if not any(side.numbers for side in sides):
        return None
    columns = tuple(sorted({name for side in sides for name in side.numbers or ()}))
    rows = {}
    for side, member in zip(sides, members, strict=True):
        numbers = side.numbers or {}
        lacking = [column for column in columns if column not in numbers]
        if lacking:
            raise UserError(f"{where}: {member.name} has no attribute {lacking[0]!r} in its .json; others have.")
        rows[member.name] = tuple(numbers[column] for column in columns)
    return lambda: AttributeTable(columns, rows, str(where))


def _csv(place: Callable[[], BinaryIO], where: str) -> AttributeTable:
    return attributes.parse(place().read(), where)


def _renamed(member: Member, cut: int) -> Member:
    return Member(member.name[cut:], member.open, member.num_bytes, member.stamp) if cut else member


def _read(shard: Path, offset: int, size: int) -> BinaryIO:
    with shard.open("rb") as file:
        file.seek(offset)
        return io.BytesIO(file.read(size))


# --- headers


class _Forward(io.BufferedReader):
    """A file that is walked through forwards in small reads: a crafted header can neither fill the memory nor loop."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def _members(shard: Path) -> Iterator[tarfile.TarInfo]:
    """The headers of a shard, one after another, none kept. Raises UserError for what is not a whole plain tar archive."""
    if shard.name.lower().endswith(PACKED):
        raise UserError(
            f"{shard}: compressed shards cannot be read in place. Images are compressed already: unpack it once to a plain "
            ".tar (gunzip, unxz or zstd -d)."
        )
    total = regular(shard).st_size
    with (
        decoding(shard, "a tar archive"),
        _Forward(io.FileIO(shard)) as file,
        tarfile.open(fileobj=file, mode="r:") as archive,
    ):
        end = 0
        while (info := archive.next()) is not None:
            if info.offset < end or info.size < 0:
                raise tarfile.ReadError(f"a header at byte {info.offset} points back")
            end = info.offset_data + (0 if info.issparse() or not info.isreg() else info.size)
            if end > total:
                raise tarfile.ReadError(f"{info.name} ends at byte {end} of {total}")
            archive.members = []  # type: ignore[attr-defined]  # else the archive keeps every header it has seen
            yield info
        file.seek(archive.offset)
        if file.read(_BLOCK).strip(b"\0"):
            raise tarfile.ReadError(f"what stands at byte {archive.offset} is no header")
