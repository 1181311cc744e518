"""From the name of a source to a report: trained, stopped nowhere, sampled, judged, measured, and told when modes are lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from zerosum.api import Run, train
from zerosum.domains.toy import files
from zerosum.training import diagnostics

SMALL = ["steps=12", "batch=32", "generator.width=8", "discriminator.width=8", "data.num=600", "threads=1"]


@pytest.mark.parametrize("where", ["ring", "mixture"])
def test_a_run_of_points_from_end_to_end(where: str, tmp_path: Path) -> None:
    run = train(where, out=tmp_path / "run", overrides=SMALL)
    assert run.recipe.name == ("toy" if where == "ring" else "toy-line")
    records = {record["name"].partition("[")[0] for record in run.metrics}
    assert {"modes_found", "share_near", "wasserstein_2", "KL", "MMD2", "D_distance", "V_gap"} <= records
    again = Run(run.folder)
    samples = again.sample(20, seed=3)
    written = files.write(samples, tmp_path / "new.csv", again.sampler.info)
    verdicts = again.judge(written)
    assert len(verdicts) == 20
    assert all(0 <= d <= 1 for d in verdicts)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Missing modes" not in page  # 12 steps are too few to miss anything
    assert "images seen" not in page


def test_missing_modes_are_found_and_forgiven() -> None:
    """One good look among the last three is enough: 256 fakes are few."""
    lost = {"modes_found": 3.0, "num_modes": 8.0}
    (finding,) = diagnostics.examine(lost, [lost, lost])
    assert (finding.level, finding.title) == ("alarm", "Missing modes")
    assert "3 of 8" in finding.sentence
    (finding,) = diagnostics.examine({"modes_found": 7.0, "num_modes": 8.0})
    assert finding.level == "warning"
    whole = {"modes_found": 8.0, "num_modes": 8.0}
    assert diagnostics.examine(lost, [whole, lost])[0].level == "ok"
    assert diagnostics.examine(lost, [whole, lost, lost])[0].level == "alarm"


def test_each_point_of_a_file_is_judged(tmp_path: Path) -> None:
    from zerosum.api import train

    made = train("normal", out=tmp_path / "run", overrides={"steps": 2, "batch": 16, "data.num": 500, "threads": 1})
    written = tmp_path / "points.csv"
    written.write_text("x\n0.5\n-1\n")
    names, scores = zip(*made.verdicts([written]), strict=True)
    assert names == (f"{written}:1", f"{written}:2")
    assert list(scores) == made.judge([written])
    assert all(0 < score < 1 for score in scores)
