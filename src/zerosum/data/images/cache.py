"""The prepared cache: decoded, cut and resized rows of a source in one array file, with a manifest that says of what.

A folder for each source and rule, under $ZEROSUM_CACHE/images or ~/.cache/zerosum/images: pixels.npy (N, C, H, W) uint8 in the
order training, validation, held-out; order.npy, the place of each row in the source's listing; manifest.json. The folder
appears by one rename; it is believed only while the listing and the hashes of its blocks are those of the manifest.
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
from zerosum.data.images.parallel_decode import print_status
from zerosum.data.opening import path_of
from zerosum.jsonfile import read_object
from zerosum.store import write_durably

FORMAT = 1
PIXELS, ORDER, MANIFEST = "pixels.npy", "order.npy", "manifest.json"
PARTS = ("train", "validation", "heldout")
RESIDENT_BYTES = 256 * 2**20
"""Arrays up to this size are read into memory, larger ones are mapped."""
BLOCK_BYTES = 16 * 2**20
MAX_BLOCKS = 128
"""Blocks whose hashes are checked at opening: all of an array up to 2 GiB, else as many at even distances."""


class Unusable(ValueError):
    """Prepared images that cannot be used; the text says why."""


@dataclass(frozen=True)
class PreparedFile:
    """Rows of the cache. parts: number of rows of each of PARTS, in this order. order: place of each row in the listing."""

    pixels: Pixels
    order: Labels
    parts: dict[str, int]
    notes: tuple[str, ...]
    fingerprint: str
    mapped: bool


def root() -> Path:
    """$ZEROSUM_CACHE/images, else ~/.cache/zerosum/images."""
    given = os.environ.get("ZEROSUM_CACHE")
    return (path_of(given) if given else Path.home() / ".cache" / "zerosum") / "images"


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
    return root() / f"{re.sub(r'[^A-Za-z0-9_-]+', '-', where.resolve().name)[:40]}-{key}"


def find(place: Path, listing_print: str) -> tuple[PreparedFile | None, str]:
    """The prepared images in the folder, if complete and up to date; or None, and the note on why they are made again."""
    if not place.is_dir():
        return None, ""
    try:
        return _open(place, listing_print), ""
    except Unusable as error:
        return None, f"The prepared images in {place} were made anew: {error}."


def _open(place: Path, listing_print: str) -> PreparedFile:
    try:
        manifest = read_object(place / MANIFEST)
        claimed = manifest.pop("manifest_sha256")
        if claimed != _sha256_of(manifest):
            raise Unusable("the manifest was damaged")
        if manifest["listing"] != listing_print:
            raise Unusable("files of the source were added, changed or removed since")
        for name, blocks in manifest["blocks"].items():
            _verify(place / name, manifest["bytes"][name], blocks)
        mapped = manifest["bytes"][PIXELS] > RESIDENT_BYTES
        return PreparedFile(
            np.load(place / PIXELS, mmap_mode="r" if mapped else None, allow_pickle=False),
            np.load(place / ORDER, allow_pickle=False),
            {part: int(manifest["parts"][part]) for part in PARTS},
            tuple(manifest["notes"]),
            manifest["fingerprint"],
            mapped,
        )
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        if isinstance(error, Unusable):
            raise
        raise Unusable(f"damaged or incomplete ({error})") from error


def describe(folder: Path, listing_print: str, about: dict[str, Any]) -> None:
    """Writes the manifest of a folder whose two arrays are complete."""
    blocks = {name: hashes(folder / name) for name in (PIXELS, ORDER)}
    manifest = about | {
        "listing": listing_print,
        "bytes": {name: (folder / name).stat().st_size for name in blocks},
        "sha256": hashlib.sha256("".join(blocks[PIXELS]).encode()).hexdigest(),
        "block_bytes": BLOCK_BYTES,
        "blocks": blocks,
    }
    manifest["manifest_sha256"] = _sha256_of(manifest)
    write_durably(folder / MANIFEST, json.dumps(manifest, indent=1).encode())


def hashes(path: Path, chosen: Sequence[int] | None = None) -> list[str]:
    """SHA-256 of blocks of a file: of all, or of those with these numbers. The file's own hash is one over all of these."""
    numbers = range(math.ceil(path.stat().st_size / BLOCK_BYTES)) if chosen is None else chosen

    def work(number: int) -> str:
        with path.open("rb") as file:
            file.seek(number * BLOCK_BYTES)
            return hashlib.sha256(file.read(BLOCK_BYTES)).hexdigest()

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(work, numbers))


def _verify(path: Path, num_bytes: int, blocks: Sequence[str]) -> None:
    found = path.stat().st_size
    if found != num_bytes:
        raise Unusable(f"{path.name} has {found:,} bytes instead of {num_bytes:,}")
    step = max(1, math.ceil(len(blocks) / MAX_BLOCKS))
    chosen = sorted({*range(0, len(blocks), step), len(blocks) - 1})
    if hashes(path, chosen) != [blocks[number] for number in chosen]:
        raise Unusable(f"{path.name} does not match its SHA-256")


def _sha256_of(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Only one process at a time prepares a folder; others wait, and are told."""
    import fcntl

    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f".{place.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print_status(f"{place.name}: another process is preparing these images; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
