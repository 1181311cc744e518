"""Names of files that samples are written to: a number, and the class where there is one."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

MOST_BYTES = 120
"""Of a class in a file's name, in UTF-8; file systems allow 255 for the whole name."""
KEPT = ("L", "M", "N")
"""Unicode categories whose characters stay: letters, their marks, digits."""


def numbered(num: int, ending: str, names: Sequence[str] = (), begin: str = "") -> list[str]:
    """`num` names: "00000.png", or "00000-cat.png" with the name of each sample's class, as `of_classes` gives it."""
    words = [f"-{name}" for name in names] or [""] * num
    return [f"{begin}{index:05d}{word}{ending}" for index, word in zip(range(num), words, strict=True)]


def of_classes(classes: Sequence[object]) -> list[str]:
    """A name for each class that every file system takes and that no other class has, whatever the letter case.

    Letters and digits of any script stay, other characters become "_"; a name is cut at MOST_BYTES. Names that are empty or
    alike by then get the number of the class.
    """
    words = [_word(str(name)) for name in classes]
    alike = Counter(word.casefold() for word in words)
    found = [
        word if word and alike[word.casefold()] == 1 else f"{word}-{index}".strip("-")
        for index, word in enumerate(words)
    ]
    if len({word.casefold() for word in found}) < len(found):  # such a number is a class's own name already
        return [f"{index}-{word}".strip("-") for index, word in enumerate(words)]
    return found


def _word(name: str) -> str:
    text = unicodedata.normalize("NFC", name)
    text = "".join(sign if sign in "-_" or unicodedata.category(sign)[0] in KEPT else "_" for sign in text)
    return text.encode()[:MOST_BYTES].decode(errors="ignore").strip("-_")
