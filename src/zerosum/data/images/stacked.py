"""Stacked MNIST: three digits as the channels of one image, so that every mode of the data can be counted.

Metz, Poole, Pfau and Sohl-Dickstein, "Unrolled generative adversarial networks", 2016, arXiv:1611.02163; with 128,000 stacks
as in Lin, Khetan, Fanti and Oh, "PacGAN", 2018, arXiv:1712.04086.
"""

from __future__ import annotations

import numpy as np

from zerosum.data.images.types import LoadedImages, Part

NUM_TRAIN, NUM_HELDOUT = 128_000, 10_000


def stack(mnist: LoadedImages) -> LoadedImages:
    """Stacks of the training digits, held-out ones of the test digits; drawn with replacement, the same every time.

    They carry no labels: the 1,000 classes are what a generator is to find without being told.
    """
    assert mnist.heldout is not None
    train, heldout = _stacks(mnist.train, NUM_TRAIN, 0), _stacks(mnist.heldout, NUM_HELDOUT, 1)
    return LoadedImages("stacked-mnist", train, heldout, notes=mnist.notes, published=True, measure="stacked")


def triples(num_digits: int, num: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """(num, 3) indices of the digits of each stack: red, green, blue."""
    return np.random.default_rng(seed).integers(0, num_digits, (num, 3))


def _stacks(digits: Part, num: int, seed: int) -> Part:
    return Part(digits.pixels[triples(len(digits.pixels), num, seed), 0])
