"""The source of clips: windows of F consecutive frames of decoded videos, some of them held out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zerosum import domain
from zerosum.data.images.pictures import suggest_half_size, to_unit
from zerosum.data.opening import expand_path, format_size
from zerosum.data.sources import SourceInfo
from zerosum.domain import DatasetInfo, SampleInfo, kit
from zerosum.domains.video import builtin_sources, files, loading
from zerosum.errors import UserError, nearest
from zerosum.recipe import Component

LEAST_SIDE, MOST_SIDE, LEAST_FRAMES, MOST_FRAMES = 8, 512, 3, 128
LEAST_RATE, MOST_RATE = 0.1, 240.0


@dataclass(frozen=True)
class VideoPayload:
    """rate: frames per second. ending: of the files that are written to folders by default, such as ".gif"."""

    rate: float
    ending: str = ".gif"


@dataclass(frozen=True, eq=False, kw_only=True)
class ClipSource(kit.MappedSource):
    """Clips (N, F, C, H, W) float32 in [-1, 1].

    array: (W, F, C, H, W) uint8, of files a view of all windows of the decoded frames, in which only those of `training` and
    `held` are clips. rate: frames per second. ending: see VideoPayload.
    """

    rate: float
    ending: str = ".gif"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(F, C, H, W) of a clip."""
        frames, channels, height, width = self.array.shape[1:]
        return frames, channels, height, width

    @property
    def length(self) -> int:
        """Frames of a clip."""
        return self.shape[0]

    def info(self) -> DatasetInfo:
        """The description of the data set, from which networks, previews and files are made without the clips."""
        frames, channels, height, width = self.shape
        colour = "grey" if channels == 1 else "colour"
        words = f"{frames} frames of {width}x{height} {colour} at {self.rate:.4g} frames a second"
        axes = {"frames": frames, "channels": channels, "height": height, "width": width}
        return kit.info(self, SampleInfo(axes, words), asdict(VideoPayload(self.rate, self.ending)))


def _unit(clips: NDArray[np.uint8]) -> Tensor:
    return to_unit(torch.from_numpy(clips))


def describe(info: DatasetInfo) -> str:
    """A few words for one line: "2,000 clips of 12 frames in 10 classes"."""
    classes = f" in {info.num_classes} classes" if info.num_classes else ""
    return f"{info.num_rows:,} clips of {info.sample.axes['frames']} frames{classes}"


def read_like(info: DatasetInfo) -> dict[str, Any]:
    """Options of `data` that give clips of the same shape and rate."""
    axes = info.sample.axes
    return {
        "frames": axes["frames"],
        "size": [axes["height"], axes["width"]],
        "fps": info.payload["rate"],
        "channels": axes["channels"],
    }


def smaller(info: DatasetInfo) -> tuple[str, str] | None:
    """The setting that halves the height and width, and what it saves."""
    return suggest_half_size(info.sample.axes["height"], info.sample.axes["width"])


def can_open(where: str) -> bool:
    """Whether `where` names a source of clips, or a path that holds videos. Never raises."""
    return where in builtin_sources.SOURCES or files.can_open(where)


def sources() -> Mapping[str, SourceInfo]:
    """The named sources."""
    return builtin_sources.SOURCES


def open_source(data: Component, allow_download: bool) -> ClipSource:
    """The source of a recipe's data part: a named one, or a path."""
    opened: Callable[..., ClipSource] = _named if data.kind in builtin_sources.SOURCES else _at_path
    source: ClipSource = domain.make("data", {data.kind: opened}, data, data.kind)
    return source


def _named(
    name: str, *, num: int = 0, frames: int = builtin_sources.FRAMES, size: int | list[int] = builtin_sources.SIZE,
    fps: float = builtin_sources.RATE, channels: int = 0, labelled: bool = True, seed: int = 0,
) -> ClipSource:  # fmt: skip
    """The clips made by code. num: of training clips, 0 for NUM_TRAIN; a fifth as many are held out."""
    height, width = _sides(size)
    check(frames, (height, width), fps)
    own = 1 if name == "moving-digits" else 3
    if num < 0 or num == 1:
        raise ValueError(f"num must be at least 2, or 0 for {builtin_sources.NUM_TRAIN:,}; got {num}")
    if height != width or channels not in (0, own):
        raise ValueError(
            f"{name} has square pictures of {own} channel(s); got size {height}x{width}, channels {channels}"
        )
    made = builtin_sources.load(name, num, frames, height, seed)
    facts = name, builtin_sources.VERSION, num, frames, height, labelled, seed
    border = len(made.clips) - made.heldout
    labels = torch.from_numpy(made.labels) if labelled else None
    rows, names = torch.arange(len(made.clips)), builtin_sources.SOURCES[name].class_names
    return ClipSource(
        name=name,
        array=made.clips,
        training=rows[:border],
        held=rows[border:],
        transform=_unit,
        rate=fps,
        fingerprint=hashlib.sha256(repr(facts).encode()).hexdigest(),
        labels=labels,
        condition=None if labels is None else kit.class_condition(labels[:border], names),
        notes=(
            f"Made by code: the clips take {format_size(made.clips.nbytes)} of memory.",
            kit.heldout_note(made.heldout, "clips"),
        ),
    )


def _at_path(
    where: str, *, frames: int = builtin_sources.FRAMES, size: int | list[int] = 0, fps: float = 0.0, channels: int = 0,
    stride: int = 0, labelled: bool = True, heldout: float = 0.1, cuts: bool = True, seed: int = 0,
) -> ClipSource:  # fmt: skip
    """The videos at a path, see loading.ReadOptions."""
    kit.refuse_share(heldout)
    sides = _sides(size) if size else None
    check(frames, sides, fps or 1.0)
    if channels not in (0, 1, 3) or stride < 0:
        raise ValueError(
            f"channels must be 1 or 3, or 0 for those of the files, and stride at least 0; got {channels}, {stride}"
        )
    path = expand_path(where)
    if not where or not os.path.exists(path):
        raise UserError(
            f"{where!r}: no named source of clips and no such path. {nearest(where, builtin_sources.SOURCES)}"
        )
    options = loading.ReadOptions(frames, sides, fps, channels, stride, labelled, heldout, cuts, seed)
    try:
        found = loading.load(path, options)
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror or error}).") from None
    starts, held = torch.from_numpy(found.starts), torch.from_numpy(found.held)
    windows = np.moveaxis(np.lib.stride_tricks.sliding_window_view(found.pixels, frames, axis=0), -1, 1)
    condition = labels = None
    if found.labels is not None:
        classes = torch.from_numpy(found.labels)
        labels = torch.full((len(windows),), -1)
        labels[starts] = classes
        condition = kit.class_condition(classes[~held], found.class_names)
    return ClipSource(
        name=found.name,
        array=windows,
        training=starts[~held],
        held=starts[held],
        transform=_unit,
        rate=found.rate,
        fingerprint=found.digest,
        labels=labels,
        condition=condition,
        notes=(*found.notes, kit.heldout_note(int(held.sum()), "clips")) if bool(held.any()) else found.notes,
        ending=found.ending,
    )


def _sides(size: int | list[int]) -> tuple[int, int]:
    """(height, width) of data.size, a number or [height, width]."""
    sides = [size, size] if isinstance(size, int) else size
    if len(sides) != 2:
        raise ValueError(f"size must be a number or [height, width], got {size}")
    return sides[0], sides[1]


def check(frames: int, sides: tuple[int, int] | None, rate: float) -> None:
    """ValueError for settings that no clip can have."""
    if not LEAST_FRAMES <= frames <= MOST_FRAMES:
        raise ValueError(f"frames must lie in {LEAST_FRAMES}..{MOST_FRAMES}, got {frames}")
    if sides is not None and not all(LEAST_SIDE <= side <= MOST_SIDE for side in sides):
        raise ValueError(f"size must lie in {LEAST_SIDE}..{MOST_SIDE}, got {sides[0]}x{sides[1]}")
    if not (np.isfinite(rate) and LEAST_RATE <= rate <= MOST_RATE):
        raise ValueError(f"fps must lie in {LEAST_RATE:g}..{MOST_RATE:g}, or be 0; got {rate:g}")
