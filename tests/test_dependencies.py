"""What the package imports is declared: by the package itself, or by the extra that its place belongs to; and nothing else is."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import extras

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "zerosum"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "skimage": "scikit-image", "mlflow": "mlflow-skinny"}
"""Where a package is imported by another name than it is installed by."""
PLACES = {
    "lab": ("lab/server.py", "lab/watch.py"),
    "tensorboard": ("training/callbacks.py",),
    "wandb": ("training/callbacks.py",),
    "mlflow": ("training/callbacks.py",),
    "onnx": ("generation/export/exporting.py",),
    "tables": ("api.py", "domains/tables/reading/frames.py", "domains/tables/writing.py", "estimators/tables.py"),
    "points": ("domains/points/formats.py",),
    "textures": ("domains/translation/builtin_sources.py",),
    "audio": tuple(f"domains/audio/{name}.py" for name in ("formats", "waves", "streaming", "vocoder_measures")),
    "video": ("domains/video/formats.py",),
    "medical": ("domains/medical/nifti.py", "domains/medical/dicom.py"),
}
"""Files that may import what an extra brings."""
INDIRECT = {
    "charset-normalizer": "trimesh reads text with it that is not UTF-8",
    "pylibjpeg-openjpeg": "pydicom decodes JPEG 2000 with it",
    "pylibjpeg-rle": "pydicom decodes run lengths with it",
    "pyjpegls": "pydicom decodes JPEG-LS with it",
}
"""Declared, and imported by what is imported."""
UNDECLARED = {"pesq": "needs a compiler; a measure of vocoders uses it where somebody has installed it"}
"""Imported where they are there, and not declared."""
LOADERS = re.compile(r"(importlib\.)?(import_module|find_spec)|importlib\.util\.find_spec|(\w+\.)?require")


def imported(text: str) -> Iterator[tuple[str, bool]]:
    """(package, whether at the top of the file) of each import of a file, also by name ("require('pandas', ...)")."""
    tree = ast.parse(text)
    tops = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Call) and LOADERS.fullmatch(ast.unparse(node.func)) and node.args:
            first = node.args[0]
            names = [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
        for name in names:
            package = name.partition(".")[0]
            if package not in sys.stdlib_module_names and package not in ("zerosum", ""):
                yield DISTRIBUTIONS.get(package, package), id(node) in tops


def name_of(requirement: str) -> str:
    """trimesh>=4.4 -> trimesh"""
    return re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower()


CORE = {name_of(each) for each in PROJECT["dependencies"]}
EXTRAS = {name: {name_of(each) for each in packages} for name, packages in extras.declared().items()}
FILES = {path.relative_to(SRC).as_posix(): path.read_text(encoding="utf-8") for path in sorted(SRC.rglob("*.py"))}
FOUND = {where: set(imported(text)) for where, text in FILES.items()}


@pytest.mark.parametrize("where", [where for where, found in FOUND.items() if found])
def test_what_is_imported_is_declared(where: str) -> None:
    mine = {name for name, places in PLACES.items() if where in places}
    allowed = CORE | set(UNDECLARED) | {package for name in mine for package in EXTRAS[name]}
    assert {package for package, _ in FOUND[where]} - allowed == set(), (
        f"not declared for {mine or 'the package itself'}"
    )
    assert {package for package, top in FOUND[where] if top} - CORE == set(), "an extra is imported inside functions"


def test_what_is_declared_is_imported() -> None:
    assert set(INDIRECT) <= {package for packages in EXTRAS.values() for package in packages}
    everywhere = {package for found in FOUND.values() for package, _ in found}
    assert CORE - everywhere == set()
    assert set(UNDECLARED) <= everywhere - CORE - {package for packages in EXTRAS.values() for package in packages}
    for name, packages in EXTRAS.items():
        here = {package for place in PLACES[name] for package, _ in FOUND[place]}
        assert packages - here - set(INDIRECT) == set(), name


def test_each_extra_has_a_use_and_belongs_to_all() -> None:
    assert set(extras.USES) == {"none", *EXTRAS}
    (every,) = PROJECT["optional-dependencies"]["all"]
    assert sorted(re.findall(r"\w+", every.partition("[")[2])) == sorted(EXTRAS)


def test_versions_of_all_that_is_declared_are_held() -> None:
    held = {name_of(line) for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().splitlines()}
    declared = CORE | {package for packages in EXTRAS.values() for package in packages}
    assert {name.replace("-", "_") for name in declared} - {name.replace("-", "_") for name in held} == set()


def test_the_reading_of_imports_can_fail() -> None:
    text = "import os, scipy.stats\ndef f():\n    from PIL import Image\n    require('pandas', '')\n    find_spec('trimesh')"
    found = {("scipy", True), ("pillow", False), ("pandas", False), ("trimesh", False)}
    assert set(imported(text)) == found
