"""Writes the prepared cache of a source: decodes to a file, splits by content, writes the rows in their final order.

The memory needed is that of the file names and of the images being decoded, whatever the size of the source.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from zerosum.data.images import cache, loaded, parallel_decode
from zerosum.data.images.files import BadImageError
from zerosum.data.images.listing import Arrangement, Member
from zerosum.data.images.loaded import ImageOptions, Pixels, Shape, fingerprint
from zerosum.data.progress import WorkProgress, print_status
from zerosum.errors import UserError
from zerosum.store import flush_folder

CHUNK_BYTES = 8 * 2**20
RowIndices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DecodeTask:
    """The files to decode and the settings. positions: of the members in the listing; the first num_train are for training.

    failures: names of files that cannot be used, with the error.
    """

    where: Path
    options: ImageOptions
    plan: Arrangement
    members: tuple[Member, ...]
    positions: tuple[int, ...]
    num_train: int
    channels: int
    size: tuple[int, int]
    notes: tuple[str, ...]
    failures: dict[str, BadImageError]

    @property
    def row_bytes(self) -> int:
        """Size of a decoded image in bytes."""
        return self.channels * self.size[0] * self.size[1]

    def decode(self, store: Any, what: str) -> parallel_decode.DecodeSurvey:
        """Decodes every image and calls `store(position, pixels)`."""
        progress = WorkProgress(f"{self.where}: {what}", len(self.members), "images")
        return parallel_decode.decode_all(self.members, self.channels, self.size, self.options, store, progress)

    def kept(self, survey: parallel_decode.DecodeSurvey) -> tuple[RowIndices, tuple[str, ...]]:
        """The indices of the decoded members, and a note on the others. Raises UserError if these may not be left out, and for
        alpha = keep if no image has transparency."""
        failures = self.failures | {self.members[i].name: error for i, error in survey.failures.items()}
        notes = parallel_decode.check_failures(
            failures, len(self.members) + len(self.failures), self.options, self.where
        )
        if self.options.alpha == "keep" and not survey.transparent:
            raise loaded.no_transparency_error(self.where)
        kept = np.array([i for i in range(len(self.members)) if i not in survey.failures], dtype=np.int64)
        if (kept < self.num_train).sum() < 2:
            raise UserError(f"{self.where}: fewer than 2 usable training images; a training set needs at least 2.")
        return kept, notes


def prepare(folder: Path, task: DecodeTask, listing_print: str) -> cache.PreparedFile | None:
    """The prepared images of a task, written now or meanwhile by another process; None if the cache cannot be written.

    The folder `folder` exists only when it is complete. Raises UserError for unusable images and for a full disk.
    """
    try:
        with cache.lock_folder(folder):
            found, _ = cache.find_prepared(folder, listing_print)
            if found is not None:
                return found
            temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
            for leftover in folder.parent.glob(f".{folder.name}.*.part"):  # left by a killed process
                shutil.rmtree(leftover, ignore_errors=True)
            try:
                temporary.mkdir()
                _check_disk_space(folder, task)
                _write_folder(temporary, folder, task, listing_print)
                _move_into_place(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            return cache.find_prepared(folder, listing_print)[0]
    except OSError as error:
        print_status(
            f"{task.where}: the decoded images cannot be kept in {folder.parent} ({error.strerror or error}), so they are "
            "read into memory. Name another folder with ZEROSUM_CACHE."
        )
        return None


def _check_disk_space(folder: Path, task: DecodeTask) -> None:
    needed, free = 2 * len(task.members) * task.row_bytes, shutil.disk_usage(folder.parent).free
    if needed > free and needed <= 2 * loaded.MAX_BYTES:
        raise OSError(errno.ENOSPC, f"{needed / 2**20:,.0f} MiB are needed, {free / 2**20:,.0f} MiB free")
    if needed > free:
        raise UserError(
            f"{task.where}: preparing {len(task.members):,} images takes {needed / 2**30:.1f} GiB in {folder.parent}, where "
            f"{free / 2**30:.1f} GiB are free. Name another folder with ZEROSUM_CACHE, give a smaller data.size, or fewer "
            "images with data.max_images."
        )


def _move_into_place(temporary: Path, folder: Path) -> None:
    """Renames the temporary folder to its final name; a previous folder of this name is moved away first."""
    previous = folder.with_name(f".{folder.name}.previous.part")
    if folder.exists():
        os.replace(folder, previous)
    os.replace(temporary, folder)
    flush_folder(folder.parent)
    shutil.rmtree(previous, ignore_errors=True)


def _write_folder(temporary: Path, folder: Path, task: DecodeTask, listing_print: str) -> None:
    with _ScratchFile(temporary / "decoded", task) as scratch:
        survey = task.decode(scratch.store, "preparing")
        kept, skipped = task.kept(survey)
        grey = task.options.channels is None and task.channels == 3 and bool(scratch.grey[kept].all())
        parts, notes = _split(kept, task, scratch.grey_digests if grey else scratch.digests)
        channels = 1 if grey else task.channels
        rows = np.concatenate([parts[part] for part in cache.PARTS])
        positions = np.array(task.positions, dtype=np.int64)[rows]
        labels = task.plan.labels(positions[: len(parts["train"])]) if task.options.uses_labels else None
        shape = Shape(channels, *task.size, 0 if labels is None else len(task.plan.class_names))
        written = _write(temporary / cache.PIXELS, scratch.read(rows, channels), len(rows), shape, len(parts["train"]))
        train_fingerprint = fingerprint(len(parts["train"]), shape, written, labels)
        seconds = scratch.seconds
    np.save(temporary / cache.ORDER, positions, allow_pickle=False)
    done = parallel_decode.survey_notes(survey, task.channels, task.size, task.options)
    about = {
        "rule": cache.options_key(task.where, task.options),
        "shape": [len(rows), channels, *task.size],
        "parts": {part: len(parts[part]) for part in cache.PARTS},
        "fingerprint": train_fingerprint,
        "seconds": round(seconds, 3),
    }
    kept_in = (
        f"{len(rows):,} decoded images ({len(rows) * task.row_bytes * channels / task.channels / 2**20:,.0f} MiB) are kept in "
        f"{folder}; they were made in {seconds:,.0f} s ({len(rows) / seconds:,.0f} images/s)."
    )
    all_notes = (*task.notes, *(parallel_decode.grey_notes(done) if grey else done), *skipped, *notes, kept_in)
    cache.write_manifest(temporary, listing_print, about | {"notes": all_notes})


class _ScratchFile:
    """Decoded rows in a file, in the order of the listing, and the digests by which they are split."""

    def __init__(self, path: Path, task: DecodeTask) -> None:
        self.path, self.task = path, task
        num = len(task.members)
        self.digests = np.zeros((num, 32), np.uint8)
        self.grey_digests = np.zeros((num, 32), np.uint8)
        self.grey = np.zeros(num, np.bool_)

    def __enter__(self) -> _ScratchFile:
        self.begun = time.monotonic()
        self.file = self.path.open("w+b", buffering=0)
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)

    @property
    def seconds(self) -> float:
        """Time since the start, at least 0.001."""
        return max(1e-3, time.monotonic() - self.begun)

    def store(self, position: int, pixels: Pixels) -> None:
        """Writes one image; may be called from several threads."""
        row, mirrored = np.ascontiguousarray(pixels), self.task.options.flip
        begin, room = position * row.nbytes, row.data.cast("B")
        while room:
            done = os.pwrite(self.file.fileno(), room, begin)
            begin, room = begin + done, room[done:]
        self.digests[position] = np.frombuffer(loaded.digest(row, mirrored), np.uint8)
        if len(row) == 3 and parallel_decode.is_grey(row):
            self.grey[position] = True
            self.grey_digests[position] = np.frombuffer(loaded.digest(row[:1], mirrored), np.uint8)

    def read(self, rows: RowIndices, channels: int) -> Iterator[Pixels]:
        """Yields the rows in this order, a few at a time, with all channels or only the first."""
        size, shape = self.task.row_bytes, (self.task.channels, *self.task.size)
        step = max(1, CHUNK_BYTES // size)
        for start in range(0, len(rows), step):
            chosen = rows[start : start + step]
            found = b"".join(os.pread(self.file.fileno(), size, int(row) * size) for row in chosen)
            pixels = np.frombuffer(found, np.uint8).reshape(len(chosen), *shape)
            yield np.ascontiguousarray(pixels[:, :channels])


def _split(
    kept: RowIndices, task: DecodeTask, digests: npt.NDArray[np.uint8]
) -> tuple[dict[str, RowIndices], tuple[str, ...]]:
    """Members by part, as `loaded.hold_out` and `loaded.split_validation` choose them, and the notes."""
    train, heldout = kept[kept < task.num_train], kept[kept >= task.num_train]
    validation, notes = train[:0], []
    if not len(heldout) and task.options.heldout and len(train) >= loaded.MIN_TO_SPLIT:
        out = loaded.heldout_rows((digests[i].tobytes() for i in train), task.options.heldout)
        if out is None:
            notes.append(loaded.COPIES)
        else:
            train, heldout = train[~out], train[out]
    if task.options.validation and len(train) >= loaded.MIN_TO_SPLIT:
        apart = loaded.validation_rows((digests[i].tobytes() for i in train), task.options.validation)
        if apart is None:
            notes.append(loaded.COPIES)
        else:
            train, validation = train[~apart], train[apart]
            notes.append(loaded.validation_note(len(validation)))
    return {"train": train, "validation": validation, "heldout": heldout}, tuple(notes)


def _write(path: Path, pieces: Iterable[Pixels], num: int, shape: Shape, num_train: int) -> Iterator[Pixels]:
    """Writes an .npy file chunk by chunk, and yields the training rows."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (num, shape.channels, shape.height, shape.width)}
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, header)
        left = num_train
        for piece in pieces:
            file.write(piece.data)
            if left > 0:
                yield piece[:left]
            left -= len(piece)
        file.flush()
        os.fsync(file.fileno())
