"""Whether a measure tells real samples from controls: samples that no generator made, which must fail in it."""

from __future__ import annotations

from collections.abc import Mapping

CLEAR, PART = 0.25, 0.5
"""By so much must real samples pass a control in a share; at most so much of its distance may they score."""


def unclear(values: Mapping[str, float], better: str, told: str, *, clear: float = CLEAR, part: float = PART) -> str:
    """Why a measure cannot judge; "" where real samples score clearly better than every control.

    values: those of the real samples first, then those of controls. better: "lower", "near 0.5" or otherwise higher; told: the
    real samples in words, for the reason. clear: the least difference of two shares; part: the largest share of a control's
    distance.
    """
    (_, real), *failing = values.items()
    for name, value in failing:
        if better == "lower":
            passed = real <= part * value
        elif better == "near 0.5":
            passed = abs(value - 0.5) >= abs(real - 0.5) + clear
        else:
            passed = real >= value + clear
        if not passed:
            return f"{told} score {real:.3g}, {name} {value:.3g}: too near to tell the two apart."
    return ""
