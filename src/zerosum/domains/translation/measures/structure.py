"""Does a translation still show what its input shows? Edges; and where the truth is known, the error itself."""

from __future__ import annotations

from zerosum.domains.translation.measures.context import EvalContext
from zerosum.domains.translation.measures.ssim import DEVIATION, WINDOW, edge_ssim, ssim
from zerosum.metrics.pyramid import psnr
from zerosum.metrics.record import Record

EDGES = "Likeness of the edges of input and translation: 1 keeps every line where it was."
PSNR = "Peak signal-to-noise ratio against the true target, in decibels; it rewards blur where the truth is open."
SSIM = "Structural similarity to the true target, 1 for equality."
AGREEMENT = "Share of the pixels that get the class of the true label map."
NAMES = {1: "grey", 3: "rgb"}
HOW = f"Gaussian window of {WINDOW}x{WINDOW}, deviation {DEVIATION}, within the image"


def records(at: EvalContext) -> list[Record]:
    """Edges kept for all; PSNR and SSIM of pairs of images; agreement of pairs whose target is a label map."""
    return [_edges(at), *_truth(at)]


def _edges(at: EvalContext) -> Record:
    reals = at.reals
    real = edge_ssim(reals.inputs, reals.targets) if at.paired else None
    return at.mean(
        "edges_kept[ssim",
        edge_ssim(reals.inputs, at.fakes),
        "higher",
        EDGES,
        real,
        edges="length of the Sobel gradient over all channels, over its 99 % quantile in each image",
        ssim=HOW,
    )


def _truth(at: EvalContext) -> list[Record]:
    if not at.paired:
        return []
    target = at.sides[1]
    if target.kind == "labels":
        right = (at.fakes.argmax(1) == at.reals.targets.argmax(1)).float().mean((1, 2))
        return [at.mean(f"label_agreement[classes={target.channels}", right, "higher", AGREEMENT)]
    colours = NAMES.get(target.channels, f"{target.channels}-channels")
    true = at.reals.targets
    average = "of the decibels of each image"
    return [
        at.mean(f"psnr[{colours}", psnr(at.fakes, true), "higher", PSNR, peak=2, crop=0, mean=average),
        at.mean(f"ssim[{colours}", ssim(at.fakes, true), "higher", SSIM, ssim=HOW, crop=0, span=2),
    ]
