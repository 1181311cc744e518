"""Classical models of images: those of rows of numbers, on flat pixels, and a Markov chain over rasters of grey levels."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zerosum.domain import Baseline
from zerosum.domains.images.data import ImageSource, to_premultiplied_bytes, to_unit
from zerosum.errors import UserError
from zerosum.metrics.baselines import Model, Shaped, classical, sample_fit_rows


@dataclass(frozen=True)
class Markov:
    """A Markov chain with the frequencies of the data: the next symbol is drawn with its frequency after the context.

    length: T of the sequences it makes. positional: whether every position has separate transitions. contexts: (M,) int64
    sorted codes of the context of every symbol in the data; successors: (M,) that symbol. No table is kept, so that a high
    order or many symbols cost no more memory than the data. The first symbols have a shorter context: the start
    counts as a separate symbol.
    """

    summary: str
    order: int
    num_symbols: int
    length: int
    positional: bool
    contexts: Tensor = field(repr=False)
    successors: Tensor = field(repr=False)

    def probabilities(self, context: Sequence[int], position: int = 0) -> Tensor:
        """(S,) float64: the distribution of the symbol after `context`, its last `order` symbols or all that came before.

        position: of the requested symbol, in a positional chain. For a context that never occurred these are the
        frequencies of all symbols.
        """
        code = torch.zeros((), dtype=torch.int64)
        for symbol in context[-self.order :]:
            code = self._extend_code(code, torch.tensor(symbol))
        first, last = self._context_range(self._code_at(code, position).reshape(1))
        counts = torch.bincount(self.successors[int(first) : int(last)].long(), minlength=self.num_symbols)
        return counts.double() / counts.sum()

    def sample(self, num: int, seed: int) -> Tensor:
        """(num, T) int64 sequences."""
        rng = torch.Generator().manual_seed(seed)
        code, symbols = torch.zeros(num, dtype=torch.int64), torch.empty(num, self.length, dtype=torch.int64)
        for position in range(self.length):
            first, last = self._context_range(self._code_at(code, position))
            chance = torch.rand(num, generator=rng, dtype=torch.float64)
            occurrence = first + (chance * (last - first)).long()
            symbols[:, position] = self.successors[occurrence].long()
            code = self._extend_code(code, symbols[:, position])
        return symbols

    def _context_range(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The ranges [first, last) of `contexts` that equal the codes; everything for a code that never occurred."""
        first = torch.searchsorted(self.contexts, codes)
        last = torch.searchsorted(self.contexts, codes, right=True)
        return first.where(last > first, 0), last.where(last > first, len(self.contexts))

    def _extend_code(self, code: Tensor, symbol: Tensor) -> Tensor:
        base = self.num_symbols + 1
        return torch.remainder(code * base + symbol.long() + 1, base**self.order)

    def _code_at(self, code: Tensor, position: int) -> Tensor:
        return code + position * (self.num_symbols + 1) ** self.order if self.positional else code


def markov(sequences: Tensor, order: int = 1, positional: bool = False, total: int = 0) -> Markov:
    """The chain of maximum likelihood for `sequences` (N, T) of symbols 0..S-1: its transitions have the data's frequencies.

    Pad sequences of different lengths with a separate symbol; the chain then learns when to start the padding and to keep it.
    total: how many sequences there are in all, where these are some of them; for the summary.
    UserError for an order below 1, for what is no sequence of symbols, and for contexts too many to be numbered.
    """
    if sequences.ndim != 2 or not sequences.numel() or sequences.is_floating_point() or int(sequences.min()) < 0:
        raise UserError(
            f"markov: {sequences.dtype} {tuple(sequences.shape)} holds no sequences; give whole numbers from 0 as (N, T)"
        )
    num, length = sequences.shape
    num_symbols = int(sequences.max()) + 1
    if order < 1 or (num_symbols + 1) ** order * length >= 2**62:
        raise UserError(
            f"markov: order = {order} cannot be used with {num_symbols:,} symbols; 1 or 2 is usual, up to "
            f"{_largest_order(num_symbols, length)} is possible"
        )
    kind = f"Markov chain of order {order}: {num_symbols} symbols"
    where = ", transitions of their own at each position" if positional else ""
    fit_note = f"fitted to {num:,}" + (f" of {total:,} sequences" if total > num else " sequences")
    empty = torch.empty(0, dtype=torch.int64)
    chain = Markov(f"{kind}{where}, {fit_note}", order, num_symbols, length, positional, empty, empty)
    code, codes = torch.zeros(num, dtype=torch.int64), torch.empty(length, num, dtype=torch.int64)
    for position in range(length):
        codes[position] = chain._code_at(code, position)
        code = chain._extend_code(code, sequences[:, position])
    contexts, rank = codes.flatten().sort()
    found = sequences.T.flatten()[rank]
    return Markov(chain.summary, order, num_symbols, length, positional, contexts, found)


def _largest_order(num_symbols: int, length: int) -> int:
    order = 1
    while (num_symbols + 1) ** (order + 1) * length < 2**62:
        order += 1
    return order


GREY_LEVELS, COLOUR_LEVELS = 32, 8
"""Levels of a pixel's channel in the Markov chain; three channels make 512 colours."""


@dataclass(frozen=True)
class RasterBaseline:
    """Makes a chain over pixel levels generate images. values: (S,) float32 in [-1, 1], the pixel value of each level."""

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
    """Models of the training images: of all, or of a random choice of at most 2**24 values. Labels are not used."""
    shape = (source.shape.channels, source.shape.height, source.shape.width)
    pixels = to_premultiplied_bytes(source.train.pixels[sample_fit_rows(len(source.train), math.prod(shape))].cpu())
    fits = classical(to_unit(pixels).flatten(1), len(source.train))
    of_rows = {name: functools.partial(_of_rows, fit, shape) for name, fit in fits.items()}
    return {**of_rows, "markov": functools.partial(_raster, pixels, len(source.train))}


def _of_rows(fit: Callable[[], Model], shape: tuple[int, int, int]) -> Shaped:
    return Shaped(fit(), shape)


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
