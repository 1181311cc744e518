"""Recordings of the lab: frames kept within bounds, written as one page that plays anywhere, or as an animation."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from zerosum.errors import UserError

MOST = 240
"""Frames of a recording; about 40 kB each in the plane, 12 kB on the line."""


class Recorder:
    """Keeps at most 240 frames, evenly spread over the recording: when full, every second one is dropped."""

    def __init__(self) -> None:
        self.on = False
        self.begin()

    def begin(self) -> None:
        """Forgets what was recorded."""
        self.frames: list[dict[str, Any]] = []
        self._every, self._seen = 1, 0

    def add(self, frame: dict[str, Any]) -> None:
        """Takes one frame."""
        if self._seen % self._every == 0:
            self.frames.append(frame)
        self._seen += 1
        if len(self.frames) > MOST:
            self.frames, self._every = self.frames[::2], self._every * 2

    def taken(self) -> list[dict[str, Any]]:
        """The frames so far; UserError when there are none."""
        if not self.frames:
            raise UserError("Nothing was recorded yet. Press Record, play the game, and come back.")
        return list(self.frames)


def page(choices: Mapping[str, Any], frames: Sequence[Mapping[str, Any]], points: Sequence[Mapping[str, Any]]) -> str:
    """One HTML file: the lab's own page with its style, scripts and this recording inside, and no way to call outside."""
    marks: dict[str, list[str]] = {"style": [], "script": []}
    text = _static("lab.html")
    text = re.sub(r'<link rel="stylesheet" href="/static/([\w.-]+)">', lambda m: _inlined("style", m[1], marks), text)
    text = re.sub(r'<script src="/static/([\w.-]+)"[^>]*></script>', lambda m: _inlined("script", m[1], marks), text)
    text = re.sub(r'<link rel="icon"[^>]*>\n?', "", text)
    policy = (
        f"default-src 'none'; img-src data: blob:; style-src {' '.join(marks['style'])}; "
        f"script-src {' '.join(marks['script'])}; base-uri 'none'; form-action 'none'"
    )
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    data = json.dumps({"choices": choices, "frames": frames, "points": points}, allow_nan=False, separators=(",", ":"))
    # Nothing in the data can end its element.
    data = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    stored = f'<script type="application/json" id="recording">{data}</script>\n'
    text = text.replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n{meta}', 1)
    head, script, rest = text.partition("<script>")  # the data stand before the first script that looks for them
    return head + stored + script + rest


def _static(name: str) -> str:
    return files("zerosum.lab").joinpath("static", name).read_text(encoding="utf-8")


def _inlined(kind: str, name: str, marks: dict[str, list[str]]) -> str:
    content = _static(name)
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    marks[kind].append(f"'sha256-{digest}'")
    return f"<{kind}>{content}</{kind}>"


# --- the animation

GIF_FRAMES, GIF_SECONDS = 80, 8.0


def animation(frames: Sequence[Mapping[str, Any]]) -> bytes:
    """A GIF of at most 80 of the frames, of about 8 seconds, in the style of the toy domain's pictures."""
    from PIL import Image

    from zerosum.lab.pictures import drawn
    from zerosum.report import spread

    chosen = spread(frames, GIF_FRAMES)
    images = [image.quantize(64, method=Image.Quantize.FASTOCTREE) for image in map(drawn, chosen)]
    duration = max(40, min(200, round(1000 * GIF_SECONDS / len(images))))
    file = io.BytesIO()
    # The last frame stays for two seconds.
    times = [duration] * (len(images) - 1) + [2000]
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=times, loop=0, optimize=False)
    return file.getvalue()
