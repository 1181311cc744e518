"""Classical models of images: rows of pixels for those of numbers, rasters of grey levels for the Markov chain."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.domain import Baseline
from zerosum.domains.images.data import ImageSource, in_bytes, to_unit
from zerosum.domains.images.markov import Markov, markov
from zerosum.metrics.baselines import chosen, classical

GREY_LEVELS, COLOUR_LEVELS = 32, 8
"""Levels of a pixel's channel in the Markov chain; three channels make 512 colours."""


@dataclass(frozen=True)
class RowBaseline:
    """A model of flat rows as one of images (C, H, W), clamped to [-1, 1]."""

    model: Baseline
    shape: tuple[int, int, int]

    @property
    def summary(self) -> str:
        """That of the model."""
        return self.model.summary

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, C, H, W) float32 in [-1, 1]."""
        return self.model.sample(num, seed).clamp(-1, 1).reshape(num, *self.shape)


@dataclass(frozen=True)
class RasterBaseline:
    """A chain over the levels of the pixels as one of images. values: (S,) float32 in [-1, 1], what each level stands for."""

    chain: Markov
    values: Tensor
    shape: tuple[int, int, int]

    @property
    def summary(self) -> str:
        """That of the chain."""
        return self.chain.summary

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, C, H, W) float32 in [-1, 1]."""
        channels, height, width = self.shape
        pixels = self.values[self.chain.sample(num, seed)].reshape(num, height, width, channels)
        return pixels.permute(0, 3, 1, 2).contiguous()


def baselines(source: ImageSource) -> dict[str, Callable[[], Baseline]]:
    """Models of the training images, of all or of as many drawn ones as hold 2**24 values. Labels are not used."""
    shape = (source.shape.channels, source.shape.height, source.shape.width)
    pixels = in_bytes(source.train.pixels[chosen(len(source.train), math.prod(shape))].cpu())
    fits = classical(to_unit(pixels).flatten(1), len(source.train))
    of_rows = {name: functools.partial(_of_rows, fit, shape) for name, fit in fits.items()}
    return {**of_rows, "markov": functools.partial(_raster, pixels, len(source.train))}


def _of_rows(fit: Callable[[], Baseline], shape: tuple[int, int, int]) -> RowBaseline:
    return RowBaseline(fit(), shape)


def _raster(pixels: Tensor, total: int) -> RasterBaseline:
    """Pixels in raster order, each after its left neighbour (in colour, after the three values before it)."""
    _, channels, height, width = pixels.shape
    num_levels = GREY_LEVELS if channels == 1 else COLOUR_LEVELS
    levels = (pixels.int() * num_levels // 256).byte()
    sums = torch.bincount(levels.flatten().int(), weights=to_unit(pixels).flatten().double(), minlength=num_levels)
    counts = torch.bincount(levels.flatten().int(), minlength=num_levels)
    values = (sums / counts.clamp_min(1)).float()  # a level is shown as the mean of its pixels
    sequences = levels.permute(0, 2, 3, 1).flatten(1)
    return RasterBaseline(markov(sequences, channels, positional=True, total=total), values, (channels, height, width))
