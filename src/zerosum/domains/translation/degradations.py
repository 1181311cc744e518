"""Makes images smaller for super-resolution, in named ways.

Legend: C channels, H height, W width, S scale; values in [0, 1].
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from zerosum.errors import UserError


@dataclass(frozen=True)
class Stage:
    """A blur, a reduction, noise and compression, in this order; each number is drawn anew for each image from (least, most).

    blur: standard deviation of a Gaussian in pixels of the image before the reduction. noise: standard deviation of Gaussian
    noise in levels of 0 to 255. quality: of JPEG, 1 to 95.
    """

    blur: tuple[float, float]
    noise: tuple[float, float]
    quality: tuple[int, int]


@dataclass(frozen=True)
class Degradation:
    """The stages by which an image is made smaller, each by an equal factor; without stages by bicubic interpolation with
    antialiasing alone. why: for which images it is meant."""

    stages: tuple[Stage, ...]
    why: str

    @property
    def random(self) -> bool:
        """Whether two small images of one large image differ."""
        return bool(self.stages)


DEGRADATIONS: Mapping[str, Degradation] = {
    "bicubic": Degradation((), "images that were made smaller by a program, without compression"),
    "photo": Degradation(
        (
            Stage(blur=(0.2, 1.6), noise=(0, 6), quality=(60, 95)),
            Stage(blur=(0.2, 0.8), noise=(0, 3), quality=(60, 95)),
        ),
        "photographs of a camera or from the web: blur, noise and JPEG, twice (Wang et al. 2021, arXiv:2107.10833)",
    ),
}
"""The values of `data.degradation`."""


def reduced(image: Tensor, scale: int, name: str, draw: torch.Generator) -> Tensor:
    """(C, H, W) -> (C, H / S, W / S); sides that are no multiples of S are continued by their last pixels first."""
    height, width = image.shape[1:]
    image = pad(image[None], (0, -width % scale, 0, -height % scale), mode="replicate")[0]
    target = image.shape[1] // scale, image.shape[2] // scale
    stages = DEGRADATIONS[name].stages
    if not stages:
        return _resized(image, target)
    for number, stage in enumerate(stages, 1):
        left = scale ** (1 - number / len(stages))
        size = round(target[0] * left), round(target[1] * left)
        image = _resized(blurred(image, _between(stage.blur, draw)), size)
        noise = torch.randn(image.shape, generator=draw) * _between(stage.noise, draw) / 255
        image = compressed((image + noise).clamp(0, 1), round(_between(stage.quality, draw)))
    return image


def blurred(image: Tensor, deviation: float) -> Tensor:
    """(C, H, W) -> the same size, convolved with a Gaussian."""
    reach = max(1, min(round(3 * deviation), *(side - 1 for side in image.shape[1:])))
    places = torch.arange(-reach, reach + 1, dtype=image.dtype)
    window = torch.exp(-places.square() / (2 * deviation**2))
    window = (window / window.sum()).view(1, 1, 1, -1)
    rows = pad(image[:, None], (reach, reach, reach, reach), mode="replicate")
    return conv2d(conv2d(rows, window), window.transpose(2, 3))[:, 0]


def compressed(image: Tensor, quality: int) -> Tensor:
    """(1 or 3, H, W) after JPEG with 8 bits."""
    values = (image * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(values[..., 0] if values.shape[2] == 1 else values).save(file, "JPEG", quality=quality)
    with Image.open(file) as found:
        back = np.asarray(found, dtype=np.float32)
    return torch.from_numpy(back.reshape(values.shape).copy()).permute(2, 0, 1) / 255


def check_channels(name: str, channels: int) -> None:
    """UserError where images cannot be compressed as JPEG."""
    if DEGRADATIONS[name].random and channels not in (1, 3):
        raise UserError(
            f"data.degradation = {name!r} compresses images as JPEG, which needs 1 or 3 channels; these have {channels}."
        )


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    made = interpolate(image[None], size, mode="bicubic", antialias=True, align_corners=False)[0]
    return made.clamp(0, 1)


def _between(limits: tuple[float, float], draw: torch.Generator) -> float:
    least, most = limits
    return least + (most - least) * float(torch.rand((), generator=draw))
