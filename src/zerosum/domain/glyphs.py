"""Fonts of the system that have the signs of the names in a picture, and what is drawn in place of names that none has."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

USUAL = "DejaVu Sans"
"""The font that comes with matplotlib."""
LIKELY = (
    "cjk",
    "han",
    "hei",
    "gothic",
    "ming",
    "song",
    "pingfang",
    "hiragino",
    "malgun",
    "yahei",
    "arial unicode",
    "noto",
    "droid",
)
"""Parts of the names of fonts that have many signs; these are looked at first."""


@dataclass(frozen=True)
class Glyphs:
    """families: fonts to be asked in turn. lacking: signs that none of them has. files: of the fonts."""

    families: tuple[str, ...]
    lacking: frozenset[str]
    files: tuple[str, ...] = ()

    def drawing(self) -> AbstractContextManager[None]:
        """What matplotlib draws within is lettered in these fonts, and a "$" in a name is a "$"."""
        from matplotlib import rc_context

        return rc_context({"font.family": [*self.families], "text.parse_math": False})

    def shown(self, text: str, instead: str) -> str:
        """The text on one line, or another one where signs of it are lacking."""
        return instead if self.lacking.intersection(text) else " ".join(text.split())

    def file_for(self, text: str) -> str | None:
        """The file of the first font that has all signs of the text, for Pillow, which takes one; None where none has."""
        wanted = {ord(sign) for sign in text if not sign.isspace()}
        return next((file for file in self.files if wanted <= _signs_of(file)), None)


def glyphs_for(texts: Iterable[str]) -> Glyphs:
    """As few fonts as are found to have the signs of all texts; the system's are looked at only if the usual one does not do."""
    wanted = {sign for text in texts for sign in text if not sign.isspace()}
    lacking = frozenset(sign for sign in wanted if ord(sign) not in _signs_of(_path(USUAL)))
    families, files = [USUAL], [_path(USUAL)]
    for family, path in _fonts() if lacking else ():
        rest = frozenset(sign for sign in lacking if ord(sign) not in _signs_of(path))
        if len(rest) < len(lacking):
            families.append(family)
            files.append(path)
            lacking = rest
        if not lacking:
            break
    return Glyphs(tuple(families), lacking, tuple(files))


def _path(family: str) -> str:
    from matplotlib import font_manager

    return str(font_manager.findfont(family))


def _fonts() -> list[tuple[str, str]]:
    """Upright fonts of the system, one a family, the likely ones first."""
    from matplotlib import font_manager

    fonts = [font for font in font_manager.fontManager.ttflist if font.style == "normal"]
    found = {font.name: font.fname for font in fonts if not font.name.startswith("Last Resort")}  # of boxes alone
    return sorted(found.items(), key=lambda font: (not any(part in font[0].lower() for part in LIKELY), font[0]))


@functools.cache
def _signs_of(path: str) -> frozenset[int]:
    """The code points that a font has outlines for; none of one that cannot be opened or is made of pictures."""
    from matplotlib.ft2font import FT2Font

    if not Path(path).is_file():
        return frozenset()
    try:
        font = FT2Font(path)
    except RuntimeError:  # FreeType's, about a damaged file
        return frozenset()
    return frozenset(font.get_charmap()) if font.scalable else frozenset()
