"""Texts of recordings: metadata.csv in every condition in which people keep it, texts as numbers, and texts to be spoken."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from zerosum.domains.audio import DOMAIN, data, files, texts
from zerosum.errors import UserError
from zerosum.recipe import part

RATE = 8_000
LINES = {"a": "one two", "b": "Two, three!", "c": "three one", "d": "one"}


def sound(seconds: float = 0.5, seed: int = 0) -> bytes:
    """A recording of noise as the content of a .wav file."""
    numbers = (np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * RATE)) * 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as opened:
        opened.setnchannels(1)
        opened.setsampwidth(2)
        opened.setframerate(RATE)
        opened.writeframes(numbers.tobytes())
    return file.getvalue()


def corpus(folder: Path, metadata: bytes | str | None = None, names: str = "abcd", seconds: float = 0.5) -> Path:
    (folder / "wavs").mkdir(parents=True)
    for seed, name in enumerate(names):
        (folder / "wavs" / f"{name}.wav").write_bytes(sound(seconds + 0.1 * seed, seed))
    lines = "".join(f"{name}|{text}\n" for name, text in LINES.items()) if metadata is None else metadata
    (folder / "metadata.csv").write_bytes(lines if isinstance(lines, bytes) else lines.encode())
    return folder


def opened(path: Path, **options: object) -> data.AudioSource:
    return data.open_source(part(str(path), **{"heldout": 0.0, **options}), False)


def spoken(source: data.AudioSource) -> list[str]:
    assert source.labels is not None
    assert source.heldout_labels is not None
    return sorted(texts.decoded(torch.cat([source.labels, source.heldout_labels]), source.alphabet))


def notes(source: data.AudioSource) -> str:
    return " ".join(source.notes)


EXPECTED = sorted(texts.plain(text) for text in LINES.values())


# --- what is read


def test_recordings_with_texts_are_speech(tmp_path: Path) -> None:
    source = opened(corpus(tmp_path / "voice"))
    assert spoken(source) == EXPECTED
    assert source.alphabet == " !,ehnortw"
    info = DOMAIN.info_of(source)
    assert info.payload["condition"] == "text"
    assert info.sample.shape == (1, 6_656)  # 0.8 s, in whole steps
    assert source.labels is not None
    assert sorted(source.labels[:, 0].tolist()) == [4_000, 4_800, 5_600, 6_400]
    for wave_, samples in zip(source.data, source.labels[:, 0].long().tolist(), strict=True):
        assert not wave_[:, samples:].any()
        assert wave_[:, samples - 8 : samples].any()
    assert DOMAIN.recipes.recommend(info)[0] == "speech"
    assert "with texts" in DOMAIN.data.describe(info)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "wrapped"])
def test_archives_are_read_like_folders(tmp_path: Path, kind: str) -> None:
    folder = corpus(tmp_path / "voice")
    if kind == "wrapped":
        assert spoken(opened(tmp_path)) == EXPECTED
        return
    path, inner = tmp_path / f"voice.{kind}", sorted(folder.rglob("*.*"))
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in inner:
                archive.write(file, f"LJ/{file.relative_to(folder).as_posix()}")
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as packed:
            for file in inner:
                packed.add(file, f"LJ/{file.relative_to(folder).as_posix()}")
    assert DOMAIN.data.can_open(str(path))
    source = opened(path)
    assert spoken(source) == EXPECTED
    assert ".csv" not in notes(source)


def test_the_third_column_is_taken_where_there_is_one(tmp_path: Path) -> None:
    metadata = "a|No. 7|number seven\nb|plain|\nc|old|new|more\n"
    assert spoken(opened(corpus(tmp_path / "v", metadata, "abc"))) == ["new", "number seven", "plain"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, end: str) -> None:
    metadata = end.join(["a|Größe", "b|“naïve” — yes", "", "  "]).encode(encoding)
    source = opened(corpus(tmp_path / "v", metadata, "ab"))
    assert spoken(source) == ['"naïve" - yes', "größe"]
    assert ("Windows-1252" in notes(source)) is (encoding == "cp1252")


@pytest.mark.parametrize("damage", ["encrypted", "method", "contents"])
def test_texts_in_a_zip_that_cannot_be_unpacked_are_refused(tmp_path: Path, damage: str) -> None:
    folder, path = corpus(tmp_path / "voice"), tmp_path / "voice.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder).as_posix())
    changed = bytearray(path.read_bytes())
    local, listed = changed.index(b"metadata.csv"), changed.rindex(b"metadata.csv")
    if damage == "encrypted":
        changed[local - 24] |= 1
        changed[listed - 38] |= 1
    elif damage == "method":
        changed[local - 22] = changed[listed - 36] = 77
    else:
        changed[local + 14] ^= 255
    path.write_bytes(changed)
    with pytest.raises(UserError, match=r"metadata\.csv.*(encrypted|damaged)"):
        opened(path)


def test_a_folder_of_texts_alone_is_named(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("a|one\n")
    with pytest.raises(UserError, match=r"It holds metadata\.csv only"):
        opened(tmp_path)


def test_a_huge_line_costs_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[int]()
    monkeypatch.setattr(texts, "plain", lambda text: read.append(len(text)) or text)
    texts.read(f"a|{'x' * 2**21}\nb|{'|' * 2**20}\n".encode(), "metadata.csv")
    assert max(read) <= texts.MOST_READ


def test_names_that_are_no_characters_are_shown(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "v")
    (folder / "wavs" / os.fsdecode(b"bad\xff.wav")).write_bytes(sound())
    assert r"wavs/bad\udcff.wav" in " ".join(DOMAIN.info_of(opened(folder)).notes)


def test_ids_may_be_paths_and_have_an_ending(tmp_path: Path) -> None:
    assert spoken(opened(corpus(tmp_path / "v", "wavs/a.wav|one\nb.WAV|two\n", "ab"))) == ["one", "two"]


def test_what_is_odd_is_told(tmp_path: Path) -> None:
    metadata = "a|one\nb|\nc|two\nc|two\nc|three\nmissing|four\nno text here\nd| \t \n" + f"e|{'x' * 2_000}\nf|five\n"
    found = opened(corpus(tmp_path / "v", metadata, "abcdefg"))
    assert spoken(found) == ["five", "one", "two"]
    said = notes(found)
    for words in (
        "2 line(s) of the texts are empty", "another text already", "have no `|`", "longer than 1,000 characters",
        "1 text(s) have no recording (the first: missing)", "4 file(s) have no text in metadata.csv",
    ):  # fmt: skip
        assert words in said, words


def test_recordings_that_are_too_long_or_too_short_for_their_text_are_left_out(tmp_path: Path) -> None:
    metadata = "".join(f"{name}|one\n" for name in "abc") + f"d|{'word ' * 40}\n"
    source = opened(corpus(tmp_path / "v", metadata), seconds=0.65)
    assert source.num_rows == 2
    assert "longer than 0.65 s" in notes(source)
    source = opened(tmp_path / "v")
    assert source.num_rows == 3
    assert "nobody can speak" in notes(source)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_lengths_that_are_none_are_refused(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(UserError, match="seconds must lie in"):
        opened(corpus(tmp_path / "v"), seconds=seconds)


def test_equal_texts_stay_on_one_side(tmp_path: Path) -> None:
    metadata = "".join(
        f"{name}|{text}\n" for name, text in zip("abcdef", ["one", "two", "one", "two", "one", "six"], strict=True)
    )
    source = opened(corpus(tmp_path / "v", metadata, "abcdef"), heldout=0.4)
    assert source.labels is not None
    assert source.heldout_labels is not None
    sides = [set(texts.decoded(rows, source.alphabet)) for rows in (source.labels, source.heldout_labels)]
    assert sides[1]
    assert not sides[0] & sides[1]


def test_other_files_of_that_name_are_no_texts(tmp_path: Path) -> None:
    source = opened(corpus(tmp_path / "v", "file_name,text\na.wav,one\n"), seconds=0.2)
    assert source.condition_kind == "class"
    assert "metadata.csv" in notes(source)
    source = opened(corpus(tmp_path / "w"), condition="class", seconds=0.2)
    assert source.condition_kind == "class"


@pytest.mark.parametrize("packed", ["wavs.tar.xz", "wavs.zip", "wavs"])
def test_the_texts_may_lie_beside_the_recordings(tmp_path: Path, packed: str) -> None:
    path = corpus(tmp_path / "v", "a|one\nb|two\n", "abc") / packed
    names = [f"wavs/{name}.wav" for name in "abc"]
    if packed.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.write(path.parent / name, name)
    elif packed.endswith(".xz"):
        with tarfile.open(path, "w:xz") as archive:
            for name in names:
                archive.add(path.parent / name, name)
    source = opened(path)
    assert spoken(source) == ["one", "two"]
    assert f"metadata.csv beside {packed}; --set data.condition=class ignores them" in notes(source)
    assert "1 file(s) have no text in metadata.csv" in notes(source)
    assert opened(path, condition="class", seconds=0.2).condition_kind == "class"
    (path.parent / "metadata.csv").write_text("x|of other recordings\n")
    assert opened(path, seconds=0.2).condition_kind == "class"
    with pytest.raises(UserError, match=r"data\.condition=text needs texts"):
        opened(path, condition="text")


def test_a_folder_with_a_packed_corpus_is_read(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "v")
    assert files.packed_at(folder) == folder
    with tarfile.open(folder / "wavs.tar.xz", "w:xz") as archive:
        archive.add(folder / "wavs", "wavs")
    assert files.packed_at(folder) == folder, "there are recordings beside it"
    shutil.rmtree(folder / "wavs")
    assert files.packed_at(folder) == folder / "wavs.tar.xz"
    assert data.can_open(str(folder))
    source = opened(folder)
    assert spoken(source) == EXPECTED
    assert "beside wavs.tar.xz" in notes(source)
    (folder / "cover.png").write_bytes(b"x")
    assert not data.can_open(str(folder))
    (folder / "cover.png").unlink()
    (folder / "more.zip").write_bytes(b"x")
    assert not data.can_open(str(folder))


def test_texts_that_are_asked_for_must_be_there(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "v")
    (folder / "metadata.csv").unlink()
    with pytest.raises(UserError, match=r"metadata\.csv with lines such as `id\|text`"):
        opened(folder, condition="text")
    with pytest.raises(UserError, match="has no texts"):
        data.open_source(part("tones", num=8, condition="text"), False)
    with pytest.raises(UserError, match="at least 2"):
        opened(corpus(tmp_path / "w", "a|one\n"))


@pytest.mark.parametrize("seed", range(20))
def test_any_bytes_can_be_read(seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = bytes(
        rng.choice(np.frombuffer(b"|\n\r a\xff\xfe\x00\xef\xbb\xbf\xe2\x80", np.uint8), rng.integers(0, 200))
    )
    found = texts.read(content, "metadata.csv")
    assert found is None or all(text == texts.plain(text) and text for text in found.texts.values())


# --- texts as numbers


def test_texts_come_back_from_their_numbers() -> None:
    rows = texts.encoded(["ab c", "c", "abx"], [7, 0, 9], " abc")
    assert rows.shape == (3, 5)
    assert rows[:, 0].tolist() == [7, 0, 9]
    assert texts.decoded(rows, " abc") == ["ab c", "c", "ab"]
    assert texts.of_unknown_length(rows)[:, 0].tolist() == [0, 0, 0]
    assert texts.decoded(texts.of_unknown_length(rows), " abc") == ["ab c", "c", "ab"]


def test_a_text_is_made_plain() -> None:
    assert texts.plain("  Don’t\tGO…\u200b\n“Now” ") == 'don\'t go. "now"'


# --- texts to be spoken


def test_long_texts_become_sentences() -> None:
    alphabet = texts.alphabet_of(["one two three"])
    found = texts.prepare("One two. Three!\nOne, two; three?", alphabet, 50)
    assert found.sentences == ("one two", "three", "one two", "three")
    assert not found.dropped
    assert not found.unknown
    found = texts.prepare("one two three one two three", alphabet, 10)
    assert found.sentences == ("one two", "three one", "two three")
    assert texts.prepare("onetwothree", alphabet, 4).sentences == ("onet", "woth", "ree")
    assert texts.prepare(" . ", alphabet, 4).sentences == ()


def test_what_a_voice_does_not_know_is_told_apart() -> None:
    found = texts.prepare("one (2) two q", texts.alphabet_of(["one two"]), 50)
    assert found.unknown == "2q"
    assert found.dropped == "()"
