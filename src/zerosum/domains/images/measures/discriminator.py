"""What the run's own discriminator says of training reals, held-out reals and fakes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zerosum.domains.images.features import some
from zerosum.domains.images.measures.context import EvalContext
from zerosum.domains.images.measures.controls import MOST, NOISE, noise
from zerosum.metrics.record import Record, share

Judge = Callable[[Tensor, Tensor | None], Tensor]
"""uint8 images (N, C, H, W) and labels (N,) or None -> the discriminator's logits (N,)."""

TRAINED = "training images"
HELDOUT = "Share of held-out reals the discriminator calls real; far below that of training images it has overfitted."
TRAIN = "Share of training images that the discriminator calls real."
FAKES = "Share of generated images that the discriminator calls fake; near 1 it overpowers the generator."


def records(at: EvalContext, judge: Judge, num: int) -> list[Record]:
    """How often it is right, of at most `num` images of each kind."""
    details = {
        **at.common,
        "extractor": "discriminator",
        "extractor_sha256": None,
        "error": "standard error of a share",
    }
    train, held = at.source.train, at.source.heldout
    on_train = share(_scores(judge, *some(train, num, at.seed)) > 0)
    pixels, own = some(train, min(num, MOST), at.seed)
    as_real = {NOISE: share(_scores(judge, noise(pixels, at.seed)[NOISE], own) > 0).value}
    trained = min(num, len(train.pixels))
    found = []
    if held is not None and len(held.pixels) > 0:
        seen = _scores(judge, *some(held, num, at.seed)) > 0
        about = details | {"num_real": len(seen), "split": "held-out", "controls": as_real}
        name = f"discriminator_heldout[n={len(seen)}]"
        right, error = share(seen)
        found.append(Record(name, right, about, "near reference", HELDOUT, on_train.value, error))
    else:
        about = details | {"num_real": trained, "controls": as_real}
        name = f"discriminator_train[n={trained}]"
        found.append(Record(name, on_train.value, about, "near 0.5", TRAIN, None, on_train.error))
        at.notes.append("The discriminator was judged on training images only; no images are held out.")
    fakes, labels = at.fakes[:num], None if at.labels is None else at.labels[:num]
    caught, error = share(_scores(judge, fakes, labels) <= 0)
    about = details | {"num_fake": len(fakes), "controls": {TRAINED: 1 - on_train.value}}
    found.append(Record(f"discriminator_fakes[n={len(fakes)}]", caught, about, "near 0.5", FAKES, None, error))
    return found


@torch.no_grad()
def _scores(judge: Judge, images: Tensor, labels: Tensor | None, batch_size: int = 250) -> Tensor:
    """The judge's logits (N,), in batches."""
    parts = [
        judge(images[rows : rows + batch_size], None if labels is None else labels[rows : rows + batch_size])
        for rows in range(0, len(images), batch_size)
    ]
    return torch.cat([part.detach().cpu().flatten() for part in parts])
