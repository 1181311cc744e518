"""`random`: a fixed network with random weights, for sources without labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zerosum.domain.eval_options import EvalOptions
from zerosum.domains.images.extractors.extractor import Extractor
from zerosum.domains.images.extractors.own import resize_of
from zerosum.metrics.feature_networks import random_features

if TYPE_CHECKING:
    from zerosum.domains.images.data import ImageSource


def make(source: ImageSource, choice: EvalOptions, cache_dir: Path | None) -> Extractor:
    """The random network for images of the source's shape."""
    shape = source.shape
    network = random_features((shape.channels, shape.height, shape.width))
    return Extractor(network.name, network.sha256, resize_of(shape.height, shape.width), network.features)
