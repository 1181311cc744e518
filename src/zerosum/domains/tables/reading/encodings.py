"""In which encoding a text file is written: said by its first bytes, or guessed at where it cannot be decoded."""

from __future__ import annotations

import codecs
import re
import unicodedata
from pathlib import Path

MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks, the longer of two that begin alike first, and the encodings that they announce."""
CANDIDATES = ("latin-1", "cp1252", "cp1250", "cp1251", "mac_roman", "shift_jis")
"""What old files are mostly written in. latin-1 is tried first, since it refuses what only the others can spell."""
WORD = re.compile(rb"[^\x00-\x20,;|\"]")


def marked(first: bytes) -> str | None:
    """The encoding that a byte order mark announces; None where the bytes begin with none."""
    return next((encoding for mark, encoding in MARKS.items() if first.startswith(mark)), None)


def advice(path: Path, encoding: str, error: UnicodeDecodeError | LookupError) -> str:
    """What to say of text that cannot be decoded: how the word at fault reads in encodings that make letters of it."""
    if isinstance(error, LookupError):
        return f"data.encoding = {encoding!r}: there is no such encoding. Use utf-8, latin-1 or cp1252, say."
    name = encoding.removesuffix("-sig")
    said = f"{path} is not {name} text: byte 0x{error.object[error.start]:02x} stands where a character should begin. "
    word = _word(error.object, error.start)
    shown: dict[str, str] = {}
    for candidate in CANDIDATES:
        read = _decoded(word, candidate)
        if read is not None and read not in shown and candidate != name:
            shown[read] = candidate
    first = next(iter(shown.values()), "cp1252")
    reads = ", ".join(f"{read!r} in {candidate}" for read, candidate in shown.items())
    reads = f"The word there reads {reads}. " if shown else ""
    return f"{said}{reads}Name the encoding that reads right: --set data.encoding={first}, say, or another that Python knows."


def without_mark(path: Path) -> str:
    """What to say of text full of zero bytes, as UTF-16 has them."""
    return (
        f"{path} holds zero bytes and no byte order mark: it looks like UTF-16 text. Say so: --set data.encoding=utf-16-le "
        "(or utf-16-be), or save it as UTF-8."
    )


def _word(text: bytes, at: int) -> bytes:
    """The bytes around a place up to the next blank or separating mark."""
    first, last = at, at + 1
    while first and at - first < 20 and WORD.match(text, first - 1):
        first -= 1
    while last < len(text) and last - at < 20 and WORD.match(text, last):
        last += 1
    return text[first:last]


def _decoded(word: bytes, encoding: str) -> str | None:
    """The word in an encoding; None where that makes anything but letters, digits and marks of it."""
    try:
        text = word.decode(encoding)
    except UnicodeDecodeError:
        return None
    # Control characters, unassigned ones and signs inside of words are what a wrong encoding makes of letters.
    return None if any(unicodedata.category(sign) in ("Cc", "Cn", "Co", "So", "Sk") for sign in text) else text
