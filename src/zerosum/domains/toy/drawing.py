"""Draws the parts of pictures of points with matplotlib: Figure 1 of the 2014 paper for the line, a map for the plane.

matplotlib is imported when a figure is made, and its global state is not used.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.domains.toy.densities import MODE_SIGMAS, Density, build
from zerosum.jsonfile import parse_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

INK, MUTED, LINE = "#1d2024", "#5b616a", "#c9c8c0"
REAL, FAKE, DISCRIMINATOR, MISSING = "#17735a", "#b94d12", "#2459b8", "#b3261e"
TINTS = ("#f2b48c", "#ffffff", "#8ccdb8")
"""Colours of D at 0 (generated), 1/2 and 1 (real)."""
ARROWS = 32


def new_figure(width: int, height: int) -> Figure:
    """An empty figure of so many pixels, on white."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG without metadata on program and date, so that equal pictures are equal files."""
    figure.savefig(path, format="png", metadata={"Software": None})


# --- the line


@dataclass(frozen=True)
class Curves:
    """The curves of one panel of Figure 1 at x (N,): densities p and q, D and D* in [0, 1] or None.

    arrows: (M, 2) noise and the samples that the generator maps it to, or None. noise: the range of the noise.
    generated: whether q is the density of generated points; else of real ones.
    """

    x: Tensor
    p: Tensor
    q: Tensor
    d: Tensor | None = None
    d_star: Tensor | None = None
    arrows: Tensor | None = None
    noise: tuple[float, float] = (-1.0, 1.0)
    generated: bool = True


def panel(figure: Figure, place: tuple[float, float, float, float], curves: Curves, top: float, labels: bool) -> None:
    """One panel of Figure 1 in the rectangle (left, bottom, width, height) of the figure.

    p dotted, q solid, D dashed, D* thin; below, arrows from the line of z to the line of x. top: of the density axis.
    """
    left, bottom, width, height = place
    above = figure.add_axes((left, bottom + 0.34 * height, width, 0.66 * height))
    below = figure.add_axes((left, bottom, width, 0.3 * height))
    ends = float(curves.x[0]), float(curves.x[-1])
    belief = above.twinx()
    belief.set(ylim=(0, 1.12), yticks=[0, 0.5, 1])
    belief.set_yticklabels(["0", "½", "1"] if labels else [], color=DISCRIMINATOR)
    belief.axhline(0.5, color=DISCRIMINATOR, linewidth=0.5, alpha=0.5)
    x = curves.x.numpy()
    if curves.d_star is not None:
        belief.plot(x, curves.d_star.numpy(), color=DISCRIMINATOR, linewidth=0.9, alpha=0.75)
    if curves.d is not None:
        belief.plot(x, curves.d.numpy(), color=DISCRIMINATOR, linewidth=1.8, dashes=(5, 2.5))
    above.plot(x, curves.q.numpy(), color=FAKE if curves.generated else REAL, linewidth=1.8)
    above.plot(x, curves.p.numpy(), color="black", linewidth=1.8, dashes=(1, 1.6))
    above.set(xlim=ends, ylim=(0, top), xticks=[], yticks=[])
    for axes in (above, belief):
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(LINE)
        axes.tick_params(length=0, labelsize=9)
    _arrows(below, curves, ends, labels)


def _arrows(axes: Axes, curves: Curves, ends: tuple[float, float], labels: bool) -> None:
    """Arrows from the axis of z below to the axis of x above; nothing without noise."""
    axes.set(xlim=ends, ylim=(-0.12, 1.04))
    axes.axis("off")
    if curves.arrows is None:
        return
    axes.hlines([0, 1], *ends, color=INK, linewidth=1.0)
    low, high = curves.noise
    z = ends[0] + (curves.arrows[:, 0] - low) / (high - low) * (ends[1] - ends[0])
    x = curves.arrows[:, 1]
    axes.quiver(
        z.numpy(), torch.zeros_like(z).numpy(), (x - z).numpy(), torch.ones_like(z).numpy(), color=INK,
        angles="xy", scale_units="xy", scale=1, width=0.0022, headwidth=5, headlength=6, headaxislength=5,
    )  # fmt: skip
    if labels:
        for name, height in (("x", 1), ("z", 0)):
            axes.annotate(
                name, (0, height), xycoords=("axes fraction", "data"), xytext=(-10, 0), textcoords="offset points",
                ha="right", va="center", fontsize=11, style="italic", color=INK,
            )  # fmt: skip


def key(
    figure: Figure, *, belief: bool, bound: bool, generated: bool = True, height: float = 0.955, size: int = 10
) -> None:
    """The legend of the panels in one line at the top."""
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color="black", linewidth=1.8, dashes=(1, 1.6), label="data's density"),
        Line2D(
            [], [], color=FAKE if generated else REAL, linewidth=1.8, label="generated" if generated else "real samples"
        ),
    ]
    if belief:
        lines.append(Line2D([], [], color=DISCRIMINATOR, linewidth=1.8, dashes=(5, 2.5), label="D"))
    if bound:
        lines.append(Line2D([], [], color=DISCRIMINATOR, linewidth=0.9, alpha=0.75, label="D* = p/(p+q)"))
    figure.legend(
        handles=lines, loc="center", bbox_to_anchor=(0.5, height), ncols=len(lines), frameon=False, fontsize=size
    )


def smoothed(points: Tensor, x: Tensor, width: float) -> Tensor:
    """The density of points (N,) at evenly spaced places x (M,): a kernel estimate with a normal of this width."""
    step = float(x[1] - x[0])
    counts = torch.histc(points.float(), len(x), float(x[0]) - step / 2, float(x[-1]) + step / 2).double()
    reach = max(1, round(4 * width / step))
    kernel = (-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) * step / width).square()).exp()
    kernel = kernel / kernel.sum() / (len(points) * step)
    return torch.nn.functional.conv1d(counts[None, None], kernel[None, None], padding=reach)[0, 0]


def bandwidth(points: Tensor, density: Density) -> float:
    """Silverman's width for (N,) points, limited by the spread of a mode, so that modes remain separate."""
    sides = torch.quantile(points.double(), torch.tensor([0.25, 0.75], dtype=torch.float64))
    typical = min(float(points.std()), float(sides[1] - sides[0]) / 1.34)
    silverman = 0.6 * typical * float(len(points) ** -0.2)
    return max(1e-3, min(silverman, 0.7 * (density.spread or silverman)))


# --- the plane


@functools.lru_cache(maxsize=8)
def _contours(described: str, side: int = 140) -> tuple[Tensor, list[float]]:
    """(side, side) of a density over its box, row by row from below, and the levels whose contours enclose 95, 75 and
    40 % of it."""
    density = build(**parse_json(described, "the density"))
    table = density.log_prob(places(density, side)).exp().view(side, side)
    own = density.log_prob(density.sample(4000, torch.Generator().manual_seed(0))).exp()
    levels = torch.quantile(own, torch.tensor([0.05, 0.25, 0.6], dtype=torch.float64)) * 0.99
    return table, sorted(set(levels.tolist()))


def places(density: Density, side: int) -> Tensor:
    """(side * side, 2) float32: the centres of the cells of a grid over the box of a density in the plane, row by row
    from below."""
    middles = [low + (torch.arange(side) + 0.5) * (high - low) / side for low, high in density.box]
    y, x = torch.meshgrid(middles[1], middles[0], indexing="ij")
    return torch.stack([x, y], -1).view(-1, 2)


def contours(axes: Axes, density: Density, described: Mapping[str, Any]) -> None:
    """Contours that enclose 95, 75 and 40 % of the real density; nothing if it has modes, which `circles` draws."""
    if density.modes is not None:
        return
    table, levels = _contours(json.dumps(described))
    side, (first, second) = len(table), density.box
    x = torch.linspace(*first, side).numpy()
    y = torch.linspace(*second, side).numpy()
    axes.contour(x, y, table.numpy(), levels=levels, colors=REAL, linewidths=1.1, alpha=0.8)


def circles(axes: Axes, density: Density, found: Tensor) -> None:
    """A circle of 3 sigma around each mode; missing modes are red, dashed and crossed. found: (K,) bool."""
    from matplotlib.collections import EllipseCollection

    for chosen, colour, style in ((found, REAL, "-"), (~found, MISSING, "--")):
        centres, width = density.centres[chosen].numpy(), 2 * MODE_SIGMAS * density.scales[chosen].numpy()
        axes.add_collection(
            EllipseCollection(
                width, width, 0 * width, units="xy", offsets=centres, offset_transform=axes.transData,
                facecolors="none", edgecolors=colour, linewidths=1.2, linestyles=style, zorder=4,
            )
        )  # fmt: skip
    lost = density.centres[~found].numpy()
    axes.plot(lost[:, 0], lost[:, 1], "x", color=MISSING, markersize=7, markeredgewidth=1.6, zorder=5)


def belief_map() -> Colormap:
    """TINTS as a colour map over [0, 1]."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("belief", TINTS)


def heat(axes: Axes, density: Density, d: Tensor) -> None:
    """A map of D over the box, from (side * side,) probabilities."""
    side = round(len(d) ** 0.5)
    (x0, x1), (y0, y1) = density.box
    axes.imshow(
        d.view(side, side).numpy(), origin="lower", extent=(x0, x1, y0, y1), vmin=0, vmax=1, zorder=0,
        cmap=belief_map(), interpolation="bilinear",
    )  # fmt: skip
