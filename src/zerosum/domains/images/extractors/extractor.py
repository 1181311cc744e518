"""What an extractor is: a name with the hash of its weights, and a function from images to features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Extractor:
    """Turns uint8 images (N, C, H, W) into float features (N, D).

    name: stands in the name of every number taken with it. sha256: of its weights. resize: what happens to the images
    first. logits: features -> (N, K) opinions of a classifier, where it is one. standard: whether it is the network of the
    literature, so that its numbers may bear their usual names. batch: images at a time.
    """

    name: str
    sha256: str
    resize: str
    features: Callable[[Tensor], Tensor] = field(repr=False)
    logits: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)
    standard: bool = False
    batch: int = 500

    def probabilities(self, features: Tensor) -> Tensor | None:
        """(N, K) float64 of features, None where it is no classifier."""
        return None if self.logits is None else self.logits(features).double().softmax(1)

    def labels(self, features: Tensor) -> Tensor:
        """(N,) the likeliest class of each; only for classifiers."""
        assert self.logits is not None, f"{self.name} is no classifier"
        return self.logits(features).argmax(1)
