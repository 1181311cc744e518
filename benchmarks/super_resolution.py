"""Super-resolution of a run on benchmark images, beside interpolations: PSNR of the brightness, gradients, colour shift.

    python benchmarks/super_resolution.py RUN FOLDER [FOLDER ...]

Each folder holds images; their sides are cut to multiples of the scale. The small image is made by bicubic interpolation with
antialiasing and rounded to 8 bits. The brightness is Y of BT.601 as in Matlab's rgb2ycbcr, rounded outputs, borders of `scale`
pixels left out; the mean is over the decibels of the images. Grey images are repeated in three channels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.nn.functional import interpolate

from zerosum.data.images.files import SUFFIXES
from zerosum.domains.translation.derived_inputs import enlarged
from zerosum.domains.translation.measures.structure import colour_shift, gradient_energy, psnr_y
from zerosum.generation.sampler import load

SHARPEN = (2.0, 120, 0)
"""Radius, percent and threshold of the unsharp mask."""


def main() -> None:
    (run, _, _), folders = load(Path(sys.argv[1])), [Path(name) for name in sys.argv[2:]]
    network: Any = run.network
    scale = int(network.multiple)
    noise = run.noise(1, 0)
    methods: dict[str, Callable[[Tensor], Tensor]] = {
        "bicubic": lambda small: enlarged(small, scale),
        "lanczos": lambda small: by_pillow(small, scale, False),
        "lanczos, sharpened": lambda small: by_pillow(small, scale, True),
    }
    for strength in (0.0, 0.5, 1.0):
        methods[f"run, strength {strength:g}"] = upscaled(network.with_strength(strength).eval(), noise, scale)
    print("| images | method | PSNR-Y | gradient energy | colour shift |\n| --- | --- | --- | --- | --- |")
    for folder in folders:
        images = [read(path, scale) for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
        for name, method in methods.items():
            found = (
                torch.tensor([scores(image, method, scale) for image in images], dtype=torch.float64).mean(0).tolist()
            )
            print(
                f"| {folder.name} ({len(images)}) | {name} | {found[0]:.2f} | {found[1]:.2f} | {found[2]:.2f} |",
                flush=True,
            )


def read(path: Path, scale: int) -> Tensor:
    """(3, H, W) in [0, 1]."""
    image = torch.from_numpy(np.asarray(Image.open(path).convert("RGB")).copy()).permute(2, 0, 1).float() / 255
    return image[:, : image.shape[1] // scale * scale, : image.shape[2] // scale * scale]


def scores(image: Tensor, method: Callable[[Tensor], Tensor], scale: int) -> tuple[float, float, float]:
    """PSNR-Y in decibels, gradient energy over that of the image, colour shift in levels."""
    size = image.shape[1] // scale, image.shape[2] // scale
    small = interpolate(image[None], size, mode="bicubic", antialias=True, align_corners=False)[0]
    small = (small.clamp(0, 1) * 255).round() / 255
    made = (method(small).clamp(0, 1) * 255).round() / 127.5 - 1
    true = image * 2 - 1
    energy = gradient_energy(made[None]) / gradient_energy(true[None])
    return float(psnr_y(made[None], true[None], scale)), float(energy), float(colour_shift(made[None], true[None]))


def by_pillow(small: Tensor, scale: int, sharpen: bool) -> Tensor:
    """Lanczos interpolation, with an unsharp mask where `sharpen`."""
    picture = Image.fromarray((small * 255).round().byte().permute(1, 2, 0).numpy())
    large = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.LANCZOS)
    large = large.filter(ImageFilter.UnsharpMask(*SHARPEN)) if sharpen else large
    return torch.from_numpy(np.asarray(large).copy()).permute(2, 0, 1).float() / 255


def upscaled(network: torch.nn.Module, noise: Tensor, scale: int) -> Callable[[Tensor], Tensor]:
    """The generator as a function of small images."""

    @torch.no_grad()
    def method(small: Tensor) -> Tensor:
        given = enlarged(small, scale).clamp(0, 1) * 2 - 1
        found: Tensor = (network(noise, given[None])[0] + 1) / 2
        return found

    return method


if __name__ == "__main__":
    main()
