"""Controls: shapes that are not good samples. A metric that does not rate them clearly worse than real ones is marked
as unable to judge.

Legend: R references, real shapes, of which one half (H) is compared with the other half and with controls; P points.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from zerosum.domains.points import distances
from zerosum.domains.points.distances import ShapeDistance
from zerosum.metrics.record import Record, unclear

MIN_REAL = 32
"""With fewer real shapes no metric can judge: the standard error of a share of 32 is 0.09."""
PART = 0.8
"""The distance of real halves must be at most this part of a control's. It is more than one half because the sampling
of points alone keeps shapes at a distance."""
HALVES, SHUFFLED, EVENLY = "real halves", "points shuffled among shapes", "points evenly in the ball"
REPEATED, COPIES = "one shape repeated", "training copies"

Values = dict[str, dict[str, float]]
"""Prefix of a metric's name, such as "COV[CD" -> control -> value."""


def distance_controls(
    distance: ShapeDistance,
    shapes: Tensor,
    within: Tensor,
    labels: Tensor | None,
    draw: torch.Generator,
    trained: bool,
) -> Values:
    """The values of real halves and controls by one distance, of H shapes compared with the first H references.

    shapes: (R, P, 3) references; within: (R, R), their distances; labels: (R,). trained: whether they are training
    shapes, so that copies of them are copies of training shapes. New distances are computed only for shuffled points,
    H^2 and H (H - 1) / 2 of them; the repeated shape is one of the other half.
    """
    num = len(shapes) // 2
    if num < 2:
        return {}
    points = shapes[:num].flatten(0, 1)
    shuffled = points[torch.randperm(len(points), generator=draw)].view_as(shapes[:num])
    real, rest = within[:num, :num], slice(num, 2 * num)
    groups = {
        HALVES: (within[rest, rest], within[rest, :num]),
        SHUFFLED: (distance.within(shuffled), distance.between(shuffled, shapes[:num])),
        REPEATED: (torch.zeros_like(real), within[num : num + 1, :num].expand(num, -1)),
    }
    found: Values = {f"{base}[{distance.name}": {} for base in ("1-NNA", "COV", "MMD")}
    for name, (own, between) in groups.items():
        found[f"1-NNA[{distance.name}"][name] = distances.one_nearest_neighbour(own, real, between)
        found[f"COV[{distance.name}"][name] = distances.coverage(between)
        found[f"MMD[{distance.name}"][name] = distances.minimum_matching_distance(between)
        if labels is not None and distance.name == "CD":
            kept = labels[:num][between.argmin(1)] == labels[rest]
            found.setdefault("class_kept[CD", {})[name] = float(kept.double().mean())
    if trained:
        found[f"1-NNA[{distance.name}"][COPIES] = distances.one_nearest_neighbour(real, real, real)
    return found


def occupancy_controls(shapes: Tensor, draw: torch.Generator) -> Values:
    """The values of real halves and controls by the space that (R, P, 3) references occupy."""
    num = len(shapes) // 2
    if num < 2:
        return {}
    directions = torch.randn(shapes[:num].shape, generator=draw)
    radii = torch.rand(*directions.shape[:2], 1, generator=draw) ** (1 / 3)
    even = directions / directions.norm(dim=2, keepdim=True) * radii
    groups = {HALVES: shapes[num : 2 * num], EVENLY: even, REPEATED: shapes[num : num + 1]}
    return {"JSD[": {name: distances.occupancy_divergence(side, shapes[:num]) for name, side in groups.items()}}


def add_controls(record: Record, values: Values, num_real: int) -> Record:
    """The record with its controls, and with the reason if the metric cannot judge."""
    found: Mapping[str, float] = next((own for start, own in values.items() if record.name.startswith(start)), {})
    reason = ""
    if num_real < MIN_REAL:
        reason = f"{num_real} real shapes are too few; {MIN_REAL} are needed."
    if found:
        rounded = {name: float(f"{value:.4g}") for name, value in found.items()}
        reason = reason or unclear(rounded, record.better, "Halves of the real shapes", part=PART)
    return record.with_controls(found).mark_unreliable(reason)
