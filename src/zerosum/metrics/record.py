"""A measured value with its full protocol, and its standard error by the delete-a-group jackknife.

The bootstrap is not used: drawing with replacement repeats rows, and repeated rows make nearest-neighbour balls of radius 0
and a Fréchet distance biased as if there were a third fewer samples. Sources: Quenouille 1956; Tukey 1958; Shao and Tu 1995.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zerosum.errors import UserError, nearest

NUM_GROUPS = 20


class Estimate(NamedTuple):
    """A measured number and its standard error."""

    value: float
    error: float


def group_of(num_rows: int, num_groups: int = NUM_GROUPS) -> Tensor:
    """(N,) int64: the group of each row, assigned in turn; sizes differ by at most one."""
    return torch.arange(num_rows) % min(num_groups, num_rows)


def spread(without: Tensor) -> float:
    """The standard error of a value from the values (G,) that were found without each of G groups in turn."""
    count = len(without)
    return float(((count - 1) / count * (without.double() - without.double().mean()).square().sum()).sqrt())


def jackknife(measure: Callable[[Tensor], float], rows: Tensor, num_groups: int = NUM_GROUPS) -> Estimate:
    """`measure` of all rows (N, ...), with the standard error that comes from which rows were drawn."""
    groups = group_of(len(rows), num_groups)
    without = [measure(rows[groups != group]) for group in range(int(groups.max()) + 1)]
    return Estimate(measure(rows), spread(torch.tensor(without, dtype=torch.float64)))


def share(flags: Tensor) -> Estimate:
    """The share of (N,) flags that are set, with its standard error."""
    mean = float(flags.double().mean())
    return Estimate(mean, share_error(mean, len(flags)))


def share_error(rate: float, num: int) -> float:
    """The standard error of a share of `num`: sqrt(p (1 - p) / n) with two rows of each kind added, so that the error of
    shares 0 and 1 is not 0. Source: Agresti and Coull 1998."""
    total = num + 4
    smoothed = (rate * num + 2) / total
    return float((smoothed * (1 - smoothed) / total) ** 0.5)


class MetricInfo(NamedTuple):
    """A metric in words. better: see Record. sentence: its meaning in one sentence, for the report."""

    better: str
    sentence: str


@dataclass(frozen=True)
class Record:
    """One measured value and how it was measured.

    name: the measure with its extractor and sample size, e.g. ``frechet[digits-classifier-1a2b3c4d,n=1000]``; two
        values may be compared only when their names are equal.
    protocol: extractor, extractor_sha256, num_real, num_fake, split, resize, seed, torch and everything else that
        determines the value; "controls", {name: value}: the same measure of samples of no generator, which should fail unless
        called real; "cannot_judge": why the value is unreliable. Plain JSON values.
    better: 'lower', 'higher' or 'near X'.
    meaning: one plain sentence for the report.
    reference: the same measure on real samples that were held out, where there are enough of them: the value that a
        perfect generator would reach.
    error: the standard error of the value, where the protocol defines one.
    """

    name: str
    value: float
    protocol: Mapping[str, Any]
    better: str
    meaning: str
    reference: float | None = None
    error: float | None = None

    def with_controls(self, values: Mapping[str, float]) -> Record:
        """The record with the values of controls, rounded to four digits; the record itself if there are none."""
        if not values:
            return self
        rounded = {name: float(f"{value:.4g}") for name, value in values.items()}
        return replace(self, protocol={**self.protocol, "controls": rounded})

    def mark_unreliable(self, reason: str) -> Record:
        """The record with the reason why its value is unreliable; the record itself if the reason is empty."""
        if not reason:
            return self
        protocol = {**self.protocol, "cannot_judge": reason}
        return replace(self, protocol=protocol, meaning=f"Cannot judge: {reason} {self.meaning}")

    def to_json(self) -> dict[str, Any]:
        """The record as a dictionary of plain values, ready for `json.dumps`."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return plain | {"protocol": dict(self.protocol)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Record:
        """The record that `to_json` wrote. Raises UserError on a missing or an unknown field."""
        known = [field.name for field in fields(cls)]
        for name in plain:
            if name not in known:
                raise UserError(f"metric record: unknown field {name!r}. {nearest(name, known)}")
        missing = [name for name in known if name not in plain and name not in ("reference", "error")]
        if missing:
            raise UserError(f"metric record: field {missing[0]!r} is missing; it was not written by this version")
        return cls(**dict(plain))


# --- controls: samples of no generator, which a measure must score clearly worse than real ones


CLEAR, PART = 0.25, 0.5
"""The least difference to a control for a measure that is a share; the largest part of a control's value for a distance."""


def unclear(
    values: Mapping[str, float], better: str, real_name: str, *, clear: float = CLEAR, part: float = PART
) -> str:
    """Why a measure does not distinguish real samples from controls; "" if they score clearly better than every control.

    values: those of the real samples first, then those of controls. better: "lower", "near 0.5" or otherwise higher.
    real_name: the real samples in words, for the reason. clear: the least difference of two shares. part: the largest part of a
    control's distance.
    """
    (_, real), *failing = values.items()
    for name, value in failing:
        if better == "lower":
            passed = real <= part * value
        elif better == "near 0.5":
            passed = abs(value - 0.5) >= abs(real - 0.5) + clear
        else:
            passed = real >= value + clear
        if not passed:
            return f"{real_name} score {real:.3g}, {name} {value:.3g}: too near to tell the two apart."
    return ""
