"""Reads the headers or the pixels of many image files in parallel, in the order in which they are listed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from zerosum.data.images.arrays import dark_note
from zerosum.data.images.files import BadImageError, Decoded, ImageProbe, decode, probe
from zerosum.data.images.listing import Member
from zerosum.data.images.loaded import ImageOptions, Pixels
from zerosum.data.images.pictures import MODES
from zerosum.data.opening import short_reason
from zerosum.data.progress import WorkProgress
from zerosum.errors import UserError

S = TypeVar("S")
T = TypeVar("T")
WINDOW = 1024
"""Images that are decoded at a time: the memory needed does not grow with the number of images."""
MAX_SKIPPED = 0.01
"""Largest share of the images that `on_bad="skip"` leaves out; one image is always allowed."""
NUM_SHOWN = 5


@dataclass
class DecodeSurvey:
    """Results of decoding. failures: position -> error; flags: (N, 5) bool, see `Decoded.flags`; brightest: (N,) uint8, the
    largest value of each image."""

    flags: npt.NDArray[np.bool_]
    brightest: npt.NDArray[np.uint8]
    failures: dict[int, BadImageError] = field(default_factory=dict)

    @property
    def transparent(self) -> int:
        """Number of images with transparency."""
        return int(self.flags[:, 2].sum())


def probe_all(members: Sequence[Member], where: Path) -> list[ImageProbe | BadImageError]:
    """The header of every image, or the error."""
    return list(
        _map_in_order(
            members,
            lambda member: _read(member, probe),
            WorkProgress(f"{where}: looking at the headers", len(members), "images"),
        )
    )


def find_failures(members: Sequence[Member], where: Path) -> dict[int, BadImageError]:
    """Decodes all images and returns the errors of those that cannot be used, by position."""
    results = _map_in_order(
        members,
        lambda member: _read(member, lambda stream: decode(stream, 1, (1, 1))),
        WorkProgress(f"{where}: looking for damaged images", len(members), "images"),
    )
    return {i: result for i, result in enumerate(results) if isinstance(result, BadImageError)}


def decode_all(
    members: Sequence[Member],
    channels: int,
    size: tuple[int, int],
    options: ImageOptions,
    store: Callable[[int, Pixels], None],
    progress: WorkProgress,
) -> DecodeSurvey:
    """Decodes and resizes each image and calls `store(position, pixels)`, from several threads and in any order."""
    survey = DecodeSurvey(np.zeros((len(members), 5), np.bool_), np.zeros(len(members), np.uint8))

    def decode_one(position: int) -> BadImageError | None:
        done: Decoded | BadImageError = _read(
            members[position], lambda stream: decode(stream, channels, size, options.crop, options.background)
        )
        if isinstance(done, BadImageError):
            return done
        store(position, done.pixels)
        survey.flags[position], survey.brightest[position] = done.flags, done.pixels[:3].max()
        return None

    for position, error in enumerate(_map_in_order(range(len(members)), decode_one, progress)):
        if error is not None:
            survey.failures[position] = error
    return survey


def survey_notes(survey: DecodeSurvey, channels: int, size: tuple[int, int], options: ImageOptions) -> tuple[str, ...]:
    """What was done to the images, one sentence each."""
    keep = options.alpha == "keep"
    cut = "centre cut out" if options.crop == "centre" else "whole, transparent around" if keep else "whole, on black"
    laid = f"images with transparency were laid on {options.background}; data.background=COLOUR chooses another colour"
    sentences = (
        f"images were resized to {size_text(size)} ({cut}, Lanczos).",
        "images were coloured and were made grey."
        if channels == 1
        else f"images were grey and were made {MODES[channels]}.",
        "images have transparency, which is kept." if keep else f"{laid}, data.alpha=keep keeps the transparency.",
        "images were turned upright as their EXIF data say.",
        "images have 16 bits; their values were divided by 257.",
    )
    counts = survey.flags.sum(0)
    num = len(survey.flags) - len(survey.failures)
    done = (f"{counts[i]} of {num} {sentence}" for i, sentence in enumerate(sentences) if counts[i])
    return (*done, *dark_note(int(survey.brightest.max(initial=0))))


def grey_notes(notes: Iterable[str]) -> tuple[str, ...]:
    """The notes for a source of which one channel is kept, because all three are equal in every image."""
    kept = tuple(note for note in notes if "made RGB" not in note)
    return (*kept, "All images are grey, though some are stored in colour: 1 channel.")


def is_grey(pixels: Pixels) -> bool:
    """Whether the three channels of (..., 3, H, W) are equal: grey pictures are often stored as RGB."""
    red, green, blue = np.moveaxis(pixels, -3, 0)
    return np.array_equal(red, green) and np.array_equal(red, blue)


def size_text(size: tuple[int, int]) -> str:
    """Formats a size for messages, such as "64x48 (height x width)"."""
    return f"{size[0]}x{size[1]} (height x width)" if size[0] != size[1] else f"{size[0]}x{size[1]}"


def check_failures(
    failures: Mapping[str, BadImageError], total: int, options: ImageOptions, where: Path
) -> tuple[str, ...]:
    """The note on images that are left out. Raises UserError if none, or not so many, may be left out. failures: name
    -> error."""
    if not failures:
        return ()
    lines = [f"  {name}: {error}" for name, error in list(failures.items())[:NUM_SHOWN]]
    if len(failures) > NUM_SHOWN:
        lines.append(f"  and {len(failures) - NUM_SHOWN} more")
    details = "\n".join(lines)
    if options.on_bad == "skip" and len(failures) <= max(1, MAX_SKIPPED * total):
        return (f"{len(failures)} of {total} images cannot be used and are left out (data.on_bad=skip):\n{details}",)
    advice = (
        f"More than {MAX_SKIPPED:.0%} are never left out."
        if options.on_bad == "skip"
        else f"Up to {MAX_SKIPPED:.0%} can be left out with --set data.on_bad=skip."
    )
    raise UserError(
        f"{where}: {len(failures)} of {total} images cannot be used:\n{details}\n"
        f"Repair, remove or rename them (files whose names begin with a dot are skipped). {advice}"
    )


def _read(member: Member, use: Callable[..., T]) -> T | BadImageError:
    try:
        with member.open() as stream:
            return use(stream)
    except BadImageError as error:
        return error
    except Exception as error:  # unpackers of damaged archive members raise nearly anything
        return BadImageError(f"cannot be read ({short_reason(error)})")


def _map_in_order(items: Sequence[S], work: Callable[[S], T], progress: WorkProgress) -> Iterator[T]:
    """work(item) of every item, in order."""
    pool = ThreadPoolExecutor(max_workers=workers(), thread_name_prefix="decode")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower and is an error
            for start in range(0, len(items), WINDOW):
                for done, result in enumerate(pool.map(work, items[start : start + WINDOW]), start):
                    yield result
                    progress.tick(done)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def workers() -> int:
    """Number of decoding threads: one for each available core. Pillow releases the GIL while it decodes and resizes."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
