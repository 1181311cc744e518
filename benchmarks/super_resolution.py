"""Super-resolution of a run on benchmark images, beside interpolations: PSNR of the brightness, gradients, colour shift, patches.

    python benchmarks/super_resolution.py RUN FOLDER [FOLDER ...] [--degradation photo] [--weights SQUEEZENET.npz]

Each folder holds images; their sides are cut to multiples of the scale. The small image is made by bicubic interpolation with
antialiasing, or by another degradation (docs/upscale.md), and rounded to 8 bits. The brightness is Y of BT.601 as in Matlab's
rgb2ycbcr, rounded outputs, borders of `scale` pixels left out; the mean is over the decibels of the images. Grey images are
repeated in three channels.

Patches: the distance of patches of 7 x 7 at the finest level (docs/metrics.md), of the centres of the images. With --weights a
distance in the features of SqueezeNet 1.1 is added: that of LPIPS (Zhang et al. 2018, arXiv:1801.03924) with all linear weights
equal, so its values cannot be compared with those of calibrated LPIPS.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from zerosum.data.images.files import SUFFIXES
from zerosum.domains.translation.degradations import DEGRADATIONS, reduced
from zerosum.domains.translation.derived_inputs import enlarged
from zerosum.domains.translation.measures.structure import colour_shift, gradient_energy, psnr_y
from zerosum.generation.sampler import load
from zerosum.metrics.patches import patch_distances

SHARPEN = (2.0, 120, 0)
"""Radius, percent and threshold of the unsharp mask."""
MEANS = (103.939, 116.779, 123.68)
"""Of blue, green and red, which the Caffe networks subtract."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--degradation", choices=DEGRADATIONS, default="bicubic")
    parser.add_argument(
        "--weights", type=Path, help="an .npz file with the convolutions of SqueezeNet 1.1 for BGR images"
    )
    given = parser.parse_args()
    run, _, _ = load(given.run)
    weights = dict(np.load(given.weights)) if given.weights else None
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
    columns = [
        "images",
        "method",
        "PSNR-Y",
        "gradient energy",
        "colour shift",
        "patches",
        *(["perceptual"] if weights else []),
    ]
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for folder in given.folders:
        images = [read(path, scale) for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
        for name, method in methods.items():
            made = []
            for seed, image in enumerate(images):
                small = reduced(image, scale, given.degradation, torch.Generator().manual_seed(seed))
                made.append(method((small * 255).round() / 255).clamp(0, 1).mul(255).round() / 255)
            found = scores(made, images, scale, weights)
            numbers = [f"{value:.{digits}f}" for value, digits in zip(found, (2, 2, 2, 0, 4), strict=False)]
            print(f"| {folder.name} ({len(images)}) | {name} | {' | '.join(numbers)} |", flush=True)


def read(path: Path, scale: int) -> Tensor:
    """(3, H, W) in [0, 1]."""
    image = torch.from_numpy(np.asarray(Image.open(path).convert("RGB")).copy()).permute(2, 0, 1).float() / 255
    return image[:, : image.shape[1] // scale * scale, : image.shape[2] // scale * scale]


def scores(
    made: list[Tensor], true: list[Tensor], scale: int, weights: Mapping[str, np.ndarray] | None
) -> tuple[float, ...]:
    """PSNR-Y in decibels, gradient energy over that of the images, colour shift in levels, patch distance, and with weights the
    perceptual distance; means over the images but for the patches."""
    found = []
    for one, two in zip(made, true, strict=True):
        a, b = one[None] * 2 - 1, two[None] * 2 - 1
        own = [psnr_y(a, b, scale), gradient_energy(a) / gradient_energy(b), colour_shift(a, b)]
        found.append([float(value) for value in own])
        if weights:
            found[-1].append(perceptual(one, two, weights))
    mean = torch.tensor(found, dtype=torch.float64).mean(0).tolist()
    side = min(min(image.shape[1:]) for image in true)
    centres = [torch.stack([centre(image, side) for image in images]) * 2 - 1 for images in (true, made)]
    return (*mean[:3], patch_distances(*centres)["1"], *mean[3:])


def centre(image: Tensor, side: int) -> Tensor:
    """The middle (3, side, side) of an image."""
    top, left = ((length - side) // 2 for length in image.shape[1:])
    return image[:, top : top + side, left : left + side]


@torch.no_grad()
def perceptual(a: Tensor, b: Tensor, weights: Mapping[str, np.ndarray]) -> float:
    """The distance of two images (3, H, W) in [0, 1]: at the end of each block of equal resolution the squared difference of the
    features, divided by their length at each place, summed over channels, averaged over places."""
    total = 0.0
    for one, two in zip(features(a, weights), features(b, weights), strict=True):
        one, two = (x / x.norm(dim=1, keepdim=True).clamp_min(1e-10) for x in (one, two))
        total += float((one - two).square().sum(1).mean())
    return total


def features(image: Tensor, weights: Mapping[str, np.ndarray]) -> list[Tensor]:
    """Of SqueezeNet 1.1 (Iandola et al. 2016, arXiv:1602.07360): after the first layer and after fire modules 3, 5, 7, 9."""

    def layer(x: Tensor, name: str, **how: int) -> Tensor:
        weight, bias = (torch.from_numpy(weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return conv2d(x, weight, bias, **how).relu()

    x = image.flip(0)[None] * 255 - torch.tensor(MEANS)[:, None, None]
    x = layer(x, "conv1", stride=2)
    found = [x]
    for number in range(2, 10):
        if number in (2, 4, 6):
            x = max_pool2d(x, 3, 2)
        squeezed = layer(x, f"fire{number}.squeeze1x1")
        wide = layer(squeezed, f"fire{number}.expand3x3", padding=1)
        x = torch.cat([layer(squeezed, f"fire{number}.expand1x1"), wide], 1)
        if number in (3, 5, 7, 9):
            found.append(x)
    return found


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
