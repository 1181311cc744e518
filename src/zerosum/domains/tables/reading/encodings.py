"""In which encoding a text file is written: said by its first bytes, or guessed at where it cannot be decoded."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks, the longer of two that begin alike first, and the encodings that they announce."""
SINGLE = ("latin-1", "cp1252", "cp1250", "cp1251", "koi8-r", "cp1253", "mac_roman")
DOUBLE: Mapping[str, tuple[str, range]] = {
    "euc_kr": ("euc_kr", range(0xB0, 0xC9)),
    "gbk": ("gb2312", range(0xB0, 0xD8)),
    "gb18030": ("gb2312", range(0xB0, 0xD8)),
    "euc_jp": ("euc_jp", range(0xB0, 0xD0)),
    "big5": ("big5", range(0xA4, 0xC7)),
    "shift_jis": ("shift_jis", range(0x88, 0x98)),
}
"""Encodings of two bytes for a sign; the standard that each extends, and the first bytes there of the signs in common
use, the narrower first."""
WORD = re.compile(rb"[^\x00-\x20,;|\"]")
WORDS = re.compile(rb"[^\x00-\x20,;|\"]+")
RUN = re.compile(rb"[\x80-\xff]+")
NUM_SHOWN, NUM_SIGNS, NUM_LOOKED, LONGEST = 4, 24, 2**16, 256
"""Encodings and signs of a word that are shown, bytes that are looked at to put the likelier first, and those of a word."""
MOST_ODD = 0.05
"""The share of words that an encoding may not be able to read: a separating mark may be the second byte of a sign."""


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
    looked = bytes(error.object[:NUM_LOOKED])
    others = [found.group() for found in WORDS.finditer(looked) if found.end() < len(looked)]
    words = [word, *(other for other in others if not other.isascii())]
    merits = {name: merit for name in (*SINGLE, *DOUBLE) if (merit := _merit(words, name)) is not None}
    shown: dict[str, str] = {}
    for candidate in sorted(merits, key=lambda one: -merits[one]):
        read = word.decode(candidate)[:NUM_SIGNS]
        if read not in shown and candidate != name:
            shown[read] = candidate
    first = next(iter(shown.values()), "cp1252")
    reads = ", ".join(f"{read!r} in {candidate}" for read, candidate in [*shown.items()][:NUM_SHOWN])
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
    while first and at - first < LONGEST and WORD.match(text, first - 1):
        first -= 1
    while last < len(text) and last - at < LONGEST and WORD.match(text, last):
        last += 1
    return text[first:last]


def _merit(words: Sequence[bytes], encoding: str) -> float | None:
    """How likely words are written in an encoding, from 0 to 1; None where it makes anything but letters, digits and marks of the
    first, or cannot read the others."""
    texts = []
    for word in words:
        try:
            texts.append(word.decode(encoding))
        except UnicodeDecodeError:
            if word is words[0]:
                return None
    if len(texts) < (1 - MOST_ODD) * len(words):
        return None
    # Control characters, unassigned ones and signs inside of words are what a wrong encoding makes of letters.
    if any(unicodedata.category(sign) in ("Cc", "Cn", "Co", "So", "Sk") for sign in texts[0]):
        return None
    if encoding in DOUBLE:
        signs = [sign for text in texts for sign in text if not sign.isascii()]
        return sum(_common(sign, *DOUBLE[encoding]) for sign in signs) / max(1, len(signs))
    if encoding in ("cp1251", "koi8-r", "cp1253"):  # whole words of such letters, written as words are
        return sum(_cased(text) and not any(map(str.isascii, text)) for text in texts) / len(texts)
    # In languages of Latin letters those beyond ASCII mostly stand alone.
    runs = [run for word in words for run in RUN.findall(word)]
    return sum(map(_cased, texts)) / len(texts) * sum(len(run) == 1 for run in runs) / max(1, len(runs))


def _common(sign: str, standard: str, first: range) -> bool:
    """Whether a sign is in common use where the encoding is."""
    if standard in ("shift_jis", "euc_jp") and "\u3041" <= sign <= "\u30ff":
        return True
    try:
        return sign.encode(standard)[0] in first
    except UnicodeEncodeError:
        return False


def _cased(text: str) -> bool:
    """Whether capitals stand where they do in words."""
    letters = "".join(filter(str.isalpha, text))
    return letters in (letters.lower(), letters.upper(), letters.capitalize())
