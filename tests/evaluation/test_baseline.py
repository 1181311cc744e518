"""`zerosum baseline`: classical models measured by the protocol of a run, for a source and beside a run folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import zerosum
from zerosum import catalog
from zerosum.cli import app
from zerosum.cli.evaluation import baseline as command
from zerosum.domains.images.baselines import baselines
from zerosum.domains.images.data import open_source, to_unit
from zerosum.errors import UserError
from zerosum.evaluation import baselines as measured_baselines
from zerosum.recipe import part
from zerosum.report.comparison import THIS_RUN
from zerosum.run_folder import RunFolder


def stripes(num: int, seed: int) -> np.ndarray:
    """uint8 images (num, 8, 8): a bright bar of random place on a dark, slightly noisy ground."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 30, (num, 8, 8)).astype(np.uint8)
    for image, place in zip(images, rng.integers(0, 8, num), strict=True):
        image[:, place] = rng.integers(180, 256, 8)
    return images


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "stripes.npy"
    np.save(path, stripes(150, 0))
    return path


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "stripes"
    zerosum.train(str(data), recipe="mlp", out=run, overrides=["steps=2", "seed=5"])
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_a_source_by_its_path(data: Path) -> None:
    """The numbers are those of the domain's own evaluator on the model's samples of seed 1, measured here anew."""
    said: list[str] = []
    content = measured_baselines.measure(str(data), ["normal"], log=said.append)
    assert [one["name"] for one in content["baselines"]] == ["normal"]
    assert any("normal: fitted in" in line for line in said)
    source = open_source(str(data))
    assert content["fingerprint"] == source.fingerprint
    from zerosum.domains.images.evaluator import PixelEvaluator

    evaluator = PixelEvaluator(source, 0)
    samples = baselines(source)["normal"]().sample(evaluator.num_samples, 1)
    again = {one.name: one.value for one in evaluator.evaluate(samples, None, None)}
    assert {one["name"]: one["value"] for one in content["baselines"][0]["records"]} == again
    found = measured_baselines.compare_with_run(content)
    assert found.columns == ("normal",)
    assert found.sentence.startswith("The best by Fréchet is the normal distribution with ")


def test_beside_a_run(run: Path) -> None:
    """Written down, pictured, compared with the run's own newest metrics under its own seed, and shown in the report."""
    content = measured_baselines.measure_for_run(run, ["normal", "markov"])
    written = RunFolder.open(run).read("baselines.json")
    assert written == json.loads(json.dumps(content))
    assert (written["seed"], [one["name"] for one in written["baselines"]]) == (5, ["normal", "markov"])
    for name in ("normal", "markov"):
        assert (run / "baselines" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert list((run / "baselines").glob(".*")) == []
    found = measured_baselines.compare_with_run(content, run)
    assert found.columns == (THIS_RUN, "normal", "markov")
    own = {one["name"]: one["value"] for one in zerosum.load(run).metrics}
    compared = {row.kind.lower().replace(" ", "_").replace("é", "e") + row.tag: row.cells[0] for row in found.rows}
    assert compared == {name: own[name] for name in compared}
    assert any(name.startswith("frechet") for name in compared)
    assert found.sentence.startswith("By Fréchet, where the run scores ")
    assert "worse than the normal distribution by" in found.sentence  # two steps make no generator
    page = (run / "report.html").read_text()
    assert 'id="baselines"' in page
    assert "worse than the normal distribution by" in page


def test_models_fitted_earlier_are_kept(run: Path) -> None:
    measured_baselines.measure_for_run(run, ["normal", "markov"])
    content = measured_baselines.measure_for_run(run, ["normal"])
    assert [one["name"] for one in content["baselines"]] == ["markov", "normal"]


def test_changed_data_are_refused(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "stripes.npy"
    np.save(other, stripes(150, 1))
    recipe = RunFolder.open(run).read("recipe.json")
    recipe["data"]["kind"] = str(other)
    (run / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(UserError, match="are not those this run was trained on"):
        measured_baselines.measure_for_run(run, ["normal"])
    assert not (run / "baselines.json").exists()


def test_models_of_other_data_are_dropped(run: Path) -> None:
    measured_baselines.measure_for_run(run, ["markov"])
    old = RunFolder.open(run).read("baselines.json")
    (run / "baselines.json").write_text(json.dumps({**old, "fingerprint": "0" * 64}))
    assert [one["name"] for one in measured_baselines.measure_for_run(run, ["normal"])["baselines"]] == ["normal"]


def test_an_unknown_model_is_told_with_the_choices(data: Path) -> None:
    with pytest.raises(UserError, match=r"There is no baseline 'norml'\. Did you mean 'normal'\?"):
        measured_baselines.measure(str(data), ["norml"])


def test_the_verb_prints_a_table_or_json(run: Path, data: Path, tmp_path: Path) -> None:
    """Progress on stderr; on stdout the table, or with --json everything a program wants; --out writes the same."""
    result = CliRunner().invoke(app, ["baseline", str(run), "--only", "normal"])
    assert result.exit_code == 0
    assert "fitted in" in result.stderr
    assert "fitted in" not in result.stdout
    head, first = result.stdout.splitlines()[:2]
    assert head.split() == ["measure", "this", "run", "normal", "reference", "wanted"]
    assert first.split()[0] == "Fréchet"
    assert "*" in first
    assert f"report   {run / 'report.html'}" in result.stdout
    out = tmp_path / "found.json"
    plain = CliRunner().invoke(app, ["baseline", str(data), "--only", "normal", "--json", "--out", str(out)])
    content = json.loads(plain.stdout)
    assert content["baselines"][0]["name"] == "normal"
    assert content["sentence"].startswith("The best by Fréchet")
    assert json.loads(out.read_text()) == content


# --- models of points


@pytest.mark.parametrize(("name", "names"), [("mixture", "family mixture kernel"), ("ring", "normal mixture kernel")])
def test_models_of_points_make_points(name: str, names: str) -> None:
    toy = catalog.domain("toy")
    source = toy.data.open(part(name, num=300), False)
    fits = toy.evaluation.baselines(source)
    assert list(fits) == names.split()
    for fit in fits.values():
        samples = fit().sample(50, 0)
        assert samples.shape == (50, toy.info_of(source).sample.shape[0])


# --- models of images


def test_models_of_images_make_images() -> None:
    source = open_source("digits")
    for name, fit in baselines(source).items():
        if name != "mixture":
            samples = fit().sample(30, 0)
            assert samples.shape == (30, 1, 8, 8), name
            assert samples.dtype == torch.float32
            assert samples.abs().max() <= 1


def test_the_chain_makes_grey_levels_of_the_data_only() -> None:
    """Digits have 17 levels; each keeps its value, and at each place and after each left neighbour only those seen."""
    source = open_source("digits")
    reals = to_unit(source.train.pixels)
    fakes = baselines(source)["markov"]().sample(400, 0)
    torch.testing.assert_close(fakes.unique(), reals.unique())
    for row, column in ((3, 4), (5, 2)):
        pairs = [set(map(tuple, x[:, 0, row, column - 1 : column + 1].mul(8).round().tolist())) for x in (fakes, reals)]
        assert pairs[0] <= pairs[1]
        assert len(pairs[0]) > 20


def test_the_chain_of_colours_keeps_pixels_together(tmp_path: Path) -> None:
    """Images of two colours alone: no third colour is made."""
    colours = np.array([[255, 0, 0], [0, 255, 255]], np.uint8)
    images = colours[np.random.default_rng(0).integers(0, 2, (40, 4, 5))]
    np.save(tmp_path / "two.npy", images)
    fakes = baselines(open_source(str(tmp_path / "two.npy")))["markov"]().sample(50, 0)
    assert fakes.shape == (50, 3, 4, 5)
    assert fakes.permute(0, 2, 3, 1).reshape(-1, 3).unique(dim=0).tolist() == [[-1, 1, 1], [1, -1, -1]]


@pytest.mark.parametrize("out", ["/", "made.txt", "made", "folder.json"])
def test_an_impossible_file_is_refused_before_anything_is_fitted(
    tmp_path: Path, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.json").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zerosum.evaluation.baselines.measure", lambda *_, **__: pytest.fail("fitted"))
    with pytest.raises(UserError, match=r"ends in \.json"):
        command("ring", out=Path(out))
