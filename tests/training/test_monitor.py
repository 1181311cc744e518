"""When the health rules speak, and that what they advise is not done already."""

from __future__ import annotations

import pytest

from zerosum.training.diagnostics import EARLIEST, RunMonitor, examine

FLAT = {"diversity": 0.1, "contrast": 0.1}
REMEMBERED = {"heldout_gap": 0.7}


def test_nothing_is_judged_in_the_first_steps_of_a_short_run() -> None:
    """Untrained samples are flat and alike: that is no collapse."""
    short = RunMonitor(EARLIEST - 1)
    for step in (0, 1, 20, EARLIEST - 1):
        found = short.check(step, dict(FLAT))
        assert [one.level for one in found] == ["none"]
        assert "from step 200 on" in found[0].sentence
        assert short.new_messages(step, found) == []
    long = RunMonitor(4 * EARLIEST)
    looks = [long.check(step, dict(FLAT)) for step in (0, EARLIEST - 1, EARLIEST)]
    assert [[one.level for one in found] for found in looks] == [["none"], ["none"], ["alarm", "alarm"]]
    assert {found.level for found in looks[-1]} == {"alarm"}
    assert len(long.new_messages(EARLIEST, looks[-1])) == 2


def test_nothing_is_judged_before_the_last_phase_of_a_game_has_begun() -> None:
    begins, steps = 600, 2_200
    whole, resumed = RunMonitor(steps, begins=begins), RunMonitor(steps, begins=begins)
    found = {step: whole.check(step, dict(FLAT)) for step in (500, begins, begins + EARLIEST - 1, begins + EARLIEST)}
    assert [[one.level for one in looked] for looked in found.values()] == [["none"]] * 3 + [["alarm", "alarm"]]
    assert whole.new_messages(begins + 399, found[begins + EARLIEST]) == []  # a quarter of what is left
    assert len(whole.new_messages(begins + 400, found[begins + EARLIEST])) == 2
    resumed.restore([{"kind": "health", "step": step, "values": FLAT} for step in found])
    assert len(resumed._history) == len(whole._history) == 3


@pytest.mark.parametrize(
    ("augment", "named", "unnamed"),
    [
        (None, "augment=shift", "stronger"),
        ("shift", "augment=diffaugment", "augment=shift"),
        ("diffaugment", "ada with an adaptive strength", "augment=diffaugment"),
        ("ada", "More data, dropout", "augment"),
    ],
)
def test_the_advice_against_overfitting_knows_the_augmentation_at_work(
    augment: str | None, named: str, unnamed: str
) -> None:
    (finding,) = examine(REMEMBERED, [REMEMBERED, REMEMBERED], augment)
    assert finding.title == "Discriminator overfitting"
    assert named in finding.advice
    assert unnamed not in finding.advice
    monitor = RunMonitor(4 * EARLIEST, augment)
    for step in range(EARLIEST, EARLIEST + 3):
        found = monitor.check(step, dict(REMEMBERED))
    assert found[0].advice == finding.advice
