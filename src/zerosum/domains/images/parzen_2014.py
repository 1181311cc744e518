"""The Parzen-window score of the 2014 paper, and the same score of centres that no model generated.

Cluster centres of the training images score far above real images, and copies of training images as high as any honest
model could: the score rewards blur and memory. Theis, van den Oord and Bethge 2016, arXiv:1511.01844.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics.neighbours import sample_rows
from zerosum.metrics.parzen import WIDTHS, ParzenScore, parzen
from zerosum.metrics.record import Record

if TYPE_CHECKING:
    from zerosum.domains.images.data import Images, ImageSource

NUM_CENTRES = 10_000
NUM_CHOOSE = 1_000
"""Validation images on which the width is chosen."""
NUM_CLUSTERS = 1_000
ROWS_A_CLUSTER = 10
"""Of fewer training images a cluster would be little else than a copy."""

MODEL, CLUSTERS, COPIES, REAL = (f"historic/parzen{part}" for part in ("", "/k-means", "/copies", "/real"))
_WARNING = "Historic: says little of quality, for blur and copies score high (Theis et al. 2016). Never rank by it."
MEANINGS = {
    MODEL: f"Mean log-density (nats) of test images under normals at generated ones. {_WARNING}",
    CLUSTERS: "The same score of a few cluster centres of the training images, which are no model at all.",
    COPIES: "The same score of copies of training images: memorised images, nothing generalised.",
    REAL: "The same score of unseen real images: no samples are better, so what scores more shows the flaw.",
}


def records(source: ImageSource, fakes: Tensor, seed: int) -> list[Record]:
    """The score of `fakes` (N, C, H, W) in [0, 1], then of cluster centres, copies and unseen reals.

    Raises UserError when the source has too few images that were not trained on.
    """
    choose, test, protocol = _parts(source, seed)
    common = _common(source, protocol, seed)
    rows = [
        (MODEL, fakes.flatten(1), choose, {"centres": "generated images, not rounded to 8 bits"}),
        (
            CLUSTERS,
            _clusters(source, seed),
            choose,
            {"centres": f"k-means of all {len(source.train):,} training images"},
        ),
        (
            COPIES,
            _choose_rows(source.train, NUM_CENTRES, seed),
            choose,
            {"centres": "training images, drawn at random"},
        ),
    ]
    if source.validation is not None:  # all of them are centres, so that their width is chosen elsewhere
        centres, known = (
            _choose_rows(source.validation, NUM_CENTRES, seed),
            _choose_rows(source.train, NUM_CHOOSE, seed),
        )
        own = {"centres": "images set apart from training", "validation": f"{len(known):,} training images, at random"}
        rows.append((REAL, centres, known, own))
    scores = {name: parzen(centres, validation, test) for name, centres, validation, _ in rows}
    floor = scores[REAL].mean if REAL in scores else None
    return [_record(name, scores[name], common | own, None if name == REAL else floor) for name, *_, own in rows]


def _parts(source: ImageSource, seed: int) -> tuple[Tensor, Tensor, dict[str, str]]:
    """Images (V, D) to choose the width on, test images (N, D), and what both are.

    Without a validation part (data.validation) the held-out images are shuffled and cut in two.
    """
    held = torch.empty(0, 1) if source.heldout is None else _unit(source.heldout.pixels)
    if len(held) < 2:
        raise UserError(
            "--historic: there are no held-out images to score with; train with data.heldout above 0 and more images."
        )
    if source.validation is not None:
        rows = _choose_rows(source.validation, NUM_CHOOSE, seed)
        protocol = {
            "validation": f"{len(rows):,} images set apart from training, at random",
            "test": "all held-out images",
        }
        return rows, held, protocol
    held = held[torch.randperm(len(held), generator=torch.Generator().manual_seed(0))]
    cut = min(NUM_CHOOSE, len(held) // 2)
    protocol = {
        "validation": f"{cut:,} of {len(held):,} held-out images, at random",
        "test": "the other held-out images",
    }
    return held[:cut], held[cut:], protocol


def _clusters(source: ImageSource, seed: int) -> Tensor:
    """(M, D) centres of mini-batch k-means over the training images, from random images on."""
    from sklearn.cluster import MiniBatchKMeans

    num = max(1, min(NUM_CLUSTERS, len(source.train) // ROWS_A_CLUSTER))
    fit = MiniBatchKMeans(num, init="random", n_init=1, batch_size=4096, max_iter=5, random_state=seed)
    return torch.from_numpy(fit.fit(_unit(source.train.pixels).numpy()).cluster_centers_)


def _choose_rows(images: Images, most: int, seed: int) -> Tensor:
    """(M, D) images, at most `most`, drawn at random."""
    return _unit(images.pixels[sample_rows(len(images), most, seed)])


def _unit(pixels: Tensor) -> Tensor:
    """(N, C, H, W) uint8 -> (N, D) float32 in [0, 1] on the CPU."""
    return pixels.cpu().flatten(1).float() / 255


def _common(source: ImageSource, protocol: dict[str, str], seed: int) -> dict[str, Any]:
    return {
        "source": source.name,
        "fingerprint": source.fingerprint,
        "estimator": "Parzen window: equal isotropic normals, log-mean-exp in float64, pixels in [0, 1]",
        **protocol,
        "widths_tried": f"{len(WIDTHS)} in equal ratios from {WIDTHS[0]:g} to {WIDTHS[-1]:g}",
        "seed": seed,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def _record(name: str, score: ParzenScore, common: dict[str, Any], reference: float | None) -> Record:
    details = common | {
        "num_centres": score.num_centres,
        "num_test": score.num_points,
        "width": score.width,
        "validation_means": [round(mean, 2) for mean in score.validation],
        "error": "standard error over the test images",
    }
    title = f"{name}[n={score.num_centres}]"
    return Record(title, score.mean, details, "historic", MEANINGS[name], reference, score.error)
