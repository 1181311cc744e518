"""The examples of docs/extend.md run as they stand."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import zerosum as zs
from zerosum import catalog
from zerosum.cli import app
from zerosum.domain import PreviewContext

EXAMPLES = Path(__file__).parents[1] / "examples"


def module_at(path: Path) -> Any:
    """The module in a file."""
    name = path.parent.name if path.name == "__init__.py" else path.stem
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_own_game_finds_all_modes(capsys: pytest.CaptureFixture[str]) -> None:
    share = module_at(EXAMPLES / "own_game.py").main(steps=800)
    assert "8 of 8 modes" in capsys.readouterr().out
    assert share > 0.4


def test_a_domain_is_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {})
    zs.register(module_at(EXAMPLES / "domain" / "circle" / "__init__.py").DOMAIN)
    run = zs.train("circle", out=tmp_path / "circle", overrides={"steps": 800, "generator.width": 48})
    measured = {record["name"]: record["value"] for record in run.metrics}
    assert measured["modes"] == 8
    assert not [record for record in run.metrics if "cannot_judge" in record["protocol"]]
    assert (tmp_path / "circle" / "report.html").stat().st_size > 10_000
    assert run.sample(7, seed=3).shape == (7, 2)
    with pytest.raises(zs.UserError, match=r"no option 'sprd'.*spread"):
        zs.train("circle", out=tmp_path / "other", overrides={"data.sprd": 0.1})


def test_a_domain_of_signals_has_classes_and_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {})
    waves = module_at(EXAMPLES / "domain" / "waves" / "__init__.py").DOMAIN
    shown: list[tuple[str, Any]] = []

    def preview(samples: Any, path: Path, context: PreviewContext) -> None:
        assert context.condition is not None
        assert context.condition.shape == samples.shape[:1]
        shown.append((path.name, context.condition))
        waves.media.preview(samples, path, context)

    zs.register(dataclasses.replace(waves, media=dataclasses.replace(waves.media, preview=preview)))
    small = {"steps": 60, "generator.width": 8, "discriminator.width": 8, "data.num": 1500, "threads": 1}
    run = zs.train("waves", out=tmp_path / "waves", overrides=small)
    measured = {record["name"].partition("[")[0]: record for record in run.metrics}
    assert set(measured) == {"frechet", "copy_rate"}
    assert "cannot_judge" not in measured["frechet"]["protocol"]
    signals = run.sample(6, seed=3, labels="saw")
    assert signals.shape == (6, 1, 64)
    assert list((tmp_path / "waves" / "previews").glob("step-*.png"))
    other = zs.train("waves", out=tmp_path / "other", overrides={**small, "seed": 1})
    for verb in (
        ["interpolate", str(run.path), "--out", str(tmp_path / "walk.png"), "--frames", "6", "--label", "saw"],
        ["interpolate", str(run.path), "--seeds", "1,2", "--frames", "6", "--label", "sine", "--label", "saw"],
        ["sample", str(run.path), "--grid", "classes", "--num", "4", "--out", str(tmp_path / "classes.png")],
        ["compare", str(run.path), str(other.path), "--out", str(tmp_path / "compare.png")],
        ["directions", str(run.path), "--out", str(tmp_path / "directions.png"), "--num", "2"],
        ["export", str(run.path), "--format", "huggingface", "--out", str(tmp_path / "hub")],
    ):
        before = len(shown)
        done = CliRunner().invoke(app, verb)
        assert done.exit_code == 0, done.output
        assert len(shown) > before
        if verb[0] == "interpolate":
            labels = shown[-1][1].tolist()
            assert labels == ([2] * 6 if "--out" in verb else [0, 0, 0, 2, 2, 2])
        if verb[0] == "sample":
            assert shown[-1][1].tolist() == [0, 1, 2] * 4
    assert (tmp_path / "walk.png").stat().st_size > 0
    assert (run.path / "walk.png").stat().st_size > 0
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "zerosum evaluate" in page
    assert "zerosum baseline" not in page
    assert (tmp_path / "hub" / "grid.png").stat().st_size > 0
    mixed = CliRunner().invoke(app, ["mix", str(run.path), "--out", str(tmp_path / "mix.png")])
    assert "reads its noise in one piece" in str(mixed.exception)
    moving = CliRunner().invoke(app, ["interpolate", str(run.path), "--out", str(tmp_path / "walk.gif")])
    assert "has no moving pictures" in str(moving.exception)
