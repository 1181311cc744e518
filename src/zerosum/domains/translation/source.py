"""Two albums as rows of a game: pairs, or two heaps of images whose partners change from row to row.

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
from zerosum.engine.game import Batch
from zerosum.engine.seeds import generator
from zerosum.errors import UserError

VARIANTS, LEAST_ROWS, MOST_ROWS = 16, 4096, 65_536
"""Rows an image has where rows differ by chance (pieces, partners), at least and at most so many rows in all."""
NUM_EXAMPLES = 16


@dataclass(frozen=True)
class Rows:
    """What each row shows: images of both sides (R, 2), corners as shares of the room (R, 2, 2), mirrored or not (R, 2)."""

    images: Tensor
    corners: Tensor
    mirrored: Tensor


@dataclass(frozen=True)
class Payload:
    """input, target: a Side as plain values. directions: 2 where the data could be translated both ways. make: how inputs are
    computed from targets, "" where they are given. num_images: of both sides."""

    input: dict[str, Any]
    target: dict[str, Any]
    paired: bool
    directions: int
    make: str
    num_images: list[int]


@dataclass(frozen=True, eq=False)
class PairSource:
    """Training rows (input, target), and held-out ones.

    size: (H, W) of a row: whole images, or pieces of them, at random places for training and in the middle for the held-out
    ones. heldout: None, or both albums. make: how inputs are computed from targets, "" where they are given.
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
        for albums in (self.train, self.heldout or ()):
            for album in albums:
                _check_room(album, self.size)

    @functools.cached_property
    def rows(self) -> Rows:
        """What each training row shows."""
        return _rows(self)

    @property
    def num_rows(self) -> int:
        """Training rows: more than images where pieces, mirror images or partners vary."""
        return len(self.rows.images)

    @property
    def num_distinct(self) -> int:
        """Training rows, from the first on, that show no input twice; of pieces, all rows."""
        whole = all(album.sizes == {self.size} for album in self.train)
        return len(self.train[0]) if whole else self.num_rows

    @property
    def num_heldout(self) -> int:
        """Held-out rows: pairs, or as many as the smaller side has images."""
        return min(map(len, self.heldout)) if self.heldout else 0

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the training images and of how rows are made of them."""
        digest = hashlib.sha256(repr((self.paired, self.size, self.flip, self.make)).encode())
        for album in self.train:
            digest.update(b"".join(album.digests()))
        return digest.hexdigest()

    def batch(self, indices: Tensor) -> Batch:
        """Training rows: data (N, C, H, W) of the target side, condition (N, C', H, W) of the input side."""
        picked = indices.cpu()
        rows = Rows(self.rows.images[picked], self.rows.corners[picked], self.rows.mirrored[picked])
        condition, data = (self._pieces(side, rows) for side in (0, 1))
        return Batch(data, condition)

    def _pieces(self, side: int, rows: Rows) -> Tensor:
        album = self.train[side]
        pieces = [
            _piece(album.images[int(image)], self.size, corner, bool(mirrored))
            for image, corner, mirrored in zip(
                rows.images[:, side], rows.corners[:, side].tolist(), rows.mirrored[:, side], strict=True
            )
        ]
        return album.unit(torch.stack(pieces).to(self.device))

    def heldout_batch(self, indices: Tensor) -> Batch:
        """Held-out rows, the middle piece of each image, as `batch` gives training rows."""
        assert self.heldout is not None, f"{self.name} has no held-out images"
        parts = [
            album.unit(torch.stack([_piece(album.images[int(i)], self.size, (0.5, 0.5), False) for i in indices]))
            for album in self.heldout
        ]
        return Batch(parts[1].to(self.device), parts[0].to(self.device))

    def examples(self) -> Batch:
        """At most NUM_EXAMPLES rows at even distances: held out where there are any, else of the training rows."""
        rows = self.num_heldout or self.num_rows
        picked = torch.arange(min(NUM_EXAMPLES, rows)) * rows // min(NUM_EXAMPLES, rows)
        return self.heldout_batch(picked) if self.num_heldout else self.batch(picked)

    def to(self, device: torch.device) -> PairSource:
        """The same source with its batches on another device."""
        return replace(self, device=device)

    def info(self) -> DatasetInfo:
        """What networks, pictures and files can be rebuilt from without the images."""
        given, wanted = (album.side for album in self.train)
        height, width = self.size
        num_images = [len(album) for album in self.train]
        payload = Payload(given.plain(), wanted.plain(), self.paired, 1 if self.paired else 2, self.make, num_images)
        return DatasetInfo(
            self.name,
            self.num_rows,
            self.num_heldout,
            self.fingerprint,
            SampleInfo({"channels": wanted.channels, "height": height, "width": width}, wanted.describe()),
            self.notes,
            OtherCondition(f"the input: {given.describe()}", (given.channels, height, width), examples=True),
            asdict(payload),
        )


def _piece(image: Tensor, size: tuple[int, int], corner: tuple[float, ...] | list[float], mirrored: bool) -> Tensor:
    room = image.shape[1] - size[0], image.shape[2] - size[1]
    top, left = (min(int(share * (space + 1)), space) for share, space in zip(corner, room, strict=True))
    piece = image[:, top : top + size[0], left : left + size[1]]
    return piece.flip(2) if mirrored else piece


def _rows(source: PairSource) -> Rows:
    """The table of rows. It depends on nothing but the numbers of images and the options."""
    a, b = (len(album) for album in source.train)
    larger = max(a, b)
    varied = not source.paired or source.flip or any(album.sizes != {source.size} for album in source.train)
    variants = min(max(VARIANTS, -(-LEAST_ROWS // larger)), max(1, MOST_ROWS // larger)) if varied else 1
    draw, total = generator(0, "rows of pairs"), larger * variants
    first = torch.arange(total) % larger
    second = first
    if not source.paired:
        first = first % a
        second = torch.cat([torch.randperm(larger, generator=draw) % b for _ in range(variants)])
    corners = torch.rand(total, 2, 2, generator=draw)
    mirrored = torch.rand(total, 2, generator=draw) < (0.5 if source.flip else 0.0)
    if source.paired:
        corners[:, 1], mirrored[:, 1] = corners[:, 0], mirrored[:, 0]
    return Rows(torch.stack([first, second], 1), corners, mirrored)


def _check_room(album: ImageCollection, size: tuple[int, int]) -> None:
    small = next((one for one in sorted(album.sizes) if one[0] < size[0] or one[1] < size[1]), None)
    if small:
        raise UserError(
            f"data.crop = {size[0]}x{size[1]} (height x width) is larger than an image of {small[0]}x{small[1]}. Use a "
            "smaller data.crop, or data.size to enlarge the images."
        )
