"""How close fakes lie to the rows they were learnt from: distance to the closest record, and exact copies."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zerosum.domains.tables.measures.table_similarity import Floats, Mixed
from zerosum.metrics.neighbours import nearest

MOST_LEVELS = 200
"""Codes that are told apart; all further ones count as one."""


def places(table: Mixed, reference: Mixed) -> Tensor:
    """(N, P) float32: rows as points. Two codes that differ lie 1 apart; numbers as far as their ranks among the
    reference's values, 0 to 1; known and missing lie 1 apart. Squares add up over columns."""
    parts = []
    for c, numeric in enumerate(table.numeric):
        column, known = table.values[:, c], reference.values[:, c]
        if numeric:
            known = np.sort(known[~np.isnan(known)])
            ranks = sum(np.searchsorted(known, column, side=side) for side in ("left", "right")) / (
                2 * max(1, len(known))
            )
            missing = np.isnan(column)
            parts.append(torch.from_numpy(np.column_stack([np.where(missing, 0.5, ranks), missing])).float())
        else:
            num = int(min(known.max(initial=0) + 1, MOST_LEVELS)) + 1
            codes = torch.from_numpy(column).long().clamp(max=num - 1)
            parts.append(torch.nn.functional.one_hot(codes, num).float() * 0.5**0.5)
    return torch.cat(parts, 1)


def closer_share(fake: Mixed, train: Mixed, heldout: Mixed) -> float:
    """The share of fakes whose closest real row is a training row rather than a held-out one; ties count by `expected_share`,
    which is what a generator gives that knows no more of the ones than of the others. More of it is copying."""
    points = places(fake, train)
    near, far = (nearest(points, places(side, train))[0] for side in (train, heldout))
    tied = expected_share(len(train), len(heldout))
    return float(((near < far).double() + tied * (near == far).double()).mean())


def expected_share(num_train: int, num_heldout: int) -> float:
    """The training rows' part of all real rows."""
    return num_train / (num_train + num_heldout)


def copies(fake: Mixed, train: Mixed) -> float:
    """The share of fakes that equal a training row in every column."""
    known = {row.tobytes() for row in _plain(train)}
    return float(np.mean([row.tobytes() in known for row in _plain(fake)]))


def _plain(table: Mixed) -> Floats:
    """Values with one NaN and one zero, so that equal rows have equal bytes."""
    return np.ascontiguousarray(np.where(np.isnan(table.values), np.nan, table.values + 0.0))
