"""docs/extend.md, followed to the letter: its blocks of code go into a copy of the package, and its commands are run there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from forked import Forked

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "extend.md"
PLACE = re.compile(r"# (?P<file>\S+\.(py|toml))(, in (?P<table>\w+))?\n")


@dataclass(frozen=True)
class Block:
    """A block of code. section: the heading above it. file: where its first line says that it belongs; table: in which table."""

    section: str
    language: str
    text: str
    file: str = ""
    table: str = ""


def blocks() -> list[Block]:
    """The blocks of the guide, in order."""
    found, section = [], ""
    for match in re.finditer(r"^## ([^\n]+)$|^```(\w+)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.S | re.M):
        heading, language, text = match.groups()
        section = heading or section
        if heading is None:
            place = PLACE.match(text)
            text, file, table = (text[place.end() :], place["file"], place["table"]) if place else (text, "", "")
            found.append(Block(section, language, text, file, table or ""))
    return found


def place(block: Block, root: Path) -> None:
    """Puts a block where it belongs: into a table, at the end of a file, or into a new file."""
    path = root / block.file
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if block.table:
        head, opening, rest = re.split(rf"^({block.table}\b.*= {{\n)", text, maxsplit=1, flags=re.M)
        name = block.text.strip().rstrip(",").rpartition(" ")[2]
        package = ".".join(path.parent.relative_to(root / "src").parts)
        text = f"{head}from {package}.tiny import {name}\n\n{opening}{block.text}{rest}"
    else:
        text += ("\n\n" if text else "") + block.text
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, its examples and the tests, with all blocks of the guide that belong to a file put in."""
    root = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("src", "examples", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", root)
    for block in blocks():
        if block.file:
            place(block, root)
    programs = root / "bin"
    programs.mkdir()
    (programs / "zerosum").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m zerosum "$@"\n')
    (programs / "zerosum").chmod(0o755)
    return root


def run(root: Path, command: list[str]) -> str:
    """What a command writes, in the copy, where the package circle-gan counts as installed once it has its entry point."""
    paths = os.pathsep.join(map(str, (root / "src", root / "circle-gan")))
    path = os.pathsep.join((str(root / "bin"), os.environ["PATH"]))
    env = {
        **os.environ,
        "PYTHONPATH": paths,
        "PATH": path,
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "error::SyntaxWarning",
    }
    env.pop("PYTEST_ADDOPTS", None)
    if command[0] == "bash":
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
        status, out, error = done.returncode, done.stdout, done.stderr
    else:
        process = Forked(*command, folder=root, environ=env)
        out, error = process.communicate()
        status = process.wait()
    assert status == 0, f"{command}\n{out}\n{error}"
    return out + error


def install(root: Path) -> None:
    """What pip would do with circle-gan: its entry points become known. No network, and nothing outside the copy."""
    project = tomllib.loads((root / "circle-gan" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = root / "circle-gan" / "circle_gan-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [f"[{group}]" for group in project["entry-points"]]
    ((entries),) = project["entry-points"].values()
    (about / "entry_points.txt").write_text("\n".join([*lines, *(f"{k} = {v}" for k, v in entries.items())]) + "\n")


def shell(root: Path, section: str) -> str:
    """The output of the commands of a section. An installation by pip is done by hand."""
    output = ""
    for block in blocks():
        if block.section != section or block.language != "sh":
            continue
        for line in block.text.splitlines():
            if line.startswith("pip install"):
                install(root)
            else:
                options = " -q -x -p no:cacheprovider" if line.startswith("pytest") else ""
                simple = line.startswith(("zerosum", "pytest")) and ">" not in line
                command = ["-m", *shlex.split(line + options)] if simple else ["bash", "-c", line]
                output += run(root, command)
    return output


def python(root: Path, section: str) -> str:
    """The output of the programs of a section."""
    texts = [b.text for b in blocks() if b.section == section and b.language == "python" and not b.file]
    assert texts
    return "".join(run(root, ["-c", text]) for text in texts)


def test_the_guide_has_a_block_of_each_kind() -> None:
    sections = {block.section for block in blocks()}
    assert len(sections) == 8
    assert {block.language for block in blocks()} == {"python", "sh", "toml"}


def test_your_own_loop(checkout: Path) -> None:
    steps = [line.split()[0] for line in python(checkout, "Your own loop").splitlines()]
    assert steps == ["100", "200", "300"]


def test_a_loss(checkout: Path) -> None:
    output = shell(checkout, "A loss")
    assert "warm: eigenvalues +-i times, slopes derived from the loss" in output
    assert "[100%]" in output


def test_a_penalty(checkout: Path) -> None:
    assert "[100%]" in shell(checkout, "A penalty")


def test_a_network_for_images(checkout: Path) -> None:
    output = " ".join(shell(checkout, "A network for images").split())
    assert "generator.kind is 'tiny' instead of 'conv': of the recipe's options, norm, up, width are dropped." in output
    assert "generator.gain" in output


def test_a_recipe(checkout: Path) -> None:
    assert "30 steps" in shell(checkout, "A recipe")


def test_a_metric(checkout: Path) -> None:
    python(checkout, "A metric")


def test_a_domain_in_a_package_of_your_own(checkout: Path) -> None:
    section = "A domain in a package of your own"
    output = shell(checkout, section)
    assert "modes" in output
    assert len((checkout / "nine.csv").read_text().splitlines()) == 9
    shutil.rmtree(checkout / "circle-gan" / "circle_gan-1.0.dist-info")  # registered instead of installed
    assert "tensor" in python(checkout, section)


def test_a_domain_that_reads_files(checkout: Path) -> None:
    python(checkout, "A domain that reads files")
    plain, classes = (
        json.loads((checkout / "runs" / name / "run.json").read_text(encoding="utf-8"))["source"]
        for name in ("plain", "classes")
    )
    assert (plain["num_heldout"], classes["num_heldout"]) == (180, 90)
    assert plain["condition"] is None
    assert classes["condition"]["names"] == ["falling", "rising"]
    assert plain["payload"] == classes["payload"]
    assert plain["payload"]["scale"] == pytest.approx(5, abs=0.01)
