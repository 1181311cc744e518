"""The guide is made by commands: they exist, both languages run the same ones, and every picture is some command's."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "guide"
PAGES = sorted(path.name for path in GUIDE.glob("*.md"))
PICTURE = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)#]+)(?:#[^)]*)?\)")


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """docs/build.py, which is a program and no part of the package."""
    spec = importlib.util.spec_from_file_location("guide_build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["guide_build"] = module
    spec.loader.exec_module(module)
    return module


def text(name: str, language: str = "") -> str:
    return (GUIDE / language / name).read_text(encoding="utf-8")


def test_all_pages_are_there_in_both_languages() -> None:
    assert len(PAGES) == 13
    assert sorted(path.name for path in (GUIDE / "zh").glob("*.md")) == PAGES


@pytest.mark.parametrize("name", PAGES)
def test_both_languages_run_the_same_commands_and_show_the_same_pictures(name: str, build: ModuleType) -> None:
    english, chinese = text(name), text(name, "zh")
    assert build.commands(english) == build.commands(chinese)
    shown = [Path(path).name for path in PICTURE.findall(english)]
    assert shown == [Path(path).name for path in PICTURE.findall(chinese)]
    blocks = [[found[0] for found in build.BLOCK.finditer(page)] for page in (english, chinese)]
    assert blocks[0] == blocks[1]  # the outputs too: both were made by one run


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_is_made_by_a_command_of_its_page(name: str, build: ModuleType) -> None:
    made = {word for command in build.commands(text(name)) for word in shlex.split(command)}
    for language in ("", "zh"):
        for path in PICTURE.findall(text(name, language)):
            target = (GUIDE / language / path).resolve()
            assert target.is_file(), f"{name}: {path} is missing; `make docs` makes it"
            assert str(target.relative_to(ROOT)) in made, f"{name}: no command beside {path} makes it"


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("language", ["", "zh"])
def test_links_lead_somewhere(name: str, language: str) -> None:
    here = GUIDE / language
    lost = [p for p in LINK.findall(text(name, language)) if "://" not in p and not (here / p).resolve().exists()]
    assert lost == []


@pytest.mark.parametrize("name", PAGES)
def test_every_command_was_run(name: str, build: ModuleType) -> None:
    """A command that prints a result has it below it; those that only write a picture print its path."""
    for block in build.BLOCK.finditer(text(name)):
        lines = block["body"].splitlines()
        assert [line for line in lines if not line.startswith("$ ")], f"{name}: no output under {lines}"


def test_a_page_is_rebuilt_in_place(build: ModuleType) -> None:
    shell = build.Shell({"zerosum one": "new\nlines", "zerosum two": ""})
    page = "before\n```console\n$ zerosum one\nold\n$ zerosum two\n```\n```python\n$ zerosum three\n```\nafter\n"
    assert build.rebuilt(page, shell) == (
        "before\n```console\n$ zerosum one\nnew\nlines\n$ zerosum two\n```\n```python\n$ zerosum three\n```\nafter\n"
    )


def test_a_block_whose_data_are_missing_is_kept(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZEROSUM_DATA", raising=False)
    page = "```console needs=mnist\n$ zerosum never\nkept\n```\n"
    assert build.rebuilt(page, build.Shell()) == page


def test_a_failing_command_stops_the_build_with_its_words(build: ModuleType) -> None:
    with pytest.raises(SystemExit, match="zerosum recipes nothing\nended with status 2"):
        build.Shell().output("zerosum recipes nothing")


def test_the_theory_in_the_guide_is_what_the_engine_says_now(build: ModuleType) -> None:
    """One quick output is made anew and compared number by number."""
    command = next(c for c in build.commands(text("2-one-formula.md")) if "f-gan" in c)
    stored = next(b["body"] for b in build.BLOCK.finditer(text("2-one-formula.md")) if command in b["body"])
    now = build.Shell().output(command)
    number = re.compile(r"-?\d+\.\d{3,}")
    before, after = ([float(x) for x in number.findall(part)] for part in (stored, now))
    assert len(before) > 10
    assert after == pytest.approx(before, abs=2e-3)
