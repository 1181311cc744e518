"""Recordings of the lab: a bounded number of frames, written as one self-contained page or as an animation."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import torch

from zerosum.domains.toy import drawing
from zerosum.domains.toy.drawing import DISCRIMINATOR, FAKE, INK, MUTED, REAL, Curves
from zerosum.errors import UserError
from zerosum.report.markup import embedded_json, policy_hash

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

Frame = Mapping[str, Any]
WIDTH, HEIGHT = 480, 500
MOST = 240
"""The greatest number of frames of a recording; about 40 kB each in the plane, 12 kB on the line."""


class Recorder:
    """Keeps at most 240 frames, evenly spread over the recording: when it is full, every second one is dropped."""

    def __init__(self) -> None:
        self.on = False
        self.begin()

    def begin(self) -> None:
        """Drops the recorded frames."""
        self.frames: list[dict[str, Any]] = []
        self._every, self._seen = 1, 0

    def add(self, frame: dict[str, Any]) -> None:
        """Adds one frame."""
        if self._seen % self._every == 0:
            self.frames.append(frame)
        self._seen += 1
        if len(self.frames) > MOST:
            self.frames, self._every = self.frames[::2], self._every * 2

    def recorded(self) -> list[dict[str, Any]]:
        """The recorded frames; UserError when there are none."""
        if not self.frames:
            raise UserError("Nothing was recorded yet. Press Record, play the game, and try again.")
        return list(self.frames)


def page(choices: Mapping[str, Any], frames: Sequence[Mapping[str, Any]], points: Sequence[Mapping[str, Any]]) -> str:
    """One HTML file: the page of the lab with its style, scripts and this recording; it makes no requests."""
    marks: dict[str, list[str]] = {"style": [], "script": []}
    text = _static("lab.html")
    text = re.sub(
        r'<link rel="stylesheet" href="/static/([\w.-]+)">', lambda m: _inline_asset("style", m[1], marks), text
    )
    text = re.sub(
        r'<script src="/static/([\w.-]+)"[^>]*></script>', lambda m: _inline_asset("script", m[1], marks), text
    )
    text = re.sub(r'<link rel="icon"[^>]*>\n?', "", text)
    policy = (
        f"default-src 'none'; img-src data: blob:; style-src {' '.join(marks['style'])}; "
        f"script-src {' '.join(marks['script'])}; base-uri 'none'; form-action 'none'"
    )
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    data = embedded_json({"choices": choices, "frames": frames, "points": points})
    stored = f'<script type="application/json" id="recording">{data}</script>\n'
    text = text.replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n{meta}', 1)
    head, script, rest = text.partition("<script>")  # before the first script, which reads the data
    return head + stored + script + rest


def _static(name: str) -> str:
    return files("zerosum.lab").joinpath("static", name).read_text(encoding="utf-8")


def _inline_asset(kind: str, name: str, marks: dict[str, list[str]]) -> str:
    content = _static(name)
    marks[kind].append(policy_hash(content))
    return f"<{kind}>{content}</{kind}>"


# --- the animation

GIF_FRAMES, GIF_SECONDS = 80, 8.0


def animation(frames: Sequence[Mapping[str, Any]]) -> bytes:
    """A GIF of at most 80 of the frames, of about 8 seconds, in the style of the toy domain's pictures."""
    from PIL import Image

    from zerosum.report import spread

    chosen = spread(frames, GIF_FRAMES)
    images = [image.quantize(64, method=Image.Quantize.FASTOCTREE) for image in map(draw_frame, chosen)]
    duration = max(40, min(200, round(1000 * GIF_SECONDS / len(images))))
    file = io.BytesIO()
    # The last frame stays for two seconds.
    times = [duration] * (len(images) - 1) + [2000]
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=times, loop=0, optimize=False)
    return file.getvalue()


def draw_frame(frame: Frame) -> Image:
    """The picture of one frame, 480 x 500 pixels, with its step and main numbers."""
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
    # The narrow peak of a collapsed generator is cut off, so that the curve of the data stays visible.
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
    axes.set_xlabel("theta, the position of the fake", color=MUTED, fontsize=9, labelpad=1)
    axes.set_ylabel("psi, the slope of D", color=MUTED, fontsize=9, labelpad=1)
    axes.tick_params(colors=MUTED, labelsize=8)
    theta, psi, across, up = (torch.tensor(column) for column in zip(*frame["field"], strict=True))
    length = torch.hypot(across, up).clamp(min=1e-12).sqrt()  # so that short arrows in the middle stay visible
    axes.quiver(theta, psi, across / length, up / length, color=drawing.LINE, width=0.004)
    if frame["spiral"]:
        axes.plot(*zip(*frame["spiral"], strict=True), color=MUTED, linewidth=0.9)
    axes.plot(*zip(*frame["path"], strict=True), color=DISCRIMINATOR, linewidth=1.8)
    axes.plot([0], [0], "+", color=REAL, markersize=12, markeredgewidth=1.6)
    if math.hypot(frame["theta"], frame["psi"]) < 1.5 * reach:
        axes.plot([frame["theta"]], [frame["psi"]], "o", color=FAKE, markersize=7)
