"""Opens sources by path: a folder, a zip, tar shards, an array; and recognises paths that hold images."""

from __future__ import annotations

import difflib
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from zerosum.data.images import arrays, cifar, named_datasets, pairs, tar
from zerosum.data.images.files import SUFFIXES, UNREAD, VIDEOS
from zerosum.data.images.listing import Listing, ending_of, is_image_name, list_folder, list_zip
from zerosum.data.images.loaded import ImageOptions, LoadedImages
from zerosum.data.images.loader import load_listing
from zerosum.data.opening import check_regular, decoding, expand_path, is_regular
from zerosum.errors import UserError, nearest

_MAX_FILES_SEEN = 5000
_HOW = "Give a named source, or the path of a folder, .zip, .tar, .npy or .npz of images (./name for a path in this folder)."


def can_open(where: str) -> bool:
    """Whether `where` names an image source, or a path that holds images or arrays of them. Reads only a
    few names, never raises. Folders with two sides, such as trainA and trainB, belong to translation."""
    if named_datasets.canonical_name(where) is not None:
        return True
    path = expand_path(where)
    try:
        if path.is_dir():
            return bool(where) and not pairs.layout_of(path) and _is_of_images(path)
        suffix = path.suffix.lower()
        if not is_regular(path):
            return False
        if suffix == ".zip":
            with decoding(path, "a zip archive"), zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                seen = map(ending_of, names[:_MAX_FILES_SEEN])
                return any(is_image_name(name) for name in names) and not _mostly_videos(seen)
        if suffix in (".npy", ".npz"):
            return arrays.looks_like_images(path)
        if suffix == ".tar":
            return tar.holds_images(path)
        return suffix in SUFFIXES or path.name == cifar.TARBALL
    except (OSError, UserError):
        return False


def looks_like(path: Path) -> bool:
    """Whether a path that `can_open` rejects still looks like images: an archive, or a folder that holds archives, arrays or
    images of unsupported formats."""
    if is_regular(path):
        return path.suffix.lower() == ".zip" or tar.is_shard(path)
    try:
        held = any(_is_archive(file) for file in path.iterdir()) or bool(named_datasets.pickle_hint([path]))
        return held or _any_folder(path, lambda files, base: any(ending_of(file) in UNREAD for file in files))
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return False


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() in (".npy", ".npz", ".zip") or tar.is_shard(path)


def _is_of_images(folder: Path) -> bool:
    """Whether a folder and its sub-folders hold images, and not more videos than these, among their first files."""
    holds, ends = named_datasets.layout_of(folder) is not None, list[str]()
    for files, base in _folders(folder):
        holds = holds or _holds_images(files, base)
        ends += map(ending_of, files[: _MAX_FILES_SEEN - len(ends)])
    return holds and not _mostly_videos(ends)


def _mostly_videos(ends: Iterable[str]) -> bool:
    """Whether videos, of endings that no image has, are more than images."""
    counts = Counter(ends)
    return sum(counts[ending] for ending in VIDEOS) > sum(counts[ending] for ending in SUFFIXES)


def _holds_images(files: Sequence[str], base: str) -> bool:
    if any(is_image_name(file) for file in files):
        return True
    shards = sorted(file for file in files if file.endswith(".tar") and not file.startswith("."))
    return bool(shards) and tar.holds_images(Path(base, shards[0]))


def _any_folder(folder: Path, matches: Callable[[Sequence[str], str], bool]) -> bool:
    """Whether `matches(file names, folder)` is true for this folder or a sub-folder, among the first files."""
    return any(matches(files, base) for files, base in _folders(folder))


def _folders(folder: Path) -> Iterator[tuple[list[str], str]]:
    """(file names, path) of this folder and its sub-folders, without hidden ones, up to that of file _MAX_FILES_SEEN."""
    seen = 0
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield files, base
        seen += len(files) + 1
        if seen > _MAX_FILES_SEEN:
            return


def open_path(where: str, options: ImageOptions) -> LoadedImages:
    """The images at a path. Raises UserError if they cannot be read."""
    path = expand_path(where)
    try:
        if not where or not path.exists():
            raise _missing_error(where, path)
        if path.is_dir():
            return _open_folder(path, options)
        check_regular(path)
        return _open_file(path, options)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _open_folder(path: Path, options: ImageOptions) -> LoadedImages:
    if named_datasets.layout_of(path) is not None:
        return named_datasets.load_layout(path, options)
    listing = list_folder(path, links=options.links)
    if not listing.members and (shards := tar.shards_in(path)):
        return _open_shards(path.resolve().name, shards, options, path)
    if not listing.members:
        held = sorted(file.name for file in path.iterdir() if file.suffix.lower() in (".npy", ".npz", ".zip"))
        hint = f" It holds {held[0]}: give the path of that file." if held else named_datasets.pickle_hint([path])
        raise UserError(
            f"{path}: no images in this folder{_other_contents(listing)}.{hint} "
            f"Images are files that end in {', '.join(sorted(SUFFIXES))}."
        )
    return load_listing(path.resolve().name, listing, options, path)


def _open_file(path: Path, options: ImageOptions) -> LoadedImages:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return arrays.read_npy(path, options)
    if suffix == ".npz":
        return arrays.read_npz(path, options)
    if path.name == cifar.TARBALL:
        return named_datasets.load_layout(path, options)
    if tar.is_shard(path):
        return _open_shards(path.name.split(".")[0], [path], options, path)
    if suffix in SUFFIXES:
        raise UserError(f"{path}: only one image; a training set needs at least 2. Give the folder of the images.")
    if suffix != ".zip":
        raise UserError(f"{path}: not a kind of file that holds images. {_HOW}")
    with decoding(path, "a zip archive"):
        archive = zipfile.ZipFile(path)
    with archive:
        listing = list_zip(archive, path)
        if not listing.members:
            raise UserError(f"{path}: no images in this archive{_other_contents(listing)}.")
        return load_listing(path.stem, listing, options, path)


def _open_shards(name: str, shards: Sequence[Path], options: ImageOptions, where: Path) -> LoadedImages:
    listing = tar.list_shards(shards, where)
    if not listing.members:
        raise UserError(f"{where}: no images in {len(shards)} tar archive(s){_other_contents(listing)}.")
    return load_listing(name, listing, options, where)


def _other_contents(listing: Listing) -> str:
    """A description of the files that are there instead of images."""
    return f": {' '.join(listing.notes()).rstrip('.')}" if listing.notes() else ""


def _missing_error(where: str, path: Path) -> UserError:
    if "://" in where:
        return UserError(f"{where!r}: addresses are not fetched. Download the images and give their path. {_HOW}")
    if _is_path(where):
        there = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, there, n=1)
        return UserError(
            f"{where!r}: no such file or folder. {f'Did you mean {path.parent / close[0]}? ' if close else ''}{_HOW}"
        )
    return UserError(
        f"{where!r}: no image source and no path of this name. {nearest(where, named_datasets.SOURCES)} {_HOW}"
    )


def _is_path(where: str) -> bool:
    return "/" in where or os.sep in where or Path(where).suffix.lower() in (".zip", ".npy", ".npz", ".tar")
