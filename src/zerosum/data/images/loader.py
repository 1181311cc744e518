"""Loads many image files as one source: reads all headers, chooses one size and mode, decodes to memory or to the cache."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zerosum.data.images import cache, parallel_decode
from zerosum.data.images.files import BadImageError, ImageProbe
from zerosum.data.images.listing import Arrangement, Listing, Member, arrange, arrange_by_labels
from zerosum.data.images.loaded import RGBA, ImageOptions, LoadedImages, Part, Pixels, check_memory
from zerosum.data.images.parallel_decode import size_text
from zerosum.data.images.prepare import DecodeTask, prepare
from zerosum.data.progress import print_status
from zerosum.errors import UserError

SQUARES = (8, 16, 32, 64, 128, 256)
DEFAULT_SIDE = 64
"""Largest side chosen by default, in pixels: small networks learn this size in minutes."""
MIN_CACHED_BYTES = 32 * 2**20
"""Sources whose files or pixels are larger than this, in bytes, are prepared in the cache and read from there."""


def load_listing(name: str, listing: Listing, options: ImageOptions, where: Path) -> LoadedImages:
    """Decodes a listing. Raises UserError for fewer than 2 images, unusable images, or too many pixels for the memory."""
    if len(listing.members) < 2:
        raise UserError(f"{where}: only one image ({listing.members[0].name}); a training set needs at least 2.")
    table = listing.table() if listing.table is not None and options.attributes in (None, True) else None
    plan = _arrange(listing, options.uses_labels and table is None, where)
    if len(plan.train) < 2:
        raise UserError(f"{where}: only one training image; a training set needs at least 2.")
    unused: tuple[str, ...] = ()
    if table is not None and options.uses_labels:
        unused = _arrange(listing, True, where).class_names
        options = replace(options, labelled=False)
        note = f"There are attributes, so the {len(unused)} classes are not used (data.attributes=false: they are)."
        plan = replace(plan, notes=(*plan.notes, note)) if unused else plan
    images = _read(_ListingReader(name, listing, plan, options, where))
    if options.uses_labels:
        return replace(images, table=table)
    return replace(images.unlabelled(), table=table, class_names=unused)


def _arrange(listing: Listing, labelled: bool, where: Path) -> Arrangement:
    """The split and, if `labelled`, the classes: from the labels of the listing, or found in the paths."""
    plan = arrange([member.name for member in listing.members], where, labelled and not listing.labels)
    return arrange_by_labels(plan, listing.labels, where) if labelled and listing.labels else plan


def _read(reader: _ListingReader) -> LoadedImages:
    """Reads from the cache, prepares the cache and reads from it, or decodes a small source to memory."""
    listing, options, where = reader.listing, reader.options, reader.where
    if not options.cache:
        return reader.to_memory(reader.task())
    place, listing_print = cache.folder_of(where, options), listing.fingerprint()
    found, cache_note = cache.find_prepared(place, listing_print)
    if found is None:
        if cache_note:
            print_status(cache_note)
        task = reader.task()
        if max(listing.num_bytes, len(task.members) * task.row_bytes) <= MIN_CACHED_BYTES:
            return reader.to_memory(task)
        found = prepare(place, task, listing_print)
        if found is None:
            return reader.to_memory(task)
    return reader.from_cache(found, cache_note)


@dataclass(frozen=True)
class _ListingReader:
    """Reads a listing as a source, from memory or from the cache."""

    name: str
    listing: Listing
    plan: Arrangement
    options: ImageOptions
    where: Path

    def task(self) -> DecodeTask:
        """Reads the headers and decides what is decoded, and how."""
        plan, options = self.plan, self.options
        train = [plan.train[i] for i in options.rows(len(plan.train))]
        positions = train + [plan.heldout[i] for i in options.rows(len(plan.heldout))]
        members = [self.listing.members[i] for i in positions]
        probes, failures = (
            ([], {}) if options.resolution and (options.channels or options.alpha == "keep") else self._probe(members)
        )
        size, notes = choose_size(probes, options.resolution)
        good = [i for i in range(len(members)) if i not in failures]
        return DecodeTask(
            where=self.where,
            options=options,
            plan=plan,
            members=tuple(members[i] for i in good),
            positions=tuple(positions[i] for i in good),
            num_train=sum(i < len(train) for i in good),
            channels=_channels(probes, options),
            size=size,
            notes=(*options.selection_note(len(plan.train)), *notes, *side_by_side_note(probes)),
            failures={members[i].name: error for i, error in failures.items()},
        )

    def _probe(self, members: Sequence[Member]) -> tuple[list[ImageProbe], dict[int, BadImageError]]:
        results = parallel_decode.probe_all(members, self.where)
        failures = {i: result for i, result in enumerate(results) if isinstance(result, BadImageError)}
        if failures and self.options.on_bad == "stop":
            # Decode everything, so that the error lists every bad image at once.
            failures = parallel_decode.find_failures(members, self.where)
        parallel_decode.check_failures(
            {members[i].name: error for i, error in failures.items()}, len(members), self.options, self.where
        )
        return [result for result in results if isinstance(result, ImageProbe)], failures

    def to_memory(self, task: DecodeTask) -> LoadedImages:
        """Decodes to an array in memory."""
        num = len(task.members)
        check_memory(num, task.channels, *task.size, self.where)
        pixels = np.empty((num, task.channels, *task.size), np.uint8)
        survey = task.decode(pixels.__setitem__, "reading")
        kept, skipped = task.kept(survey)
        if len(kept) < num:
            pixels = pixels[kept]
        notes = parallel_decode.survey_notes(survey, task.channels, task.size, self.options)
        if self.options.channels is None and task.channels == 3 and all(map(parallel_decode.is_grey, pixels)):
            pixels, notes = np.ascontiguousarray(pixels[:, :1]), parallel_decode.grey_notes(notes)
        cut, positions = int((kept < task.num_train).sum()), np.array(task.positions)[kept]
        return LoadedImages(
            self.name,
            self._part(pixels[:cut], positions[:cut]),
            self._part(pixels[cut:], positions[cut:]) if cut < len(positions) else None,
            self.plan.class_names,
            (*self.plan.notes, *self.listing.notes(), *task.notes, *notes, *skipped),
        )

    def from_cache(self, found: cache.PreparedFile, cache_note: str) -> LoadedImages:
        """The parts of a prepared array, which is already split."""
        edges = np.cumsum([0, *(found.parts[part] for part in cache.PARTS)])
        train, validation, heldout = (
            self._part(found.pixels[start:stop], found.order[start:stop]) for start, stop in itertools.pairwise(edges)
        )
        return LoadedImages(
            self.name,
            train,
            heldout if len(heldout.pixels) else None,
            self.plan.class_names,
            (*self.plan.notes, *self.listing.notes(), *found.notes, *([cache_note] if cache_note else [])),
            validation=validation if len(validation.pixels) else None,
            fingerprint=found.fingerprint,
            mapped=found.mapped,
        )

    def _part(self, pixels: Pixels, positions: npt.NDArray[np.int64]) -> Part:
        files = tuple(self.listing.members[i].name for i in positions)
        return Part(pixels, self.plan.labels(positions), files)


def _channels(probes: Sequence[ImageProbe], options: ImageOptions) -> int:
    if options.alpha == "keep":
        return RGBA
    return options.channels or (1 if all(probe.grey for probe in probes) else 3)


def side_by_side_note(probes: Sequence[ImageProbe]) -> tuple[str, ...]:
    """The hint for images that are all twice as wide as high, which may be pairs stored in one file."""
    if not probes or any(probe.width != 2 * probe.height for probe in probes):
        return ()
    return (
        "All images are twice as wide as high. If each holds two pictures side by side, an input and its target, "
        "train with --recipe pix2pix --set data.side_by_side=true.",
    )


def choose_size(
    probes: Sequence[ImageProbe], requested: tuple[int, int] | None
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """(height, width) and the notes on it: as requested, else the common size, else a square of at most DEFAULT_SIDE.

    A common size is kept if its shorter side is at most the largest of SQUARES. The square is the one of SQUARES whose ratio to
    the lower quartile of the shorter sides is closest to 1, so three quarters of the images are hardly enlarged.
    """
    if requested is not None:
        return requested, ()
    sizes = {(probe.height, probe.width) for probe in probes}
    if len(sizes) == 1:
        (only,) = sizes
        if min(only) <= SQUARES[-1]:
            return only, ()
    quartile = float(np.quantile([min(probe.height, probe.width) for probe in probes], 0.25))
    side = min(SQUARES, key=lambda square: abs(math.log(square / quartile)))
    chosen = min(side, DEFAULT_SIDE)
    reason = (
        f"{len(sizes)} different sizes were found"
        if len(sizes) > 1
        else f"images of {size_text(next(iter(sizes)))} are large"
    )
    larger = f" (the images are large enough for up to {side})" if side > chosen else ""
    return (chosen, chosen), (
        f"{reason}, so {size_text((chosen, chosen))} was chosen; choose another with --set data.size=N{larger}.",
    )
