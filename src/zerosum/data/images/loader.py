"""Many image files to one source: looks at all headers, chooses one size and colour, decodes to memory or to the cache."""

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
from zerosum.data.images.listing import Arrangement, Listing, Member, arrange, by_label
from zerosum.data.images.loaded import RGBA, ImageOptions, LoadedImages, Part, Pixels, check_memory
from zerosum.data.images.parallel_decode import text
from zerosum.data.images.prepare import Task, prepare
from zerosum.errors import UserError

SQUARES = (8, 16, 32, 64, 128, 256)
DEFAULT_SIDE = 64
"""Largest side chosen without being asked for, in pixels: what small networks learn in minutes."""
WORTH_BYTES = 32 * 2**20
"""Sources whose files or pixels are larger than this, in bytes, are prepared in the cache and read from there."""


def load_listing(name: str, listing: Listing, options: ImageOptions, where: Path) -> LoadedImages:
    """Decodes a listing. Raises UserError for fewer than 2 images, unusable images, or too many pixels for the memory."""
    if len(listing.members) < 2:
        raise UserError(f"{where}: only one image ({listing.members[0].name}); a training set needs at least 2.")
    table = listing.table() if listing.table is not None and options.attributes in (None, True) else None
    plan = _arranged(listing, options.uses_labels and table is None, where)
    if len(plan.train) < 2:
        raise UserError(f"{where}: only one training image; a training set needs at least 2.")
    unused: tuple[str, ...] = ()
    if table is not None and options.uses_labels:
        unused = _arranged(listing, True, where).class_names
        options = replace(options, labelled=False)
        note = f"There are attributes, so the {len(unused)} classes are not used (data.attributes=false: they are)."
        plan = replace(plan, notes=(*plan.notes, note)) if unused else plan
    raw = _read(_Reading(name, listing, plan, options, where))
    if options.uses_labels:
        return replace(raw, table=table)
    return replace(raw.unlabelled(), table=table, class_names=unused)


def _arranged(listing: Listing, labelled: bool, where: Path) -> Arrangement:
    """The split and, if `labelled`, the classes: from the labels of the listing, or found in the paths."""
    plan = arrange([member.name for member in listing.members], where, labelled and not listing.labels)
    return by_label(plan, listing.labels, where) if labelled and listing.labels else plan


def _read(reading: _Reading) -> LoadedImages:
    """From the cache, through the cache, or, where the source is small, straight to memory."""
    listing, options, where = reading.listing, reading.options, reading.where
    if not options.cache:
        return reading.to_memory(reading.task())
    place, listing_print = cache.folder_of(where, options), listing.fingerprint()
    found, complaint = cache.find(place, listing_print)
    if found is None:
        if complaint:
            parallel_decode.print_status(complaint)
        task = reading.task()
        if max(listing.num_bytes, len(task.members) * task.row_bytes) <= WORTH_BYTES:
            return reading.to_memory(task)
        found = prepare(place, task, listing_print)
        if found is None:
            return reading.to_memory(task)
    return reading.from_cache(found, complaint)


@dataclass(frozen=True)
class _Reading:
    """A listing on its way to a source."""

    name: str
    listing: Listing
    plan: Arrangement
    options: ImageOptions
    where: Path

    def task(self) -> Task:
        """Looks at the headers and settles what is to be decoded, and how."""
        plan, options = self.plan, self.options
        train = [plan.train[i] for i in options.rows(len(plan.train))]
        positions = train + [plan.heldout[i] for i in options.rows(len(plan.heldout))]
        members = [self.listing.members[i] for i in positions]
        probes, failures = (
            ([], {}) if options.resolution and (options.channels or options.alpha == "keep") else self._probed(members)
        )
        size, notes = choose_size(probes, options.resolution)
        good = [i for i in range(len(members)) if i not in failures]
        return Task(
            where=self.where,
            options=options,
            plan=plan,
            members=tuple(members[i] for i in good),
            positions=tuple(positions[i] for i in good),
            num_train=sum(i < len(train) for i in good),
            channels=_channels(probes, options),
            size=size,
            notes=(*options.selection_note(len(plan.train)), *notes, *side_by_side(probes)),
            failures={members[i].name: error for i, error in failures.items()},
        )

    def _probed(self, members: Sequence[Member]) -> tuple[list[ImageProbe], dict[int, BadImageError]]:
        found = parallel_decode.probe_all(members, self.where)
        failures = {i: one for i, one in enumerate(found) if isinstance(one, BadImageError)}
        if failures and self.options.on_bad == "stop":
            # One pass over the rest, so that the user hears of every bad image at once.
            failures = parallel_decode.every_failure(members, self.where)
        parallel_decode.check_failures(
            {members[i].name: error for i, error in failures.items()}, len(members), self.options, self.where
        )
        return [one for one in found if isinstance(one, ImageProbe)], failures

    def to_memory(self, task: Task) -> LoadedImages:
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
            pixels, notes = np.ascontiguousarray(pixels[:, :1]), parallel_decode.without_colour(notes)
        cut, positions = int((kept < task.num_train).sum()), np.array(task.positions)[kept]
        return LoadedImages(
            self.name,
            self._part(pixels[:cut], positions[:cut]),
            self._part(pixels[cut:], positions[cut:]) if cut < len(positions) else None,
            self.plan.class_names,
            (*self.plan.notes, *self.listing.notes(), *task.notes, *notes, *skipped),
        )

    def from_cache(self, found: cache.PreparedFile, complaint: str) -> LoadedImages:
        """The parts of a prepared array, which has its split."""
        edges = np.cumsum([0, *(found.parts[part] for part in cache.PARTS)])
        train, validation, heldout = (
            self._part(found.pixels[start:stop], found.order[start:stop]) for start, stop in itertools.pairwise(edges)
        )
        return LoadedImages(
            self.name,
            train,
            heldout if len(heldout.pixels) else None,
            self.plan.class_names,
            (*self.plan.notes, *self.listing.notes(), *found.notes, *([complaint] if complaint else [])),
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
    return options.channels or (1 if all(found.grey for found in probes) else 3)


def side_by_side(probes: Sequence[ImageProbe]) -> tuple[str, ...]:
    """The hint for images that are all twice as wide as high, as pairs in one file are."""
    if not probes or any(found.width != 2 * found.height for found in probes):
        return ()
    return (
        "All images are twice as wide as high. If each holds two pictures side by side, an input and what is to be made of it, "
        "train with --recipe pix2pix --set data.side_by_side=true.",
    )


def choose_size(
    probes: Sequence[ImageProbe], requested: tuple[int, int] | None
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """(height, width) and the notes on it: as requested, else the common size, else a square of at most DEFAULT_SIDE.

    A common size is kept when its shorter side is no more than the largest of SQUARES. The square is the one of SQUARES that
    is nearest, as a ratio, to the lower quartile of the shorter sides: three quarters of the images are hardly enlarged.
    """
    if requested is not None:
        return requested, ()
    sizes = {(found.height, found.width) for found in probes}
    if len(sizes) == 1:
        (only,) = sizes
        if min(only) <= SQUARES[-1]:
            return only, ()
    quartile = float(np.quantile([min(found.height, found.width) for found in probes], 0.25))
    side = min(SQUARES, key=lambda square: abs(math.log(square / quartile)))
    chosen = min(side, DEFAULT_SIDE)
    reason = (
        f"{len(sizes)} different sizes were found"
        if len(sizes) > 1
        else f"images of {text(next(iter(sizes)))} are large"
    )
    larger = f" (the photographs would do for up to {side})" if side > chosen else ""
    return (chosen, chosen), (
        f"{reason}, so {text((chosen, chosen))} was chosen; choose another with --set data.size=N{larger}.",
    )
