"""Clips of files: videos are decoded one after the other at one rate and size, cut at changes of scene, and divided into clips.

Legend: T frames of all videos, N clips, F frames of a clip, C channels, H height, W width.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from zerosum.data.images import files as image_files
from zerosum.data.images import listing
from zerosum.data.images.pictures import fit
from zerosum.data.opening import FileNotes, format_size, short_reason
from zerosum.domains.video import formats
from zerosum.domains.video.files import Found, Video, videos_at
from zerosum.domains.video.formats import About, MissingExtraError, Pixels, Reader, Shown
from zerosum.errors import UserError

MOST_BYTES = 2**30
"""Of decoded frames that are kept in memory."""
DEFAULT_SIDE, DEFAULT_RATE = 64, 10.0
"""The longer side where data.size is not given and the videos are larger; the rate of folders of frames."""
MOST_CLIPS = 200_000
CUT, CUT_TIMES, CUT_NEAR = 0.3, 4.0, 6
"""A cut is a step at which the histograms differ by more than CUT and by more than CUT_TIMES the median of the CUT_NEAR steps
before and after it."""
BINS = 8
AT_ONCE = 64
"""Frames whose histograms or grey values are computed at once."""
FEW = 50
"""Fewer training clips are remarked on."""
GREY = 6
"""The largest difference of colours in a video that counts as grey."""


@dataclass(frozen=True)
class ReadOptions:
    """frames: of a clip. sides: (height, width), None to choose. fps, channels, stride: 0 to choose. stride: frames between the
    beginnings of two clips. cuts: whether changes of scene are searched."""

    frames: int
    sides: tuple[int, int] | None
    fps: float
    channels: int
    stride: int
    labelled: bool
    heldout: float
    cuts: bool
    seed: int


@dataclass(frozen=True, eq=False)
class Clips:
    """pixels: (T, C, H, W) uint8. starts: (N,) the first frame of each clip; held: (N,) whether it is held out; labels: (N,)."""

    name: str
    pixels: Pixels
    starts: npt.NDArray[np.int64]
    held: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int64] | None
    class_names: tuple[str, ...]
    rate: float
    digest: str
    notes: tuple[str, ...]
    ending: str


@dataclass
class _Probed:
    """A video that can be opened, its class (-1 for none) and whether it is held out by its folder.

    num: frames that were decoded. begin: the first of them among the frames of all videos. scenes: (first frame, frame after the
    last) of those that are long enough for a clip, counted from `begin`; without any its frames are not kept.
    """

    video: Video
    about: About
    label: int
    held: bool
    num: int = 0
    begin: int = 0
    scenes: list[tuple[int, int]] = field(default_factory=list)


class Frames:
    """Frames of one size, one after the other in memory that grows: at no time are they in memory twice."""

    def __init__(self, height: int, width: int) -> None:
        self._shape, self._bytes = (3, height, width), bytearray()

    @property
    def bytes_of_one(self) -> int:
        """Of a frame."""
        return math.prod(self._shape)

    def __len__(self) -> int:
        return len(self._bytes) // self.bytes_of_one

    def add(self, frame: Pixels) -> None:
        """Appends a frame (H, W, 3)."""
        self._bytes += frame.transpose(2, 0, 1).tobytes()

    def cut(self, num: int) -> None:
        """Keeps the first `num` frames."""
        del self._bytes[num * self.bytes_of_one :]

    def view(self, begin: int = 0) -> Pixels:
        """The frames (T, 3, H, W) from `begin` on, without a copy. While it is in use no frame can be added or cut."""
        return np.frombuffer(self._bytes, np.uint8).reshape(-1, *self._shape)[begin:]

    def finished(self, channels: int) -> Pixels:
        """All frames (T, C, H, W), the last thing that is asked for; grey ones of one channel take the place of the colours."""
        if channels == 1:
            self._make_grey()
            self._shape = (1, *self._shape[1:])
        return self.view()

    def _make_grey(self) -> None:
        """Each part of the frames is written, as grey, to where frames were that have been written already."""
        pixels, num = self.view(), len(self)
        grey = pixels.reshape(-1)[: pixels.size // 3].reshape(num, 1, *self._shape[1:])
        for start in range(0, num, AT_ONCE):
            part = to_grey(pixels[start : start + AT_ONCE].transpose(0, 2, 3, 1))
            grey[start : start + AT_ONCE] = part.transpose(0, 3, 1, 2)
        size = grey.size
        del pixels, grey, part  # views of the memory that is made smaller
        del self._bytes[size:]


def load(path: Path, options: ReadOptions) -> Clips:
    """All clips at a path. UserError where none can be made."""
    with videos_at(path) as found:
        return _load(path, found, options)


def _load(path: Path, found: Found, options: ReadOptions) -> Clips:
    remarks = FileNotes()
    names = [video.name for video in found.videos]
    plan = listing.arrange(names, path, options.labelled, "video")
    probed = _probe(found, plan, remarks)
    if not probed:
        raise UserError(f"{path}: no video here can be read. {' '.join(remarks.notes())}")
    rate, notes = _rate(probed, options)
    sides, more = _sides(probed, options)
    store = _decode(probed, rate, sides, options, remarks)
    probed = [one for one in probed if one.num]
    kept, short = [one for one in probed if one.scenes], [one for one in probed if not one.scenes]
    for one in short:
        remarks.add(f"have fewer than {options.frames} frames at {rate:.4g} a second and are left out", one.video.name)
    if not kept:
        raise UserError(
            f"{path}: no video is long enough for a clip of {options.frames} frames at {rate:.4g} frames a second. Set "
            f"data.frames to less, or data.fps to more. {' '.join(remarks.notes())}"
        )
    channels, grey = _channels(kept, store, options)
    starts, held, labels, cut_notes = _clips(kept, options, bool(plan.heldout))
    pixels = store.finished(channels)
    digest = hashlib.sha256(repr((options, rate, sides, channels, [one.video.name for one in kept])).encode())
    for one in kept:
        digest.update(pixels[one.begin : one.begin + one.num].data)
    memory = f"The {len(starts):,} clips share {len(pixels):,} decoded frames, {format_size(pixels.nbytes)} of memory."
    endings = Counter(one.video.ending for one in kept if one.video.ending in formats.WRITTEN)
    return Clips(
        found.name, pixels, starts, held, labels, plan.class_names if labels is not None else (), rate, digest.hexdigest(),
        (*found.others, *plan.notes, *remarks.notes(), *notes, *more, *grey, *cut_notes, memory),
        endings.most_common(1)[0][0] if endings else ".webp",
    )  # fmt: skip


# --- opening


@contextmanager
def opened(video: Video) -> Iterator[Reader]:
    """The reader of a video; UserError says what is wrong with it."""
    if video.file is None:
        yield _Pictures(video)
        return
    with video.file.open() as file, formats.opened(file, video.name, video.ending) as reader:
        yield reader


class _Pictures:
    """The pictures of a folder as a video of the rate 0, which means that it is unknown."""

    def __init__(self, video: Video) -> None:
        self._video = video
        with video.pictures[0].open() as file, image_files.open_image(file) as image:
            self.about = About(image.height, image.width, len(video.pictures), 0.0)

    def frames(self) -> Iterator[Shown]:
        """One a second, which `_decode` takes for the rate that is wanted."""
        for index, member in enumerate(self._video.pictures):
            with member.open() as file, image_files.open_image(file) as image:
                yield Shown(float(index), index + 1.0, image.convert("RGB"))


def _probe(found: Found, plan: listing.Arrangement, remarks: FileNotes) -> list[_Probed]:
    """The videos that can be opened; what is odd about the others is remarked."""
    probed, heldout = list[_Probed](), set(plan.heldout)
    for place in sorted((*plan.train, *plan.heldout)):
        video = found.videos[place]
        if video.file is not None and not video.file.num_bytes:
            remarks.add("are empty and are left out", video.name)
            continue
        try:
            with opened(video) as reader:
                about = reader.about
        except MissingExtraError:
            raise
        except Exception as error:
            remarks.add("cannot be read and are left out", f"{video.name}: {_reason(error, video)}")
            continue
        if about.num_frames == 1:
            remarks.add("have one frame and are left out", video.name)
            continue
        if about.rotation:
            remarks.add(f"are marked as turned by {about.rotation} degrees and are shown upright", video.name)
        if about.aspect != 1.0:
            remarks.add(
                f"have pixels that are {about.aspect:.3g} times as wide as high and are resized to square ones",
                video.name,
            )
        if about.variable:
            remarks.add("have a variable rate; their frames are taken by their times", video.name)
        if about.transparent:
            remarks.add("are transparent in parts, which are shown black", video.name)
        probed.append(_Probed(video, about, plan.classes.get(place, -1), place in heldout))
    return probed


def _reason(error: BaseException, video: Video) -> str:
    return short_reason(error.__cause__ or error).removeprefix(f"{video.name}: ")


def _rate(probed: Sequence[_Probed], options: ReadOptions) -> tuple[float, list[str]]:
    """The rate of all clips, the commonest one unless it is given, and a note."""
    rates = Counter(round(one.about.rate, 2) for one in probed if one.about.rate)
    if options.fps:
        rate = options.fps
    elif rates:
        chosen = rates.most_common(1)[0][0]
        rate = next(one.about.rate for one in probed if round(one.about.rate, 2) == chosen)
    else:
        return DEFAULT_RATE, [
            f"Frames in folders have no rate: {DEFAULT_RATE:g} frames a second are assumed; data.fps sets it."
        ]
    if set(rates) - {round(rate, 2)}:
        listed = ", ".join(f"{value:g} ({num})" for value, num in rates.most_common(6))
        return rate, [
            f"Rates of the videos: {listed}. All are taken at {rate:.4g} frames a second, by the times of frames."
        ]
    return rate, []


def _sides(probed: Sequence[_Probed], options: ReadOptions) -> tuple[tuple[int, int], list[str]]:
    """(height, width) of all clips, the commonest one, at most DEFAULT_SIDE, unless it is given; and a note."""
    sizes = Counter((one.about.height, one.about.width) for one in probed)
    if options.sides is None:
        height, width = sizes.most_common(1)[0][0]
        scale = min(1.0, DEFAULT_SIDE / max(height, width))
        sides = max(8, round(height * scale)), max(8, round(width * scale))
    else:
        sides = options.sides
    if set(sizes) == {sides}:
        return sides, []
    listed = ", ".join(f"{w}x{h} ({num})" for (h, w), num in sizes.most_common(6))
    return sides, [
        f"Sizes of the videos: {listed}. All are cropped about the centre and resized to {sides[1]}x{sides[0]} (data.size)."
    ]


# --- decoding


def decoded(reader: Reader, rate: float, sides: tuple[int, int]) -> Iterator[Pixels]:
    """The frames (H, W, 3) of a video at a rate and a size, one after the other."""
    own = reader.about.rate
    for image in formats.resampled(reader.frames(), rate if own else 1.0, own):
        yield np.asarray(fit(image, sides))


def _decode(
    probed: Sequence[_Probed], rate: float, sides: tuple[int, int], options: ReadOptions, remarks: FileNotes
) -> Frames:
    """The frames of all videos, decoded in an order drawn from the seed, as long as they fit into MOST_BYTES."""
    store = Frames(*sides)
    most = MOST_BYTES // store.bytes_of_one
    for place in np.random.default_rng(options.seed).permutation(len(probed)):
        one = probed[place]
        one.begin = len(store)
        if most - one.begin < options.frames:
            remarks.add(
                f"are not read: their frames would need more than {format_size(MOST_BYTES)}. Set data.size or data.fps to less",
                one.video.name,
            )
            continue
        try:
            with opened(one.video) as reader:
                for frame in decoded(reader, rate, sides):
                    if len(store) >= most:
                        remarks.add("are longer than the memory allows; their beginning is used", one.video.name)
                        break
                    store.add(frame)
        except MissingExtraError:
            raise
        except Exception as error:
            some = len(store) > one.begin
            what = "are damaged; what comes before is used" if some else "cannot be read and are left out"
            remarks.add(what, f"{one.video.name}: {_reason(error, one.video)}")
        one.num = len(store) - one.begin
        if one.num:
            found = scenes(store.view(one.begin).transpose(0, 2, 3, 1), options.cuts)
            one.scenes = [(begin, end) for begin, end in found if end - begin >= options.frames]
        if not one.scenes:
            store.cut(one.begin)
    return store


def scenes(frames: Pixels, search: bool = True) -> list[tuple[int, int]]:
    """(first frame, frame after the last) of each scene in frames (F, H, W, 3): parts between changes of the histogram."""
    if not search or len(frames) < 2:
        return [(0, len(frames))]
    steps = histogram_steps(frames)
    cuts = list[int]()
    for place, step in enumerate(steps):
        near = np.concatenate([steps[max(0, place - CUT_NEAR) : place], steps[place + 1 : place + 1 + CUT_NEAR]])
        if step > CUT and step > CUT_TIMES * (np.median(near) if len(near) else 0.0):
            cuts.append(place + 1)
    borders = [0, *cuts, len(frames)]
    return list(itertools.pairwise(borders))


def histogram_steps(frames: Pixels) -> npt.NDArray[np.float64]:
    """(F - 1,) in [0, 1]: the share of pixels whose colour, in steps of a BINS-th, another frame does not have as often."""
    found, before = list[npt.NDArray[np.float64]](), None
    for start in range(0, len(frames), AT_ONCE):
        colours = (frames[start : start + AT_ONCE].reshape(-1, frames[0].size // 3, 3).astype(np.int32) * BINS) >> 8
        numbers = (colours[..., 0] * BINS + colours[..., 1]) * BINS + colours[..., 2]
        counts = np.stack([np.bincount(row, minlength=BINS**3) for row in numbers])
        steps = np.abs(np.diff(counts if before is None else np.concatenate([before, counts]), axis=0))
        found.append(steps.sum(1) / (2 * numbers.shape[1]))
        before = counts[-1:]
    return np.concatenate(found)


def _channels(kept: Sequence[_Probed], store: Frames, options: ReadOptions) -> tuple[int, list[str]]:
    """1 where all videos are grey, else 3, unless it is given."""
    if options.channels:
        return options.channels, []
    for one in kept:
        frames = store.view(one.begin)[: one.num : max(1, one.num // 16)]
        if int(np.ptp(frames.astype(np.int16), axis=1).max()) > GREY:
            return 3, []
    return 1, ["All videos are grey: one channel."]


def to_grey(pixels: Pixels) -> Pixels:
    """(F, H, W, 3) -> (F, H, W, 1)."""
    if int(np.ptp(pixels[:: max(1, len(pixels) // 64)], axis=3).max()) == 0:
        return pixels[..., :1]
    return np.stack([np.asarray(Image.fromarray(frame).convert("L"))[..., None] for frame in pixels])


# --- clips


def _clips(
    kept: Sequence[_Probed], options: ReadOptions, stated: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.int64] | None, list[str]]:
    """(first frames of clips, whether each is held out, classes, notes). No clip crosses a cut; no frame is in a training clip
    and in a held-out one."""
    stride = options.stride or max(1, options.frames // 4)
    out = _held_videos(kept, options, stated)
    by_time = not stated and options.heldout > 0 and not out
    starts, held, labels = list[int](), list[bool](), list[int]()
    for one in kept:
        for begin, end in one.scenes:
            border = _border(begin, end, options) if by_time else end
            for first, last, kind in ((begin, border, one.held or id(one) in out), (border, end, True)):
                places = range(first, last - options.frames + 1, stride)
                starts += [one.begin + place for place in places]
                held += [kind] * len(places)
                labels += [one.label] * len(places)
    notes = _notes_on_cuts(kept)
    if out:
        notes.append(f"{len(out)} of {len(kept)} videos are held out as a whole.")
    elif by_time:
        notes.append("Of each scene that is long enough its end is held out.")
    if all(held):
        held = [False] * len(held)
    chosen = np.arange(len(starts))
    if len(starts) > MOST_CLIPS:
        chosen = np.sort(np.random.default_rng(options.seed).permutation(len(starts))[:MOST_CLIPS])
        notes.append(f"{MOST_CLIPS:,} of {len(starts):,} clips are used; a larger data.stride makes fewer.")
    kinds = np.array(held, np.bool_)[chosen]
    if (num := int((~kinds).sum())) < FEW:
        notes.append(f"{num} training clips are few: expect a generator that repeats them.")
    classes = np.array(labels, np.int64)[chosen] if labels and min(labels) >= 0 else None
    return np.array(starts, np.int64)[chosen], kinds, classes, notes


def _held_videos(kept: Sequence[_Probed], options: ReadOptions, stated: bool) -> set[int]:
    """The identities of the videos that are held out as a whole: some of several, drawn from the seed."""
    groups = [one for one in kept if not one.held]
    if stated or not options.heldout or len(groups) < 2:
        return set()
    num = min(round(options.heldout * len(groups)), len(groups) - 1)
    order = np.random.default_rng([options.seed, len(groups)]).permutation(len(groups))
    return {id(groups[place]) for place in order[:num]}


def _border(begin: int, end: int, options: ReadOptions) -> int:
    """The first frame of the held-out end of a scene that is long enough; else the frame after its last."""
    tail = max(options.frames, round(options.heldout * (end - begin)))
    return end - tail if end - begin >= 2 * options.frames + tail else end


def _notes_on_cuts(kept: Sequence[_Probed]) -> list[str]:
    several = [len(one.scenes) - 1 for one in kept if len(one.scenes) > 1]
    if not several:
        return []
    return [
        f"{sum(several)} change(s) of scene were found in {len(several)} video(s); no clip crosses one (data.cuts=false ignores "
        "them)."
    ]
