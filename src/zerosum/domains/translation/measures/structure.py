"""Whether a translation keeps the structure of its input: the similarity of edges; and, for pairs, the error against
the true target.

Legend: N rows, C, D channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from zerosum.domains.translation.measures.context import TranslationEvaluation
from zerosum.errors import UserError
from zerosum.metrics.feature_networks import psnr
from zerosum.metrics.record import Record

WINDOW, DEVIATION = 11, 1.5
K1, K2 = 0.01, 0.03
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
    average = "of the decibels of each image"
    return [
        evaluation.mean(f"psnr[{colours}", psnr(evaluation.fakes, true), "higher", PSNR, peak=2, crop=0, mean=average),
        evaluation.mean(
            f"ssim[{colours}", ssim(evaluation.fakes, true), "higher", SSIM, ssim=SSIM_PROTOCOL, crop=0, span=2
        ),
    ]
