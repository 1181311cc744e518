"""Style mixing: coarse traits of one sample with the fine traits of another."""

from __future__ import annotations

import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.generation.labelled_grid import Layout
from zerosum.generation.latents.space import Latents, Space
from zerosum.nn import latent


def num_layers(space: Space) -> int:
    """How many parts of a latent can be exchanged: styles, or the chunks in which a network splits its noise.

    UserError for a generator that does not split its latent.
    """
    if space.name == "w":
        return int(space.network.num_ws)
    return len(_noise_parts(space))


def _noise_parts(space: Space) -> tuple[int, ...]:
    """Sizes of the parts in which the generator splits its noise."""
    network = space.network
    if not isinstance(network, latent.SplitNoiseGenerator) or len(network.parts) < 2:
        raise UserError(
            f"{type(network).__name__} reads its noise in one piece at its first layer, so there are no layers to mix. "
            "Mixing needs a generator with styles (stylegan2-s) or with split noise (biggan-s)."
        )
    return tuple(network.parts)


def parse_layers(text: str, count: int) -> tuple[int, ...]:
    """("0-3") -> (0, 1, 2, 3), ("0,4-5") -> (0, 4, 5); UserError unless they lie in 0..count-1."""
    found: list[int] = []
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise UserError(f"--layers {text!r} is not understood. Write numbers and ranges, for example 0-3 or 0,4-5.")
        found += range(int(first), int(last or first) + 1)
    if not found or max(found) >= count:
        raise UserError(f"--layers {text}: this generator has the layers 0 to {count - 1}, coarse to fine.")
    return tuple(sorted(set(found)))


def mix_latents(space: Space, rows: Latents, columns: Latents, layers: tuple[int, ...]) -> Latents:
    """All pairs, row by row: the row's latent with the column's in `layers`; the condition is the row's."""
    across = torch.arange(len(rows)).repeat_interleave(len(columns))
    down = torch.arange(len(columns)).repeat(len(rows))
    values, taken = rows.values[across].clone(), columns.values[down]
    if space.name == "w":
        values[:, list(layers)] = taken[:, list(layers)]
    else:
        which = torch.repeat_interleave(torch.tensor(_noise_parts(space)))  # the chunk of each number
        inside = torch.isin(which, torch.tensor(layers))
        values[:, inside] = taken[:, inside]
    return Latents(space.name, values, None if rows.condition is None else rows.condition[across])


def mix_sheet(space: Space, rows: Latents, columns: Latents, layers: tuple[int, ...]) -> tuple[Tensor, Layout]:
    """(samples, layout): the columns' samples on top, the rows' at the left, the mixtures between, and what each side gives."""
    tops, sides, both = space.render(columns), space.render(rows), mix_latents(space, rows, columns, layers)
    inner = torch.split(space.render(both), len(columns))
    corner = torch.zeros_like(tops[:1])
    lines = [
        torch.cat([corner, tops]),
        *(torch.cat([side[None], line]) for side, line in zip(sides, inner, strict=True)),
    ]
    top, left = describe_sides(layers, num_layers(space))
    return torch.cat(lines), Layout(len(columns) + 1, top=top, left=left, condition=_conditions(rows, columns))


def _conditions(rows: Latents, columns: Latents) -> Tensor | None:
    """The conditions of the samples of the sheet, by rows; the empty corner gets that of the first sample at the left."""
    if rows.condition is None or columns.condition is None:
        return None
    lines = [torch.cat([rows.condition[:1], columns.condition])]
    lines += [one.expand(len(columns) + 1, *one.shape) for one in rows.condition]
    return torch.cat(lines)


def describe_sides(layers: tuple[int, ...], count: int) -> tuple[str, str]:
    """Texts: which layers come from the top and which from the left side; the first layers are the coarse ones."""
    others = tuple(layer for layer in range(count) if layer not in layers)

    def describe(which: tuple[int, ...]) -> str:
        first, last = 0 in which, count - 1 in which
        kind = (
            "all" if len(which) == count else "coarse" if first and not last else "fine" if last and not first else ""
        )
        return f"{kind + ': ' if kind else ''}layers {format_layers(which)}" if which else "nothing"

    return f"from the top, {describe(layers)}", f"from the left, {describe(others)}"


def format_layers(layers: tuple[int, ...]) -> str:
    """("0-3") for (0, 1, 2, 3), ("0, 4, 5") for others: the inverse of `parse_layers`."""
    whole = layers == tuple(range(layers[0], layers[-1] + 1)) and len(layers) > 1
    return f"{layers[0]}-{layers[-1]}" if whole else ", ".join(map(str, layers))
