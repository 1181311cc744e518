"""The health rules, one by one, and on games made to fail in each way and on healthy ones: misses and false alarms counted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from health_games import CASES, judged
from zerosum.training.diagnostics import SURE, examine, examine_records, swing_of

WELL = {"diversity": 0.95, "accuracy/real": 0.6, "accuracy/fake": 0.7, "heldout_gap": 0.1}


def titles(*looks: Mapping[str, float]) -> list[str]:
    return [found.title for found in examine(looks[-1], looks[:-1])]


@pytest.mark.parametrize("name", CASES)
def test_games_that_fail_are_found_and_healthy_ones_are_not(name: str) -> None:
    """One seed each; `python tests/health_games.py 8` counts over several."""
    missed, false = judged(CASES[name], 0)
    assert not missed
    assert false == []


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({"accuracy/fake": 0.97}, "Overpowering discriminator"),  # of fakes alone
        ({"accuracy/fake": 0.97, "accuracy/real": 0.4}, "Healthy"),  # it calls most reals fake, too
        ({"accuracy/fake": SURE - 0.01}, "Healthy"),
        ({"heldout_gap": 0.6}, "Discriminator overfitting"),
        ({"heldout_gap": -0.6}, "Healthy"),
    ],
)
def test_what_is_noisy_must_have_held_for_three_looks(change: dict[str, float], title: str) -> None:
    bad = {**WELL, **change}
    assert titles(bad, bad, bad) == [title]
    assert titles(WELL, bad, bad) == titles(bad, WELL, bad) == titles(bad, bad, WELL) == ["Healthy"]
    assert titles(bad, bad) == titles(bad) == ["Healthy"]  # not yet three
    assert titles(WELL, bad, bad, bad) == [title]


def test_healthy_says_what_was_looked_at_and_nothing_else() -> None:
    (once,) = examine(WELL)
    assert (once.level, once.sentence) == ("ok", "The fakes are varied.")
    (whole,) = examine(WELL, [WELL, WELL])
    assert whole.sentence == "The fakes are varied, the discriminator does not win and it does not memorise."
    blind = {name: value for name, value in WELL.items() if name != "heldout_gap"}
    assert "memorise" not in examine(blind, [blind, blind])[0].sentence
    assert examine({})[0].level == "none"
    assert "all 8 modes are there" in examine({**WELL, "modes_found": 8.0, "num_modes": 8.0})[0].sentence


def record(name: str, value: float, reference: float | None = None) -> dict[str, Any]:
    return {"name": f"{name}[n=500]", "value": value, "reference": reference}


@pytest.mark.parametrize(
    ("records", "title"),
    [
        (
            [record("discriminator_fakes", 0.953), record("discriminator_heldout", 0.6, 0.9)],
            "Overpowering discriminator",
        ),
        ([record("discriminator_fakes", 0.953), record("discriminator_train", 0.8)], "Overpowering discriminator"),
        ([record("discriminator_fakes", 0.953), record("discriminator_train", 0.3)], None),
        ([record("discriminator_fakes", 0.94), record("discriminator_train", 0.8)], None),
        ([record("nearest_in_train_p", 1e-5)], "Copies of training rows"),
        ([record("nearest_in_train_p", 0.01)], None),
        ([record("classes_found", 7.0, 10.0)], "Missing classes"),
        ([record("modes_found", 8.0, 8.0), record("classes_found", 10.0, 10.0)], None),
    ],
)
def test_what_the_measures_of_the_page_show_is_found(records: list[dict[str, Any]], title: str | None) -> None:
    assert [found.title for found in examine_records(records)] == ([title] if title else [])


def test_a_swing_goes_back_and_forth() -> None:
    wave = [0.5 + 0.3 * math.sin(i / 4) for i in range(60)]
    assert swing_of(wave, 0.15) == pytest.approx(0.3, rel=0.1)
    assert swing_of([0.5 + 0.1 * math.sin(i / 4) for i in range(60)], 0.15) is None  # too small
    assert swing_of([0.1 + 0.4 * math.exp(-i / 5) + 0.05 * (-1) ** i for i in range(60)], 0.15) is None  # it settles
    assert swing_of([0.2 + 0.6 * (i > 30) for i in range(60)], 0.15) is None  # one jump
    assert swing_of([0.5 + 0.2 * (-1) ** i for i in range(60)], 0.15) is None  # noise from one line to the next
    assert swing_of(wave[:20], 0.15) is None
