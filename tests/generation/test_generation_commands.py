"""The verbs that use a generator, from the command line to the files they write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import published
from zerosum.cli import app
from zerosum.errors import UserError
from zerosum.generation import labelled_grid
from zerosum.generation.labelled_grid import PAD, SIZE


def call(*arguments: str | Path) -> Any:
    """The JSON that a verb prints."""
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    published.generator(root / "conv", "conv", latent=8, classes=3)
    published.generator(root / "style", "style", latent=8, size=8)
    return {"conv": root / "conv", "style": root / "style"}


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as shown:
        return shown.size


TILE, GAP = 64, 3  # 16 rows are enlarged 4 times


def sheet(columns: int, rows: int) -> tuple[int, int]:
    return columns * (TILE + GAP) + GAP, rows * (TILE + GAP) + GAP


def test_interpolate_as_strip_and_as_film(folders: dict[str, Path], tmp_path: Path) -> None:
    output = call("interpolate", folders["conv"], "--seeds", "1,2", "--out", tmp_path / "strip.png")
    assert output["frames"] == 9
    assert size(tmp_path / "strip.png") == sheet(9, 1)
    call("interpolate", folders["conv"], "--frames", "20", "--out", tmp_path / "long.png")
    assert size(tmp_path / "long.png") == sheet(10, 2)
    for ending in ("gif", "apng"):
        out = tmp_path / f"walk.{ending}"
        output = call("interpolate", folders["style"], "--seeds", "1,2,3", "--frames", "7", "--loop", "--out", out)
        assert output["space"] == "w"
        with Image.open(out) as shown:
            assert shown.n_frames == 7
    output = call("interpolate", folders["style"], "--space", "z", "--frames", "3")
    assert output["space"] == "z"
    assert (folders["style"] / "walk.gif").is_file()
    with pytest.raises(UserError, match="give a name that ends in"):
        call("interpolate", folders["conv"], "--out", tmp_path / "walk.avi")


def test_mix_tells_how_many_layers_there_are(folders: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "mix.png"
    output = call("mix", folders["style"], "--rows", "1,2", "--columns", "3,4,5", "--layers", "1-2", "--out", out)
    assert (output["layers"], output["num_layers"]) == ([1, 2], 4)
    assert size(out)[0] > size(out)[1]
    with pytest.raises(UserError, match="in one piece"):
        call("mix", folders["conv"])


def test_directions_are_found_and_used(folders: dict[str, Path], tmp_path: Path) -> None:
    output = call("directions", folders["conv"], "--num", "3", "--steps", "5", "--out", tmp_path / "d.png")
    assert [row["direction"] for row in output["directions"]] == [0, 1, 2]
    width, height = sheet(5, 3)
    assert size(tmp_path / "d.png") == (
        width,
        height + 2 * (SIZE + 2 * PAD),
    )  # a line of words, and a number on each column
    assert (folders["conv"] / "directions.json").is_file()
    for name, moves in (("plain", ()), ("moved", ("--direction", "0=3")), ("back", ("--direction", "0=0"))):
        call("sample", folders["conv"], "--num", "4", *moves, "--out", tmp_path / f"{name}.npy")
    plain, moved, back = (np.load(tmp_path / f"{name}.npy") for name in ("plain", "moved", "back"))
    assert np.abs(plain.astype(int) - back).max() <= 1
    assert np.abs(plain.astype(int) - moved).max() > 2


def test_project_and_show_its_latents_again(folders: dict[str, Path], tmp_path: Path) -> None:
    call("sample", folders["conv"], "--num", "2", "--out", tmp_path / "own")
    output = call("project", folders["conv"], tmp_path / "own", "--steps", "60", "--out", tmp_path / "found.png")
    assert len(output["psnr_db"]) == 2
    assert min(output["psnr_db"].values()) > 25
    assert size(tmp_path / "found.png") == sheet(4, 1)  # picture, sample, picture, sample
    call("sample", folders["conv"], "--latent", tmp_path / "found.safetensors", "--out", tmp_path / "again.npy")
    target = np.stack([np.asarray(Image.open(path)) for path in sorted((tmp_path / "own").iterdir())])
    error = ((np.load(tmp_path / "again.npy")[..., 0].astype(float) - target) ** 2).mean((1, 2))
    stated = np.array(list(output["psnr_db"].values()))
    assert bool((10 * np.log10(255**2 / error.clip(1e-9)) > stated - 1.5).all())  # rounded to whole grey levels
    walked = call(
        "interpolate", folders["conv"], "--latent", tmp_path / "found.safetensors", "--out", tmp_path / "w.png"
    )
    assert (walked["keys"], walked["frames"]) == (2, 9)
    with Image.open(tmp_path / "w.png") as strip, Image.open(tmp_path / "found.png") as found:
        last = np.asarray(strip)[:, -TILE - GAP : -GAP].astype(int)
        assert (
            np.abs(last - np.asarray(found)[:, -TILE - GAP : -GAP]).max() <= 1
        )  # it ends at the second picture's sample
    with pytest.raises(UserError, match="as they are"):
        call("interpolate", folders["conv"], "--latent", tmp_path / "found.safetensors", "--label", "1")
    with pytest.raises(UserError, match="There is no file"):
        call("project", folders["conv"], tmp_path / "none.png")


def test_export_and_sample_from_it(folders: dict[str, Path], tmp_path: Path) -> None:
    output = call("export", folders["conv"], "--format", "huggingface", "--license", "mit", "--out", tmp_path / "hub")
    assert output["largest_difference"] == 0
    call("sample", tmp_path / "hub", "--num", "3", "--out", tmp_path / "a.npy")
    call("sample", folders["conv"], "--num", "3", "--out", tmp_path / "b.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    with pytest.raises(UserError, match="choose"):
        call("export", folders["conv"], "--format", "tflite")
    with pytest.raises(UserError, match="--license"):
        call("export", folders["conv"], "--format", "torch", "--license", "mit")


def test_a_grid_of_classes(folders: dict[str, Path], tmp_path: Path) -> None:
    call("sample", folders["conv"], "--grid", "classes", "--num", "4", "--out", tmp_path / "grid.png")
    width, height = sheet(3, 4)
    assert size(tmp_path / "grid.png") == (
        width,
        height + labelled_grid.SIZE + 2 * labelled_grid.PAD,
    )  # the classes' names above


def test_verdicts_on_many_samples_end_in_a_summary() -> None:
    from zerosum.cli.evaluation import format_scores

    few = format_scores([("a", 0.75), ("b", 0.25)]).splitlines()
    assert few[:2] == ["0.750  a", "0.250  b"]
    assert few[2] == "2 samples: mean 0.500, quartiles 0.375 0.500 0.625, lowest 0.250 (b)"
    assert format_scores([("a", 0.5)]) == "0.500  a"
    many = format_scores([(f"t:{row}", (100 - row) / 100) for row in range(101)]).splitlines()
    assert len(many) == 12
    assert many[1] == "0.000  t:100"
    assert many[-1] == "101 samples: mean 0.500, quartiles 0.250 0.500 0.750, lowest 0.000 (t:100)"
