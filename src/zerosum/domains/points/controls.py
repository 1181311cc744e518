"""Shapes that no generator should equal, measured as its shapes are: what a measure says of them is what it is worth.

Legend: R references, real shapes of which one half (H) is held against the other and against controls; P points of a shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from zerosum.domains.points import shape_sets
from zerosum.domains.points.clouds import ShapeDistance
from zerosum.metrics.record import Record, unclear

FEWEST_JUDGED = 32
"""Real shapes below which nothing is judged: the standard error of a share of as many is 0.09."""
PART = 0.8
"""At most so much of a control's distance may real halves score: the sampling of the points alone sets shapes apart, so that
no two are near, and half is never reached."""
HALVES, SHUFFLED, EVENLY = "real halves", "points shuffled among shapes", "points evenly in the ball"
REPEATED, COPIES = "one shape repeated", "training copies"

Values = dict[str, dict[str, float]]
"""Name of a measure up to its numbers, such as "COV[CD" -> control -> value."""


def of_distances(
    comparing: ShapeDistance,
    shapes: Tensor,
    within: Tensor,
    labels: Tensor | None,
    draw: torch.Generator,
    trained: bool,
) -> Values:
    """What real halves and controls score by one distance, H shapes against the first H references.

    shapes: (R, P, 3) references; within: (R, R), their distances; labels: (R,). trained: whether they are training shapes, so
    that copies of them are copies of training shapes. Only shuffled points cost new distances, H^2 and H (H - 1) / 2 of them:
    a repeated shape is one of the other half.
    """
    num = len(shapes) // 2
    if num < 2:
        return {}
    points = shapes[:num].flatten(0, 1)
    mixed = points[torch.randperm(len(points), generator=draw)].view_as(shapes[:num])
    real, rest = within[:num, :num], slice(num, 2 * num)
    sides = {
        HALVES: (within[rest, rest], within[rest, :num]),
        SHUFFLED: (comparing.within(mixed), comparing.between(mixed, shapes[:num])),
        REPEATED: (torch.zeros_like(real), within[num : num + 1, :num].expand(num, -1)),
    }
    found: Values = {f"{base}[{comparing.name}": {} for base in ("1-NNA", "COV", "MMD")}
    for name, (own, between) in sides.items():
        found[f"1-NNA[{comparing.name}"][name] = shape_sets.one_nearest_neighbour(own, real, between)
        found[f"COV[{comparing.name}"][name] = shape_sets.coverage(between)
        found[f"MMD[{comparing.name}"][name] = shape_sets.minimum_matching_distance(between)
        if labels is not None and comparing.name == "CD":
            kept = labels[:num][between.argmin(1)] == labels[rest]
            found.setdefault("class_kept[CD", {})[name] = float(kept.double().mean())
    if trained:
        found[f"1-NNA[{comparing.name}"][COPIES] = shape_sets.one_nearest_neighbour(real, real, real)
    return found


def of_space(shapes: Tensor, draw: torch.Generator) -> Values:
    """What real halves and controls score by the space that (R, P, 3) references fill."""
    num = len(shapes) // 2
    if num < 2:
        return {}
    ways = torch.randn(shapes[:num].shape, generator=draw)
    radii = torch.rand(*ways.shape[:2], 1, generator=draw) ** (1 / 3)
    even = ways / ways.norm(dim=2, keepdim=True) * radii
    sides = {HALVES: shapes[num : 2 * num], EVENLY: even, REPEATED: shapes[num : num + 1]}
    return {"JSD[": {name: shape_sets.occupancy_divergence(side, shapes[:num]) for name, side in sides.items()}}


def told(record: Record, values: Values, num_real: int) -> Record:
    """The record with its controls, and with a reason where it cannot judge."""
    found: Mapping[str, float] = next((own for start, own in values.items() if record.name.startswith(start)), {})
    protocol, reason = dict(record.protocol), ""
    if num_real < FEWEST_JUDGED:
        reason = f"{num_real} real shapes are too few; {FEWEST_JUDGED} are needed."
    if found:
        rounded = {name: float(f"{value:.4g}") for name, value in found.items()}
        protocol |= {"controls": rounded}
        reason = reason or unclear(rounded, record.better, "Halves of the real shapes", part=PART)
    return replace(record, protocol=protocol).doubted(reason)
