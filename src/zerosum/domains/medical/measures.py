"""The measures of medical images, and the controls that each of them must fail.

Legend: N rows (N, 1, *), * spatial sizes (X, Y) or (X, Y, Z), F features.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import (
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    avg_pool2d,
    avg_pool3d,
    grid_sample,
    interpolate,
)

from zerosum.metrics.distances import frechet_distance, wasserstein1_1d
from zerosum.metrics.feature_networks import extract, random_features
from zerosum.metrics.patches import PATCH_SIDE, patch_distances
from zerosum.nn.layers import CONV_FUNCTION, LINEAR

NUM_PATCHES, NUM_DIRECTIONS = 10_000, 128
NUM_PAIRS = 60
NUM_VALUES = 100_000
POOL: dict[int, Callable[..., Tensor]] = {2: avg_pool2d, 3: avg_pool3d}
ADAPTIVE: dict[int, Callable[..., Tensor]] = {2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}


@dataclass(frozen=True)
class Measure:
    """value: rows -> the number. fails: the names of the controls that must score clearly worse than real rows."""

    value: Callable[[Tensor], float]
    better: str
    meaning: str
    fails: tuple[str, ...] = ()
    protocol: Mapping[str, Any] = field(default_factory=dict)


def patch_side(rows: Tensor) -> int:
    """The side of a patch: 7 of images, 5 of volumes."""
    return PATCH_SIDE if rows.dim() == 4 else 5


def table(real: Tensor, window: tuple[float, float], units: str, seed: int) -> Mapping[str, Measure]:
    """The measures against real rows, by name."""
    side, dims = patch_side(real), real.dim() - 2
    found = dict[str, Measure]()
    levels = patch_distances(real[:2], real[:2], 100, 2, seed, side)
    for level in levels:
        found[f"patch_distance_{level}"] = Measure(
            functools.partial(_patches, real, level, seed, side), "lower",
            f"Sliced Wasserstein distance of {dims}-dimensional patches, {LEVELS[level]}.", ("mean with noise" if level == "rest"
            else "noise",), {"patches": f"{NUM_PATCHES} of side {side}", "directions": NUM_DIRECTIONS},
        )  # fmt: skip
    features = functools.partial(random_conv, seed=seed)
    reference = features(real)
    found[f"frechet_random_{dims}d"] = Measure(
        lambda rows: frechet_distance(reference, features(rows)), "lower",
        f"Distance between normal distributions fitted to features of random {dims}-dimensional convolutions.",
        ("noise", "mean with noise"), {"features": "random convolutions, He scaling, means and deviations of 3 levels"},
    )  # fmt: skip
    if dims == 3:
        for axis, name in enumerate(("sagittal", "coronal", "axial")):
            found[f"frechet_{name}"] = Measure(
                functools.partial(_plane_distance, plane_features(real, axis), axis), "lower",
                f"The same distance on {name} slices through the middle, with features of random two-dimensional convolutions.",
                ("noise",),
            )  # fmt: skip
        real_ratio = through_plane(real)
        found["through_plane"] = Measure(
            lambda rows: through_plane(rows) / max(real_ratio, 1e-9), "near 1",
            "Mean step along z over that along x and y, divided by that of real rows; above 1 where slices do not fit together.",
        )  # fmt: skip
    found["pair_similarity"] = Measure(
        lambda rows: pair_similarity(rows, seed), "near the real value",
        "MS-SSIM between pairs of rows: higher than that of real pairs where samples lack variety.",
    )  # fmt: skip
    values = _values(real, window)
    found["histogram"] = Measure(
        lambda rows: wasserstein1_1d(values, _values(rows, window)), "lower",
        f"Distance between the distributions of the values, in {units}.", (),
    )  # fmt: skip
    return found


LEVELS = {"1": "finest detail", "2": "detail twice as large", "rest": "the rest: shading and large shapes"}


def _patches(real: Tensor, level: str, seed: int, side: int, rows: Tensor) -> float:
    return patch_distances(real, rows, NUM_PATCHES, NUM_DIRECTIONS, seed, side)[level]


def _plane_distance(reference: Tensor, axis: int, rows: Tensor) -> float:
    return frechet_distance(reference, plane_features(rows, axis))


def _values(rows: Tensor, window: tuple[float, float]) -> Tensor:
    """Values in units of at most NUM_VALUES voxels, evenly spaced; equally many for the same number of rows."""
    flat = rows.flatten()
    picked = flat[torch.linspace(0, len(flat) - 1, NUM_VALUES).long()] if len(flat) > NUM_VALUES else flat
    return (picked.double() + 1) / 2 * (window[1] - window[0]) + window[0]


@torch.no_grad()
def random_conv(rows: Tensor, seed: int = 0, channels: int = 16) -> Tensor:
    """(N, 1, *) -> (N, F): means over blocks and the deviation of the responses of three levels of fixed random filters."""
    dims, draw = rows.dim() - 2, torch.Generator().manual_seed(seed + 1)
    filters, before = [], 1
    for _ in range(3):
        shape = channels, before, *[3] * dims
        filters.append(torch.randn(shape, generator=draw) * (2 / (before * 3**dims)) ** 0.5)
        before = channels
    parts = []
    for some in torch.split(rows, 32):
        x, found = some, []
        for index, weight in enumerate(filters):
            x = CONV_FUNCTION[dims](x, weight, padding=1).relu()
            found += [x.flatten(2).std(2)]
            if index == 2:
                found.append(ADAPTIVE[dims](x, 2).flatten(1)[:, :: max(1, channels * 2**dims // 32)])
            elif min(x.shape[2:]) >= 8:
                x = POOL[dims](x, 2)
        parts.append(torch.cat(found, 1))
    return torch.cat(parts)


def plane_features(rows: Tensor, axis: int) -> Tensor:
    """(N, 64): features of the slice through the middle, across an axis."""
    slices = rows.select(axis + 2, rows.shape[axis + 2] // 2)
    pixels = ((slices.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return extract(random_features((1, *pixels.shape[2:])), pixels)


def through_plane(rows: Tensor) -> float:
    """The mean absolute step along z over the mean of those along x and y."""
    steps = [float(rows.diff(dim=axis).abs().mean()) for axis in (2, 3, 4)]
    return steps[2] / max((steps[0] + steps[1]) / 2, 1e-9)


def pair_similarity(rows: Tensor, seed: int = 0) -> float:
    """The mean MS-SSIM of NUM_PAIRS random pairs of rows; 1 where all are equal."""
    if len(rows) < 2:
        return 1.0
    draw = torch.Generator().manual_seed(seed)
    first = torch.randint(len(rows), (NUM_PAIRS,), generator=draw)
    second = (first + torch.randint(1, len(rows), (NUM_PAIRS,), generator=draw)) % len(rows)
    return float(ms_ssim(rows[first], rows[second]).mean())


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """(N,): SSIM with uniform windows of side 5 at up to three scales, contrast and structure at each, brightness at the last;
    values lie in [-1, 1] (Wang et al. 2003, with equal weights)."""
    dims, c1, c2 = a.dim() - 2, (0.01 * 2) ** 2, (0.03 * 2) ** 2
    pool, found = POOL[dims], []
    levels = 1 + sum(min(a.shape[2:]) // 2**k >= 10 for k in (1, 2))
    for level in range(levels):
        mean_a, mean_b = pool(a, 5, 1), pool(b, 5, 1)
        va, vb = pool(a * a, 5, 1) - mean_a**2, pool(b * b, 5, 1) - mean_b**2
        together = pool(a * b, 5, 1) - mean_a * mean_b
        value = (2 * together + c2) / (va + vb + c2)
        if level == levels - 1:
            value = value * (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        found.append(value.flatten(1).mean(1).clamp_min(0))
        if level < levels - 1:
            a, b = pool(a, 2), pool(b, 2)
    return torch.stack(found).prod(0) ** (1 / levels)


def shrunk(rows: Tensor) -> Tensor:
    """(N, F): each side a quarter, at least 4: what copies are searched in."""
    dims = rows.dim() - 2
    return ADAPTIVE[dims](rows, [max(4, side // 4) for side in rows.shape[2:]]).flatten(1)


def controls(rows: Tensor, draw: torch.Generator) -> dict[str, Tensor]:
    """Samples of no generator, made of real rows."""
    noise = torch.randn(rows.shape, generator=draw)
    mean, deviation = rows.mean(0, keepdim=True), rows.std(0, keepdim=True)
    made = {
        "noise": (mean + deviation * noise).clamp(-1, 1),
        "mean with noise": (mean + 0.05 * noise).clamp(-1, 1),
        "warps of one row": warped(rows[:1].expand(len(rows), *rows.shape[1:]), draw),
    }
    if rows.dim() == 5:
        order = torch.rand(rows.shape[0], rows.shape[4], generator=draw).argsort(0)
        made["slices of different rows"] = rows.gather(0, order[:, None, None, None, :].expand_as(rows))
    return made


def warped(rows: Tensor, draw: torch.Generator) -> Tensor:
    """Each row deformed smoothly at random, by about 4 % of its size: it looks real, and adds nothing."""
    dims = rows.dim() - 2
    field = torch.randn(len(rows), dims, *[4] * dims, generator=draw) * 0.08
    smooth = interpolate(field, size=rows.shape[2:], mode=LINEAR[dims], align_corners=True).movedim(1, -1)
    axes = [torch.linspace(-1, 1, side) for side in rows.shape[2:]]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)
    return grid_sample(rows, places + smooth, align_corners=True, padding_mode="border")
