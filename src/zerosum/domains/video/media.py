"""Shows clips as sheets of frames, writes them to video files, and reads files for the discriminator.

Legend: N clips, F frames, C channels, H height, W width.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.nn.functional import interpolate

from zerosum.data.images.pictures import Size, enlarge, resize_pixels, tile_images, to_pixels, to_unit
from zerosum.data.opening import check_regular
from zerosum.domain import DatasetInfo, PreviewContext, WriteOptions, picture_size
from zerosum.domains.video import formats, loading
from zerosum.domains.video.files import ZIPPED, videos_at
from zerosum.domains.video.formats import Pixels
from zerosum.errors import UserError
from zerosum.store import numbered_names

NUM_SHOWN, MOST_COLUMNS = 12, 24
"""Clips of a preview, and the most frames of each on a sheet."""
TILE = 48
"""Frames on a sheet are enlarged to about so many rows."""
SHEET, ARRAY = ".png", ".npy"
ENDINGS = (*formats.WRITTEN, SHEET, ARRAY, ZIPPED, "")
SIDE = 8
"""The side to which frames are averaged to say how alike two clips are."""


def sheet(samples: Tensor, path: Path, context: PreviewContext) -> None:
    """One PNG of clips (N, F, C, H, W): a row a clip, a column a frame."""
    save_sheet(to_pixels(samples), path, context.info.payload["rate"])


def save_sheet(clips: Tensor, path: Path, rate: float, size: Size | None = None) -> None:
    """A PNG of clips (N, F, C, H, W) uint8. Its text entries "grid" and "film" are the numbers by which the report plays it.

    Of clips with more than MOST_COLUMNS frames, evenly spaced ones are shown.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    num, frames = clips.shape[:2]
    if frames > MOST_COLUMNS:
        clips = clips[:, torch.linspace(0, frames - 1, MOST_COLUMNS).round().long()]
        rate, frames = rate * MOST_COLUMNS / frames, MOST_COLUMNS
    tiles = [enlarge(frame if size is None else resize_pixels(frame, size), TILE) for frame in clips.flatten(0, 1)]
    picture = tile_images(tiles, frames)
    entries = PngInfo()
    entries.add_text("grid", f"{frames}x{num}")
    entries.add_text("film", f"{rate:.6g}")
    picture.save(path, format="PNG", pnginfo=entries)


def tile(info: DatasetInfo, options: WriteOptions) -> tuple[int, int]:
    """(height, width) in pixels of a clip on a sheet."""
    size = picture_size(options)
    axes = info.sample.axes
    height, width = (axes["height"], axes["width"]) if size is None else size.of(axes["height"], axes["width"])
    factor = max(1, round(TILE / height))
    return height * factor, width * factor * min(axes["frames"], MOST_COLUMNS)


def similarity(samples: Tensor) -> tuple[Tensor, Tensor]:
    """The frames of clips (N, F, C, H, W) in SIDE x SIDE, and their changes: like clips lie near each other."""
    small = interpolate(samples.flatten(0, 1).float(), size=(SIDE, SIDE), mode="area")
    small = small.view(*samples.shape[:2], *small.shape[1:])
    return small.flatten(1), (small[:, 1:] - small[:, :-1]).flatten(1)


# --- writing


def write(samples: Tensor, path: Path, info: DatasetInfo, options: WriteOptions = WriteOptions()) -> list[Path]:
    """Clips (N, F, C, H, W) as videos by the path's ending, at the rate of the training data and the size that is asked for.

    One file, or with several clips numbered ones beside it; .zip or a folder: numbered files with the ending of the training
    data. .png: one sheet; .npy: (N, F, H, W[, C]) uint8.
    """
    size, rate = picture_size(options), info.payload["rate"]
    pixels = to_pixels(samples)
    ending = path.suffix.lower()
    if ending == SHEET:
        save_sheet(pixels, path, rate, size)
        return [path]
    if ending == ARRAY:
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.stack([np.stack(list(frames_of(clip, size))) for clip in pixels])
        np.save(path, array, allow_pickle=False)
        return [path]
    return write_videos([frames_of(clip, size) for clip in pixels], path, info, rate, options.names)


def frames_of(clip: Tensor, size: Size | None) -> Iterator[Pixels]:
    """The frames (H, W) or (H, W, 3) uint8 of a clip (F, C, H, W), at a size."""
    for frame in clip:
        shown = resize_pixels(frame, size)
        yield shown[0].numpy() if len(shown) == 1 else shown.permute(1, 2, 0).contiguous().numpy()


def write_videos(
    videos: Sequence[Iterable[Pixels]], path: Path, info: DatasetInfo, rate: float, names: Sequence[str] = ()
) -> list[Path]:
    """Videos, each a stream of frames that is taken once, as `write` names them."""
    ending = path.suffix.lower()
    if ending not in (*formats.WRITTEN, ZIPPED, ""):
        raise UserError(f"--out {path}: cannot write {path.suffix}. Use {', '.join(ENDINGS[:-1])}, or a folder.")
    kind = info.payload["ending"] if ending in (ZIPPED, "") else ending
    formats.check_rate(kind, rate)
    if formats.needs_av(kind):
        formats.require_av(f"Writing {kind} files")
    (path.parent if ending else path).mkdir(parents=True, exist_ok=True)
    if ending == ZIPPED:
        with zipfile.ZipFile(path, "w") as archive:
            for name, frames in zip(numbered_names(len(videos), kind, names), videos, strict=True):
                archive.writestr(zipfile.ZipInfo(name), formats.encode(frames, kind, rate))
        return [path]
    if not ending:
        targets = [path / name for name in numbered_names(len(videos), kind, names)]
    elif len(videos) == 1:
        targets = [path]
    else:
        targets = [path.with_name(n) for n in numbered_names(len(videos), path.suffix, names, f"{path.stem}-")]
    for target, frames in zip(targets, videos, strict=True):
        with target.open("w+b") as file:
            formats.write(frames, file, kind, rate)
    return targets


# --- reading


def read(paths: Sequence[Path], info: DatasetInfo) -> Tensor:
    """(N, F, C, H, W) clips of videos, at the rate and the size of the training data: of each the parts without a change of
    scene, one clip after the other; an array .npy as `write` makes it. UserError names a file that cannot be used."""
    found = list[Tensor]()
    for path in paths:
        if path.suffix.lower() == ARRAY:
            found.append(_from_array(path, info))
            continue
        frames = info.sample.axes["frames"]
        for name, pixels in videos_of(path, info):
            clips = [
                pixels[place : place + frames]
                for begin, end in loading.scenes(pixels)
                for place in range(begin, end - frames + 1, frames)
            ]
            if not clips:
                raise UserError(
                    f"{name}: {len(pixels)} frames at {info.payload['rate']:.4g} a second; a clip has {frames}."
                )
            found += [to_clip(clip, info)[None] for clip in clips]
    return torch.cat(found)


def videos_of(path: Path, info: DatasetInfo, most: int = 0) -> Iterator[tuple[str, Pixels]]:
    """(name, frames (F, H, W, 3)) of each video at a path, at the rate and the size of the training data. most: only the last so
    many frames are kept; 0 for all."""
    sides = info.sample.axes["height"], info.sample.axes["width"]
    try:
        with videos_at(path) as found:
            for video in found.videos:
                name = str(path) if len(found.videos) == 1 else f"{path}/{video.name}"
                frames = list[Pixels]()
                with loading.opened(video) as reader:
                    for frame in loading.decoded(reader, info.payload["rate"], sides):
                        frames.append(frame)
                        if most and len(frames) > most:
                            del frames[0]
                        if len(frames) * frame.nbytes > loading.MOST_BYTES:
                            raise UserError(f"{name}: is too long to be read as a whole; cut it into parts.")
                if not frames:
                    raise UserError(f"{name}: no frame can be read.")
                yield name, np.stack(frames)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from None


def to_clip(frames: Pixels, info: DatasetInfo) -> Tensor:
    """(F, H, W, 3) uint8 -> (F, C, H, W) in [-1, 1]."""
    pixels = frames if info.sample.axes["channels"] == 3 else loading.to_grey(frames)
    return to_unit(torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2))


def _from_array(path: Path, info: DatasetInfo) -> Tensor:
    try:
        check_regular(path)
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as an array: {error}.") from None
    frames, channels, height, width = info.sample.shape
    shape = (frames, height, width, *([channels] if channels > 1 else []))
    if array.dtype != np.uint8 or array.shape[1:] != shape:
        raise UserError(
            f"{path}: an array of {array.dtype} {array.shape}; clips of this generator are uint8 (N, {shape})."
        )
    values = torch.from_numpy(array if channels > 1 else array[..., None])
    return to_unit(values.permute(0, 1, 4, 2, 3))
