"""Sample grids of a run as data: addresses, evenly selected and if necessary as smaller copies, so that a long run fits one
page."""

from __future__ import annotations

import base64
import io
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from zerosum.report.markup import text

MOST = 40
MOST_BYTES = 2_000_000
"""The greatest number of pictures, and of their bytes in the page."""
FEWEST, MOST_COPIES = 12, 24
"""The number of previews below which all are shown as smaller copies, and the greatest number of copies."""
LOSSY = ((82, 1600), (70, 1200), (55, 800), (40, 480), (25, 240))
"""Quality and largest side in pixels of the copies of pictures that would be too heavy for the page."""
NARROW = 4
"""Columns and rows of a grid that a narrow screen shows."""
PNG, WEBP = "data:image/png;base64,", "data:image/webp;base64,"
SHEET_FROM = 1000  # px; a third of the page is too little for what such a picture shows
SMOOTH_FROM = 700  # px; narrower grids are enlarged on most screens, where smoothing would blur single pixels
SOUND_BYTES = 3_000_000
"""Of the sounds beside the pictures as they stand in the page, in addition to MOST_BYTES."""
AUDIO = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".flac": "audio/flac"}
FILM = {".mp4": "video/mp4", ".webm": "video/webm"}
TEXT = (".txt", ".csv", ".tsv")
MOST_LETTERS = 20_000
"""The greatest number of characters of a preview that is text."""
_NAME = re.compile(r"step-(\d{8}|[1-9]\d{8,})\.png")
_OTHER = re.compile(r"step-(\d{8}|[1-9]\d{8,})\.(?!png)\w+")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRID = re.compile(rb"(\d{1,4})x(\d{1,4})")
_FILM = re.compile(rb"\d{1,4}(\.\d{1,6})?")
T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """One picture: its step (None for real data), data: address, width and height in pixels. columns, rows: of the samples on
    it, 0 if the file does not contain them. rate: columns that are shown in a second, where each row is a clip; else 0."""

    step: int | None
    address: str
    width: int
    height: int
    columns: int = 0
    rows: int = 0
    rate: float = 0.0

    @property
    def tiny(self) -> bool:
        """True when enlarging must keep pixels sharp."""
        return self.width < SMOOTH_FROM

    @property
    def sheet(self) -> bool:
        """True if it needs the full width of the page, or half of it if it is a grid of samples."""
        return self.width >= SHEET_FROM


@dataclass(frozen=True)
class Gallery:
    """The pictures of a run, by rising step, and a sentence for each thing left out. models: of the classical models beside
    the run, by file name. elements, real_element: where previews are no PNG pictures, (step, HTML element) of those that are
    shown, by rising step, and the element of the real data. sounds: addresses of the sounds beside the pictures, by step;
    named_sounds: of "real" and of the classical models."""

    fakes: list[Picture] = field(default_factory=list)
    real: Picture | None = None
    notes: list[str] = field(default_factory=list)
    models: dict[str, Picture] = field(default_factory=dict)
    elements: list[tuple[int, str]] = field(default_factory=list)
    real_element: str = ""
    sounds: dict[int, str] = field(default_factory=dict)
    named_sounds: dict[str, str] = field(default_factory=dict)


def spread(items: Sequence[T], limit: int) -> list[T]:
    """At most `limit` items (1 or more), evenly chosen; the last is always kept, the first too when limit is 2 or more."""
    if limit < 1:
        raise ValueError(f"limit is {limit}; it must be 1 or more")
    if len(items) <= limit:
        return list(items)
    if limit == 1:
        return [items[-1]]
    return [items[round(index * (len(items) - 1) / (limit - 1))] for index in range(limit)]


def collect_pictures(folder: Path, most: int = MOST, most_bytes: int = MOST_BYTES) -> Gallery:
    """The pictures of a run folder: of previews/ at most `most`, evenly chosen, and all of baselines/.

    most_bytes: of all addresses in the page together. If the files are larger, fewer are shown; if that is not enough,
    all are shown as smaller copies in WebP.
    """
    previews, notes = folder / "previews", list[str]()
    if not previews.is_dir():
        notes.append("There are no sample pictures: previews/ is missing.")
    steps = {int(n[1]): path for path in _files(previews) if (n := _NAME.fullmatch(path.name)) and path.is_file()}
    others = {int(n[1]): path for path in _files(previews) if (n := _OTHER.fullmatch(path.name)) and path.is_file()}
    if others and not steps:
        return _elements(others, [path for path in _files(previews) if path.stem == "real"], most, most_bytes)
    if previews.is_dir() and not steps:
        notes.append("No samples were drawn yet: previews/ holds no preview of a step.")
    read: dict[Path, Picture] = {}
    for step in spread(sorted(steps), most):
        _add_picture(read, steps[step], read_picture(steps[step], step, notes))
    for path in [previews / "real.png", *_files(folder / "baselines")]:
        if path.suffix == ".png" and path.is_file():
            _add_picture(read, path, read_picture(path, None, notes))
    kept = _fit_size(read, most_bytes, notes)
    fakes = [one for one in kept.values() if one.step is not None]
    if len(fakes) < len(steps):
        notes.append(f"{len(fakes)} of {len(steps)} previews are shown, evenly selected; all are in previews/.")
    models = {path.name: one for path, one in kept.items() if path.parent != previews}
    heard = {one.step: others[one.step] for one in fakes if one.step in others}
    sounds, named_sounds = _sounds(heard, folder, notes)
    return Gallery(fakes, kept.get(previews / "real.png"), notes, models, sounds=sounds, named_sounds=named_sounds)


def _sounds(steps: dict[int, Path], folder: Path, notes: list[str]) -> tuple[dict[int, str], dict[str, str]]:
    """(step -> address of its sound, name -> address of the sound of "real" and of each classical model).

    Of the steps as many are selected, evenly, as fit into SOUND_BYTES with the others.
    """
    models = [path for path in _files(folder / "baselines") if path.suffix in AUDIO and not path.name.startswith(".")]
    reals = [path for path in _files(folder / "previews") if path.suffix in AUDIO and path.stem == "real"]
    named = {path.stem: path for path in [*models, *reals]}
    left = SOUND_BYTES - sum(_length(path) for path in named.values())
    chosen = sorted(steps)
    while chosen and sum(_length(steps[step]) for step in chosen) > left:
        chosen = spread(chosen, len(chosen) * 3 // 4) if len(chosen) > 1 else []
    if left < 0 or (steps and not chosen):
        notes.append("The sounds are too large for the page; they are in the run folder.")
    elif len(chosen) < len(steps):
        notes.append(f"The sounds of {len(chosen)} of {len(steps)} previews are on the page; all are in previews/.")
    others = {name: _address(path) for name, path in named.items()} if left >= 0 else {}
    return {step: _address(steps[step]) for step in chosen}, others


def _length(path: Path) -> int:
    """Of the address of a file, in bytes."""
    return 32 + -(-path.stat().st_size // 3) * 4


def _address(path: Path) -> str:
    """The file of sound or the film as a data: address."""
    return f"data:{(AUDIO | FILM)[path.suffix.lower()]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def player(address: str, label: str, name: str = "") -> str:
    """The element that plays the sound beside a picture, with the sentence below it. label: for screen readers. name: its id."""
    sentence = "The first of these samples, one after another."
    mark, below = (f' id="{name}-sound"', f' id="{name}-heard"') if name else ("", "")
    return (
        f'<audio controls preload="metadata"{mark} aria-label="{text(label)}" src="{address}"></audio>'
        f'<p class="small"{below}>{sentence}</p>'
    )


def _elements(steps: dict[int, Path], real: list[Path], most: int, most_bytes: int) -> Gallery:
    """The previews of another medium: as many, evenly chosen, as `most` and most_bytes allow; the newest is in the page twice."""
    real_element = element(real[0], most_bytes // 4) if real else ""
    chosen = spread(sorted(steps), most)
    found = {step: element(steps[step], most_bytes // 4) for step in chosen}
    while len(chosen) > 1 and sum(len(found[s]) for s in [*chosen, chosen[-1]]) + len(real_element) > most_bytes:
        chosen = spread(chosen, max(1, len(chosen) * 3 // 4))
    left = f"{len(chosen)} of {len(steps)} previews are shown, evenly selected; all are in previews/."
    notes = [left] if len(chosen) < len(steps) else []
    return Gallery(notes=notes, elements=[(step, found[step]) for step in chosen], real_element=real_element)


def element(path: Path, most_bytes: int) -> str:
    """The HTML element that shows a file of a medium other than a PNG picture: sound, a film, a text; else a sentence that names
    the file."""
    kind = path.suffix.lower()
    if kind in TEXT:
        with path.open(encoding="utf-8", errors="replace") as file:
            return f"<pre>{text(file.read(MOST_LETTERS))}</pre>"
    if kind not in AUDIO | FILM or path.stat().st_size * 4 // 3 > most_bytes:
        return f"<p>The samples are in previews/{text(path.name)}.</p>"
    tag = "audio" if kind in AUDIO else "video"
    return f'<{tag} controls src="{_address(path)}"></{tag}>'


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _add_picture(pictures: dict[Path, Picture], path: Path, picture: Picture | None) -> None:
    if picture is not None:
        pictures[path] = picture


def _fit_size(read: dict[Path, Picture], most_bytes: int, notes: list[str]) -> dict[Path, Picture]:
    """The pictures, fewer of them or as smaller copies if they exceed most_bytes."""
    kept, lost = _thin_previews(read, most_bytes, FEWEST), list[str]()
    for quality, side in LOSSY:
        if _num_bytes(kept) <= most_bytes:
            break
        lost = []
        some, copies = _thin_previews(read, 0, MOST_COPIES), dict[Path, Picture]()
        for path, picture in some.items():
            _add_picture(copies, path, _copy(path, picture, quality, side, lost))
        kept = _thin_previews(copies, most_bytes, FEWEST)
    if any(one.address.startswith(WEBP) for one in kept.values()):
        notes.append(
            "The pictures are smaller copies to limit the size of the page; the originals are in the run folder."
        )
    notes += lost
    return _thin_previews(kept, most_bytes, 1)


def _thin_previews(pictures: dict[Path, Picture], most_bytes: int, fewest: int) -> dict[Path, Picture]:
    """As many previews as fit into most_bytes, evenly selected, at least `fewest`; all other pictures are kept."""
    shown = [path for path, one in pictures.items() if one.step is not None]
    while len(shown) > fewest and _num_bytes(pictures, shown) > most_bytes:
        shown = spread(shown, max(fewest, len(shown) * 3 // 4))
    return {path: one for path, one in pictures.items() if one.step is None or path in shown}


def _num_bytes(pictures: dict[Path, Picture], shown: Sequence[Path] | None = None) -> int:
    """Bytes of the addresses; the newest preview is twice on a page with classical models."""
    kept = [one for path, one in pictures.items() if one.step is None or shown is None or path in shown]
    newest = [one for one in kept if one.step is not None][-1:]
    return sum(len(one.address) for one in [*kept, *newest])


def _copy(path: Path, picture: Picture, quality: int, side: int, lost: list[str]) -> Picture | None:
    """The picture as a WebP of at most `side` pixels a side; it is shown at the size of the original."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        lost.append(f"{path.name} cannot be made smaller ({error}); it is left out.")
        return None
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    body = io.BytesIO()
    small.save(body, "WEBP", quality=quality, method=2)
    return replace(picture, address=WEBP + base64.b64encode(body.getvalue()).decode("ascii"))


def read_picture(path: Path, step: int | None, notes: list[str]) -> Picture | None:
    """The PNG at `path`; None if it cannot be shown; the reason is added to `notes`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        notes.append(f"{path.name} cannot be read ({error}); it is left out.")
        return None
    if len(data) < 24 or data[:8] != _SIGNATURE or data[12:16] != b"IHDR":
        notes.append(f"{path.name} is not a complete PNG picture; it is left out.")
        return None
    width, height = struct.unpack(">II", data[16:24])
    grid, film = _GRID.fullmatch(_entry(data, b"grid")), _FILM.fullmatch(_entry(data, b"film"))
    columns, rows = (int(grid[1]), int(grid[2])) if grid else (0, 0)
    rate = float(film[0]) if film and columns else 0.0
    return Picture(step, PNG + base64.b64encode(data).decode("ascii"), width, height, columns, rows, rate)


def _entry(data: bytes, name: bytes) -> bytes:
    """The text entry of a PNG with this name, b"" if there is none near its beginning. Its length stands before the chunk: the
    checksum behind the text may begin with digits."""
    place = data.find(b"tEXt" + name + b"\0", 0, 1024)
    if place < 4:
        return b""
    (length,) = struct.unpack(">I", data[place - 4 : place])
    return data[place + 5 + len(name) : place + 4 + length]


def film(picture: Picture, label: str, name: str) -> str:
    """The elements that play the rows of a picture as clips, with a button; "" where they are none. name: the id of the
    picture."""
    if not picture.rate:
        return ""
    return (
        f'<canvas class="film" data-picture="{name}" data-frames="{picture.columns}" data-clips="{picture.rows}" '
        f'data-rate="{picture.rate:g}" role="img" aria-label="{text(label)}"></canvas>'
        f'<button type="button" class="film" aria-label="Play or pause the clips">Play</button>'
    )


def picture_button(picture: Picture, what: str, name: str = "") -> str:
    """The picture on the page, as a button that enlarges it. what: words that describe it. A narrow screen shows only the first
    few columns and rows of a grid."""
    tiny = ' class="tiny"' if picture.tiny else ""
    mark = f' id="{name}"' if name else ""
    grid = f' data-columns="{picture.columns}" data-rows="{picture.rows}"' if picture.columns else ""
    num = picture.columns * picture.rows
    few = min(picture.columns, NARROW) * min(picture.rows, NARROW)
    hint = f'<span class="narrow">{few} of {num} samples; tap to see all</span>' if few < num else ""
    return (
        f'<button type="button" class="enlarge"{grid} title="Enlarge (E)"><img{mark}{tiny} src="{picture.address}" '
        f'alt="{text(what)}" width="{picture.width}" height="{picture.height}">{hint}</button>'
    )
