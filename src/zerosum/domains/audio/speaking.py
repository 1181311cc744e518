"""`zerosum sample` of a voice: texts of the command line or of files as recordings, each as long as it takes."""

from __future__ import annotations

import itertools
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zerosum import store
from zerosum.data.images.pictures import check_picture_size
from zerosum.data.opening import is_regular, short_reason
from zerosum.data.progress import WorkProgress
from zerosum.domain import DatasetInfo, GeneratorHandle, SampleOption, SampleRequest, SampleResult, WriteOptions
from zerosum.domains.audio import media, texts, writing
from zerosum.domains.audio.files import METADATA, ZIPPED
from zerosum.domains.audio.formats import Wave
from zerosum.errors import UserError

TEXT = SampleOption("text", "text", "what is spoken, by a voice that was trained on recordings with texts.")
TEXT_FILE = SampleOption(
    "text_file",
    "paths",
    "a text file whose lines are spoken; may be repeated. --out FOLDER, .zip, .png: a recording of each line, else one of all.",
)
OPTIONS = (TEXT, TEXT_FILE)
PICTURE = ".png"
PAUSE_SECONDS = 0.25
"""The silence between sentences that are joined."""
MAX_TEXT_BYTES = 2**24
MOST_CHARACTERS = 200_000
"""Of the texts that are spoken at once: about four hours."""
OWN_NAME = re.compile(r"\d+")
"""Ids in the metadata.csv that `_write` makes."""


@dataclass(frozen=True)
class Voice:
    """A loaded generator of speech."""

    generator: GeneratorHandle
    info: DatasetInfo

    def prepare(self, lines: Sequence[str], where: str) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
        """(the sentences of each line that has any, notes); UserError for letters and digits that the voice does not know."""
        assert self.info.condition is not None
        alphabet, most = str(self.info.payload["alphabet"]), self._most
        if (num := sum(map(len, lines))) > MOST_CHARACTERS:
            raise UserError(
                f"{where}: {num:,} characters; at most {MOST_CHARACTERS:,} are spoken at once. Give a part of it."
            )
        found = [texts.prepare(line, alphabet, most) for line in lines]
        if unknown := sorted({one for each in found for one in each.unknown}):
            raise UserError(
                f"{where}: this voice does not know {texts.listed(''.join(unknown))}: the texts that it was trained on do not "
                f"have such characters. Spell the words otherwise, and write numbers in words. It knows {alphabet.strip()!r}."
            )
        spoken = [each.sentences for each in found if each.sentences]
        if not spoken:
            raise UserError(f"{where}: there is nothing to speak.")
        dropped = sorted({one for each in found for one in each.dropped})
        notes = [f"Signs that this voice does not know are left out: {texts.listed(''.join(dropped))}."] * bool(dropped)
        return spoken, tuple(notes)

    @property
    def _most(self) -> int:
        """Characters of the longest text of the training data."""
        condition: Any = self.info.condition
        return int(condition.shape[0]) - 1

    @torch.no_grad()
    def speak(self, sentences: Sequence[str], spoken: Callable[[], None] = lambda: None) -> Wave:
        """(C, L): the sentences, one after the other with PAUSE_SECONDS between them. spoken: called after each."""
        network: Any = self.generator.network
        rows = texts.encoded(sentences, [0] * len(sentences), str(self.info.payload["alphabet"]), self._most)
        pause = np.zeros(
            (self.info.sample.axes["channels"], round(PAUSE_SECONDS * self.info.payload["rate"])), np.float32
        )
        parts = list[Wave]()
        for row in torch.split(rows, 1):
            wave: Wave = network.speak(row.to(self.generator.device))[0].float().cpu().numpy()
            parts += [pause, wave] if parts else [wave]
            spoken()
        return np.concatenate(parts, 1)


def sample(generator: GeneratorHandle, info: DatasetInfo, request: SampleRequest) -> SampleResult:
    """Recordings of --text and --text-file, or else of the held-out texts that are stored with the generator; as one picture
    for --out NAME.png."""
    voice, text, paths = Voice(generator, info), TEXT.value(request), TEXT_FILE.value(request)
    if text is None and not paths:
        return _examples(voice, request)
    if text is not None and paths:
        raise UserError("--text and --text-file: give one of them.")
    if request.num is not None:
        raise UserError("--num: a text is spoken in one way only; leave --num out.")
    lines = [text] if text is not None else [line for path in paths for line in read_lines(Path(path))]
    where = "--text" if text is not None else f"--text-file {paths[0]}"
    spoken, notes = voice.prepare(lines, where)
    single = request.out.suffix.lower() not in ("", ZIPPED, PICTURE)
    if single:
        spoken = [tuple(sentence for each in spoken for sentence in each)]
    return _write(voice, spoken, request, notes)


def _examples(voice: Voice, request: SampleRequest) -> SampleResult:
    """The stored texts in turn; by default each once."""
    examples = voice.generator.examples
    if examples is None or examples.condition is None:
        raise UserError("This generator has no stored texts; give one with --text.")
    found = texts.decoded(examples.condition, str(voice.info.payload["alphabet"]))
    num = request.num or len(found)
    return _write(voice, [(found[place % len(found)],) for place in range(num)], request, ())


def _write(
    voice: Voice, spoken: Sequence[tuple[str, ...]], request: SampleRequest, notes: tuple[str, ...]
) -> SampleResult:
    lines, kind = [" ".join(sentences) for sentences in spoken], request.out.suffix.lower()
    if kind == PICTURE:
        check_picture_size(len(lines), media.text_tile(), request.out, min(2, len(lines)))
    elif not kind:
        _refuse_corpus(request.out)
    with store.writing(request.out) as aside:
        progress, counted = WorkProgress("Speaking", sum(map(len, spoken)), "sentences"), itertools.count(1)
        waves = [voice.speak(sentences, lambda: progress.tick(next(counted))) for sentences in spoken]
        if kind == PICTURE:
            media.draw_texts([torch.from_numpy(wave) for wave in waves], lines, aside, voice.info)
            return SampleResult([request.out], len(lines), notes)
        options = WriteOptions(options=request.options)
        written = writing.write_waves(waves, aside, voice.info, options)
        if kind == ZIPPED:
            with zipfile.ZipFile(aside, "a") as archive:
                archive.writestr(zipfile.ZipInfo(METADATA), _metadata(archive.namelist(), lines), zipfile.ZIP_DEFLATED)
        elif not kind:
            (aside / METADATA).write_text(_metadata([path.name for path in written], lines), encoding="utf-8")
    paths = [request.out.parent / path.relative_to(aside.parent) for path in written]
    return SampleResult(paths, len(spoken), (*notes, *options.notes))


def _metadata(names: Sequence[str], lines: Sequence[str]) -> str:
    """A metadata.csv in the layout of LJSpeech, with which a folder or a .zip of recordings can be trained on."""
    return "".join(f"{texts.identifier(name)}|{line}\n" for name, line in zip(names, lines, strict=True))


def _refuse_corpus(folder: Path) -> None:
    """UserError for a folder with a metadata.csv that `_write` did not make: it would be overwritten."""
    path = folder / METADATA
    if not path.exists():
        return
    known = texts.read(path.read_bytes(), METADATA) if is_regular(path) else None
    if known is None or not all(OWN_NAME.fullmatch(name) for name in known.texts):
        raise UserError(f"--out {folder}: its {METADATA} would be overwritten. Choose another folder.")


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty. UserError for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise UserError(f"--text-file {path}: cannot be read ({short_reason(error)}).") from None
    if len(content) > MAX_TEXT_BYTES:
        raise UserError(f"--text-file {path}: longer than {MAX_TEXT_BYTES // 2**20} MiB.")
    text, _ = texts.decoded_text(content, path.name)
    return [line for line in text.splitlines() if line.strip()]
