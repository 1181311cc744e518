"""Many image files to one array: looks at all headers, chooses one size and colour, decodes with a few threads."""

from __future__ import annotations

import lzma
import os
import statistics
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from zerosum.domains.images.files import BadImageError, Decoded, Probe, decode, probe
from zerosum.domains.images.listing import Listing, Member, arrange
from zerosum.domains.images.raw import Labels, Part, Pixels, Raw, Wanted, check_memory
from zerosum.errors import UserError

T = TypeVar("T")
SQUARES = (8, 16, 32, 64, 128, 256)
DEFAULT_SIDE = 64
"""Largest side chosen without being asked for, in pixels: what small networks learn in minutes."""
NUM_SHOWN = 5


def gather(name: str, listing: Listing, wanted: Wanted, where: Path) -> Raw:
    """Decodes a listing. Raises UserError for fewer than 2 images, unusable images, or too many pixels for the memory."""
    if len(listing.members) < 2:
        raise UserError(f"{where}: only one image ({listing.members[0].name}); a training set needs at least 2.")
    plan = arrange([member.name for member in listing.members], where)
    if len(plan.train) < 2:
        raise UserError(f"{where}: only one training image; a training set needs at least 2.")
    train = [plan.train[i] for i in wanted.rows(len(plan.train))]
    heldout = [plan.heldout[i] for i in wanted.rows(len(plan.heldout))]
    members = [listing.members[i] for i in train + heldout]
    probes = _probe_all(members, where)
    size, size_notes = choose_size(probes, wanted.size)
    channels = wanted.channels or (1 if all(found.grey for found in probes) else 3)
    check_memory(len(members), channels, *size, where)
    pixels, notes = _decode_all(members, channels, size, where)
    if wanted.channels is None and channels == 3:
        pixels, notes = _less_colour(pixels, notes)
    notes = (*plan.notes, *listing.notes(), *wanted.told(len(plan.train)), *size_notes, *notes)
    cut = len(train)
    return Raw(
        name,
        Part(pixels[:cut], _labels(train, plan.classes)),
        Part(pixels[cut:], _labels(heldout, plan.classes)) if heldout else None,
        plan.class_names,
        notes,
    )


def choose_size(probes: Sequence[Probe], wanted: tuple[int, int] | None) -> tuple[tuple[int, int], tuple[str, ...]]:
    """(height, width) and the notes on it: as wanted, else the common size, else a square of at most DEFAULT_SIDE.

    A common size is kept when its shorter side is no more than the largest of SQUARES. The square is the largest of
    SQUARES that is not above the median of the shorter sides.
    """
    if wanted is not None:
        return wanted, ()
    sizes = {(found.height, found.width) for found in probes}
    if len(sizes) == 1:
        (only,) = sizes
        if min(only) <= SQUARES[-1]:
            return only, ()
    median = statistics.median(min(found.height, found.width) for found in probes)
    side = max([square for square in SQUARES if square <= median], default=SQUARES[0])
    chosen = min(side, DEFAULT_SIDE)
    reason = (
        f"{len(sizes)} different sizes were found"
        if len(sizes) > 1
        else f"images of {_text(next(iter(sizes)))} are large"
    )
    return (chosen, chosen), (
        f"{reason}, so {_text((chosen, chosen))} was chosen; choose another with --set data.size=N.",
    )


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} (height x width)" if size[0] != size[1] else f"{size[0]}x{size[1]}"


def _labels(positions: Sequence[int], classes: dict[int, int]) -> Labels | None:
    if not all(position in classes for position in positions):
        return None
    return np.array([classes[position] for position in positions], dtype=np.int64)


def _probe_all(members: Sequence[Member], where: Path) -> list[Probe]:
    found = _each(members, lambda member: _read(member, probe))
    if any(isinstance(one, BadImageError) for one in found):
        # One pass over the rest, so that the user hears of every bad image at once.
        rest = _each(members, lambda member: _read(member, lambda stream: decode(stream, 1, (1, 1))))
        _refuse([one if isinstance(one, BadImageError) else None for one in rest], members, where)
    return [one for one in found if isinstance(one, Probe)]


def _decode_all(
    members: Sequence[Member], channels: int, size: tuple[int, int], where: Path
) -> tuple[Pixels, tuple[str, ...]]:
    pixels = np.empty((len(members), channels, *size), np.uint8)

    def work(task: tuple[int, Member]) -> BadImageError | tuple[bool, bool, bool, bool]:
        row, member = task
        done: Decoded | BadImageError = _read(member, lambda stream: decode(stream, channels, size))
        if isinstance(done, BadImageError):
            return done
        pixels[row] = done.pixels
        return done.resized, done.recoloured, done.flattened, done.rotated

    results = _each(list(enumerate(members)), work)
    _refuse([one if isinstance(one, BadImageError) else None for one in results], members, where)
    tally = Counter(flag for one in results if isinstance(one, tuple) for flag, is_set in enumerate(one) if is_set)
    sentences = (
        f"images were resized to {_text(size)} (centre cut out, Lanczos).",
        "images were grey and were made RGB." if channels == 3 else "images were coloured and were made grey.",
        "images with transparency were laid on white.",
        "images were turned upright as their EXIF data say.",
    )
    told = [f"{tally[i]} of {len(members)} {text}" for i, text in enumerate(sentences) if tally[i]]
    return pixels, tuple(told)


def _read(member: Member, use: Callable[..., T]) -> T | BadImageError:
    try:
        with member.open() as stream:
            return use(stream)
    except BadImageError as error:
        return error
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        return BadImageError(f"cannot be read ({error})")


def _each(items: Sequence[object], work: Callable[..., T]) -> list[T]:
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1), thread_name_prefix="decode")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower and is an error
            return list(pool.map(work, items))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _refuse(failures: Sequence[BadImageError | None], members: Sequence[Member], where: Path) -> None:
    bad = [(member.name, error) for member, error in zip(members, failures, strict=True) if error is not None]
    if not bad:
        return
    lines = [f"  {name}: {error}" for name, error in bad[:NUM_SHOWN]]
    if len(bad) > NUM_SHOWN:
        lines.append(f"  and {len(bad) - NUM_SHOWN} more")
    raise UserError(
        f"{where}: {len(bad)} of {len(members)} images cannot be used:\n" + "\n".join(lines) + "\n"
        "Mend or remove them, or move them out of the way (names that begin with a dot are passed over)."
    )


def _less_colour(pixels: Pixels, notes: tuple[str, ...]) -> tuple[Pixels, tuple[str, ...]]:
    """One channel when all three are equal in every image: grey pictures are often stored as RGB."""
    for start in range(0, len(pixels), 256):
        part = pixels[start : start + 256]
        if not (np.array_equal(part[:, 0], part[:, 1]) and np.array_equal(part[:, 0], part[:, 2])):
            return pixels, notes
    kept = tuple(note for note in notes if "made RGB" not in note)
    return np.ascontiguousarray(pixels[:, :1]), (
        *kept,
        "All images are grey, though some are stored in colour: 1 channel.",
    )
