"""Rows by the million: made in parts, checked against what was asked, written as they come.

Part k of a sample is made of noise and conditions that are functions of (seed, k) alone, so the rows do not depend on how many
are asked for, nor on the batch of the network.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from zerosum.domain import DatasetInfo, GeneratorHandle, SampleOption, SampleRequest, SampleResult
from zerosum.domains.tables import conditions, filters, linear, transform
from zerosum.domains.tables.categories import Categories
from zerosum.domains.tables.columns import NUMERIC
from zerosum.domains.tables.data_report import FEW_ROWS
from zerosum.domains.tables.filters import Filter, Mask, Where
from zerosum.domains.tables.hashing import uniform
from zerosum.domains.tables.linear import ComputedColumn, OutOfRange
from zerosum.domains.tables.mixture import SPREAD, Mixture
from zerosum.domains.tables.quantile_transform import Floats, QuantileTransform
from zerosum.domains.tables.reading import style_of
from zerosum.domains.tables.table import Table
from zerosum.domains.tables.transform import Transform
from zerosum.domains.tables.writing import opened, suits
from zerosum.engine.seeds import derive
from zerosum.errors import UserError

NUM = 1_000
"""Rows that are made when no number is asked for."""
PART, BATCH = 8_192, 2_048
MOST_FRUITLESS = 60
"""Parts without one row that suits, after which a condition counts as impossible."""
WORTH_TELLING = 0.05
"""Acceptance by chance from which ranges are left to chance; below it values within them are told."""
AROUND, ENOUGH_NEAR = 0.02, 0.001
"""How far numbers may lie from two or more that are asked for at once, as a part of the table's rows on either side, and the
share of rows made that must lie so near; where fewer do the numbers are told."""
TRIAL, NUM_POOL = 2, 2**16
"""Parts by which the acceptance is tried; values of a column from which those within a range are drawn."""


@dataclass
class SamplingTally:
    """Rows made and rows that suited."""

    made: int = 0
    kept: int = 0

    @property
    def rate(self) -> float:
        """The share that suited."""
        return self.kept / max(self.made, 1)


@dataclass(frozen=True, eq=False)
class Stream:
    """Rows of a generator that satisfy conditions. heard: whether it was trained to hear what is told."""

    maker: GeneratorHandle
    fit: Transform
    asked: tuple[Filter, ...]
    seed: int
    heard: bool
    tally: SamplingTally = field(default_factory=SamplingTally)

    def tables(self, num: int) -> Iterator[Table]:
        """Tables of `num` rows in all. UserError when MOST_FRUITLESS parts in a row bring none."""
        given = fruitless = part = 0
        while given < num:
            found = self._part(part, self.told, self.tally, self.near)
            rows = found.picked(np.arange(min(len(found), num - given))).numbered(given)
            part, given = part + 1, given + len(rows)
            fruitless = 0 if len(rows) else fruitless + 1
            if fruitless == MOST_FRUITLESS:
                raise UserError(_impossible(self.asked, self.tally, self.fit))
            if len(rows):
                yield rows

    def _part(self, part: int, told: Sequence[Filter], tally: SamplingTally, near: Sequence[Filter] = ()) -> Table:
        """The rows of part k that suit."""
        seed = derive(self.seed, "rows", part)
        noise = self.maker.noise(PART, seed)
        condition = self._condition(told, seed) if self.heard else None
        made = self.maker.make(noise, condition, BATCH)
        tally.made += len(made)
        made = self._moved(made, near, seed) if near else made
        allowed = {one.column.name: np.asarray(one.allowed) for one in self.asked if one.allowed}
        table = self.fit.decoded(made, seed % 2**31, 0, allowed)
        suits_all = filters.satisfied(table, self.asked)
        tally.kept += int(suits_all.sum())
        return table.picked(suits_all)

    def _moved(self, made: Tensor, near: Sequence[Filter], seed: int) -> Tensor:
        """The rows whose numbers lie near single values that are asked for, with these values in their place."""
        blocks = {block.column: block for block in self.fit.blocks}
        keep, cells = torch.ones(len(made), dtype=torch.bool), []
        for one in near:
            block, encoding = blocks[one.column.name], self.fit.encodings[one.column.name]
            assert isinstance(encoding, QuantileTransform)
            low, high = (float(end[0]) for end in encoding.stretches(np.array([one.value])))
            place = torch.special.ndtr(made[:, block.start].double())
            keep &= (place >= low - AROUND) & (place <= high + AROUND)
            keep &= made[:, block.stop - 1] == 0 if block.missing else keep
            draw = uniform(torch.arange(len(made)) + seed % 2**40, block.start, 1)
            cells.append((block, encoding.encoded(np.full(len(made), one.value), draw)))
        made = made.clone()
        for block, cell in cells:
            made[:, block.start : block.stop] = cell
        return made[keep]

    @functools.cached_property
    def near(self) -> tuple[Filter, ...]:
        """Single numbers that rows are taken near of, rather than told: two or more at once are learnt poorly. None where too few
        rows lie near."""
        numbers = tuple(one for one in self.asked if self.heard and _can_be_near(one, self.fit))
        if len({one.column.name for one in numbers}) < 2:
            return ()
        trial = SamplingTally()
        for part in range(TRIAL):
            self._part(part, [one for one in self._usable if one.exact and one not in numbers], trial, numbers)
        return numbers if trial.rate >= ENOUGH_NEAR else ()

    @property
    def _usable(self) -> tuple[Filter, ...]:
        """What can be told."""
        return tuple(one for one in (_tellable(one, self.asked, self.fit) for one in self.asked) if one)

    @functools.cached_property
    def told(self) -> tuple[Filter, ...]:
        """The conditions that are told to the generator: those that leave one value; ranges too, where chance is too rare."""
        if not self.heard:
            return ()
        usable = tuple(one for one in self._usable if one not in self.near)
        exact = tuple(one for one in usable if one.exact)
        if len(exact) == len(usable):
            return exact
        trial = SamplingTally()
        for part in range(TRIAL):
            self._part(part, exact, trial, self.near)
        return exact if trial.rate >= WORTH_TELLING else usable

    @property
    def notes(self) -> tuple[str, ...]:
        """How what was asked for came about, once the rows are made; nothing where nothing was."""
        if not self.asked:
            return ()
        few = [words for words in (_scarce(one, self.fit) for one in self.asked) if words]
        ranges = ", ".join(dict.fromkeys(one.column.name for one in self.told if not one.exact))
        how = f" Values of {ranges} were drawn from within the range and told to the generator." if ranges else ""
        if self.near:
            names = ", ".join(dict.fromkeys(one.column.name for one in self.near))
            how += f" Rows within {AROUND:.0%} of the table's rows of {names} were given the values asked for."
        rate = f"{self.tally.rate:.1%} of the rows made satisfied it; the others were left out."
        return (f"{_words(self.asked)}: {rate}{how}", *few)

    def _condition(self, told: Sequence[Filter], seed: int) -> Tensor:
        """(PART, K): values of the columns told, drawn from their own distributions within what is allowed."""
        blocks, number = self.fit.blocks, {block.column: place for place, block in enumerate(self.fit.blocks)}
        mask, data = torch.zeros(PART, len(blocks)), torch.zeros(PART, blocks[-1].stop)
        keys = torch.arange(PART) + seed % 2**40
        for name in {one.column.name for one in told}:
            place = number[name]
            held = [one for one in told if one.column.name == name]
            draw, point = uniform(keys, place, 0), uniform(keys, place, 1)
            data[:, blocks[place].start : blocks[place].stop] = _drawn(self.fit, name, held, draw, point)
            mask[:, place] = 1.0
        return conditions.told(data, mask, blocks)


def _drawn(fit: Transform, name: str, held: Sequence[Filter], draw: Tensor, point: Tensor) -> Tensor:
    """(N, width) encoded cells of a column, from its own distribution where all of `held` hold."""
    encoding = fit.encodings[name]
    if isinstance(encoding, Categories):
        keep = np.logical_and.reduce([one.allowed for one in held])
        weights = encoding.counts * keep if (encoding.counts * keep).any() else keep * 1.0
        edges = np.cumsum(weights) if weights.any() else np.arange(1.0, len(keep) + 1)
        codes = np.searchsorted(edges, draw.numpy() * edges[-1], side="right").clip(max=len(keep) - 1)
        places = torch.from_numpy(encoding.places(codes))
        return torch.nn.functional.one_hot(places, encoding.width).float()
    return _of_numbers(encoding, held, draw, point)


def _of_numbers(encoding: QuantileTransform | Mixture, held: Sequence[Filter], draw: Tensor, point: Tensor) -> Tensor:
    """The same of a numeric column; a single value that is asked for is told as it is."""
    exact = next((one.value for one in held if one.exact), None)
    if exact is not None:
        values = np.full(len(draw), exact)
    else:
        grid = torch.special.ndtri((torch.arange(NUM_POOL, dtype=torch.float64) + 0.5) / NUM_POOL).numpy()
        pool = encoding.numbers(grid) if isinstance(encoding, QuantileTransform) else _pool(encoding, grid)
        keep: Mask = np.logical_and.reduce([one.holds(pool) for one in held])
        pool = pool[keep] if keep.any() else pool
        values = pool[(draw.numpy() * len(pool)).astype(np.int64)]
    if isinstance(encoding, QuantileTransform):
        return encoding.encoded(values, point)
    return encoding.encoded(torch.from_numpy(values), point)


def _pool(mixture: Mixture, grid: Floats) -> Floats:
    """Values of a mixture: each normal quantile in a mode drawn by its weight."""
    modes = np.searchsorted(np.cumsum(mixture.weights), uniform(torch.arange(len(grid)), 3).numpy())
    block = np.zeros((len(grid), mixture.width))
    block[:, 0] = grid / SPREAD
    block[np.arange(len(grid)), 1 + modes.clip(max=len(mixture.weights) - 1)] = 1
    return mixture.decoded(block)


def stream(maker: GeneratorHandle, asked: Where, seed: int) -> Stream:
    """Rows of a published generator that satisfy what is asked."""
    fit = transform.of_payload(maker.info.payload)
    conditions_asked = tuple(_of_learnt(one, fit) for one in filters.parsed(asked, fit.columns))
    for one in conditions_asked:
        if one.column.name in fit.encodings:
            _must_be_possible(one, fit)
        _must_agree([other for other in conditions_asked if other.allowed and other.column.name == one.column.name])
    return Stream(maker, fit, conditions_asked, seed, heard=maker.conditions(1, 0) is not None)


def _tellable(one: Filter, asked: Sequence[Filter], fit: Transform) -> Filter | None:
    """A condition as the networks hear it; None where they see no such column. Of one that is coded by its distance from others
    a single value can be told where those are given too."""
    if one.column.name not in fit.encodings:
        return None
    rule = next((rule for rule in fit.rules if rule.target == one.column.name), None)
    if not isinstance(rule, OutOfRange) or not rule.near or np.isnan(one.value):
        return one
    given = {other.column.name: other.value for other in asked if other.exact and not other.allowed}
    if not one.exact or not set(rule.sources) <= set(given):
        return None
    return replace(one, value=float(rule.gaps({name: np.array([value]) for name, value in given.items()})[0]))


def _scarce(one: Filter, fit: Transform) -> str:
    """A warning where so few training rows satisfy a condition that what goes with it was hardly learnt; "" where enough do."""
    encoding = fit.encodings.get(one.column.name)
    near = any(isinstance(rule, OutOfRange) and rule.near and rule.target == one.column.name for rule in fit.rules)
    how = "satisfy it"
    if isinstance(encoding, Categories):
        wanted = np.flatnonzero(one.allowed)
        num = int(encoding.counts[wanted].sum())
        if encoding.rare and wanted.min() >= encoding.kept:
            return f"{one.words}: rare levels share one place, so what goes with one of them is not learnt."
    elif isinstance(encoding, QuantileTransform) and not near:
        num = encoding.held(one.holds)
        if one.exact and not np.isnan(one.value):
            num, how = encoding.around(one.value), "lie near it"
    else:
        return ""
    return (
        ""
        if num >= FEW_ROWS
        else f"{one.words}: only {num:,} training rows {how}, so what goes with it is hardly learnt."
    )


def _can_be_near(one: Filter, fit: Transform) -> bool:
    """Whether a condition asks for a single known number of a column that the networks see as it is."""
    near = {rule.target for rule in fit.rules if isinstance(rule, OutOfRange) and rule.near}
    usual = one.exact and not one.allowed and not np.isnan(one.value) and one.column.name not in near
    return usual and isinstance(fit.encodings.get(one.column.name), QuantileTransform)


def _through(one: Filter, rule: ComputedColumn, fit: Transform) -> Filter:
    """A condition on a column that a single other one gives, as one on that."""
    by = next(column for column in fit.columns if column.name == rule.sources[0])
    own = {rule.target: np.array([one.value])}
    value = float(rule.statement.solved(by.name, own)[0])
    near = round(value * linear.scale_of(by)) / linear.scale_of(by) if linear.scale_of(by) else value
    value = near if abs(near - value) <= linear.CLOSE * abs(value) else value
    falls = rule.statement.coefficients[by.name] * rule.statement.coefficients[rule.target] > 0
    sign = one.sign.translate(str.maketrans("<>", "><")) if falls else one.sign
    if one.sign == "=" and rule.statement.broken({**own, by.name: np.array([value])})[0]:
        raise UserError(f"where: {one.words} cannot be: {rule.statement.words} in every row.")
    return Filter(by, sign, value, words=one.words)


def _of_learnt(one: Filter, fit: Transform) -> Filter:
    """A condition on a column that another gives, as one on the column that the networks see."""
    rule = next((rule for rule in fit.rules if rule.target == one.column.name), None)
    if isinstance(rule, ComputedColumn) and not rule.learnt and len(rule.sources) == 1 and not np.isnan(one.value):
        by = next(column for column in fit.columns if column.name == rule.sources[0])
        if (
            by.kind in NUMERIC
            and rule.sources[0] in fit.encodings
            and rule.statement.tolerance * (rule.scale or 1) < 0.4
        ):
            return _of_learnt(_through(one, rule, fit), fit)
    follows = fit.determined.get(one.column.name)
    if follows is None or one.column.name in fit.encodings:
        return one
    by = next(column for column in fit.columns if column.name == follows.by)
    allowed = one.holds(follows.values)
    if not allowed.any():
        raise UserError(
            f"where: {one.words} cannot be: {one.column.name!r} follows from {by.name!r}, and no value of that leads there."
        )
    return Filter(by, "=", 0.0, tuple(allowed.tolist()), one.words)


def _must_agree(asked: Sequence[Filter]) -> None:
    """UserError for conditions on one category that no level satisfies together."""
    if asked and not np.logical_and.reduce([one.allowed for one in asked]).any():
        raise UserError(f"where: {_words(asked)} cannot be: no value of {asked[0].column.name!r} satisfies them all.")


def _must_be_possible(one: Filter, fit: Transform) -> None:
    """UserError for a number that lies beyond all that the column held, or between its whole numbers, cents or days; and for a
    missing one where none was."""
    encoding = fit.encodings[one.column.name]
    if isinstance(encoding, Categories):
        return
    if np.isnan(one.value):
        if one.sign == "=" and not encoding.missing:
            raise UserError(f"where: {one.words} cannot be: {one.column.name!r} is missing in no row that was learnt.")
        return
    rule = next((rule for rule in fit.rules if rule.target == one.column.name), None)
    if isinstance(rule, ComputedColumn):
        return
    held = rule if isinstance(rule, OutOfRange) else encoding
    low, high = held.values[[0, -1]] if isinstance(held, QuantileTransform) else (held.low, held.high)
    beyond = {"<": one.value <= low, "<=": one.value < low, ">": one.value >= high, ">=": one.value > high}
    off = one.value < low or one.value > high or held.grid.rounded(np.array([one.value]))[0] != one.value
    if beyond.get(one.sign, one.sign == "=" and off):
        assert one.column.form is not None
        first, last = (word.strip() for word in one.column.form.spelled(np.array([low, high])))
        raise UserError(
            f"where: {one.words} cannot be: {one.column.name!r} lies between {first} and {last} in the training rows"
            f"{', on no such value' if low <= one.value <= high else ''}."
        )


def _words(asked: Sequence[Filter]) -> str:
    return ", ".join(one.words for one in asked)


def _impossible(asked: Sequence[Filter], tally: SamplingTally, fit: Transform) -> str:
    chance = [one.column.name for one in asked if one.exact and _tellable(one, asked, fit) is None]
    hint = (
        f" {', '.join(chance)}: made from other columns, so that a single value is met by chance; ask for a range."
        if chance
        else ""
    )
    return (
        f"where: {tally.kept} of {tally.made:,} rows that were made satisfy {_words(asked)}; more tries would hardly find "
        f"others. Ask for less, or look whether the table itself has such rows.{hint}"
    )


WHERE = SampleOption("where", "text", "only rows that satisfy these conditions.", default="", metavar='"A=x,B>5"')


def produce(maker: GeneratorHandle, info: DatasetInfo, wanted: SampleRequest) -> SampleResult | None:
    """`zerosum sample`: rows to a file in constant memory; None where a picture is asked for."""
    where = WHERE.value(wanted)
    if not suits(wanted.out) and not where:
        return None
    num = NUM if wanted.num is None else wanted.num
    if num < 1:
        raise UserError(f"num must be at least 1, got {num}.")
    rows = stream(maker, where, wanted.seed)
    with opened(wanted.out, rows.fit.columns, style_of(info.payload)) as file:
        for table in rows.tables(num):
            file.add(table)
    return SampleResult([wanted.out], num, rows.notes)
