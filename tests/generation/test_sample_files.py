"""Files of samples: their names tell the classes, and pictures have the size that is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import infos
import published
from zerosum import catalog
from zerosum.api import Run, files_in, load
from zerosum.cli import app
from zerosum.domain import SampleRequest, WriteOptions, glyphs
from zerosum.errors import UserError
from zerosum.generation import labelled_grid
from zerosum.generation.latents.sampling import SampleOptions, make_samples
from zerosum.store import class_file_names


def named(folder: Path, *names: str, **of: Any) -> Run:
    """A labelled generator whose classes have these names."""
    published.generator(folder, classes=len(names), **of)
    card = json.loads((folder / "generator.json").read_text())
    card["dataset"]["condition"]["names"] = names
    (folder / "generator.json").write_text(json.dumps(card))
    return load(folder)


def sample(folder: Path, *options: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["sample", str(folder), *options])
    assert done.exit_code == code, done.output
    return " ".join(f"{done.output} {done.exception}".split())


def test_the_files_of_a_labelled_generator_are_named_by_their_classes(tmp_path: Path) -> None:
    run = named(tmp_path / "run", "cat", "../../猫 é", "dog/cat")
    sample(run.path, "--num", "12", "--seed", "3", "--out", str(tmp_path / "many"))
    files = files_in([tmp_path / "many"])
    condition = run.condition(12, 3)
    assert condition is not None
    words = ["cat", "猫_é", "dog_cat"]
    assert [file.name for file in files] == [f"{i:05d}-{words[int(label)]}.png" for i, label in enumerate(condition)]
    assert {file.stem.partition("-")[2] for file in files} == set(words)
    # What was written is what `judge` gets, in the order of the labels.
    expected = run.sample(12, 3)
    torch.testing.assert_close(run.domain.media.read(files, run.sampler.info), expected, atol=1 / 127, rtol=0)
    sample(run.path, "--num", "2", "--grid", "classes", "--out", str(tmp_path / "grid"))
    assert [file.name for file in files_in([tmp_path / "grid"])] == [f"{i:05d}-{words[i % 3]}.png" for i in range(6)]


def test_files_of_a_generator_without_labels_have_numbers_alone(tmp_path: Path) -> None:
    plain = published.generator(tmp_path / "plain")
    sample(plain.path, "--num", "2", "--out", str(tmp_path / "many"))
    assert [file.name for file in files_in([tmp_path / "many"])] == ["00000.png", "00001.png"]
    conditional = published.generator(tmp_path / "told", attributes=2)
    sample(conditional.path, "--num", "1", "--out", str(tmp_path / "one"))
    assert [file.name for file in files_in([tmp_path / "one"])] == ["00000.png"]


def test_each_class_has_a_name_of_its_own_that_file_systems_take() -> None:
    assert class_file_names(["0", "1"]) == ["0", "1"]
    assert class_file_names(["a b", "a/b", "A_B", "c"]) == ["a_b-0", "a_b-1", "A_B-2", "c"]
    assert class_file_names(["**", "", "e\u0301t\u0301e"]) == ["0", "1", "ét́e"]
    assert class_file_names(["a", "A", "a-0"]) == ["0-a", "1-A", "2-a-0"]
    assert class_file_names(range(2)) == ["0", "1"]
    long = class_file_names(["猫" * 300, "猫" * 300 + "!", "कि"])
    assert len(set(long)) == 3
    assert long[2] == "कि"  # a mark of vowels is no letter, and belongs to one
    assert all(len(name.encode()) <= 130 for name in long)


@pytest.mark.parametrize(("option", "height", "width"), [("64", 64, 64), ("8", 8, 8), ("40x30", 40, 30)])
def test_pictures_have_the_size_that_is_asked_for(tmp_path: Path, option: str, height: int, width: int) -> None:
    run = published.generator(tmp_path / "run", classes=3)
    for out in ("one.png", "one.jpg", "many"):
        sample(run.path, "--num", "1", "--size", option, "--out", str(tmp_path / out))
        (file,) = files_in([tmp_path / out])
        with Image.open(file) as image:
            assert image.size == (width, height)
    sample(run.path, "--num", "4", "--size", option, "--out", str(tmp_path / "sheet.png"))
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.size == (2 * width + 9, 2 * height + 9)
    sample(run.path, "--grid", "classes", "--num", "2", "--size", option, "--out", str(tmp_path / "classes.png"))
    with Image.open(tmp_path / "classes.png") as image:
        assert image.size == (3 * width + 12, 2 * height + 9 + 23)


def test_a_sheet_holds_the_same_pictures_as_single_files(tmp_path: Path) -> None:
    run = published.generator(tmp_path / "run", size=32)
    sample(run.path, "--num", "4", "--size", "96", "--out", str(tmp_path / "sheet.png"))
    sample(run.path, "--num", "4", "--size", "96", "--out", str(tmp_path / "many"))
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    for index, file in enumerate(files_in([tmp_path / "many"])):
        top, left = 3 + index // 2 * 99, 3 + index % 2 * 99
        np.testing.assert_array_equal(sheet[top : top + 96, left : left + 96], np.asarray(Image.open(file)))


def test_sizes_that_cannot_be_are_refused(tmp_path: Path) -> None:
    run = published.generator(tmp_path / "run")
    for wrong in ("0", "-3", "big", "3x", "1x2x3", "²"):
        assert "give the pixels of the longer side" in sample(run.path, f"--size={wrong}", code=1)
    assert "pictures of 20,000 x 20,000 pixels are too large" in sample(
        run.path, "--size", "20000", "--out", str(tmp_path / "many"), code=1
    )
    output = sample(run.path, "--num", "200", "--size", "1000", "--out", str(tmp_path / "x.png"), code=1)
    assert "one picture of 200 samples would have about 14,000 x 15,000 pixels" in output
    assert "x.npy holds the samples as they were made" in sample(
        run.path, "--size", "20", "--out", str(tmp_path / "x.npy"), code=1
    )


@pytest.mark.parametrize("name", ["toy", "tables", "points"])
def test_an_option_of_other_domains_is_refused(name: str, tmp_path: Path) -> None:
    run: Any = SimpleNamespace(domain=catalog.domain(name))
    for out in ("x.png", "x.csv"):
        with pytest.raises(UserError, match=f"--size: `sample` has no such option for the domain '{name}'. It has"):
            Run.produce(run, SampleRequest(4, 0, tmp_path / out, {"size": "64"}))


def test_shapes_in_single_files_are_named_by_their_classes(tmp_path: Path) -> None:
    info = infos.of_shapes(8)
    write, form = catalog.domain("points").media.write, WriteOptions(names=["chair", "sofa"])
    folder = write(torch.rand(2, 8, 3), tmp_path / "many", info, form)
    assert [path.name for path in folder] == ["00000-chair.ply", "00001-sofa.ply"]
    single = write(torch.rand(2, 8, 3), tmp_path / "s.xyz", info, form)
    assert [path.name for path in single] == ["s-00000-chair.xyz", "s-00001-sofa.xyz"]


# --- the names above the columns of a sheet


def drawn_names(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The words above the columns of a class grid, each with the family of its font."""
    from PIL import ImageDraw

    found, plain = list[tuple[str, Any]](), ImageDraw.ImageDraw.text

    def text(self: Any, place: Any, words: str, ink: Any, font: Any, **more: Any) -> None:
        found.append((words, font.getname()[0]))
        plain(self, place, words, ink, font, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    samples, layout = make_samples(run, SampleOptions(2, grid="classes", labels=(2, 1, 0)))
    labelled_grid.write(run.domain, samples, path, layout, run.sampler.info)
    return found


def test_names_are_drawn_in_a_font_that_has_their_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = named(tmp_path / "run", "cat", "кот", "πόλη")
    drawn = drawn_names(run, tmp_path / "grid.png", monkeypatch)
    assert drawn[0][0][0] == "π"
    assert drawn[1:] == [("кот", glyphs.USUAL), ("cat", "Aileron")]
    assert drawn[0][1] == glyphs.USUAL


def test_names_that_no_font_has_are_numbered_and_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glyphs, "_fonts", list)
    run = named(tmp_path / "run", "cat", "dog", "猫")
    drawn = drawn_names(run, tmp_path / "grid.png", monkeypatch)
    assert [word for word, _ in drawn[:3]] == ["2", "dog", "cat"]
    assert " ".join(word for word, _ in drawn[3:]) == labelled_grid.NUMBERED
    with Image.open(tmp_path / "grid.png") as image:
        assert image.size[1] > 2 * 59 + 3 + 23 + 18


def test_a_font_of_the_system_that_has_the_signs_is_taken_for_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    """No such font is at hand everywhere: one that comes with matplotlib is said to have the signs."""
    known, other = glyphs._signs_of, glyphs._path("STIXGeneral")
    monkeypatch.setattr(glyphs, "_fonts", lambda: [("STIXGeneral", other)])
    monkeypatch.setattr(
        glyphs, "_signs_of", lambda path: known(path) | (frozenset(map(ord, "猫犬")) if path == other else set())
    )
    found = glyphs.glyphs_for(["cat", "猫", "犬 1"])
    assert [found.file_for(name) for name in ("cat", "猫", "犬 1", "鼠")] == [
        glyphs._path(glyphs.USUAL),
        other,
        other,
        None,
    ]
    words, numbered = labelled_grid._column_words(labelled_grid.Layout(2, ("cat", "猫"), instead=("0", "1")))
    assert (words, numbered) == ([("cat", None), ("猫", other)], False)
