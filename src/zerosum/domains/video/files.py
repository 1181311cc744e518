"""Videos in folders and zips: files, and folders whose numbered pictures are the frames of one video each."""

from __future__ import annotations

import io
import itertools
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from zerosum.data.images import listing as listings
from zerosum.data.images.files import SUFFIXES as IMAGES
from zerosum.data.images.listing import Member, ending_of
from zerosum.data.opening import check_regular, decoding, expand_path, is_regular
from zerosum.domains.video import formats
from zerosum.errors import UserError

ZIPPED = ".zip"
UNREAD = frozenset((".h264", ".h265", ".hevc", ".yuv", ".y4m", ".rm", ".3gp", ".swf", ".mxf", ".vob"))
CONVERT = "Convert them with ffmpeg: ffmpeg -i IN OUT.mkv"
NAMES_TO_RECOGNISE = 2_000
FRAMES = frozenset(IMAGES) - frozenset(formats.PILLOW) | {".webp"}
"""Endings of pictures that can be frames in a folder."""


@dataclass(frozen=True)
class Video:
    """A video: one file, or the pictures of a folder in natural order. name: its path, with forward slashes."""

    name: str
    file: Member | None = None
    pictures: tuple[Member, ...] = ()

    @property
    def ending(self) -> str:
        """Of the file; "" for a folder of pictures."""
        return ending_of(self.file.name) if self.file else ""


@dataclass(frozen=True)
class Found:
    """videos: in natural order of their paths. others: sentences on other files."""

    name: str
    videos: Sequence[Video]
    others: tuple[str, ...] = ()


def can_open(where: str) -> bool:
    """Whether a path is a video, or a folder or zip with more videos than pictures. Reads names only; never raises.

    A folder of pictures is one of images unless --recipe video says that they are frames.
    """
    path = expand_path(where)
    try:
        if path.is_dir():
            return bool(where) and _mostly_videos(_names_below(path))
        if not is_regular(path):
            return False
        if path.suffix.lower() == ZIPPED:
            with zipfile.ZipFile(path) as archive:
                return _mostly_videos(archive.namelist())
        return ending_of(path.name) in formats.READ and ending_of(path.name) != ".webp"
    except Exception:
        return False


def looks_like(path: Path) -> bool:
    """Whether a path for which `can_open` is false is a video of another kind, or a folder that holds one. Never raises."""
    try:
        names = (file.name for file in path.iterdir()) if path.is_dir() else [path.name]
        return any(ending_of(name) in UNREAD for name in names)
    except OSError:
        return False


def _names_below(folder: Path) -> Iterator[str]:
    for _, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from names


def _mostly_videos(names: Iterable[str]) -> bool:
    kinds = Counter[str]()
    for name in itertools.islice(names, NAMES_TO_RECOGNISE):
        if not listings.is_hidden(name):
            ending = ending_of(name)
            moving = ending in formats.READ and ending != ".webp"
            kinds["videos" if moving else "pictures" if ending in IMAGES else "others"] += 1
    return kinds["videos"] > kinds["pictures"]


@contextmanager
def videos_at(path: Path) -> Iterator[Found]:
    """The videos at a path, which can be read within. UserError where there are none."""
    wanted = frozenset((*formats.READ, *FRAMES))
    if path.is_dir():
        found = listings.list_folder(path, wanted)
        yield _found(path, path.resolve().name, found.members, found.others, found.num_links)
        return
    size = check_regular(path).st_size
    ending = ending_of(path.name)
    if ending == ZIPPED:
        with decoding(path, "a zip archive"):
            archive = zipfile.ZipFile(path)
        with archive:
            listings.check_zip(archive.infolist(), path, lambda name: ending_of(name) in wanted)
            members, others = list[Member](), Counter[str]()
            for info in archive.infolist():
                name = listings.with_forward_slashes(info.filename)
                if name.endswith("/") or listings.is_hidden(name):
                    continue
                if ending_of(name) in wanted:
                    members.append(Member(name, lambda info=info: io.BytesIO(archive.read(info)), info.file_size))  # type: ignore[misc]
                else:
                    others[ending_of(name)] += 1
            members.sort(key=lambda member: listings.natural_key(member.name))
            cut = listings.common_prefix_length([member.name for member in members]) if members else 0
            yield _found(path, path.stem, [replace(one, name=one.name[cut:]) for one in members], others)
    elif ending in formats.READ:
        yield Found(path.stem, [Video(path.name, Member(path.name, lambda: path.open("rb"), size))])
    else:
        more = f" {CONVERT}." if ending in UNREAD else ""
        raise UserError(f"{path}: not a video that is read. Use {', '.join(formats.READ)}, a folder or a zip.{more}")


def _found(path: Path, name: str, members: Sequence[Member], others: Mapping[str, int], num_links: int = 0) -> Found:
    """Files as videos, and the pictures of each folder as one video. UserError where there are none.

    A .webp is a video where its folder holds no other picture and it moves, else a frame.
    """
    stills = {_folder(one.name) for one in members if ending_of(one.name) in FRAMES and not _moves(one)}
    videos, frames = list[Video](), dict[str, list[Member]]()
    for member in members:
        if ending_of(member.name) in formats.READ and (
            ending_of(member.name) != ".webp" or _folder(member.name) not in stills
        ):
            videos.append(Video(member.name, member))
        else:
            frames.setdefault(_folder(member.name), []).append(member)
    videos += [
        Video(name if folder == "." else folder, pictures=tuple(pictures))
        for folder, pictures in frames.items()
        if len(pictures) > 1
    ]
    videos.sort(key=lambda one: listings.natural_key(one.name))
    notes = []
    if single := [pictures[0].name for pictures in frames.values() if len(pictures) == 1]:
        notes.append(
            f"{len(single)} picture(s) alone in a folder are no video and are left out (the first: {single[0]})."
        )
    shown = {ending: num for ending, num in others.items() if num}
    if shown:
        listed = ", ".join(f"{num:,} {ending or 'without an ending'}" for ending, num in list(shown.items())[:6])
        convert = f" {CONVERT}." if UNREAD & set(shown) else ""
        notes.append(f"Passed over, because they are no videos that are read: {listed} file(s).{convert}")
    if num_links:
        notes.append(f"{num_links} link(s) to folders or out of the folder are not followed.")
    if not videos:
        raise UserError(
            f"{path}: no videos here. {' '.join(notes) or 'It holds no files.'} Videos end in {', '.join(formats.READ)}; a "
            "folder of two or more pictures is one video."
        )
    return Found(name, videos, tuple(notes))


def _folder(name: str) -> str:
    return PurePosixPath(name).parent.as_posix()


def _moves(member: Member) -> bool:
    """Whether a .webp has several frames; False for other pictures."""
    if ending_of(member.name) != ".webp":
        return False
    from PIL import Image

    try:
        with member.open() as file, Image.open(file) as image:
            return int(getattr(image, "n_frames", 1)) > 1
    except Exception:
        return False
