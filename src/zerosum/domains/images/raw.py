"""What every reader of images hands over, before it becomes tensors: uint8 arrays, labels, sentences for the user."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zerosum.errors import UserError

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

MAX_BYTES = 4 * 2**30
"""Largest set of decoded pixels that is kept in memory, in bytes."""


@dataclass(frozen=True)
class Shape:
    """Shape of one image: channels is 1 or 3, height and width in pixels; num_classes 0 means unlabelled."""

    channels: int
    height: int
    width: int
    num_classes: int = 0


@dataclass(frozen=True)
class Part:
    """pixels: (N, C, H, W) uint8. labels: (N,) int64, or None."""

    pixels: Pixels
    labels: Labels | None = None


@dataclass(frozen=True)
class Raw:
    """A source as read. heldout is None where the source has no split of its own; notes are one sentence each.

    published: the rows stand in the order in which a well-known data set was published. validation: see `split`.
    """

    name: str
    train: Part
    heldout: Part | None = None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    published: bool = False
    validation: Part | None = None


@dataclass(frozen=True)
class Wanted:
    """What the user asked of a source; None leaves the choice to the data. size is (height, width) in pixels."""

    size: tuple[int, int] | None = None
    channels: int | None = None
    max_images: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            given = "x".join(str(side) for side in self.size)
            raise UserError(f"size = {given}: height and width must be positive numbers of pixels, such as 64x64.")
        if self.channels not in (None, 1, 3):
            raise UserError(f"channels = {self.channels}: choose 1 (grey) or 3 (RGB), or leave it out.")
        if self.max_images is not None and self.max_images < 2:
            raise UserError(f"max_images = {self.max_images}: a training set needs at least 2 images.")

    def rows(self, num_images: int) -> npt.NDArray[np.int64]:
        """Indices to use of num_images: all, or the first max_images of one fixed permutation, in ascending order."""
        if self.max_images is None or self.max_images >= num_images:
            return np.arange(num_images)
        return np.sort(np.random.default_rng(0).permutation(num_images)[: self.max_images])

    def told(self, num_images: int) -> tuple[str, ...]:
        """The note that belongs to `rows`."""
        if self.max_images is None or self.max_images >= num_images:
            return ()
        return (f"{self.max_images} of {num_images} images are used (max_images), chosen at random with a fixed seed.",)


def check_memory(num_images: int, channels: int, height: int, width: int, where: object) -> None:
    """Raises UserError when the decoded pixels would take more than MAX_BYTES."""
    needed = num_images * channels * height * width
    if needed > MAX_BYTES:
        raise UserError(
            f"{where}: {num_images} images of {height}x{width} with {channels} channel(s) take {needed / 2**30:.1f} GiB, "
            f"more than the {MAX_BYTES / 2**30:.1f} GiB kept in memory. Give a smaller size, or fewer images with max_images."
        )
