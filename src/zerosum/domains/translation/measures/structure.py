"""Whether a translation keeps the structure of its input: the similarity of edges; and, for pairs, the error against
the true target.

Legend: N rows, C, D channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from zerosum.domains.translation.degradations import blurred
from zerosum.domains.translation.measures.context import TranslationEvaluation
from zerosum.domains.translation.sides import scale_of
from zerosum.errors import UserError
from zerosum.metrics.feature_networks import psnr
from zerosum.metrics.record import Record

WINDOW, DEVIATION = 11, 1.5
K1, K2 = 0.01, 0.03
SHARPENING, SHARPENING_RADIUS = 1.2, 2.0
EDGE_QUANTILE = 0.99
"""Edge strengths are divided by, and clamped to, this quantile of the image, so that a single bright spot does not
dominate."""


def ssim(a: Tensor, b: Tensor, span: float = 2.0) -> Tensor:
    """(N,) structural similarity of pairs of images (N, C, H, W): 1 for equal images.

    Gaussian window of 11x11 with deviation 1.5, K1 = 0.01, K2 = 0.03, population covariance, windows that lie within
    the image only, mean over places and channels (Wang et al. 2004). span: range of the values, 2 for [-1, 1]. If the
    shorter side is below 11, the window has the largest odd size that fits.
    """
    if a.shape != b.shape or a.dim() != 4:
        raise UserError(f"ssim: images of shape {tuple(a.shape)} and {tuple(b.shape)}; give two of one (N, C, H, W)")
    a, b = a.float(), b.float()
    mean_a, mean_b = _windowed_mean(a), _windowed_mean(b)
    var_a, var_b = _windowed_mean(a * a) - mean_a**2, _windowed_mean(b * b) - mean_b**2
    covariance = _windowed_mean(a * b) - mean_a * mean_b
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    shape = (2 * covariance + c2) / (var_a + var_b + c2)
    return (light * shape).flatten(1).mean(1)


def edges(images: Tensor) -> Tensor:
    """(N, 1, H, W) strength of the edges of images (N, C, H, W), in [0, 1] for each image.

    The norm of the Sobel gradient over all channels, which is defined for photographs and one-hot label maps alike,
    divided by its 99 % quantile, so that it does not depend on brightness and contrast of the image.
    """
    channels = images.shape[1]
    sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]).to(images) / 8
    kernel = torch.stack([sobel, sobel.T])[:, None].repeat(channels, 1, 1, 1)
    slopes = conv2d(pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=channels)
    strength = slopes.square().sum(1, keepdim=True).sqrt()
    flat = strength.flatten(1)
    strongest = flat.kthvalue(max(1, round(EDGE_QUANTILE * flat.shape[1])), 1).values.view(-1, 1, 1, 1)
    # If the quantile is 0 (a map with few borders), the greatest strength is used.
    strongest = torch.where(strongest > 0, strongest, strength.amax((1, 2, 3), keepdim=True)).clamp_min(1e-12)
    return (strength / strongest).clamp_max(1)


def edge_ssim(a: Tensor, b: Tensor) -> Tensor:
    """(N,) structural similarity of the edges of two images, (N, C, H, W) and (N, D, H, W)."""
    return ssim(edges(a), edges(b), 1.0)


def _windowed_mean(images: Tensor) -> Tensor:
    """Weighted means under the window, at all positions where it fits."""
    channels, shorter = images.shape[1], min(images.shape[2:])
    side = min(WINDOW, shorter - 1 + shorter % 2)
    places = torch.arange(side, dtype=images.dtype, device=images.device) - side // 2
    window = torch.exp(-(places**2) / (2 * DEVIATION**2))
    window = (window / window.sum()).repeat(channels, 1)
    along = conv2d(images, window[:, None, None], groups=channels)
    return conv2d(along, window[:, None, :, None], groups=channels)


EDGES = "Similarity of the edges of input and translation: 1 if every edge keeps its position."
PSNR = "Peak signal-to-noise ratio against the true target, in decibels; it favours blur where several targets are possible."
SSIM = "Structural similarity to the true target; 1 for equal images."
AGREEMENT = "Share of the pixels whose class is that of the true label map."
COLOUR_NAMES = {1: "grey", 3: "rgb"}
PSNR_Y = "The same of the brightness alone, without a border, as the literature on super-resolution reports it."
GRADIENTS = (
    "Mean square of the differences between neighbouring pixels, over that of all targets; below 1 is too smooth."
)
SHIFT = (
    "Largest difference between the mean colours of output and target, in levels of 0 to 255, averaged over the images."
)
SSIM_PROTOCOL = f"Gaussian window of {WINDOW}x{WINDOW}, deviation {DEVIATION}, within the image"


def records(evaluation: TranslationEvaluation) -> list[Record]:
    """Similarity of edges; for pairs also PSNR and SSIM of images, or the agreement of label maps."""
    return [_edges(evaluation), *_truth(evaluation)]


def _edges(evaluation: TranslationEvaluation) -> Record:
    reals = evaluation.reals
    real = edge_ssim(reals.inputs, reals.targets) if evaluation.paired else None
    return evaluation.mean(
        "edges_kept[ssim",
        edge_ssim(reals.inputs, evaluation.fakes),
        "higher",
        EDGES,
        real,
        edges="length of the Sobel gradient over all channels, over its 99 % quantile in each image",
        ssim=SSIM_PROTOCOL,
    )


def _truth(evaluation: TranslationEvaluation) -> list[Record]:
    if not evaluation.paired:
        return []
    target = evaluation.sides[1]
    if target.kind == "labels":
        correct = (evaluation.fakes.argmax(1) == evaluation.reals.targets.argmax(1)).float().mean((1, 2))
        return [evaluation.mean(f"label_agreement[classes={target.channels}", correct, "higher", AGREEMENT)]
    colours = COLOUR_NAMES.get(target.channels, f"{target.channels}-channels")
    true = evaluation.reals.targets
    if scale_of(str(evaluation.info.payload["make"])) > 1:
        return [*_pixels(evaluation, colours, true), *_super_resolution(evaluation, true)]
    return _pixels(evaluation, colours, true)


def _pixels(evaluation: TranslationEvaluation, colours: str, true: Tensor) -> list[Record]:
    average = "of the decibels of each image"
    return [
        evaluation.mean(f"psnr[{colours}", psnr(evaluation.fakes, true), "higher", PSNR, peak=2, crop=0, mean=average),
        evaluation.mean(
            f"ssim[{colours}", ssim(evaluation.fakes, true), "higher", SSIM, ssim=SSIM_PROTOCOL, crop=0, span=2
        ),
    ]


def brightness(images: Tensor) -> Tensor:
    """(N, C, H, W) in [-1, 1] -> (N, 1, H, W): Y of BT.601 in [16, 235] / 255 of three channels, as Matlab's rgb2ycbcr; the mean
    of others."""
    unit = (images.float().clamp(-1, 1) + 1) / 2
    if images.shape[1] != 3:
        return unit.mean(1, keepdim=True)
    weights = unit.new_tensor((65.481, 128.553, 24.966))[:, None, None]
    return ((unit * weights).sum(1, keepdim=True) + 16) / 255


def psnr_y(a: Tensor, b: Tensor, crop: int) -> Tensor:
    """(N,) peak signal-to-noise ratio in dB of the brightness of images (N, C, H, W), peak 1, without `crop` pixels at each
    border."""
    parts = [
        brightness(images)[:, :, crop : images.shape[2] - crop, crop : images.shape[3] - crop] for images in (a, b)
    ]
    return psnr(*(2 * part for part in parts))


def gradient_energy(images: Tensor) -> Tensor:
    """(N,) mean square of the differences between neighbouring pixels of (N, C, H, W)."""
    down, right = images.diff(dim=2), images.diff(dim=3)
    return down.square().flatten(1).mean(1) + right.square().flatten(1).mean(1)


def colour_shift(a: Tensor, b: Tensor) -> Tensor:
    """(N,) the largest difference over channels between the means of images (N, C, H, W) in [-1, 1], in levels of 0 to 255."""
    return (a.float().flatten(2).mean(2) - b.float().flatten(2).mean(2)).abs().amax(1) * 127.5


def sharpened(images: Tensor) -> Tensor:
    """(N, C, H, W) in [-1, 1] after an unsharp mask: SHARPENING times the difference from the image that is blurred by a Gaussian
    of SHARPENING_RADIUS pixels is added."""
    soft = torch.stack([blurred(image, SHARPENING_RADIUS) for image in images])
    return (images + SHARPENING * (images - soft)).clamp(-1, 1)


def _super_resolution(evaluation: TranslationEvaluation, true: Tensor) -> list[Record]:
    """Brightness, gradients and mean colours; the controls are the input, enlarged by bicubic interpolation, and the same after
    an unsharp mask."""
    crop, bicubic = scale_of(str(evaluation.info.payload["make"])), evaluation.reals.inputs
    # Over the mean of all targets: a quotient for each image would be ruled by targets that are nearly flat, such as a sky.
    energy = gradient_energy(true).mean().clamp_min(1e-9)
    made: tuple[tuple[str, Callable[[Tensor], Tensor], str, str, dict[str, Any]], ...] = (
        ("psnr_y", lambda x: psnr_y(x, true, crop), "higher", PSNR_Y, {"peak": 1, "crop": crop}),
        ("gradient_energy", lambda x: gradient_energy(x) / energy, "near 1", GRADIENTS, {}),
        ("colour_shift", lambda x: colour_shift(x, true), "lower", SHIFT, {}),
    )
    found = []
    for name, of, better, meaning, more in made:
        record = evaluation.mean(f"{name}[scale={crop}", of(evaluation.fakes), better, meaning, **more)
        controls = {"bicubic interpolation": bicubic, "bicubic interpolation, sharpened": sharpened(bicubic)}
        found.append(record.with_controls({what: float(of(x).double().mean()) for what, x in controls.items()}))
    return found
