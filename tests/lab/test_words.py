"""Each sentence comes when its numbers say so, and not otherwise; and real small games show what they name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from zerosum.lab import dirac
from zerosum.lab.explanations import STAGES, GameFacts, examine
from zerosum.lab.frame import Screen
from zerosum.lab.lab_game import LabGame
from zerosum.lab.settings import parse
from zerosum.training.diagnostics import Finding, beat_of

FACTS = GameFacts("non_saturating", "r1")
CALM: dict[str, float] = {
    "accuracy/fake": 0.6,
    "slope": 0.5,
    "D(x)": 0.6,
    "D(G(z))": 0.4,
    "spread": 1.0,
    "modes": 8,
    "num_modes": 8,
    "moved": 0.005,
    "mean_x": 0.0,
    "mean_y": 0.0,
    "d_gradient_norm": 0.5,
    "g_gradient_norm": 0.5,
    "gap": 12.0,
    "js": 0.2,
    "V": -1.2,
}


def points(num: int = 40, step: int = 1_000, **changes: Any) -> list[dict[str, Any]]:
    """Points of a calm game, 10 steps apart, ending at `step`; a change is a number, or a function of the point's place."""
    rows = []
    for place in range(num):
        values = {name: value(place) if callable(value) else value for name, value in (CALM | changes).items()}
        rows.append({"step": step - 10 * (num - 1 - place), **values})
    return rows


def findings(facts: GameFacts = FACTS, **changes: Any) -> dict[str, Finding]:
    """level and beginning of each sentence -> the sentence."""
    return {f"{found.level}: {found.sentence}": found for found in examine(points(**changes), facts)}


def one(sentences: Mapping[str, Finding], start: str) -> Finding:
    found = [sentence for text, sentence in sentences.items() if text.startswith(start)]
    assert len(found) == 1, list(sentences)
    return found[0]


def test_a_calm_game_raises_nothing() -> None:
    assert {text.split(":")[0] for text in findings()} == {"ok", "info"}
    assert examine([], FACTS) == []
    assert examine(points(1, step=0), FACTS) == []


def test_d_too_strong() -> None:
    found = one(findings(**{"accuracy/fake": 0.99, "D(G(z))": 0.02}), "warning: D is too strong")
    assert "99.0%" in found.evidence
    assert "more weight for the penalty" in found.advice
    bare = findings(GameFacts("hinge", "none"), **{"accuracy/fake": 0.99})
    assert "a penalty such as R1" in one(bare, "warning: D is too strong").advice
    once = findings(**{"accuracy/fake": lambda place: 0.99 if place == 39 else 0.6})
    assert not any("too strong" in text for text in once)


def test_a_vanished_gradient() -> None:
    sure = {"accuracy/fake": 0.99, "slope": 0.01, "D(G(z))": 0.01}
    found = one(findings(GameFacts("minimax", "none"), **sure), "alarm: G's gradient has vanished")
    assert "0.01" in found.evidence
    assert "non_saturating" in found.advice
    assert (
        "non_saturating"
        not in one(findings(GameFacts("hinge", "none"), **sure), "alarm: G's gradient has vanished").advice
    )
    assert not any("vanished" in text for text in findings(**{"accuracy/fake": 0.6}, slope=0.01))


def test_d_too_weak_or_far_from_optimal_or_close_to_it() -> None:
    weak = one(findings(gap=30.0, js=0.4, **{"D(x)": 0.51, "D(G(z))": 0.49}), "warning: D is too weak")
    assert "0.51" in weak.evidence
    assert "30% away" in weak.evidence
    assert "30% away" in one(findings(gap=30.0, js=0.4), "info: D is far from optimal").evidence
    assert "2.0% away" in one(findings(gap=2.0, js=0.4), "ok: D is close to optimal").evidence
    # Where there is nothing to tell apart, a D that says 1/2 is not weak.
    assert not any("too weak" in text for text in findings(gap=30.0, js=0.05, **{"D(x)": 0.5, "D(G(z))": 0.5}))


def test_modes_collapsed_or_dropped() -> None:
    collapse = one(findings(modes=3), "alarm: Mode collapse: G makes 3 of 8 modes")
    assert "3 of 8" in collapse.evidence
    assert one(findings(modes=0), "alarm: G has not reached any mode")
    assert one(findings(modes=0, step=290), "info: G has not reached any mode")
    dropped = one(findings(modes=lambda place: 8 if place < 20 else 7), "warning: A mode was lost since step 610")
    assert dropped.evidence == "modes found: 8 of 8 at step 610, 7 now"
    both = findings(modes=lambda place: 8 if place < 20 else 2)
    assert one(both, "alarm: Mode collapse: G makes 2 of 8")
    assert one(both, "warning: 6 modes were lost")
    assert one(findings(), "ok: All 8 modes are covered")
    assert one(findings(modes=6), "info: G makes 6 of 8 modes")
    assert not any("mode" in text for text in findings(modes=None, num_modes=None))


def test_fakes_in_one_place_or_far_away() -> None:
    assert one(findings(spread=0.05), "alarm: All fakes are close together")
    assert one(findings(spread=0.6), "warning: The fakes are closer together")
    assert one(findings(GameFacts("hinge", "r1", deviation=0.2), spread=0.12), "warning: The fakes are closer together")
    assert not any("close" in text for text in findings(spread=0.8))
    assert one(findings(spread=0.05, step=250), "info: At the start of training")
    assert "40" in one(findings(spread=40.0), "alarm: The game diverges").evidence


def test_exploding_gradients() -> None:
    found = one(findings(g_gradient_norm=lambda place: 0.5 if place < 35 else 20.0), "alarm: G's gradient explodes")
    assert "20" in found.evidence
    assert "lr_g" in found.advice
    assert not any("explodes" in text for text in findings(g_gradient_norm=lambda place: 0.5 if place != 39 else 20.0))


def test_oscillation() -> None:
    found = one(findings(num=80, mean_y=lambda place: 0.4 * math.sin(place / 2)), "warning: The game oscillates")
    assert "every 130 steps" in found.evidence or "every 120 steps" in found.evidence  # 2 pi * 2 * 10 = 126
    assert "+-0.4" in found.evidence
    assert not any("oscillates" in text for text in findings(num=80, mean_y=lambda place: 0.02 * math.sin(place / 2)))
    assert not any("oscillates" in text for text in findings(num=80, mean_y=lambda place: place / 10))


def test_the_beat_of_a_series() -> None:
    lag, peak, swing = beat_of([3 + 0.1 * i + 0.7 * math.cos(2 * math.pi * i / 16) for i in range(100)]) or (
        0,
        0.0,
        0.0,
    )
    assert lag == 16
    assert peak > 0.9
    assert swing == pytest.approx(0.7, rel=0.1)
    assert beat_of([float(i % 7) for i in range(20)]) is None  # too short
    assert beat_of([1.0] * 50) is None
    assert beat_of([math.exp(-i / 10) for i in range(60)]) is None


def test_equilibrium() -> None:
    found = one(findings(js=0.004, V=-1.384, gap=1.5), "ok: Equilibrium")
    assert "JSD 0.004" in found.evidence
    assert "-1.384" in found.evidence
    assert not any("Equilibrium" in text for text in findings(js=0.2, V=-1.386))  # D is blind, G has not arrived
    assert one(findings(js=0.004, V=None, gap=None), "ok: Equilibrium")


def test_movement() -> None:
    assert "0.005" in one(findings(), "info: G moves.").evidence
    assert one(findings(moved=5e-4), "info: G moves slowly")
    assert one(findings(moved=1e-5), "warning: G does not move").advice
    assert one(findings(moved=1e-5, js=0.01), "info: G does not move").advice == ""


def test_the_gravest_comes_first_and_five_are_enough() -> None:
    found = examine(points(modes=lambda p: 8 if p < 20 else 2, spread=0.05, gap=30.0, **{"accuracy/fake": 0.99}), FACTS)
    levels = [sentence.level for sentence in found]
    assert levels == sorted(levels, key=["alarm", "warning", "info", "ok"].index)
    assert len(found) == 5
    assert set(found[0].to_json()) == {"level", "title", "sentence", "evidence", "advice"}


# --- real games


def play(steps: int, **settings: Any) -> dict[str, Any]:
    """The frame after so many steps of a small game, looked at every 8 and measured at the end."""
    small = {"g_width": 24, "d_width": 24, "batch": 128}
    lab = LabGame(parse(small | settings))
    screen = Screen(lab)
    for _ in range(steps):
        if not lab.move():
            break
        if lab.step % 8 == 0:
            screen.frame()
    assert screen.measure is not None
    screen.add_measurements(lab.step, screen.measure(screen.networks()))
    return screen.frame()


@pytest.mark.parametrize(
    ("steps", "settings", "said"),
    [
        (
            150,
            {"source": "ring", "loss": "minimax", "penalty": "none", "k": 4, "lr_g": 1e-5, "lr_d": 5e-3},
            "has vanished",
        ),
        (150, {"source": "ring", "penalty": "none", "k": 4, "lr_g": 1e-5, "lr_d": 5e-3}, "D is too strong"),
        (150, {"source": "ring", "weight": 20.0}, "D is too weak"),
        (350, {"source": "grid", "penalty": "none", "lr_g": 5e-3, "lr_d": 5e-3, "beta1": 0.9}, "Mode collapse"),
        (400, {"source": "normal", "loss": "wasserstein", "penalty": "none", "lr_g": 2e-3, "lr_d": 2e-3}, "oscillates"),
        (400, {"source": "normal", "lr_g": 1e-3, "weight": 0.1}, "Equilibrium"),
    ],
    ids=["vanishing", "strong", "weak", "collapse", "oscillation", "equilibrium"],
)
def test_a_real_game_is_told_what_it_does(steps: int, settings: dict[str, Any], said: str) -> None:
    frame = play(steps, **settings)
    texts = [sentence["sentence"] for sentence in frame["findings"]]
    assert any(said in text for text in texts), (texts, frame["point"])


# --- the game of two numbers


def play_dirac(steps: int, **settings: Any) -> list[dict[str, str]]:
    lab = LabGame(parse({"mode": "dirac", **settings}))
    for _ in range(steps):
        lab.move()
    sentences: list[dict[str, str]] = Screen(lab).frame()["findings"]
    return sentences


@pytest.mark.parametrize(
    ("settings", "level", "said", "theory"),
    [
        ({"loss": "wasserstein"}, "warning", "circles", "exactly 1"),
        ({"loss": "wasserstein", "simultaneous": True}, "alarm", "spirals outwards", "above 1"),
        ({"penalty": "r1"}, "ok", "spirals in", "below 1"),
    ],
)
def test_the_game_of_two_numbers_is_told_what_it_does(
    settings: dict[str, Any], level: str, said: str, theory: str
) -> None:
    found = play_dirac(150, **settings)
    assert found[0]["level"] == level
    assert said in found[0]["sentence"]
    assert theory in found[1]["sentence"]
    assert play_dirac(0, **settings) == []


def test_the_game_of_two_numbers_comes_to_rest() -> None:
    assert "converged" in play_dirac(60, penalty="r1", weight=1.0, lr_g=0.5)[0]["sentence"]


def test_the_rate_is_the_slope_of_the_logarithm() -> None:
    path = [(0.98**step * math.cos(step), 0.98**step * math.sin(step)) for step in range(50)]
    assert dirac.growth_rate(path) == pytest.approx(math.log(0.98), abs=1e-9)


def test_five_stages_for_each_player() -> None:
    assert {player: len(rows) for player, rows in STAGES.items()} == {"discriminator": 5, "generator": 5}
    assert all(title and text.endswith(".") for rows in STAGES.values() for title, text in rows.items())
