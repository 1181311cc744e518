"""Video files: what is known of one before it is decoded, its frames with their times, and the encoders.

.gif, .apng and .webp are read and written by Pillow; all others by PyAV, which the extra `video` installs.

Legend: F frames, H height, W width, C channels.
"""

from __future__ import annotations

import importlib
import io
import itertools
import statistics
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from zerosum.data.images.files import VIDEOS
from zerosum.data.opening import decoding
from zerosum.errors import UserError

PILLOW = {".gif": "GIF", ".apng": "PNG", ".webp": "WEBP"}
WRITTEN = (".gif", ".webp", ".apng", ".mp4", ".webm", ".mkv")
READ = (*PILLOW, *VIDEOS)
"""Of the endings VIDEOS files are read by PyAV."""
LOSSLESS = (".webp", ".apng", ".mkv")
MOST_PIXELS = 64_000_000
"""Of one frame that is decoded."""
NO_DURATION = 0.1
"""Seconds that a frame of a GIF without a duration is shown, as in browsers."""
MOST_PACKETS = 2_000_000
VARIABLE = 0.02
"""A rate is variable where a step between two stamps differs from the median by a quarter of it, or by so many seconds."""
LEAST_MS = {".gif": 10, ".webp": 1, ".apng": 1}
"""The unit of durations in milliseconds."""

Pixels = npt.NDArray[np.uint8]


class MissingExtraError(UserError):
    """A package of the extra `video` is not installed."""


def require_av(use: str) -> Any:
    """The module av; MissingExtraError names the extra that installs it. use: what it is needed for."""
    try:
        return importlib.import_module("av")
    except (ImportError, OSError):
        raise MissingExtraError(f"{use} needs av, which is not installed: pip install 'zerosum[video]'.") from None


@dataclass(frozen=True)
class About:
    """What is known of a video before it is decoded. height, width: as it is shown, after its rotation and with square pixels.

    rate: the inverse of the median step between two frames, frames per second; 0 for one frame. variable: whether steps differ.
    rotation: degrees, counter-clockwise. aspect: width of a pixel over its height. interlaced: unknown before decoding.
    """

    height: int
    width: int
    num_frames: int
    rate: float
    variable: bool = False
    rotation: int = 0
    aspect: float = 1.0
    transparent: bool = False


@dataclass(frozen=True)
class Shown:
    """A frame as it is shown, and when: seconds of its beginning and its end, None where the end is that of the next frame's
    beginning."""

    begin: float
    end: float | None
    image: Image.Image


class Reader(Protocol):
    """An open video."""

    about: About

    def frames(self) -> Iterator[Shown]:
        """Its frames in the order of their times, decoded one after the other."""


def needs_av(ending: str) -> bool:
    """Whether files with this ending are read and written by PyAV."""
    return ending not in PILLOW


@contextmanager
def opened(file: BinaryIO, name: str, ending: str) -> Iterator[Reader]:
    """A video in a file that can be sought; UserError says what is wrong with it."""
    if needs_av(ending):
        av = require_av(f"Reading {name}")
        with decoding(name, "a video"):
            container = av.open(file)
        with container:
            yield _Coded(container, name)
    else:
        with decoding(name, "a moving picture"):
            image = Image.open(file, formats=[PILLOW[ending]])
            image.load()
        with image:
            yield _Animated(image, name)


def _check_size(height: int, width: int, name: str) -> None:
    if height < 1 or width < 1 or height * width > MOST_PIXELS:
        raise UserError(f"{name}: frames of {width} x {height} pixels; at most {MOST_PIXELS:,} pixels are read.")


def rate_of(steps: list[float]) -> tuple[float, bool]:
    """(frames per second, whether it is variable) of the steps between stamps in seconds."""
    positive = [step for step in steps if step > 0]
    if not positive:
        return 0.0, False
    median = statistics.median(positive)
    limit = min(0.25 * median, VARIABLE)
    variable = any(abs(step - median) > limit for step in positive)
    # Stamps in whole milliseconds: the mean over the whole video is nearer than one step.
    rate = 1 / median if variable else len(positive) / sum(positive)
    near = Fraction(rate).limit_denominator(1001)
    return (round(rate) if abs(rate - round(rate)) < 2e-3 * rate and near.denominator > 60 else float(rate)), variable


class _Coded:
    """A video that PyAV decodes."""

    def __init__(self, container: Any, name: str) -> None:
        self._container, self._name = container, name
        streams = container.streams.video
        if not streams:
            raise UserError(
                f"{name}: has no pictures, only {', '.join(s.type for s in container.streams) or 'nothing'}."
            )
        self._stream = streams[0]
        with decoding(name, "a video"):
            self.about = self._read_about()

    def _read_about(self) -> About:
        stream = self._stream
        stamps = list[float]()
        for packet in self._container.demux(stream):
            if packet.pts is not None and len(stamps) < MOST_PACKETS:
                stamps.append(float(packet.pts * stream.time_base))
        stamps.sort()
        rate, variable = rate_of([after - before for before, after in itertools.pairwise(stamps)])
        if not variable and stream.average_rate and rate and abs(float(stream.average_rate) / rate - 1) < 5e-3:
            rate = float(stream.average_rate)
        self._container.seek(0)
        first = next(self._container.decode(stream))
        self._container.seek(0)
        aspect = float(stream.sample_aspect_ratio or 1)  # of the container, else of the coded pictures
        rotation = int(getattr(first, "rotation", 0) or 0) % 360
        _check_size(first.height, first.width, self._name)
        height, width = first.height, max(1, round(first.width * aspect))
        if rotation in (90, 270):
            height, width = width, height
        return About(height, width, len(stamps), rate or 0.0, variable, rotation, aspect)

    def frames(self) -> Iterator[Shown]:
        last = -1.0
        for frame in self._container.decode(self._stream):
            if frame.time is None or frame.time <= last:
                continue  # stamps that do not increase
            last = float(frame.time)
            _check_size(frame.height, frame.width, self._name)
            image = Image.fromarray(frame.to_ndarray(format="rgb24"))
            aspect = self.about.aspect
            if aspect != 1.0:
                image = image.resize((max(1, round(frame.width * aspect)), frame.height), Image.Resampling.LANCZOS)
            if self.about.rotation:
                image = image.rotate(self.about.rotation, expand=True)
            duration = float(frame.duration * frame.time_base) if getattr(frame, "duration", 0) else None
            yield Shown(last, None if duration is None else last + duration, image)


class _Animated:
    """A moving picture that Pillow decodes."""

    def __init__(self, image: Image.Image, name: str) -> None:
        self._image = image
        num = int(getattr(image, "n_frames", 1))
        _check_size(image.height, image.width, name)
        durations = [duration for _, duration in zip(range(200), self._durations(), strict=False)]
        rate, variable = rate_of(durations[:-1] if len(durations) > 1 else durations)
        transparent = "transparency" in image.info or image.mode in ("RGBA", "LA", "PA")
        self.about = About(image.height, image.width, num, rate, variable, transparent=transparent)

    def _durations(self) -> Iterator[float]:
        for index in range(int(getattr(self._image, "n_frames", 1))):
            self._image.seek(index)
            self._image.load()
            yield (self._image.info.get("duration") or 1000 * NO_DURATION) / 1000

    def frames(self) -> Iterator[Shown]:
        begin = 0.0
        for duration in self._durations():
            picture = self._image.convert("RGBA")
            ground = Image.new("RGBA", picture.size, (0, 0, 0, 255))
            yield Shown(begin, begin + duration, Image.alpha_composite(ground, picture).convert("RGB"))
            begin += duration


def resampled(frames: Iterable[Shown], rate: float, own: float) -> Iterator[Image.Image]:
    """The pictures that are shown at the times 0, 1 / rate, 2 / rate ... after the first stamp.

    own: the video's own rate, which ends a last frame without a duration. A frame counts as shown up to a quarter of a step
    before its stamp, which is written in whole milliseconds in some files.
    """
    early, index, begin, current = 0.25 / rate, 0, 0.0, None
    for frame in frames:
        if current is None:
            begin = frame.begin
        else:
            while begin + index / rate < frame.begin - early:
                yield current.image
                index += 1
        current = frame
    if current is None:
        return
    end = current.end if current.end is not None else current.begin + 1 / (own or rate)
    while begin + index / rate < max(end - early, current.begin + early):
        yield current.image
        index += 1


# --- encoding


class Encoder(Protocol):
    """Takes the frames of one video, one after the other."""

    def __call__(self, frames: Iterable[Pixels]) -> None:
        """frames: (H, W) or (H, W, 3) uint8 each, all of one size."""


def write(frames: Iterable[Pixels], file: BinaryIO, ending: str, rate: float) -> None:
    """Writes frames (H, W) or (H, W, 3) uint8 of one size as a video. UserError for a rate that the format cannot have.

    .mkv (FFV1), .webp and .apng keep every pixel, .gif those of grey videos; .mp4 (H.264) and .webm (VP9) are lossy. Sizes are
    kept: an .mp4 with an odd side has colours of full resolution, because the usual half one needs even sides. .mp4, .webm, .mkv
    and .webp hold a few frames in memory, the others all of them.
    """
    if needs_av(ending):
        _write_coded(frames, file, ending, rate)
    else:
        _write_animated(frames, file, ending, rate)


def check_rate(ending: str, rate: float) -> str:
    """A note where a format cannot hold this rate exactly; "" where it can. UserError for one that is too fast."""
    unit = LEAST_MS.get(ending)
    if unit is None:
        return ""
    shown = 1000 / rate
    if shown < max(unit, 1) - 1e-9:
        raise UserError(f"--fps {rate:g}: {ending} files show a frame for at least {unit} ms; use .mp4, .webm or .mkv.")
    if ending == ".gif" and abs(shown / unit - round(shown / unit)) > 1e-6:
        return (
            f"A GIF has durations of whole hundredths of a second: frames are shown for {unit} ms more or less in turn."
        )
    return ""


def _durations(rate: float, unit: int) -> Iterator[int]:
    """Durations in milliseconds, multiples of `unit`, whose sums stay as near as possible to multiples of 1 / rate."""
    before, index = 0, 1
    while True:
        after = round(index * 1000 / rate / unit) * unit
        yield max(unit, after - before)
        before, index = max(after, before + unit), index + 1


def _write_animated(frames: Iterable[Pixels], file: BinaryIO, ending: str, rate: float) -> None:
    pictures = (Image.fromarray(frame) for frame in frames)
    if ending == ".gif":  # one table of colours for each frame; grey is exact
        pictures = (p if p.mode == "L" else p.quantize(256, Image.Quantize.MEDIANCUT) for p in pictures)
    listed = list(pictures)
    durations = [duration for _, duration in zip(listed, _durations(rate, LEAST_MS[ending]), strict=False)]
    kinds: dict[str, dict[str, Any]] = {".gif": {"disposal": 1}, ".webp": {"lossless": True, "minimize_size": False}}
    options = kinds.get(ending, {})
    listed[0].save(
        file, format=PILLOW[ending], save_all=True, append_images=listed[1:], duration=durations, loop=0, **options
    )


CODECS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("libx264", {"crf": "12", "preset": "medium"}),
    ".webm": ("libvpx-vp9", {"crf": "16", "b": "0", "row-mt": "0", "cpu-used": "4"}),
    ".mkv": ("ffv1", {}),
}
CONTAINERS = {".mp4": "mp4", ".webm": "webm", ".mkv": "matroska"}


def _pixel_format(ending: str, frame: Pixels) -> str:
    if ending == ".mkv":
        return "gray" if frame.ndim == 2 else "bgr0"
    odd = ending == ".mp4" and (frame.shape[0] % 2 or frame.shape[1] % 2)
    return "yuv444p" if odd else "yuv420p"


def _write_coded(frames: Iterable[Pixels], file: BinaryIO, ending: str, rate: float) -> None:
    av = require_av(f"Writing {ending} files")
    codec, options = CODECS[ending]
    stream: Any = None
    with av.open(file, "w", format=CONTAINERS[ending]) as container:
        for frame in frames:
            if stream is None:
                stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001), options=options)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = _pixel_format(ending, frame)
            source = "gray" if frame.ndim == 2 else "rgb24"
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=source)
            container.mux(stream.encode(picture))
        if stream is not None:
            container.mux(stream.encode())


def encode(frames: Iterable[Pixels], ending: str, rate: float) -> bytes:
    """The bytes of such a file."""
    body = io.BytesIO()
    write(frames, body, ending, rate)
    return body.getvalue()
