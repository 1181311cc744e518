"""Samples any number of rows in parts, checks them against the conditions, and writes each part when it is complete.

Part k of a sample is generated from noise and conditions that are functions of (seed, k) alone, so the rows do not depend on the
requested number, nor on the batch size of the network.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from zerosum.domain import DatasetInfo, GeneratorHandle, SampleOption, SampleRequest, SampleResult
from zerosum.domains.tables import constraints, transform
from zerosum.domains.tables.constraints import BoundedColumn, ComputedColumn
from zerosum.domains.tables.data_report import FEW_ROWS
from zerosum.domains.tables.encodings import Categories, QuantileTransform, draw_indices
from zerosum.domains.tables.filters import Filter, Where, parse_filters, rows_satisfying
from zerosum.domains.tables.hashing import uniform
from zerosum.domains.tables.layout import condition_on
from zerosum.domains.tables.reading import style_of
from zerosum.domains.tables.table import NUMERIC, Mask, Table
from zerosum.domains.tables.transform import Transform
from zerosum.domains.tables.writing import can_write, open_writer
from zerosum.engine.seeds import derive
from zerosum.errors import UserError

NUM = 1_000
"""The default number of rows."""
PART, BATCH = 8_192, 2_048
MAX_EMPTY_PARTS = 60
"""Number of consecutive parts without an accepted row after which a condition counts as impossible."""
MIN_ACCEPTANCE = 0.05
"""If at least this share of unconditional rows satisfies the ranges, they are only filters; otherwise the generator is
conditioned on them."""
AROUND, MIN_NEAR_SHARE = 0.02, 0.001
"""Largest distance, in quantiles of the training rows, of generated numbers that are replaced by requested ones (if two or more
numbers are requested), and the least share of generated rows within it; below that the generator is conditioned on the
numbers."""
TRIAL, NUM_POOL = 2, 2**16
"""Number of parts from which the acceptance rate is estimated; number of values of a column from which values in a range are
drawn."""


@dataclass
class SamplingTally:
    """Counts of generated rows and of rows that satisfied the conditions."""

    made: int = 0
    kept: int = 0

    @property
    def rate(self) -> float:
        """The share of rows that satisfied the conditions."""
        return self.kept / max(self.made, 1)


@dataclass(frozen=True, eq=False)
class ConditionalSampler:
    """Samples rows that satisfy conditions. conditional: whether the generator was trained with conditions."""

    generator: GeneratorHandle
    fit: Transform
    requested: tuple[Filter, ...]
    seed: int
    conditional: bool
    tally: SamplingTally = field(default_factory=SamplingTally)

    def tables(self, num: int) -> Iterator[Table]:
        """Yields tables of `num` rows in total. UserError after MAX_EMPTY_PARTS consecutive parts without an accepted row."""
        given = num_empty = part = 0
        while given < num:
            found = self._part(part, self.given_filters, self.tally, self.near_filters)
            rows = replace(found.select(np.arange(min(len(found), num - given))), start=given)
            part, given = part + 1, given + len(rows)
            num_empty = 0 if len(rows) else num_empty + 1
            if num_empty == MAX_EMPTY_PARTS:
                raise UserError(self._impossible_message())
            if len(rows):
                yield rows

    def _part(self, part: int, given: Sequence[Filter], tally: SamplingTally, near: Sequence[Filter] = ()) -> Table:
        """The rows of part k that satisfy the conditions."""
        seed = derive(self.seed, "rows", part)
        noise = self.generator.noise(PART, seed)
        condition = self._condition(given, seed) if self.conditional else None
        made = self.generator.make(noise, condition, BATCH)
        tally.made += len(made)
        made = self._set_near_values(made, near, seed) if near else made
        allowed = {one.column.name: np.asarray(one.allowed) for one in self.requested if one.allowed}
        table = self.fit.decode(made, seed % 2**31, 0, allowed)
        accepted = rows_satisfying(table, self.requested)
        tally.kept += int(accepted.sum())
        return table.select(accepted)

    def _set_near_values(self, made: Tensor, near: Sequence[Filter], seed: int) -> Tensor:
        """Keeps the rows whose numbers are near the requested values, and replaces these numbers by the requested values."""
        blocks = {block.column: block for block in self.fit.blocks}
        keep, cells = torch.ones(len(made), dtype=torch.bool), []
        for one in near:
            block, encoding = blocks[one.column.name], self.fit.encodings[one.column.name]
            assert isinstance(encoding, QuantileTransform)
            low, high = (float(end[0]) for end in encoding.intervals(np.array([one.value])))
            place = torch.special.ndtr(made[:, block.start].double())
            keep &= (place >= low - AROUND) & (place <= high + AROUND)
            keep &= made[:, block.stop - 1] == 0 if block.missing else keep
            draw = uniform(torch.arange(len(made)) + seed % 2**40, block.start, 1)
            cells.append((block, encoding.encode(np.full(len(made), one.value), draw)))
        made = made.clone()
        for block, cell in cells:
            made[:, block.start : block.stop] = cell
        return made[keep]

    @functools.cached_property
    def near_filters(self) -> tuple[Filter, ...]:
        """Requested numbers for which nearby rows are selected instead of conditioning the generator, which is inaccurate for
        two or more numbers at once. Empty if too few rows are near."""
        numbers = tuple(one for one in self.requested if self.conditional and self._supports_near(one))
        if len({one.column.name for one in numbers}) < 2:
            return ()
        trial = SamplingTally()
        for part in range(TRIAL):
            self._part(
                part, [one for one in self._possible_conditions if one.exact and one not in numbers], trial, numbers
            )
        return numbers if trial.rate >= MIN_NEAR_SHARE else ()

    def _supports_near(self, one: Filter) -> bool:
        """Whether a filter requests one number of a column whose values are encoded directly."""
        name = one.column.name
        return (
            one.is_number
            and name not in self.fit.relative
            and isinstance(self.fit.encodings.get(name), QuantileTransform)
        )

    @property
    def _possible_conditions(self) -> tuple[Filter, ...]:
        """The filters on which the generator can be conditioned."""
        return tuple(one for one in map(self._as_condition, self.requested) if one)

    def _as_condition(self, one: Filter) -> Filter | None:
        """A filter as a condition of the generator; None if the column is not encoded. For a column that is encoded as its
        distance from other columns a single value can be given if those are given too."""
        if one.column.name not in self.fit.encodings:
            return None
        rule = self.fit.rule_for(one.column.name)
        if not isinstance(rule, BoundedColumn) or not rule.near or np.isnan(one.value):
            return one
        given = {other.column.name: other.value for other in self.requested if other.exact and not other.allowed}
        if not one.exact or not set(rule.sources) <= set(given):
            return None
        return replace(one, value=float(rule.gaps({name: np.array([value]) for name, value in given.items()})[0]))

    @functools.cached_property
    def given_filters(self) -> tuple[Filter, ...]:
        """The filters on which the generator is conditioned: those with a single value, and ranges that few unconditional rows
        satisfy."""
        if not self.conditional:
            return ()
        usable = tuple(one for one in self._possible_conditions if one not in self.near_filters)
        exact = tuple(one for one in usable if one.exact)
        if len(exact) == len(usable):
            return exact
        trial = SamplingTally()
        for part in range(TRIAL):
            self._part(part, exact, trial, self.near_filters)
        return exact if trial.rate >= MIN_ACCEPTANCE else usable

    def _condition(self, given: Sequence[Filter], seed: int) -> Tensor:
        """(PART, K): values of the given columns, drawn from their distributions within the allowed values."""
        blocks = self.fit.blocks
        mask, data = torch.zeros(PART, len(blocks)), torch.zeros(PART, blocks[-1].stop)
        keys = torch.arange(PART) + seed % 2**40
        names = {one.column.name for one in given}
        for place, block in enumerate(blocks):
            if block.column in names:
                held = [one for one in given if one.column.name == block.column]
                draw, point = uniform(keys, place, 0), uniform(keys, place, 1)
                data[:, block.start : block.stop] = self._sample_cells(block.column, held, draw, point)
                mask[:, place] = 1.0
        return condition_on(data, mask, blocks)

    def _sample_cells(self, name: str, held: Sequence[Filter], draw: Tensor, point: Tensor) -> Tensor:
        """(N, width) encoded cells of a column: the requested number, or draws from the distribution of the column that satisfy
        all of `held`."""
        encoding = self.fit.encodings[name]
        if isinstance(encoding, Categories):
            keep: Mask = np.logical_and.reduce([one.allowed for one in held])
            weights = encoding.counts * keep
            codes = draw_indices(weights if weights.any() else keep * 1.0, draw.numpy())
            places = torch.from_numpy(encoding.places(codes))
            return torch.nn.functional.one_hot(places, encoding.width).float()
        exact = next((one.value for one in held if one.exact), None)
        if exact is not None:
            return encoding.encode(np.full(len(draw), exact), point)
        normal = torch.special.ndtri((torch.arange(NUM_POOL, dtype=torch.float64) + 0.5) / NUM_POOL).numpy()
        pool = encoding.numbers(normal)
        keep = np.logical_and.reduce([one.holds(pool) for one in held])
        pool = pool[keep] if keep.any() else pool
        return encoding.encode(pool[(draw.numpy() * len(pool)).astype(np.int64)], point)

    # --- messages

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on how the filters were satisfied, after sampling; empty without filters."""
        if not self.requested:
            return ()
        few = [words for words in map(self._scarcity_warning, self.requested) if words]
        ranges = ", ".join(dict.fromkeys(one.column.name for one in self.given_filters if not one.exact))
        how = f" Values of {ranges} were drawn from within the range and given to the generator." if ranges else ""
        if self.near_filters:
            names = ", ".join(dict.fromkeys(one.column.name for one in self.near_filters))
            how += f" In rows within {AROUND:.0%} of the quantiles of {names}, these values were set to the requested ones."
        rate = f"{self.tally.rate:.1%} of the generated rows satisfied it; the others were discarded."
        return (f"{_describe(self.requested)}: {rate}{how}", *few)

    def _scarcity_warning(self, one: Filter) -> str:
        """A warning if few training rows satisfy a filter, so that the other columns of such rows are inaccurate; else ""."""
        encoding, how = self.fit.encodings.get(one.column.name), "satisfy it"
        if isinstance(encoding, Categories):
            wanted = np.flatnonzero(one.allowed)
            num = int(encoding.counts[wanted].sum())
            if encoding.rare and wanted.min() >= encoding.kept:
                return f"{one.words}: rare levels share one entry, so the other columns do not depend on a single one."
        elif isinstance(encoding, QuantileTransform) and one.column.name not in self.fit.relative:
            num = encoding.count(one.holds)
            if one.is_number:
                num, how = encoding.count_near(one.value), "are near it"
        else:
            return ""
        few = f"{one.words}: only {num:,} training rows {how}, so the other columns of these rows are inaccurate."
        return few if num < FEW_ROWS else ""

    def _impossible_message(self) -> str:
        chance = [one.column.name for one in self.requested if one.exact and self._as_condition(one) is None]
        how = "computed from other columns, so that single values are rare; request a range"
        hint = f" {', '.join(chance)}: {how}." if chance else ""
        return (
            f"where: {self.tally.kept} of {self.tally.made:,} generated rows satisfy {_describe(self.requested)}, so sampling "
            f"was stopped. Request fewer conditions, or check whether the table has such rows.{hint}"
        )


def _describe(requested: Sequence[Filter]) -> str:
    return ", ".join(one.words for one in requested)


def conditional_sampler(generator: GeneratorHandle, where: Where, seed: int) -> ConditionalSampler:
    """The sampler of a published generator for rows that satisfy conditions."""
    fit = transform.from_payload(generator.info.payload)
    requested = tuple(_translate_to_encoded(one, fit) for one in parse_filters(where, fit.columns))
    for one in requested:
        if one.column.name in fit.encodings:
            _check_possible(one, fit)
        same = [other for other in requested if other.allowed and other.column.name == one.column.name]
        if same and not np.logical_and.reduce([other.allowed for other in same]).any():
            name = same[0].column.name
            raise UserError(f"where: {_describe(same)} cannot be: no value of {name!r} satisfies them all.")
    return ConditionalSampler(generator, fit, requested, seed, generator.conditions(1, 0) is not None)


def _translate_to_encoded(one: Filter, fit: Transform) -> Filter:
    """Replaces a filter on a column that follows from another column by one on the column that is encoded."""
    rule = fit.rule_for(one.column.name)
    if isinstance(rule, ComputedColumn) and not rule.learnt and len(rule.sources) == 1 and not np.isnan(one.value):
        is_number = fit.column(rule.sources[0]).kind in NUMERIC and rule.sources[0] in fit.encodings
        if is_number and rule.statement.tolerance * (rule.scale or 1) < 0.4:
            return _translate_to_encoded(_translate_to_source(one, rule, fit), fit)
    follows = fit.determined.get(one.column.name)
    if follows is None or one.column.name in fit.encodings:
        return one
    allowed = one.holds(follows.values)
    if not allowed.any():
        reason = f"{one.column.name!r} follows from {follows.by!r}, and no value of that column gives it"
        raise UserError(f"where: {one.words} cannot be: {reason}.")
    return Filter(fit.column(follows.by), "=", 0.0, tuple(allowed.tolist()), one.words)


def _translate_to_source(one: Filter, rule: ComputedColumn, fit: Transform) -> Filter:
    """Replaces a filter on a column that is computed from one other column by a filter on that column."""
    by = fit.column(rule.sources[0])
    own, scale = {rule.target: np.array([one.value])}, constraints.scale_of(by)
    value = float(rule.statement.solved(by.name, own)[0])
    near = round(value * scale) / scale if scale else value
    value = near if abs(near - value) <= constraints.CLOSE * abs(value) else value
    falls = rule.statement.coefficients[by.name] * rule.statement.coefficients[rule.target] > 0
    sign = one.sign.translate(str.maketrans("<>", "><")) if falls else one.sign
    if one.sign == "=" and rule.statement.broken({**own, by.name: np.array([value])})[0]:
        raise UserError(f"where: {one.words} cannot be: {rule.statement.words} in every row.")
    return Filter(by, sign, value, words=one.words)


def _check_possible(one: Filter, fit: Transform) -> None:
    """UserError for a number outside the range of the training rows or off their grid (whole numbers, cents, days), and for a
    missing value of a column without missing values."""
    encoding, rule = fit.encodings[one.column.name], fit.rule_for(one.column.name)
    if isinstance(encoding, Categories):
        return
    if np.isnan(one.value):
        if one.sign == "=" and not encoding.missing:
            raise UserError(
                f"where: {one.words} cannot be: {one.column.name!r} has no missing values in the training rows."
            )
        return
    if isinstance(rule, ComputedColumn):
        return
    held = rule or encoding
    low, high = held.low, held.high
    beyond = {"<": one.value <= low, "<=": one.value < low, ">": one.value >= high, ">=": one.value > high}
    off = one.value < low or one.value > high or held.grid.rounded(np.array([one.value]))[0] != one.value
    if beyond.get(one.sign, one.sign == "=" and off):
        first, last = ((word or "").strip() for word in one.column.format(np.array([low, high])))
        between = f"{one.column.name!r} is between {first} and {last} in the training rows"
        where = " and never has this value" if low <= one.value <= high else ""
        raise UserError(f"where: {one.words} cannot be: {between}{where}.")


WHERE = SampleOption("where", "text", "only rows that satisfy these conditions.", default="", metavar='"A=x,B>5"')


def sample_file(generator: GeneratorHandle, info: DatasetInfo, request: SampleRequest) -> SampleResult | None:
    """`zerosum sample`: writes rows to a file in constant memory; None if a picture is requested."""
    where = WHERE.value(request)
    if not can_write(request.out) and not where:
        return None
    num = NUM if request.num is None else request.num
    if num < 1:
        raise UserError(f"num must be at least 1, got {num}.")
    sampler = conditional_sampler(generator, where, request.seed)
    with open_writer(request.out, sampler.fit.columns, style_of(info.payload)) as file:
        for table in sampler.tables(num):
            file.add(table)
    return SampleResult([request.out], num, sampler.notes)
