"""Texts of recordings: `metadata.csv` in the layout of LJSpeech, and texts as numbers of characters.

Each line is `id|text` or `id|text|normalised text`; the recording of the line is `wavs/id.wav`, or any other recording whose name
without its ending is the id.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch
from torch import Tensor

from zerosum.data.opening import FileNotes
from zerosum.domains.audio.formats import SUBTYPES

MOST_CHARACTERS = 1_000
"""A longer text is left out."""
MOST_READ = 100 * MOST_CHARACTERS
"""Characters of a line that are looked at."""
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks; that of UTF-32 begins with that of UTF-16."""
PLAIN = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "."})
PUNCTUATION = ".,;:!?。！？；"
"""Signs that a voice may lack without a word about it."""
SHOWN = 20
"""Characters that a message names."""
SENTENCE = re.compile(r"(?<=[.!?;:。！？；])\s+|(?<=[。！？；])|\n+")


@dataclass(frozen=True)
class Transcript:
    """texts: id -> the text, plain (see `plain`). notes: what is odd about the file."""

    texts: Mapping[str, str]
    notes: tuple[str, ...] = ()


def read(content: bytes, where: str) -> Transcript | None:
    """The texts of a metadata.csv; None where no line has the layout `id|text`. Never raises."""
    text, notes = decoded_text(content, where)
    found, remarks, fitting = dict[str, str](), FileNotes(), 0
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("|", 3)]
        place = f"line {number}"
        if len(fields) < 2 or not fields[0]:
            remarks.add("of the texts have no `|` and are left out", place)
            continue
        fitting += 1
        spoken = plain(next((field for field in reversed(fields[1:3]) if field), "")[:MOST_READ])
        name = identifier(fields[0])
        if not spoken:
            remarks.add("of the texts are empty and are left out", place)
        elif len(spoken) > MOST_CHARACTERS:
            remarks.add(f"of the texts are longer than {MOST_CHARACTERS:,} characters and are left out", place)
        elif name in found:
            if found[name] != spoken:
                remarks.add(
                    "of the texts belong to a recording that has another text already; the first is used", place
                )
        else:
            found[name] = spoken
    if not fitting:
        return None
    return Transcript(found, (*notes, *(note.replace("file(s)", "line(s)", 1) for note in remarks.notes())))


def decoded_text(content: bytes, where: str) -> tuple[str, list[str]]:
    """(the text of a file by its byte order mark, else as UTF-16 where zeros suggest it, else as UTF-8, else as Windows-1252;
    notes)."""
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace"), []
    zeros = [content[place : 2**16 : 2].count(0) for place in (0, 1)]
    if max(zeros) > 2**4 * min(zeros) and 8 * max(zeros) > min(len(content), 2**16):
        return content.decode("utf-16-be" if zeros[0] > zeros[1] else "utf-16-le", errors="replace"), []
    try:
        return content.decode("utf-8"), []
    except UnicodeDecodeError:
        note = f"{where} is not UTF-8; it is read as Windows-1252. If its texts look wrong, save it as UTF-8."
        return content.decode("cp1252", errors="replace"), [note]


def identifier(name: str) -> str:
    """The id of a recording by its path or by the first field of a line: the name without folders and without the ending of a
    recording."""
    last = PurePosixPath(name.replace("\\", "/")).name
    stem, dot, ending = last.rpartition(".")
    return stem if dot and f".{ending.lower()}" in SUBTYPES else last


def plain(text: str) -> str:
    """A text as it is learnt: composed characters, lower case, one space between words, plain quotes and hyphens."""
    composed = unicodedata.normalize("NFC", text).translate(PLAIN).lower()
    visible = (" " if unicodedata.category(one).startswith(("Z", "C")) else one for one in composed)
    return " ".join("".join(visible).split())


# --- texts as numbers


def alphabet_of(texts: Iterable[str]) -> str:
    """All characters of some texts, in order."""
    return "".join(sorted({character for text in texts for character in text}))


def encoded(texts: Sequence[str], samples: Sequence[int], alphabet: str, width: int = 0) -> Tensor:
    """(N, 1 + width) float32: the samples of each recording (0: unknown), then the characters' numbers from 1, then zeros.

    Characters that the alphabet does not have are left out. width: of the longest text by default.
    """
    numbers = {character: number for number, character in enumerate(alphabet, 1)}
    rows = [[numbers[one] for one in text if one in numbers] for text in texts]
    width = width or max(1, *map(len, rows))
    table = torch.zeros(len(rows), 1 + width)
    for place, (row, length) in enumerate(zip(rows, samples, strict=True)):
        table[place, 0] = length
        table[place, 1 : 1 + len(row)] = torch.tensor(row[:width], dtype=torch.float32)
    return table


def of_unknown_length(rows: Tensor) -> Tensor:
    """The same texts (N, 1 + width), without the lengths of their recordings."""
    return torch.cat([torch.zeros_like(rows[:, :1]), rows[:, 1:]], 1)


def decoded(rows: Tensor, alphabet: str) -> list[str]:
    """The texts of rows of `encoded`."""
    return ["".join(alphabet[int(one) - 1] for one in row if one) for row in rows[:, 1:].long().tolist()]


# --- texts to be spoken


@dataclass(frozen=True)
class Prepared:
    """A text to be spoken. sentences: parts of at most so many characters, plain. dropped: signs that the alphabet does not have
    and that are left out. unknown: letters and digits that it does not have."""

    sentences: tuple[str, ...]
    dropped: str
    unknown: str


def prepare(text: str, alphabet: str, most: int) -> Prepared:
    """A text in parts that a voice with this alphabet can speak: its sentences and lines, of which those with more than `most`
    characters are cut between words."""
    missing = sorted(set(plain(text)) - set(alphabet) - {" "})
    unknown = "".join(one for one in missing if one.isalnum())
    dropped = "".join(one for one in missing if not one.isalnum() and one not in PUNCTUATION)
    parts = list[str]()
    for sentence in SENTENCE.split(text):
        known = "".join(one if one in alphabet or one.isspace() else " " for one in plain(sentence))
        parts += _cut(" ".join(known.split()), most)
    return Prepared(tuple(part for part in parts if any(one.isalnum() for one in part)), dropped, unknown)


def _cut(sentence: str, most: int) -> list[str]:
    """A sentence in parts of at most `most` characters: whole words, as many as fit; a longer word is cut."""
    parts = list[str]()
    pieces = (word[start : start + most] for word in sentence.split(" ") for start in range(0, len(word), most))
    for piece in pieces:
        if parts and len(parts[-1]) + 1 + len(piece) <= most:
            parts[-1] += f" {piece}"
        else:
            parts.append(piece)
    return parts


def listed(characters: str) -> str:
    """Characters for a message: 'q', 'x', 'z'."""
    shown = ", ".join(repr(one) for one in characters[:SHOWN])
    return shown + (f" and {len(characters) - SHOWN} more" if len(characters) > SHOWN else "")
