"""A domain of another package trains, resumes, samples and is listed; names that clash are refused."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import zerosum as zs
from forked import Forked
from small_process import ended
from zerosum import catalog
from zerosum.cli import app
from zerosum.domain import Recipes

ROOT = Path(__file__).parents[1]
DOMAIN = ROOT / "examples" / "domain" / "circle" / "__init__.py"


def package(place: Path, entry: str = "circle", module: str = "circle_gan", name: str = "circle-gan") -> Path:
    """A folder that, on the path of modules, is an installed package with an entry point; made without pip."""
    (place / module).mkdir(parents=True, exist_ok=True)
    shutil.copy(DOMAIN, place / module)
    about = place / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[zerosum.domains]\n{entry} = {module}:DOMAIN\n")
    return place


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(tmp_path_factory.mktemp("site"))


def run(at: Path, *arguments: object, paths: tuple[Path, ...] = ()) -> str:
    """The output of a command in a process that finds the packages in `paths`."""
    found = os.pathsep.join(map(str, (ROOT / "src", *paths)))
    process = Forked("-m", "zerosum", *map(str, arguments), folder=at, environ={**os.environ, "PYTHONPATH": found})
    status, out, error = ended(process)
    assert status == 0, error
    assert "Traceback" not in error, error
    return out + error


@pytest.fixture
def looked_up_again() -> Any:
    """Entry points and what was loaded of them are looked up anew, before and after."""

    def forget() -> None:
        catalog._entry_points.cache_clear()
        catalog._loaded.clear()

    forget()
    yield forget
    forget()


def invoked(*arguments: object, status: int = 0) -> str:
    """The output of a command in this process."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == status, done.output
    return done.output


def test_a_domain_by_entry_point_is_listed_trains_resumes_and_samples(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch, looked_up_again: Any
) -> None:
    """In one process; tests/test_extend_guide.py does it with a process for each command."""
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(installed))
        looked_up_again()
        assert "circle  " in invoked("recipes")
        assert json.loads(invoked("recipes", "circle"))["domain"] == "circle"
        assert "eight clusters on a circle" in invoked("sources")
        small = {"generator.width": 8, "batch": 32, "threads": 1}
        zs.train("circle", steps=10, out=tmp_path / "run", overrides=small)
        assert "step 20 of 20" in repr(zs.resume(tmp_path / "run", steps=20))
        assert len(zs.load(tmp_path / "run").sample(9, seed=3)) == 9
        invoked("export", "run", "--format", "huggingface", "--out", "hub")
        card = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
        assert "| package of the domain | circle-gan 1.0 |" in card
        assert "`pip install circle-gan`" in card
        with pytest.raises(zs.UserError) as missing:
            zs.train("missing/path")
        assert "circle: points on a circle in the plane" in str(missing.value).partition("What can be trained on")[2]
        assert "images: " in str(missing.value)
    looked_up_again()
    with pytest.raises(zs.UserError) as missing:
        zs.train("missing/path")
    assert "circle: " not in str(missing.value)
    with pytest.raises(zs.UserError, match=r"There is no domain 'circle' in this process.*install the package"):
        zs.load(tmp_path / "run")


def test_a_domain_by_entry_point_is_known_to_other_processes(tmp_path: Path, installed: Path) -> None:
    """Two processes that train, and the one that evaluates beside the training."""
    small = ["--steps", 6, "--set", "batch=32", "--set", "threads=1", "--evaluate-every", 3]
    output = run(tmp_path, "train", "circle", "--devices", 2, "--out", "run", *small, paths=(installed,))
    assert "failed" not in output
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {line["step"] for line in lines if line["kind"] == "evaluation"} >= {3, 6}


# --- in one program


@pytest.fixture
def circle(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The domain as an object of a module that belongs to no package; nothing is registered yet."""
    monkeypatch.setattr(catalog, "_registered", {})
    spec = importlib.util.spec_from_file_location("circle_here", installed / "circle_gan" / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module.DOMAIN


def test_a_registered_domain_trains_in_this_program(circle: Any, tmp_path: Path) -> None:
    assert zs.register(circle) is circle
    assert catalog.recognise("circle") is circle
    assert catalog.recipe("circle") is circle.recipes.table["circle"]
    assert "circle" in catalog.sources()
    assert [each.name for each in catalog.unlisted()] == ["circle"]
    done = zs.train("circle", out=tmp_path / "run", overrides={"steps": 3, "batch": 8, "threads": 1})
    assert done.sample(4, seed=0).shape == (4, 2)
    done.export("huggingface", tmp_path / "hub")
    assert "call `zerosum.register(DOMAIN)`" in (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")


def test_names_that_are_taken_are_refused(circle: Any) -> None:
    with pytest.raises(
        zs.UserError, match=r"Two domains have the name 'toy': that of zerosum.register .* zerosum itself"
    ):
        zs.register(replace(circle, name="toy"))
    with pytest.raises(
        zs.UserError, match=r"recipe 'dcgan' of the domain 'circle' .* of the domain 'images' \(zerosum itself"
    ):
        zs.register(
            replace(circle, recipes=Recipes({"dcgan": circle.recipes.table["circle"]}, circle.recipes.recommend))
        )
    with pytest.raises(zs.UserError, match=r"source 'digits' of the domain 'circle' .* of the domain 'images'"):
        zs.register(replace(circle, data=replace(circle.data, sources=lambda: {"digits": None})))
    assert "circle" not in catalog.domain_names()
    zs.register(circle)
    with pytest.raises(zs.UserError, match="To replace it: register"):
        zs.register(replace(circle, summary="another"))
    other = zs.register(replace(circle, summary="another"), replace=True)
    assert catalog.domain("circle") is other
    with pytest.raises(
        zs.UserError, match=r"recipe 'circle' of the domain 'rings' .* domain 'circle' \(zerosum.register"
    ):
        zs.register(replace(circle, name="rings"))


def test_packages_whose_names_clash_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_up_again: Any
) -> None:
    package(tmp_path / "one", module="one_gan", name="one-gan")
    package(tmp_path / "two", module="two_gan", name="two-gan")
    for name in ("one", "two"):
        monkeypatch.syspath_prepend(str(tmp_path / name))
    with pytest.raises(zs.UserError, match="'circle': that of the package two-gan and that of the package one-gan"):
        catalog.domain_names()
    shutil.rmtree(tmp_path / "two")
    looked_up_again()
    assert catalog.domain_names()[-1] == "circle"
    assert catalog.recipe("circle").domain == "circle"
    package(tmp_path / "three", entry="toy", module="three_gan", name="three-gan")
    monkeypatch.syspath_prepend(str(tmp_path / "three"))
    looked_up_again()
    with pytest.raises(zs.UserError, match="'toy': that of the package three-gan and that of zerosum itself"):
        catalog.domain_names()


def test_a_package_that_is_broken_is_named_and_blocks_no_other_domain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_up_again: Any
) -> None:
    package(tmp_path, entry="sounds", module="sound_gan", name="sound-gan")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(zs.UserError, match="gives the domain 'circle'; it must give the Domain of that name"):
        catalog.domain("sounds")
    (tmp_path / "sound_gan" / "__init__.py").write_text("raise RuntimeError('no sound card')")
    sys.modules.pop("sound_gan", None)
    with pytest.raises(
        zs.UserError, match=r"'sounds' of the package sound-gan cannot be imported \(RuntimeError: no sound"
    ):
        catalog.domain("sounds")
    assert catalog.recognise("ring").name == "toy"
    with pytest.warns(UserWarning, match="sound-gan"):
        assert "dcgan" in catalog.recipes()
