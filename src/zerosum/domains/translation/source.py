"""The training and held-out rows of a translation: pairs of images, or inputs and targets that are combined at random.

Legend: N rows of a batch, C channels, H height, W width.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from zerosum.domain import DatasetInfo, OtherCondition, SampleInfo
from zerosum.domains.translation.image_collection import ImageCollection
from zerosum.domains.translation.sides import scale_of
from zerosum.engine.game import Batch
from zerosum.engine.seeds import generator
from zerosum.errors import UserError

VARIANTS, LEAST_ROWS, MOST_ROWS = 16, 4096, 65_536
"""Rows for each image if rows are random (crops, random partners); the least and the greatest number of rows in all."""
NUM_EXAMPLES = 16
CROPS = ((0.5, 0.5), (0.1, 0.2), (0.9, 0.7), (0.3, 0.8), (0.7, 0.1), (0.2, 0.5), (0.8, 0.4), (0.5, 0.9))
"""Top and left, as shares of the free space, of the held-out crops of each large image of super-resolution; in other tasks the
first is used."""


@dataclass(frozen=True)
class Rows:
    """The content of R rows. images: (R, 2) indices into both sides. corners: (R, 2, 2), top and left of each crop as
    shares of the free space. mirrored: (R, 2)."""

    images: Tensor
    corners: Tensor
    mirrored: Tensor


@dataclass(frozen=True)
class TranslationPayload:
    """input, target: a Side as plain values. directions: 2 if the data can be translated both ways, else 1. make: how
    inputs are computed from targets, "" if they are given. num_images: of both sides."""

    input: dict[str, Any]
    target: dict[str, Any]
    paired: bool
    directions: int
    make: str
    num_images: list[int]


@dataclass(frozen=True, eq=False)
class PairSource:
    """Training rows (input, target), and held-out ones.

    size: (H, W) of a row: whole images, or crops of them, at random positions for training and from the middle for
    held-out rows. heldout: the held-out images of both sides, or None. make: how inputs are computed from targets, ""
    if they are given. Corners of training crops are multiples of the scale of super-resolution, so that all crops have the pixels
    of the small image at the same places.
    """

    name: str
    train: tuple[ImageCollection, ImageCollection]
    heldout: tuple[ImageCollection, ImageCollection] | None
    paired: bool
    size: tuple[int, int]
    flip: bool = False
    make: str = ""
    notes: tuple[str, ...] = ()
    device: torch.device = torch.device("cpu")

    def __post_init__(self) -> None:
        for collections in (self.train, self.heldout or ()):
            for collection in collections:
                _check_size(collection, self.size)

    @functools.cached_property
    def rows(self) -> Rows:
        """The content of each training row."""
        return _make_rows(self)

    @property
    def num_rows(self) -> int:
        """The number of training rows: more than images if crops, mirror images or partners are random."""
        return len(self.rows.images)

    @property
    def num_distinct(self) -> int:
        """How many of the first training rows have distinct inputs; all rows if rows are crops."""
        whole = all(collection.sizes == {self.size} for collection in self.train)
        return len(self.train[0]) if whole else self.num_rows

    @property
    def num_heldout(self) -> int:
        """The number of held-out rows: of pairs, or of images of the smaller side; for super-resolution several crops of each."""
        return min(map(len, self.heldout)) * len(self._heldout_crops) if self.heldout else 0

    @property
    def _heldout_crops(self) -> tuple[tuple[float, float], ...]:
        assert self.heldout is not None
        whole = all(collection.sizes == {self.size} for collection in self.heldout)
        return CROPS[:1] if scale_of(self.make) == 1 or whole else CROPS

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the training images and of the options that make rows of them."""
        digest = hashlib.sha256(repr((self.paired, self.size, self.flip, self.make)).encode())
        for collection in self.train:
            digest.update(b"".join(collection.digests()))
        return digest.hexdigest()

    def batch(self, indices: Tensor) -> Batch:
        """Training rows: data (N, C, H, W) of the target side, condition (N, C', H, W) of the input side."""
        selected = indices.cpu()
        rows = Rows(self.rows.images[selected], self.rows.corners[selected], self.rows.mirrored[selected])
        condition, data = (self._crops(side, rows) for side in (0, 1))
        return Batch(data, condition)

    def _crops(self, side: int, rows: Rows) -> Tensor:
        collection = self.train[side]
        pieces = [
            _crop(collection.images[int(image)], self.size, corner, bool(mirrored), scale_of(self.make))
            for image, corner, mirrored in zip(
                rows.images[:, side], rows.corners[:, side].tolist(), rows.mirrored[:, side], strict=True
            )
        ]
        return collection.unit(torch.stack(pieces).to(self.device))

    def heldout_batch(self, indices: Tensor) -> Batch:
        """Held-out rows, as `batch` returns training rows: the middle of each image, then its other crops."""
        assert self.heldout is not None, f"{self.name} has no held-out images"
        num, crops, grid = min(map(len, self.heldout)), self._heldout_crops, scale_of(self.make)
        places = [(int(index) % num, crops[int(index) // num]) for index in indices]
        parts = [
            collection.unit(
                torch.stack([_crop(collection.images[row], self.size, corner, False, grid) for row, corner in places])
            )
            for collection in self.heldout
        ]
        return Batch(parts[1].to(self.device), parts[0].to(self.device))

    def examples(self) -> Batch:
        """At most NUM_EXAMPLES evenly spaced rows: held-out ones if there are any, else training rows."""
        rows = self.num_heldout or self.num_rows
        picked = torch.arange(min(NUM_EXAMPLES, rows)) * rows // min(NUM_EXAMPLES, rows)
        return self.heldout_batch(picked) if self.num_heldout else self.batch(picked)

    def to(self, device: torch.device) -> PairSource:
        """The same source with its batches on another device."""
        return replace(self, device=device)

    def info(self) -> DatasetInfo:
        """The description of the data set; networks, previews and files are made from it without the images."""
        given, target = (collection.side for collection in self.train)
        height, width = self.size
        num_images = [len(collection) for collection in self.train]
        payload = TranslationPayload(
            given.to_dict(), target.to_dict(), self.paired, 1 if self.paired else 2, self.make, num_images
        )
        return DatasetInfo(
            self.name,
            self.num_rows,
            self.num_heldout,
            self.fingerprint,
            SampleInfo({"channels": target.channels, "height": height, "width": width}, target.describe()),
            self.notes,
            OtherCondition(f"the input: {given.describe()}", (given.channels, height, width), examples=True),
            asdict(payload),
        )


def _crop(
    image: Tensor, size: tuple[int, int], corner: tuple[float, ...] | list[float], mirrored: bool, grid: int = 1
) -> Tensor:
    """grid: of which the top and the left of a crop are multiples."""
    space = image.shape[1] - size[0], image.shape[2] - size[1]
    top, left = (
        min(int(share * (space + 1)), space) // grid * grid for share, space in zip(corner, space, strict=True)
    )
    piece = image[:, top : top + size[0], left : left + size[1]]
    return piece.flip(2) if mirrored else piece


def _make_rows(source: PairSource) -> Rows:
    """The table of rows; it depends only on the numbers of images and on the options."""
    a, b = (len(collection) for collection in source.train)
    larger = max(a, b)
    varied = not source.paired or source.flip or any(collection.sizes != {source.size} for collection in source.train)
    variants = min(max(VARIANTS, -(-LEAST_ROWS // larger)), max(1, MOST_ROWS // larger)) if varied else 1
    draw, total = generator(0, "rows of pairs"), larger * variants
    first = torch.arange(total) % larger
    second = first % b  # several inputs may belong to one target
    if not source.paired:
        first = first % a
        second = torch.cat([torch.randperm(larger, generator=draw) % b for _ in range(variants)])
    corners = torch.rand(total, 2, 2, generator=draw)
    mirrored = torch.rand(total, 2, generator=draw) < (0.5 if source.flip else 0.0)
    if source.paired:
        corners[:, 1], mirrored[:, 1] = corners[:, 0], mirrored[:, 0]
    return Rows(torch.stack([first, second], 1), corners, mirrored)


def _check_size(collection: ImageCollection, size: tuple[int, int]) -> None:
    small = next((one for one in sorted(collection.sizes) if one[0] < size[0] or one[1] < size[1]), None)
    if small:
        raise UserError(
            f"data.crop = {size[0]}x{size[1]} (height x width) is larger than an image of {small[0]}x{small[1]}. Use a "
            "smaller data.crop, or data.size to enlarge the images."
        )
