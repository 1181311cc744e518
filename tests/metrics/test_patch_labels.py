"""The classifier of patches: right where labels can be seen, at chance where they cannot, the same at each training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zerosum.domains.translation.measures.label_accuracy import label_accuracy, subsample_labels, train_patch_classifier
from zerosum.errors import UserError
from zerosum.metrics.feature_networks import weights_sha256


def maps(num: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(3, (num, 4, 4), generator=rng).repeat_interleave(8, 1).repeat_interleave(8, 2)


def painted(labels: Tensor, seed: int) -> Tensor:
    """Each label is a grey level, under noise."""
    rng = torch.Generator().manual_seed(seed)
    return (labels[:, None] - 1).float() * 0.6 + 0.1 * torch.randn(len(labels), 1, 32, 32, generator=rng)


def test_labels_are_seen_where_they_are_and_nowhere_else() -> None:
    model = train_patch_classifier(painted(maps(40, 0), 0), maps(40, 0), 3, steps=80)
    fresh = maps(60, 1)
    assert label_accuracy(model, painted(fresh, 2), fresh) > 0.9
    # Images of other maps: right by chance, a third of the places.
    assert label_accuracy(model, painted(maps(60, 3), 2), fresh) == pytest.approx(1 / 3, abs=0.07)
    again = train_patch_classifier(painted(maps(40, 0), 0), maps(40, 0), 3, steps=80)
    assert weights_sha256(again) == weights_sha256(model)


@pytest.mark.parametrize("side", [16, 17, 18, 19])
def test_verdicts_lie_where_labels_are_asked(side: int) -> None:
    images, labels = torch.zeros(2, 1, side, side), torch.zeros(2, side, side, dtype=torch.long)
    model = train_patch_classifier(images, labels, 2, steps=1)
    assert model(images).shape[2:] == subsample_labels(labels).shape[1:]


def test_a_verdict_hears_the_pixels_around_its_place() -> None:
    """The middle of what verdict (i, j) sees is pixel (4i, 4j), and it sees 16 pixels to each side."""
    image = torch.randn(1, 1, 48, 48, generator=torch.Generator().manual_seed(0)).requires_grad_()
    model = train_patch_classifier(torch.randn(2, 1, 48, 48), torch.zeros(2, 48, 48, dtype=torch.long), 2, steps=1)
    model(image)[0, 0, 5, 6].backward()
    assert image.grad is not None
    rows, columns = image.grad[0, 0].abs().nonzero(as_tuple=True)
    assert (int(rows.min()), int(rows.max())) == (20 - 16, 20 + 16)
    assert (int(columns.min()), int(columns.max())) == (24 - 16, 24 + 16)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="do not fit"):
        train_patch_classifier(torch.zeros(2, 1, 8, 8), torch.zeros(2, 8, 9, dtype=torch.long), 2)
    with pytest.raises(UserError, match=r"0\.\.1"):
        train_patch_classifier(torch.zeros(2, 1, 8, 8), torch.full((2, 8, 8), 2), 2)
