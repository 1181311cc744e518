"""A handful of held-out rows says nothing of what the discriminator remembers."""

from __future__ import annotations

from pathlib import Path

import pytest

import zerosum
from zerosum.evaluation import training_evaluator

SMALL = ["steps=3", "batch=8", "data.max_images=60", "generator.width=4", "discriminator.width=4", "cadence.preview=1"]


@pytest.mark.parametrize(("fewest", "told"), [(training_evaluator.FEWEST_HELD_OUT, False), (1, True)])
def test_few_held_out_rows_are_not_judged_by(
    fewest: int, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_evaluator, "FEWEST_HELD_OUT", fewest)
    run = zerosum.train("digits", "dcgan", out=tmp_path / "run", set=SMALL)
    assert 0 < run.sampler.facts["num_heldout"] < 16
    looks = [line["values"] for line in run.folder.lines() if line["kind"] == "health"]
    assert looks
    assert all(("accuracy/heldout" in look) is told for look in looks)
