"""Pictures of points: on the line Figure 1 of the 2014 paper as it lives, in the plane a map of the game."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zerosum.domain import PreviewContext
from zerosum.domains.toy import densities, drawing
from zerosum.domains.toy.densities import Density
from zerosum.domains.toy.drawing import FAKE, INK, MUTED, REAL, Curves
from zerosum.domains.toy.modes import SIGMAS, found, nearest
from zerosum.theory import divergence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_SHOWN = 4_000
"""Samples that a picture is given: the curve on the line is made of all, the plane shows the first MOST_POINTS."""
MOST_POINTS = 2_000


def picture(samples: Tensor, path: Path, scene: PreviewContext, *, made: bool | None = None) -> None:
    """One PNG of samples (N, D): the density they should follow, what D says, and on the line what G does with noise.

    made: whether the samples are a generator's; by default when the scene has their noise.
    """
    density = densities.of(scene.info)
    made = scene.noise is not None if made is None else made
    draw = _line if density.num_dims == 1 else _plane
    draw(samples.detach().cpu(), path, scene, density, made)


# --- the line


def _line(samples: Tensor, path: Path, scene: PreviewContext, density: Density, made: bool) -> None:
    figure = drawing.new_figure(640, 520)
    curves = replace(curves_of(samples[:, 0], scene, density), made=made)
    # A collapsed generator is a needle; it may leave the picture, so that the data stay to be seen.
    top = 1.15 * float(torch.minimum(curves.q.max(), 2 * curves.p.max()).clamp(min=curves.p.max()))
    drawing.panel(figure, (0.06, 0.04, 0.88, 0.86), curves, top, labels=True)
    drawing.key(figure, belief=curves.d is not None, bound=curves.d_star is not None, made=made)
    drawing.save(figure, path)


def curves_of(points: Tensor, scene: PreviewContext, density: Density) -> Curves:
    """The curves of one panel: samples (N,) against their density, with D and its optimum where a D is given."""
    x = torch.linspace(*density.box[0], 401, dtype=torch.float64)
    p = density.log_prob(x[:, None]).exp()
    q = drawing.smoothed(points, x, drawing.bandwidth(points, density))
    if scene.judge is None:
        return Curves(x, p, q, arrows=_arrows(points, scene.noise), noise=_range(scene.noise))
    d = scene.judge(x[:, None].float()).sigmoid().cpu()
    # Where neither real nor made points come, q is mostly noise, and so would be its quotient.
    seen = p + q > 0.02 * (p + q).max()
    best = torch.where(seen, divergence.optimal_discriminator(p, q), math.nan)
    return Curves(x, p, q, d, best, _arrows(points, scene.noise), _range(scene.noise))


def _arrows(points: Tensor, noise: Tensor | None) -> Tensor | None:
    """(M, 2) noise and place, evenly chosen; only one-dimensional noise can be drawn on a line."""
    if noise is None or noise.shape[1] != 1:
        return None
    order = noise[:, 0].argsort()
    low, high = _range(noise)
    wanted = torch.linspace(low, high, drawing.ARROWS + 2)[1:-1]
    picked = order[torch.searchsorted(noise[order, 0].contiguous(), wanted).clamp(max=len(order) - 1)]
    return torch.stack([noise[picked, 0], points[picked]], 1)


def _range(noise: Tensor | None) -> tuple[float, float]:
    """What the line of z shows: [-1, 1] for uniform noise, three deviations for normal noise."""
    return (-1.0, 1.0) if noise is None or bool((noise.abs() <= 1).all()) else (-3.0, 3.0)


# --- the plane


def _plane(samples: Tensor, path: Path, scene: PreviewContext, density: Density, made: bool) -> None:
    figure = drawing.new_figure(600, 650)
    axes = figure.add_axes((0.02, 0.095, 0.96, 0.8862))
    axes.set(xlim=density.box[0], ylim=density.box[1], xticks=[], yticks=[], aspect="equal")
    for side in axes.spines.values():
        side.set_color(drawing.LINE)
    if scene.judge is not None:
        drawing.heat(axes, density, scene.judge(drawing.places(density, 64)).sigmoid().cpu())
    drawing.contours(axes, density, scene.info.payload["density"])
    shown = samples[:MOST_POINTS].numpy()
    axes.plot(shown[:, 0], shown[:, 1], ".", color=FAKE if made else REAL, markersize=3.2, alpha=0.7, markeredgewidth=0)
    if density.modes is not None:
        drawing.circles(axes, density, found(samples, density))
    _caption(figure, samples, density, made, scene.judge is not None)
    drawing.save(figure, path)


def _caption(figure: Figure, samples: Tensor, density: Density, made: bool, judged: bool) -> None:
    """Below the map: what the points are, what was found, and what the tints mean."""
    words = "generated" if made else "real"
    if density.modes is not None:
        near = float((nearest(samples, density) >= 0).double().mean())
        words += f": {int(found(samples, density).sum())} of {len(density.modes)} modes, {near:.0%} within {SIGMAS:g}σ"
    figure.text(0.03, 0.047, "●", color=FAKE if made else REAL, fontsize=8, va="center")
    figure.text(0.055, 0.047, words, color=INK, fontsize=11, va="center")
    if judged:
        bar = figure.add_axes((0.715, 0.035, 0.17, 0.024))
        bar.imshow(torch.linspace(0, 1, 64)[None].numpy(), aspect="auto", cmap=drawing.belief_map())
        bar.set(xticks=[], yticks=[])
        figure.text(0.705, 0.047, "D: fake", color=MUTED, fontsize=10, va="center", ha="right")
        figure.text(0.895, 0.047, "real", color=MUTED, fontsize=10, va="center")
