"""Pictures of points: on the line the curves of Figure 1 of the 2014 paper, in the plane a map of samples and D."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zerosum.domain import PreviewContext
from zerosum.domains.toy import densities, drawing
from zerosum.domains.toy.densities import MODE_SIGMAS, Density, modes_found, nearest_mode
from zerosum.domains.toy.drawing import FAKE, INK, MUTED, REAL, Curves
from zerosum.theory import divergence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_SHOWN = 4_000
"""The number of samples of a picture: on the line all of them make the curve, in the plane the first MAX_POINTS are
drawn."""
MAX_POINTS = 2_000


def picture(samples: Tensor, path: Path, context: PreviewContext, *, generated: bool | None = None) -> None:
    """One PNG of samples (N, D): with the density of the data, D and, on the line, where G maps noise.

    generated: whether a generator generated the samples; by default whether the context has their noise.
    """
    density = densities.of(context.info)
    generated = context.noise is not None if generated is None else generated
    draw = _line if density.num_dims == 1 else _plane
    draw(samples.detach().cpu(), path, context, density, generated)


# --- the line


def _line(samples: Tensor, path: Path, context: PreviewContext, density: Density, generated: bool) -> None:
    figure = drawing.new_figure(640, 520)
    curves = replace(curves_of(samples[:, 0], context, density), generated=generated)
    # The curve of a collapsed generator is a narrow peak; it is cut off so that the data remain visible.
    top = 1.15 * float(torch.minimum(curves.q.max(), 2 * curves.p.max()).clamp(min=curves.p.max()))
    drawing.panel(figure, (0.06, 0.04, 0.88, 0.86), curves, top, labels=True)
    drawing.key(figure, belief=curves.d is not None, bound=curves.d_star is not None, generated=generated)
    drawing.save(figure, path)


def curves_of(points: Tensor, context: PreviewContext, density: Density) -> Curves:
    """The curves of one panel: samples (N,) against their density, with D and its optimum where a D is given."""
    x = torch.linspace(*density.box[0], 401, dtype=torch.float64)
    p = density.log_prob(x[:, None]).exp()
    q = drawing.smoothed(points, x, drawing.bandwidth(points, density))
    if context.judge is None:
        return Curves(x, p, q, arrows=_arrows(points, context.noise), noise=_range(context.noise))
    d = context.judge(x[:, None].float()).sigmoid().cpu()
    # Where there are few real and few generated points, q and hence the quotient are mostly noise.
    seen = p + q > 0.02 * (p + q).max()
    best = torch.where(seen, divergence.optimal_discriminator(p, q), math.nan)
    return Curves(x, p, q, d, best, _arrows(points, context.noise), _range(context.noise))


def _arrows(points: Tensor, noise: Tensor | None) -> Tensor | None:
    """(M, 2) noise and sample, at evenly spaced noise; None unless the noise is one-dimensional."""
    if noise is None or noise.shape[1] != 1:
        return None
    order = noise[:, 0].argsort()
    low, high = _range(noise)
    positions = torch.linspace(low, high, drawing.ARROWS + 2)[1:-1]
    chosen = order[torch.searchsorted(noise[order, 0].contiguous(), positions).clamp(max=len(order) - 1)]
    return torch.stack([noise[chosen, 0], points[chosen]], 1)


def _range(noise: Tensor | None) -> tuple[float, float]:
    """The range of the axis of z: [-1, 1] for uniform noise, three standard deviations for normal noise."""
    return (-1.0, 1.0) if noise is None or bool((noise.abs() <= 1).all()) else (-3.0, 3.0)


# --- the plane


def _plane(samples: Tensor, path: Path, context: PreviewContext, density: Density, generated: bool) -> None:
    figure = drawing.new_figure(600, 650)
    axes = figure.add_axes((0.02, 0.095, 0.96, 0.8862))
    axes.set(xlim=density.box[0], ylim=density.box[1], xticks=[], yticks=[], aspect="equal")
    for side in axes.spines.values():
        side.set_color(drawing.LINE)
    if context.judge is not None:
        drawing.heat(axes, density, context.judge(drawing.places(density, 64)).sigmoid().cpu())
    drawing.contours(axes, density, context.info.payload["density"])
    shown = samples[:MAX_POINTS].numpy()
    axes.plot(
        shown[:, 0], shown[:, 1], ".", color=FAKE if generated else REAL, markersize=3.2, alpha=0.7, markeredgewidth=0
    )
    if density.modes is not None:
        drawing.circles(axes, density, modes_found(samples, density))
    _caption(figure, samples, density, generated, context.judge is not None)
    drawing.save(figure, path)


def _caption(figure: Figure, samples: Tensor, density: Density, generated: bool, with_discriminator: bool) -> None:
    """Writes the caption: the colour of the points, the modes found, and the colours of D."""
    text = "generated" if generated else "real"
    if density.modes is not None:
        near = float((nearest_mode(samples, density) >= 0).double().mean())
        text += f": {int(modes_found(samples, density).sum())} of {len(density.modes)} modes, {near:.0%} within {MODE_SIGMAS:g}σ"
    figure.text(0.03, 0.047, "●", color=FAKE if generated else REAL, fontsize=8, va="center")
    figure.text(0.055, 0.047, text, color=INK, fontsize=11, va="center")
    if with_discriminator:
        bar = figure.add_axes((0.715, 0.035, 0.17, 0.024))
        bar.imshow(torch.linspace(0, 1, 64)[None].numpy(), aspect="auto", cmap=drawing.belief_map())
        bar.set(xticks=[], yticks=[])
        figure.text(0.705, 0.047, "D: fake", color=MUTED, fontsize=10, va="center", ha="right")
        figure.text(0.895, 0.047, "real", color=MUTED, fontsize=10, va="center")
