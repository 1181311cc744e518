"""The two sides of a translation, and the conversion of their values between files, tensors and displayed images.

Legend: N rows, C channels of a tensor, H height, W width. Data (the target, B) and condition (the input, A) of a batch
are (N, C, H, W) float32 in [-1, 1]; a label map is one-hot, 0 or 1, one channel a class.

The payload of a DatasetInfo holds `input` and `target` (a Side as plain values), `paired`, and `directions`: 2 if the data
can be translated in both directions. A generator that translates in both directions has `reverse(noise, target)` in
addition to `forward(noise, input)`. Both take `origin` (top, left) by keyword: the position of the given tile in a larger image,
which selects the noise of that position. Generators have the attributes `multiple`, of which origins of tiles should be
multiples, and `reach`: the number of pixels around a position on which its value depends; None if a normalisation depends
on the whole image.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zerosum.domain import DatasetInfo
from zerosum.errors import UserError

Values = npt.NDArray[Any]
"""(H, W, C) uint8 or uint16, as in a file."""

Code = tuple[int, ...]
"""The value of a class in files: (value,) of a palette or integer map, or (red, green, blue)."""


@dataclass(frozen=True)
class Side:
    """One side of a translation.

    channels: of its tensors; for labels the number of classes. kind: "image" or "labels" (one-hot). classes: for labels
    the code of each class in files, in the order of the channels. bits: 8 or 16, of image values in files.
    """

    channels: int
    kind: Literal["image", "labels"] = "image"
    classes: tuple[Code, ...] = ()
    bits: int = 8

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the payload."""
        return asdict(self) | {"classes": [list(code) for code in self.classes]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Side:
        """The inverse of `to_dict`."""
        codes = tuple(tuple(int(value) for value in code) for code in plain["classes"])
        return cls(int(plain["channels"]), plain["kind"], codes, int(plain["bits"]))

    def describe(self) -> str:
        """A short description."""
        if self.kind == "labels":
            return f"labels of {self.channels} classes"
        colour = {1: "grey", 3: "colour"}.get(self.channels, f"{self.channels} channels")
        return colour if self.bits == 8 else f"{colour}, {self.bits} bits"


def sides(info: DatasetInfo) -> tuple[Side, Side]:
    """Input and target."""
    return Side.from_dict(info.payload["input"]), Side.from_dict(info.payload["target"])


def size_of(info: DatasetInfo) -> tuple[int, int]:
    """(H, W) of the training rows."""
    return info.sample.axes["height"], info.sample.axes["width"]


def to_unit(values: Values, side: Side) -> Tensor:
    """(H, W, C) of a file -> (C, H, W) float32: -1 for 0 and 1 for the largest value of `bits`; one-hot for labels.

    UserError for a code that belongs to no class.
    """
    if side.kind == "labels":
        return one_hot(torch.from_numpy(class_numbers(values, side)), side.channels)
    top = 2**side.bits - 1
    rows = torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)
    return rows.mul(2 / top).sub(1).contiguous()


def from_unit(rows: Tensor, side: Side) -> Values:
    """(C, H, W) -> (H, W, C) for a file, the inverse of `to_unit`: clamped and rounded; for labels the codes of the
    classes with the largest values."""
    rows = rows.detach().float().cpu()
    if side.kind == "labels":
        codes = np.array(side.classes)
        chosen: Values = codes[rows.argmax(0).numpy()].astype(np.uint8 if codes.max() < 256 else np.uint16)
        return chosen
    top = 2**side.bits - 1
    whole = rows.clamp(-1, 1).add(1).mul(top / 2).round().permute(1, 2, 0).numpy()
    values: Values = whole.astype(np.uint8 if side.bits == 8 else np.uint16)
    return values


def class_numbers(values: Values, side: Side) -> npt.NDArray[np.int64]:
    """(H, W, 1 or 3) codes -> (H, W) class numbers; UserError names a code that belongs to no class."""
    known, found = _keys(np.array(side.classes)), _keys(values)
    order = np.argsort(known)
    place = np.searchsorted(known[order], found).clip(max=len(known) - 1)
    numbers: npt.NDArray[np.int64] = order[place].astype(np.int64)
    unknown = known[numbers] != found
    if unknown.any():
        code = tuple(int(value) for value in values[unknown][0])
        raise UserError(
            f"a label map holds the value {code if len(code) > 1 else code[0]}, which is not one of the "
            f"{len(known)} classes of the training data."
        )
    return numbers


def codes_of(values: Values) -> set[Code]:
    """The distinct codes of a label map."""
    distinct = np.unique(values.reshape(-1, values.shape[-1]), axis=0)
    return {tuple(int(value) for value in code) for code in distinct}


def one_hot(numbers: Tensor, classes: int) -> Tensor:
    """(..., H, W) class numbers -> (..., K, H, W) float32."""
    return torch.nn.functional.one_hot(numbers.long(), classes).movedim(-1, -3).float().contiguous()


def class_colours(side: Side) -> Tensor:
    """(K, 3) float32 in [-1, 1]: the colour in which each class is displayed: the RGB code itself, else evenly spaced
    hues."""
    if all(len(code) == 3 for code in side.classes) and side.classes:
        return torch.tensor(side.classes).float() / 127.5 - 1
    # Steps of the golden ratio keep the hues of consecutive classes apart; class 0, mostly background, is nearly black.
    hues = [colorsys.hsv_to_rgb(0.618034 * k % 1, 0.65, 0.95 - 0.25 * (k % 3)) for k in range(side.channels)]
    return torch.tensor([(0.12, 0.12, 0.12), *hues[1:]]) * 2 - 1


def to_displayable(rows: Tensor, side: Side) -> Tensor:
    """(N, C, H, W) of a side -> (N, 1 or 3, H, W) in [-1, 1] for display: labels in colours; of images with neither 1
    nor 3 channels, the first channel."""
    if side.kind == "labels":
        palette = class_colours(side).to(rows.device)
        return palette[rows.argmax(1)].permute(0, 3, 1, 2)
    return rows if rows.shape[1] in (1, 3) else rows[:, :1]


def _keys(codes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Encodes each code (the last axis) as one number."""
    wide = codes.astype(np.int64)
    total: npt.NDArray[np.int64] = (wide * 65536 ** np.arange(wide.shape[-1])[::-1]).sum(-1)
    return total


@dataclass(frozen=True)
class TranslationTask:
    """The description from which the networks are built: both sides, whether rows are pairs, and how many times smaller the
    images were of which the inputs were enlarged, 1 for other inputs."""

    input: Side
    target: Side
    paired: bool = True
    scale: int = 1


def task_of(info: DatasetInfo) -> TranslationTask:
    """The task of a data set."""
    return TranslationTask(*sides(info), bool(info.payload["paired"]), scale_of(str(info.payload["make"])))


SMALL = "small"
"""The beginning of the value of data.make for super-resolution; the scale follows."""
SCALES = (2, 3, 4, 8)


def scale_of(make: str) -> int:
    """The scale in a value of data.make, 1 for other ones."""
    return int(make.removeprefix(SMALL)) if make.startswith(SMALL) else 1
