"""A measure judges only where real samples score clearly better than every control."""

from __future__ import annotations

import pytest

from zerosum.metrics.record import unclear

REALS = "Halves of the real images"


def test_the_reason_names_the_control() -> None:
    reason = unclear({"real halves": 0.8, "noise": 0.1, "stripes": 0.6}, "higher", REALS)
    assert reason == "Halves of the real images score 0.8, stripes 0.6: too near to tell the two apart."


@pytest.mark.parametrize(
    ("better", "real", "control", "sure"),
    [
        ("near 1", 0.8, 0.5, True),
        ("higher", 0.8, 0.6, False),
        ("lower", 10.0, 19.0, False),
        ("lower", -0.01, 0.02, True),
        ("near 0.5", 0.45, 0.98, True),
        ("near 0.5", 0.55, 0.1, True),  # nearer to the reals than they lie to each other
        ("near 0.5", 0.5, 0.64, False),
        ("near 0.5", 0.7, 0.9, False),
    ],
)
def test_clear_is_a_quarter_of_a_share_or_half_of_a_distance(
    better: str, real: float, control: float, sure: bool
) -> None:
    assert (unclear({"reals": real, "control": control}, better, REALS) == "") == sure


def test_a_measure_may_ask_for_less() -> None:
    assert unclear({"reals": 10.0, "control": 15.0}, "lower", REALS, part=0.8) == ""
    assert unclear({"reals": 0.6, "control": 0.4}, "higher", REALS, clear=0.1) == ""
