"""Listings, misspelt names and wrong endings are answered without torch; what they read is what the domains say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zerosum import catalog
from zerosum.engine.devices import choose
from zerosum.errors import UserError
from zerosum.machine import examine

HEAVY = ("torch", "numpy", "sklearn", "PIL")
MOST_MODULES = 45
"""Modules of ours that are imported for such an answer: the command line and the report's words; all of them are about 370."""


def light(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """Status and output of a command. Fails when it imported anything heavy, or too many of our modules."""
    code = (
        f"import sys; sys.argv = ['zerosum', *{arguments!r}]\n"
        "from zerosum.cli import main\n"
        "try:\n    main()\nfinally:\n"
        f"    found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    ours = sum(name.partition('.')[0] == 'zerosum' for name in sys.modules)\n"
        f"    assert not found and ours < {MOST_MODULES}, (found, ours)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert "AssertionError" not in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("recipes",), 0, "rpgan-64"),
        (("sources",), 0, "fashion-mnist"),
        (("doctor",), 0, "precision chosen"),
        (("recipes", "dcgn"), 2, "There is no recipe 'dcgn'. Did you mean 'dcgan'"),
        (("sources", "mnits"), 2, "There is no source 'mnits'. Did you mean 'mnist'"),
        (("train", "digits", "--recipe", "dcgn"), 2, "There is no recipe 'dcgn'. Did you mean 'dcgan'"),
        (("train", "--recipe", "xyzzy"), 2, "See `zerosum recipes`"),
        (("train", "photo/"), 2, "Did you mean 'photos'?"),
        (("train", "digits", "--steps", "5", "--minutes", "1"), 2, "--minutes and --steps both set the length"),
        (("resume", "run", "--steps", "5", "--minutes", "1"), 2, "--minutes and --steps both set the length"),
        (("sample", "run", "--out", "x.bmp"), 2, "cannot write .bmp. Use .png, .jpg, .jpeg, .webp, .npy, or a folder"),
        (("interpolate", "run", "--out", "x.bmp"), 2, "give a name that ends in .png"),
        (("mix", "run", "--out", "x.bmp"), 2, "give a name that ends in .png"),
        (("directions", "run", "--out", "x.bmp"), 2, "give a name that ends in .png"),
        (("project", "run", "a.png", "--out", "x.bmp"), 2, "give a name that ends in .png"),
        (("compare", "run", "run", "--out", "x.bmp"), 2, "ends in .png (picture) or .json"),
        (("export", "run", "--format", "tflite"), 2, "choose torch, onnx, huggingface"),
        (("train", "--steps", "many"), 2, "'many' is not a whole number"),
    ],
)
def test_what_needs_no_torch_imports_none(tmp_path: Path, arguments: tuple[str, ...], status: int, words: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text(json.dumps({"name": "mlp", "domain": "images"}))
    (tmp_path / "photos").mkdir()
    done = light(tmp_path, *arguments)
    assert done[0] == status
    assert words in " ".join(done[1].replace("│", " ").split())


def test_paths_recipes_and_sources_are_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "faces" / "train").mkdir(parents=True)
    (tmp_path / "table.csv").write_text("a,b")
    for where, hint in (
        ("data/face", "Did you mean 'data/faces'?"),
        ("dat/faces/train", "Did you mean 'data/faces/train'?"),
        ("tabel.csv", "Did you mean 'table.csv'?"),
        ("digist", "Did you mean 'digits'"),
        ("dcgan", "'dcgan' is a recipe: name the data first, as in `zerosum train digits --recipe dcgan`."),
    ):
        with pytest.raises(UserError) as caught:
            catalog.recognise(where)
        assert hint in str(caught.value)
        with pytest.raises(UserError) as early:
            catalog.refuse_missing(where)
        assert str(early.value) == str(caught.value)
    assert "laplace" not in str(catalog.no_data("data/face"))


def test_a_domain_that_was_added_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    domains = dict(catalog._listing())
    monkeypatch.setattr(catalog, "_listing", lambda: domains)
    with pytest.raises(UserError):
        catalog.refuse_missing("circle")
    del domains["toy"]
    catalog.refuse_missing("circle")


def test_what_may_be_there_is_not_refused_early(tmp_path: Path) -> None:
    for where in (None, "", "digits", str(tmp_path), "shards-{0..9}.tar", "*.png"):
        catalog.refuse_missing(where)


@pytest.mark.parametrize("content", ["", "[", "[" * 100_000, "{}", "[]", '{"domain": "sounds"}'])
def test_a_folder_that_says_nothing_refuses_no_ending(tmp_path: Path, content: str) -> None:
    (tmp_path / "recipe.json").write_text(content)
    catalog.refuse_ending(tmp_path, Path("x.bmp"))
    (tmp_path / "generator.json").write_text(json.dumps({"recipe": {"domain": "tables"}}))
    with pytest.raises(UserError, match=r"cannot write \.bmp\. Use \.csv, \.tsv, .*\.png\.$"):
        catalog.refuse_ending(tmp_path, Path("x.bmp"))
    catalog.refuse_ending(tmp_path, Path("x.csv.gz"))
    with pytest.raises(UserError, match="cannot write a folder"):
        catalog.refuse_ending(tmp_path, Path("folder"))


def test_the_doctor_says_what_torch_says() -> None:
    found = examine()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert found["torch"] == torch.__version__
    assert found["device"] == (torch.cuda.get_device_name() if device.type == "cuda" else "cpu")
    assert found["precision chosen"] == choose("auto", device)
