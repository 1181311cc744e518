"""`zerosum sample` of videos: any number of frames at any rate, and the continuation of a given clip.

Legend: N clips, F frames of the training data, M times, L latent size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zerosum.data.images.pictures import Size, to_pixels
from zerosum.domain import (
    SIZE,
    ClassCondition,
    DatasetInfo,
    GeneratorHandle,
    SampleOption,
    SampleRequest,
    SampleResult,
    picture_size,
)
from zerosum.domains.video import formats, media
from zerosum.domains.video.formats import Pixels
from zerosum.domains.video.networks import PathGenerator
from zerosum.errors import UserError

FRAMES = SampleOption(
    "frames",
    "number",
    "frames of each clip; the path goes on beyond those of the training data.",
    least=1,
    most=1_000_000,
    metavar="N",
)
FPS = SampleOption(
    "fps",
    "number",
    "frames per second of the written clips; the motion keeps its speed.",
    least=0.1,
    most=240,
    metavar="N",
)
AFTER = SampleOption(
    "after", "paths", "a video that is continued: its last frames are searched for in the generator.", metavar="VIDEO"
)
OPTIONS = (SIZE, FRAMES, FPS, AFTER)
NUM = 4
"""Clips without --num."""
AT_ONCE = 64
"""Frames that are made at once, whatever the number of frames: the memory is constant."""


def sample(generator: GeneratorHandle, info: DatasetInfo, request: SampleRequest) -> SampleResult | None:
    """Clips of another number of frames or rate, or continuations; None without these options: the general function makes
    them."""
    if not any(option.value(request) for option in (FRAMES, FPS, AFTER)):
        return None
    network = generator.network
    if not isinstance(network, PathGenerator):
        raise UserError("--frames, --fps and --after need a generator of the kind `path`.")
    own = float(info.payload["rate"])
    rate = float(FPS.value(request) or own)
    ending = request.out.suffix.lower()
    note = formats.check_rate(ending, rate)
    notes = [note] if note else []
    size = picture_size(request)
    after = AFTER.value(request)
    if after:
        if request.num is not None:
            raise UserError("--num applies to new clips; each video of --after gives one.")
        clips, more = _continued(generator, network, info, request, list(after))
        notes += more
        begins = [len(clip.seen) for clip in clips]
    else:
        num = request.num or NUM
        noise, condition = generator.noise(num, request.seed), generator.conditions(num, request.seed)
        clips = [Clip(noise[i : i + 1], None if condition is None else condition[i : i + 1]) for i in range(num)]
        begins = [0] * num
    frames = int(FRAMES.value(request) or max(1, round(info.sample.axes["frames"] * rate / own)))
    streams = [
        stream(network, clip, frames, own / rate, float(begin), size, generator.device)
        for clip, begin in zip(clips, begins, strict=True)
    ]
    if ending in (media.SHEET, media.ARRAY):
        raise UserError(
            f"--out {request.out}: with --frames, --fps or --after videos are written: {', '.join(formats.WRITTEN)}."
        )
    paths = media.write_videos(streams, request.out, info, rate, _names(clips, info))
    return SampleResult(paths, len(clips), tuple(notes))


@dataclass(frozen=True)
class Clip:
    """What a clip is made of: noise (1, L), its class (1,), and the frames (F, C, H, W) that it continues, none for a new one."""

    noise: Tensor
    condition: Tensor | None
    seen: Tensor = torch.empty(0)


def _names(clips: Sequence[Clip], info: DatasetInfo) -> tuple[str, ...]:
    """The class of each clip, as a part of a file name; () where there are no classes."""
    labels = [clip.condition for clip in clips if clip.condition is not None]
    known = info.condition
    return known.file_names(torch.cat(labels).cpu()) if labels and isinstance(known, ClassCondition) else ()


@torch.no_grad()
def stream(
    network: PathGenerator, clip: Clip, frames: int, step: float, begin: float, size: Size | None, device: torch.device
) -> Iterator[Pixels]:
    """The frames of a clip at the times begin, begin + step ..., AT_ONCE at a time. They do not depend on how many are made."""
    network.eval()
    noise = clip.noise.to(device)
    content = network.content_of(noise, None if clip.condition is None else clip.condition.to(device))
    for start in range(0, frames, AT_ONCE):
        times = begin + step * torch.arange(start, min(start + AT_ONCE, frames), dtype=torch.float64, device=device)
        yield from media.frames_of(to_pixels(network.render(noise, content, times)[0].float().cpu()), size)


# --- prediction

STARTS, KEPT, STEPS = 256, 16, 200
"""Noises that are compared with the given frames, the best of them that are improved, and the steps of that."""
RATE = 0.05
MOST_ERROR = 0.5
"""A clip is refused whose frames the generator misses by more than this share of their variance about the mean frame of all."""


def _continued(
    generator: GeneratorHandle, network: PathGenerator, info: DatasetInfo, request: SampleRequest, paths: list[Path]
) -> tuple[list[Clip], list[str]]:
    clips, notes = list[Clip](), list[str]()
    for path in paths:
        for name, pixels in media.videos_of(path, info, most=info.sample.axes["frames"]):
            seen = media.to_clip(pixels, info)
            if len(seen) < 2:
                raise UserError(
                    f"--after {name}: it has one frame at {info.payload['rate']:.4g} frames a second; two are needed."
                )
            clip, share = fit(network, seen, generator, info, request.seed)
            if share > MOST_ERROR:
                raise UserError(
                    f"--after {name}: the generator cannot make these frames: it misses {share:.0%} of their variance, and at "
                    f"most {MOST_ERROR:.0%} are accepted. A clip like those of the training data is needed."
                )
            notes.append(
                f"{name}: its last {len(seen)} frames are met up to {share:.0%} of their variance; the new ones follow."
            )
            clips.append(clip)
    return clips, notes


def fit(
    network: PathGenerator, seen: Tensor, generator: GeneratorHandle, info: DatasetInfo, seed: int
) -> tuple[Clip, float]:
    """The clip of the generator whose first frames are nearest to `seen` (F, C, H, W), and the share of variance that is left.

    Of STARTS noises, with classes as in the data, the KEPT nearest ones are improved by Adam, which also pulls them towards the
    prior; the nearest one is taken.
    """
    device = generator.device
    seen = seen.to(device)
    times = torch.arange(len(seen), dtype=torch.float64, device=device)
    noise, condition = generator.noise(STARTS, seed).to(device), generator.conditions(STARTS, seed)
    condition = None if condition is None else condition.to(device)
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    variance = float((seen - seen.mean(0)).square().mean()) + 1e-4 if len(seen) > 1 else 1.0
    with torch.no_grad():
        errors = torch.cat([
            (network.film(noise[i : i + 16], times, None if condition is None else condition[i : i + 16]) - seen)
            .square().mean((1, 2, 3, 4)) for i in range(0, STARTS, 16)
        ])  # fmt: skip
    best = errors.argsort()[:KEPT]
    condition = None if condition is None else condition[best]
    code = noise[best].clone().requires_grad_(True)
    optimizer = torch.optim.Adam([code], lr=RATE, betas=(0.9, 0.99))
    found, least = code.detach().clone(), torch.full((len(best),), math.inf, device=device)
    with torch.enable_grad():
        for step in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / STEPS)) + 1e-3
            error = (network.film(code, times, condition) - seen).square().mean((1, 2, 3, 4))
            better = error.detach() < least
            least = torch.where(better, error.detach(), least)
            found[better] = code.detach()[better]
            optimizer.zero_grad()
            (error.sum() + 1e-4 * code.square().mean(1).sum()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    row = int(least.argmin())
    clip = Clip(found[row : row + 1], None if condition is None else condition[row : row + 1], seen)
    return clip, float(least[row]) / variance
