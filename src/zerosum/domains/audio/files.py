"""Recordings in folders, zips and tars: which there are, their classes and their split."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from zerosum.data.images import listing as listings
from zerosum.data.images.files import SUFFIXES as IMAGES
from zerosum.data.images.listing import Arrangement, Member
from zerosum.data.images.tar import is_shard
from zerosum.data.opening import check_regular, check_size, decoding, expand_path, is_regular
from zerosum.domains.audio import formats
from zerosum.domains.audio.formats import ENDINGS, UNREAD, ending_of
from zerosum.errors import UserError

ZIPPED = ".zip"
MAX_TAR_BYTES = 2**31
"""Unpacked bytes of recordings in a tar, which are read at once."""
METADATA, MAX_METADATA_BYTES = "metadata.csv", 2**28
"""The file of texts, see `texts`, and the most bytes of it that are read."""
ENTRIES_TO_RECOGNISE, PACKED_TO_RECOGNISE = 2_000, 100
"""Names that are read to recognise a folder or an archive, and a packed tar, which is unpacked for it."""


@dataclass(frozen=True)
class PatternOptions:
    """How file names give classes and the held-out part, see `arrange`."""

    pattern: str = ""
    label: str = ""
    labelled: bool = True
    test: str = ""


# --- which files there are


def is_recording(name: str) -> bool:
    """Whether a file name has the ending of a recording that can be read."""
    return ending_of(name) in formats.SUBTYPES


def can_open(where: str) -> bool:
    """Whether a path is a recording, or a folder or archive with more recordings than images. Reads names only; never raises."""
    try:
        path = packed_at(expand_path(where))
        if path.is_dir():
            return bool(where) and _mostly_recordings(_names_below(path))
        if not is_regular(path):
            return False
        if is_recording(path.name):
            return True
        return _is_archive(path) and _mostly_recordings(_names_in(path))
    except Exception:
        return False


def packed_at(path: Path) -> Path:
    """The archive of recordings in a folder that holds one archive and neither recordings nor images; any other path itself."""
    if not path.is_dir():
        return path
    archives = [one for one in path.iterdir() if is_regular(one) and _is_archive(one)]
    if len(archives) != 1 or any(
        _kind(name) != "others" for name in itertools.islice(_names_below(path), ENTRIES_TO_RECOGNISE)
    ):
        return path
    return archives[0] if can_open(str(archives[0])) else path


def looks_like(path: Path) -> bool:
    """Whether a path for which `can_open` is false is a recording of another kind, or a folder that holds one. Never raises."""
    try:
        names = (file.name for file in path.iterdir()) if path.is_dir() else [path.name]
        return any(ending_of(name) in UNREAD for name in names)
    except OSError:
        return False


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() == ZIPPED or is_shard(path)


def _mostly_recordings(names: Iterator[str]) -> bool:
    kinds = Counter[str]()
    for _, name in zip(range(ENTRIES_TO_RECOGNISE), names, strict=False):
        if not listings.is_hidden(name):
            kinds[_kind(name)] += 1
    return kinds["recordings"] > kinds["images"]


def _kind(name: str) -> str:
    return "recordings" if is_recording(name) else "images" if ending_of(name) in IMAGES else "others"


def _names_below(folder: Path) -> Iterator[str]:
    for _, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from ("", *names)


def _names_in(path: Path) -> Iterator[str]:
    if path.suffix.lower() == ZIPPED:
        with zipfile.ZipFile(path) as archive:
            yield from archive.namelist()
    else:
        with tarfile.open(path) as opened:
            most = ENTRIES_TO_RECOGNISE if path.suffix.lower() == ".tar" else PACKED_TO_RECOGNISE
            yield from (member.name.removeprefix("./") for member in itertools.islice(opened, most) if member.isreg())


@dataclass(frozen=True)
class Found:
    """members: the recordings in natural order of their paths. others: sentences on other files. metadata: the content of the
    metadata.csv that lies beside or above them, None if there is none."""

    name: str
    members: Sequence[Member]
    others: tuple[str, ...] = ()
    metadata: bytes | None = None


@contextmanager
def recordings_at(path: Path) -> Iterator[Found]:
    """The recordings at a path, which can be read within. UserError where there are none."""
    if path.is_dir():
        found = listings.list_folder(path, frozenset(ENDINGS))
        places = sorted((*path.glob(METADATA), *path.glob(f"*/{METADATA}")), key=lambda one: len(one.parts))
        metadata = next((one.read_bytes() for one in places if _is_small(one)), None)
        others = Counter(found.others) - Counter({ending_of(METADATA): metadata is not None})
        yield _found(path, path.resolve().name, found.members, others, found.num_links, metadata)
        return
    num_bytes = check_regular(path).st_size
    if path.suffix.lower() == ZIPPED:
        with decoding(path, "a zip archive"):
            archive = zipfile.ZipFile(path)
        with archive:
            yield _in_zip(archive, path)
    elif is_shard(path):
        yield _in_tar(path)
    elif is_recording(path.name):
        yield Found(path.stem, [Member(path.name, lambda: path.open("rb"), num_bytes)])
    elif ending_of(path.name) in UNREAD:
        raise UserError(f"{path}: {ending_of(path.name)} files are not read. {formats.CONVERT}.")
    else:
        raise UserError(
            f"{path}: not a kind of file that holds recordings. Use {', '.join(ENDINGS)}, a folder, a zip or a tar."
        )


def metadata_beside(path: Path) -> bytes | None:
    """The content of the metadata.csv in the folder that holds this folder or archive; None if there is none that can be read."""
    place = Path(os.path.abspath(path)).parent / METADATA
    with contextlib.suppress(OSError):
        if (path.is_dir() or _is_archive(path)) and _is_small(place):
            return place.read_bytes()
    return None


def _is_small(path: Path) -> bool:
    return is_regular(path) and path.stat().st_size <= MAX_METADATA_BYTES


def _found(
    path: Path, name: str, members: Sequence[Member], others: Mapping[str, int], num_links: int = 0,
    metadata: bytes | None = None,
) -> Found:  # fmt: skip
    """UserError names what is there in place of recordings."""
    unread = {ending: num for ending, num in others.items() if ending in UNREAD}
    rest = {ending: num for ending, num in others.items() if ending not in UNREAD}
    notes = []
    if unread:
        notes.append(f"{_listed(unread)} file(s) are not read. {formats.CONVERT}.")
    if rest:
        notes.append(f"Skipped, because they are no recordings: {_listed(rest)} file(s).")
    if num_links:
        notes.append(f"{num_links} link(s) to folders or out of the folder are not followed.")
    if not members:
        if path.is_dir() and (archives := sorted(one for one in path.iterdir() if one.is_file() and _is_archive(one))):
            notes.append(f"An archive is read when it is named itself: {archives[0]}.")
        none = "It holds no files." if metadata is None else f"It holds {METADATA} only."
        raise UserError(
            f"{path}: no recordings here. {' '.join(notes) or none} Recordings end in {', '.join(ENDINGS)}."
        )
    return Found(name, members, tuple(notes), metadata)


def _listed(numbers: Mapping[str, int]) -> str:
    shown = sorted(numbers.items(), key=lambda one: (-one[1], one[0]))[:6]
    return ", ".join(f"{num:,} {ending or 'without an ending'}" for ending, num in shown)


def _in_zip(archive: zipfile.ZipFile, path: Path) -> Found:
    listings.check_zip(archive.infolist(), path, _is_read)
    members, others, metadata = list[Member](), Counter[str](), dict[int, bytes]()
    for info in archive.infolist():
        name = listings.with_forward_slashes(info.filename)
        if name.endswith("/") or listings.is_hidden(name):
            continue
        if is_recording(name):
            members.append(Member(name, _unzipped(archive, info), info.file_size))
        elif PurePosixPath(name).name == METADATA and info.file_size <= MAX_METADATA_BYTES:
            with decoding(f"{path}[{name}]", "a file that can be unpacked"):
                metadata.setdefault(name.count("/"), archive.read(info))
        else:
            others[ending_of(name)] += 1
    return _found(path, path.stem, _unwrapped(members), others, metadata=_highest(metadata))


def _is_read(name: str) -> bool:
    return is_recording(name) or PurePosixPath(name).name == METADATA


def _highest(metadata: Mapping[int, bytes]) -> bytes | None:
    """The content with the fewest folders above it."""
    return metadata[min(metadata)] if metadata else None


def _unzipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(archive.read(info))


def _in_tar(path: Path) -> Found:
    """The recordings in a tar, packed or not, which are read at once: a packed one can only be read from its beginning."""
    members, others, metadata, total = list[Member](), Counter[str](), dict[int, bytes](), 0
    with decoding(path, "a tar archive"), tarfile.open(path) as archive:
        for info in archive:
            listings.refuse_outside(info.name, path)
            name = listings.with_forward_slashes(info.name.removeprefix("./"))
            if not info.isreg() or listings.is_hidden(name):
                continue
            is_metadata = PurePosixPath(name).name == METADATA and info.size <= MAX_METADATA_BYTES
            if not is_recording(name) and not is_metadata:
                others[ending_of(name)] += 1
                continue
            total += info.size
            check_size(total, MAX_TAR_BYTES, path, "holds recordings of")
            content = archive.extractfile(info)
            assert content is not None
            if is_metadata:
                metadata.setdefault(name.count("/"), content.read())
            else:
                members.append(Member(name, _opener(content.read()), info.size))
            archive.members = []  # type: ignore[attr-defined]  # else the archive keeps every header
    return _found(path, path.name.split(".")[0], _unwrapped(members), others, metadata=_highest(metadata))


def _opener(data: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(data)


def _unwrapped(members: Sequence[Member]) -> list[Member]:
    """Without the folders that contain everything, in natural order."""
    cut = listings.common_prefix_length([member.name for member in members])
    return sorted(
        (replace(one, name=one.name[cut:]) for one in members), key=lambda one: listings.natural_key(one.name)
    )


# --- classes and split


def arrange(names: Sequence[str], where: Path, options: PatternOptions) -> tuple[Arrangement, tuple[int, ...]]:
    """(split and classes, positions that are left out because their names do not fit the pattern).

    Without a pattern the sub-folders are classes, and folders such as train and test are the split. pattern: names of recordings
    such as "{digit}_{speaker}_{index}", without their ending; with a "/" in it the whole path. label: the field that is the
    class, or several with a comma between; by default the first. test: held-out recordings by a field, such as "index=0-4,7".
    """
    if not options.pattern:
        if options.label or options.test:
            raise ValueError(f"{'label' if options.label else 'test'} names a field of a pattern; set data.pattern")
        plan = listings.arrange(names, where, options.labelled, "recording")
        return plan, ()
    fields = [_fields(options.pattern, name) for name in names]
    fitting = [i for i, one in enumerate(fields) if one is not None]
    if not fitting:
        raise UserError(
            f"{where}: no name fits data.pattern={options.pattern!r}; the first is {PurePosixPath(names[0]).stem!r}. Write each "
            "part that varies as {name}, such as {digit}_{speaker}_{index}."
        )
    plan = listings.arrange([names[i] for i in fitting], where, False, "recording")
    known = [fields[i] or {} for i in fitting]
    if options.test:
        held = tuple(i for i, one in enumerate(known) if _is_test(options.test, one))
        plan = replace(plan, train=tuple(i for i in range(len(known)) if i not in set(held)), heldout=held, notes=())
        if not held or not plan.train:
            raise UserError(f"data.test={options.test!r} fits {len(held)} of {len(known)} recordings.")
    if options.labelled:
        labels = [_label(options, one) for one in known]
        plan = listings.arrange_by_labels(plan, labels, where, "recording")
        plan = replace(plan, notes=(*plan.notes, *_undivided(options.pattern, labels)))
    moved = replace(
        plan,
        train=tuple(fitting[i] for i in plan.train),
        heldout=tuple(fitting[i] for i in plan.heldout),
        classes={fitting[i]: label for i, label in plan.classes.items()},
    )
    return moved, tuple(sorted(set(range(len(names))) - set(fitting)))


def _fields(pattern: str, name: str) -> dict[str, str] | None:
    """The fields of a name, None where it does not fit. ValueError for a pattern without fields."""
    parts = re.split(r"\{(\w+)\}", pattern)
    names = parts[1::2]
    if not names or len(set(names)) < len(names) or not all(part.isidentifier() for part in names):
        raise ValueError(f"pattern must have fields such as {{digit}}_{{speaker}}, each once; got {pattern!r}")
    text = "".join(f"(?P<{part}>[^/]+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
    path = PurePosixPath(name)
    fit = re.fullmatch(text, str(path.with_suffix("")) if "/" in pattern else path.stem)
    return fit.groupdict() if fit else None


def _undivided(pattern: str, labels: Sequence[str]) -> list[str]:
    """A note where most classes hold a sign that separates fields of the pattern: the names have more parts than it."""
    for sign in set(re.sub(r"\{\w+\}", "", pattern)) & set("_-"):
        odd = [label for label in labels if sign in label]
        if 2 * len(odd) > len(labels):
            return [
                f"Classes such as {odd[0]!r} hold {sign!r}, which separates fields of data.pattern: if names have more parts, "
                f"add a field for each, as in {pattern}{sign}{{more}}."
            ]
    return []


def _value(fields: Mapping[str, str], name: str) -> str:
    if name not in fields:
        raise ValueError(f"there is no field {name!r} in the pattern; it has {', '.join(fields)}")
    return fields[name]


def _label(options: PatternOptions, fields: Mapping[str, str]) -> str:
    names = [name.strip() for name in options.label.split(",")] if options.label else [next(iter(fields))]
    return " ".join(_value(fields, name) for name in names)


def _is_test(rule: str, fields: Mapping[str, str]) -> bool:
    name, equals, values = rule.partition("=")
    if not equals:
        raise ValueError(f"test must be a field and values, such as index=0-4; got {rule!r}")
    value = _value(fields, name.strip())
    for one in values.split(","):
        low, _, high = one.strip().partition("-")
        if value == one.strip() or (
            all(part.isdecimal() for part in (low, high, value)) and int(low) <= int(value) <= int(high)
        ):
            return True
    return False


def suggestions(names: Sequence[str]) -> list[str]:
    """A note for recordings without classes whose names have parts that may be classes."""
    pattern = _suggested_pattern(names)
    advice = f"--set 'data.pattern={pattern}' --set data.label=a, or another part"
    return [f"There are no classes. If a part of the file names is one: {advice}."] * bool(pattern)


def _suggested_pattern(names: Sequence[str]) -> str:
    """A pattern that fits all names, if they have two or more parts of which one takes few values; else ""."""
    stems = [PurePosixPath(name).stem for name in names]
    for sign in "_-":
        parts = [stem.split(sign) for stem in stems]
        numbers = {len(one) for one in parts}
        if len(numbers) != 1 or not 2 <= next(iter(numbers)) <= 6 or not all(all(one) for one in parts):
            continue
        values = [set(column) for column in zip(*parts, strict=True)]
        if any(2 <= len(one) <= len(names) / 4 for one in values):
            return sign.join(f"{{{chr(ord('a') + i)}}}" for i in range(len(values)))
    return ""
