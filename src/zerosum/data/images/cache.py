"""The prepared cache: decoded, cropped and resized rows of a source in one array file, described by a manifest.

There is one folder for each source and set of options, under $ZEROSUM_CACHE/images or ~/.cache/zerosum/images. It holds
pixels.npy, (N, C, H, W) uint8 in the order training, validation, held-out; order.npy, the position of each row in the
source's listing; manifest.json. The folder is created by one rename; it is used only while the listing and the hashes
of its blocks match the manifest.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from zerosum.data.images.loaded import WHITE, ImageOptions, Labels, Pixels
from zerosum.data.opening import expand_path
from zerosum.data.progress import print_status
from zerosum.jsonfile import read_object
from zerosum.store import write_durably

FORMAT = 1
PIXELS, ORDER, MANIFEST = "pixels.npy", "order.npy", "manifest.json"
PARTS = ("train", "validation", "heldout")
RESIDENT_BYTES = 256 * 2**20
"""Arrays up to this size are read into memory, larger ones are memory-mapped."""
BLOCK_BYTES = 16 * 2**20
MAX_BLOCKS = 128
"""Number of blocks whose hashes are checked at opening: all of an array up to 2 GiB, else this many, evenly spaced."""


class UnusableCache(ValueError):
    """Prepared images that cannot be used; the text says why."""


@dataclass(frozen=True)
class PreparedFile:
    """Rows of the cache. parts: number of rows of each of PARTS, in this order. order: position of each row in the listing."""

    pixels: Pixels
    order: Labels
    parts: dict[str, int]
    notes: tuple[str, ...]
    fingerprint: str
    mapped: bool


def cache_root() -> Path:
    """$ZEROSUM_CACHE/images, else ~/.cache/zerosum/images."""
    given = os.environ.get("ZEROSUM_CACHE")
    return (expand_path(given) if given else Path.home() / ".cache" / "zerosum") / "images"


def options_key(where: Path, options: ImageOptions) -> dict[str, Any]:
    """Everything that determines the rows of a source, apart from the files themselves."""
    return {
        "format": FORMAT,
        "source": str(where.resolve()),
        "size": options.resolution,
        "channels": options.channels,
        "max_images": options.max_images,
        "crop": options.crop,
        "on_bad": options.on_bad,
        "labelled": options.uses_labels,
        "heldout": options.heldout,
        "validation": options.validation,
        "flip": options.flip,
        "pillow": PIL.__version__,
        **({} if options.background == WHITE else {"background": options.background}),
        **({} if options.alpha == "flatten" else {"alpha": options.alpha}),
    }


def folder_of(where: Path, options: ImageOptions) -> Path:
    """The folder of a source under these options."""
    key = hashlib.sha256(json.dumps(options_key(where, options), sort_keys=True).encode()).hexdigest()[:16]
    return cache_root() / f"{re.sub(r'[^A-Za-z0-9_-]+', '-', where.resolve().name)[:40]}-{key}"


def find_prepared(folder: Path, listing_print: str) -> tuple[PreparedFile | None, str]:
    """The prepared images in the folder, if complete and up to date; else None, with a note on why they are prepared again."""
    if not folder.is_dir():
        return None, ""
    try:
        return _open(folder, listing_print), ""
    except UnusableCache as error:
        return None, f"The images in {folder} were prepared again: {error}."


def _open(folder: Path, listing_print: str) -> PreparedFile:
    try:
        manifest = read_object(folder / MANIFEST)
        recorded_hash = manifest.pop("manifest_sha256")
        if recorded_hash != _sha256_of(manifest):
            raise UnusableCache("the manifest was damaged")
        if manifest["listing"] != listing_print:
            raise UnusableCache("files of the source were added, changed or removed")
        for name, blocks in manifest["blocks"].items():
            _check_blocks(folder / name, manifest["bytes"][name], blocks)
        mapped = manifest["bytes"][PIXELS] > RESIDENT_BYTES
        return PreparedFile(
            np.load(folder / PIXELS, mmap_mode="r" if mapped else None, allow_pickle=False),
            np.load(folder / ORDER, allow_pickle=False),
            {part: int(manifest["parts"][part]) for part in PARTS},
            tuple(manifest["notes"]),
            manifest["fingerprint"],
            mapped,
        )
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        if isinstance(error, UnusableCache):
            raise
        raise UnusableCache(f"damaged or incomplete ({error})") from error


def write_manifest(folder: Path, listing_print: str, about: dict[str, Any]) -> None:
    """Writes the manifest of a folder whose two arrays are complete."""
    blocks = {name: block_hashes(folder / name) for name in (PIXELS, ORDER)}
    manifest = about | {
        "listing": listing_print,
        "bytes": {name: (folder / name).stat().st_size for name in blocks},
        "sha256": hashlib.sha256("".join(blocks[PIXELS]).encode()).hexdigest(),
        "block_bytes": BLOCK_BYTES,
        "blocks": blocks,
    }
    manifest["manifest_sha256"] = _sha256_of(manifest)
    write_durably(folder / MANIFEST, json.dumps(manifest, indent=1).encode())


def block_hashes(path: Path, chosen: Sequence[int] | None = None) -> list[str]:
    """SHA-256 of all blocks of a file, or of those with the given numbers. The hash of a file is the hash over all of them."""
    numbers = range(math.ceil(path.stat().st_size / BLOCK_BYTES)) if chosen is None else chosen

    def hash_block(number: int) -> str:
        with path.open("rb") as file:
            file.seek(number * BLOCK_BYTES)
            return hashlib.sha256(file.read(BLOCK_BYTES)).hexdigest()

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(hash_block, numbers))


def _check_blocks(path: Path, num_bytes: int, blocks: Sequence[str]) -> None:
    actual = path.stat().st_size
    if actual != num_bytes:
        raise UnusableCache(f"{path.name} has {actual:,} bytes instead of {num_bytes:,}")
    step = max(1, math.ceil(len(blocks) / MAX_BLOCKS))
    chosen = sorted({*range(0, len(blocks), step), len(blocks) - 1})
    if block_hashes(path, chosen) != [blocks[number] for number in chosen]:
        raise UnusableCache(f"{path.name} does not match its SHA-256")


def _sha256_of(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Only one process at a time prepares a folder; others wait, and a message says so."""
    import fcntl

    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print_status(f"{folder.name}: another process is preparing these images; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
