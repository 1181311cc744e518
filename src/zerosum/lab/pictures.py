"""Frames of the lab as pictures, for animations: the toy domain's own drawing, from a frame's plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from zerosum.domains.toy import drawing
from zerosum.domains.toy.drawing import DISCRIMINATOR, FAKE, INK, MUTED, REAL, Curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

Frame = Mapping[str, Any]
WIDTH, HEIGHT = 480, 500


def drawn(frame: Frame) -> Image:
    """(480 x 500) the picture of one frame with its step and main numbers."""
    import PIL.Image

    figure = drawing.new_figure(WIDTH, HEIGHT)
    draw = _dirac if frame["mode"] == "dirac" else _line if frame["dims"] == 1 else _plane
    draw(figure, frame)
    figure.text(0.04, 0.03, _caption(frame), color=INK, fontsize=9.5, va="center")
    canvas: Any = figure.canvas
    canvas.draw()
    return PIL.Image.frombuffer("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba())).convert("RGB")


def _caption(frame: Frame) -> str:
    words = [f"step {frame['step']:,}"]
    for row in frame["numbers"]:
        if row["key"] in ("V", "w", "modes", "distance") and row["value"] is not None:
            of = f" of {row['reference']:.0f}" if row["key"] == "modes" else ""
            words.append(f"{row['label']} {row['value']:.4g}{of}")
    return "   ".join(words)


def _line(figure: Figure, frame: Frame) -> None:
    columns = (torch.tensor(frame[name]) for name in ("x", "p", "q", "d", "arrows"))
    best = torch.tensor(frame["d_star"]) if frame["d_star"] is not None else None
    x, p, q, d, arrows = columns
    curves = Curves(x, p, q, d, best, arrows, tuple(frame["z_range"]))
    # A collapsed generator is a needle; it may leave the picture, so that the data stay to be seen.
    top = 1.15 * max(max(frame["p"]), min(max(frame["q"]), 2 * max(frame["p"])))
    drawing.panel(figure, (0.07, 0.1, 0.86, 0.8), curves, top, labels=True)
    drawing.key(figure, belief=True, bound=best is not None, size=9)


def _plane(figure: Figure, frame: Frame) -> None:
    axes = figure.add_axes((0.02, 0.07, 0.96, 0.9216))
    (x0, x1), (y0, y1) = frame["box"]
    axes.set(xlim=(x0, x1), ylim=(y0, y1), xticks=[], yticks=[], aspect="equal")
    side = frame["heat"]["n"]
    heat = torch.tensor(frame["heat"]["d"]).view(side, side).numpy()
    axes.imshow(
        heat,
        origin="lower",
        extent=(x0, x1, y0, y1),
        vmin=0,
        vmax=1,
        cmap=drawing.belief_map(),
        interpolation="bilinear",
    )
    for points, colour in ((frame["real"], REAL), (frame["fake"], FAKE)):
        across, up = zip(*points, strict=True)
        axes.plot(across, up, ".", color=colour, markersize=3.5, alpha=0.75, markeredgewidth=0)


def _dirac(figure: Figure, frame: Frame) -> None:
    axes = figure.add_axes((0.13, 0.14, 0.84, 0.8))
    reach = max(abs(row[0]) for row in frame["field"])
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set_xlabel("theta, where the fake lies", color=MUTED, fontsize=9, labelpad=1)
    axes.set_ylabel("psi, the slope of D", color=MUTED, fontsize=9, labelpad=1)
    axes.tick_params(colors=MUTED, labelsize=8)
    theta, psi, across, up = (torch.tensor(column) for column in zip(*frame["field"], strict=True))
    length = torch.hypot(across, up).clamp(min=1e-12).sqrt()  # so that the short ones in the middle are still seen
    axes.quiver(theta, psi, across / length, up / length, color=drawing.LINE, width=0.004)
    if frame["spiral"]:
        axes.plot(*zip(*frame["spiral"], strict=True), color=MUTED, linewidth=0.9)
    axes.plot(*zip(*frame["path"], strict=True), color=DISCRIMINATOR, linewidth=1.8)
    axes.plot([0], [0], "+", color=REAL, markersize=12, markeredgewidth=1.6)
    if math.hypot(frame["theta"], frame["psi"]) < 1.5 * reach:
        axes.plot([frame["theta"]], [frame["psi"]], "o", color=FAKE, markersize=7)
