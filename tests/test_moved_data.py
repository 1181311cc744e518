"""Data in files: a run is gone on with from any folder, and after its data have moved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from domain_games import CASES
from small_run import begun, equal, resumed, weights
from zerosum import catalog
from zerosum.api import load, resume
from zerosum.domain import Domain
from zerosum.errors import UserError
from zerosum.recipe import Recipe
from zerosum.run_folder import RunFolder


def points(path: Path, slope: float = 0.37) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{slope * i % 1:.3f},{0.61 * i % 1:.3f}\n" for i in range(150))
    path.write_text("x,y\n" + rows, encoding="utf-8")
    return path


def test_resumed_from_elsewhere_and_after_a_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = points(tmp_path / "a" / "some.csv")
    monkeypatch.chdir(tmp_path / "a")
    begun(Path("run"), 4, "some.csv", **{"data.num": None})
    assert json.loads(Path("run/recipe.json").read_text(encoding="utf-8"))["data"]["kind"] == str(data)
    monkeypatch.chdir(tmp_path)
    for copy in ("straight", "other"):
        shutil.copytree("a/run", copy)
    resumed(Path("straight"), 6)

    moved = tmp_path / "b" / "moved.csv"
    moved.parent.mkdir()
    data.rename(moved)
    for act in (lambda: resumed(Path("a/run"), 6), lambda: load("a/run").evaluate()):
        with pytest.raises(UserError, match=rf"The data of a/run: at {data} when it.*zerosum resume a/run --data NEW"):
            act()
    other = points(tmp_path / "c.csv", 0.41)
    with pytest.raises(UserError, match=rf"The data at '{other}' are not those this run was trained on"):
        resume("a/run", data=other)
    assert load("a/run").evaluate(data="b/moved.csv")
    resumed(Path("a/run"), 6, data="b/moved.csv")
    assert equal(weights(Path("a/run")), weights(Path("straight")))
    assert RunFolder(Path("a/run")).recipe().data.kind == str(moved)
    resumed(Path("a/run"), 7)  # the new place is remembered

    old = Path("other/recipe.json")  # as runs were written before: relative to a folder that nobody knows
    old.write_text(old.read_text(encoding="utf-8").replace(str(data), "some.csv"), encoding="utf-8")
    with pytest.raises(UserError, match=f"nothing is there now, seen from the folder {tmp_path}"):
        resumed(Path("other"), 6)
    resumed(Path("other"), 6, data=moved)
    assert equal(weights(Path("other")), weights(Path("straight")))


def bare(domain: Domain, **data: object) -> Recipe:
    return next(iter(domain.recipes.table.values())).changed(data=data)


@pytest.mark.parametrize("name", sorted({catalog.recipes()[case.recipe].domain for case in CASES.values()}))
def test_names_stay_names_and_paths_become_absolute(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    domain = catalog.domain(name)
    monkeypatch.chdir(tmp_path)
    source = next(iter(domain.data.sources()))
    for folder in ("photos", source):  # a folder that bears the name of a source is not what that name means
        Path(folder).mkdir()
    spelt = [source, source.upper().replace("-", "_")]
    kinds = [*spelt, "photos", f"./{source}", "~/none"]
    found = [catalog.with_absolute_paths(bare(domain, kind=kind), domain).data.kind for kind in kinds]
    assert found == [*spelt, str(tmp_path / "photos"), str(tmp_path / source), "~/none"]
    shared = catalog.with_public_paths(bare(domain, kind=str(tmp_path / "photos"), seed=3), domain)
    assert (shared.data.kind, shared.data.options) == ("photos", {"seed": 3})


def test_other_options_that_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of attributes of a folder of images, and the run that another one begins with."""
    monkeypatch.chdir(tmp_path)
    images, domain = Path("photos"), catalog.domain("images")
    images.mkdir()
    for i in range(12):
        Image.new("L", (8, 8), 20 * i).save(images / f"{i}.png")
    table = images / "ages.csv"
    table.write_text("name,age\n" + "".join(f"{i}.png,{i}\n" for i in range(12)), encoding="utf-8")
    recipe = bare(domain, kind="photos", attributes="photos/ages.csv", size=8).changed(start="photos")
    kept = catalog.with_absolute_paths(recipe, domain)
    assert (kept.data.options["attributes"], kept.start and kept.start.folder) == (
        str(table.absolute()),
        str(images.absolute()),
    )
    assert [
        catalog.with_absolute_paths(bare(domain, kind="photos", attributes=x), domain).data.options
        for x in (True, None)
    ] == [
        {"attributes": True},
        {"attributes": None},
    ]
    Path("far").mkdir()
    images.rename("far/photos")
    with pytest.raises(UserError, match=rf"The data of runs/x: at {images.absolute()} when"):
        catalog.refuse_missing_data(kept, domain, "runs/x")
    there = catalog.with_data_moved(kept, domain, "far/photos")
    assert there.data.options["attributes"] == str(Path("far/photos/ages.csv").absolute())
    catalog.refuse_missing_data(there, domain, "runs/x")
    assert domain.data.open(there.data, False).attribute_names == ("age",)
    apart = there.changed(data={**there.data.model_dump(), "attributes": "/none/ages.csv"})
    with pytest.raises(
        UserError, match=r"The file of data.attributes of runs/x: at /none/ages.csv.*--set data.attributes=NEW"
    ):
        catalog.refuse_missing_data(apart, domain, "runs/x")
