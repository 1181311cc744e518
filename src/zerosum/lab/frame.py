"""One frame: the values of a game at one step that the page shows, as plain JSON values."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from zerosum.lab import dirac, explanations
from zerosum.lab.dirac import DiracSetup
from zerosum.lab.lab_game import LabGame, ToySetup, game_of
from zerosum.lab.measurements import NUM, NUM_TRANSPORT, Measure, NetworkCopies
from zerosum.lab.views import Drawing, LineView, PlaneView

LOG_4 = math.log(4)
MOST_POINTS = 3_000
"""The greatest number of points of a history; above it, every second one of the older half is dropped."""
RECENT = 240
"""Number of points of the history for the findings."""
DETAILS = {
    "d_loss": "discriminator/loss",
    "g_loss": "generator/loss",
    "D(x)": "D(x)",
    "D(G(z))": "D(G(z))",
    "d_gradient_norm": "discriminator/gradient_norm",
    "g_gradient_norm": "generator/gradient_norm",
}
"""Key in a frame -> the engine's name of a number of the last move."""


class History:
    """step -> numbers, by ascending step. Numbers of a step that are measured later are added to those recorded before."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._values: dict[int, dict[str, float]] = {}

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Adds numbers of a step."""
        if step not in self._values:
            bisect.insort(self._steps, step)
            self._values[step] = {}
        self._values[step].update(values)
        if len(self._steps) > MOST_POINTS:
            for old in self._steps[1 : MOST_POINTS // 2 : 2]:
                del self._values[old]
            self._steps = [kept for kept in self._steps if kept in self._values]

    def truncate(self, step: int) -> None:
        """Drops the points after `step`."""
        while self._steps and self._steps[-1] > step:
            del self._values[self._steps.pop()]

    def point(self, step: int) -> dict[str, Any]:
        """{"step": ..., numbers ...} of one step."""
        return {"step": step, **self._values.get(step, {})}

    def points(self) -> list[dict[str, Any]]:
        """All points."""
        return [self.point(step) for step in self._steps]

    def back_from(self, step: int) -> Iterator[dict[str, Any]]:
        """The points up to a step, the newest first."""
        return (self.point(self._steps[at]) for at in range(bisect.bisect_right(self._steps, step) - 1, -1, -1))


class Screen:
    """Makes the frames of one game; a new game gets a new screen. history: the numbers of all steps with a frame."""

    def __init__(self, lab: LabGame) -> None:
        self.lab, self.history = lab, History()
        self.measure: Measure | None = None
        self._view: LineView | PlaneView | None = None
        if isinstance(lab.setup, ToySetup):
            self._view = (LineView if lab.setup.density.num_dims == 1 else PlaneView)(lab.setup)
            self.measure = Measure(lab.setup)
            deviation = float(self.measure.real.std(0).mean())
            self._facts = explanations.GameFacts(lab.settings.loss, lab.settings.penalty, deviation)
        self._measured_step: int | None = None
        self._before: tuple[int, Drawing] | None = None

    def frame(self, **state: Any) -> dict[str, Any]:
        """The frame of the current step. state: further values, such as playing, speed and recording."""
        lab = self.lab
        self.history.truncate(lab.last)
        details = self._details()
        self.history.record(lab.step, details)
        parts = self._dirac() if isinstance(lab.setup, DiracSetup) else self._game()
        measured_step, self._measured_step = self._measured_step, None
        plain: dict[str, Any] = clean(
            {
                "mode": lab.settings.mode,
                "step": lab.step,
                "turn": "both" if lab.moved == "step" else lab.moved or "none",
                "settings": lab.settings.model_dump(),
                "rewind": {"first": 0, "last": lab.last},
                "details": details,
                "error": lab.error,
                **parts,
                "point": self.history.point(lab.step if measured_step is None else measured_step),
                **state,
            }
        )
        return plain

    def networks(self) -> NetworkCopies:
        """Copies of the networks as they are now, for `measure`."""
        return NetworkCopies.of(self.lab.loop)

    def add_measurements(self, step: int, values: Mapping[str, float]) -> None:
        """Adds the measurements of a step; the next frame shows them."""
        self.history.record(step, values)
        self._measured_step = step

    def _game(self) -> dict[str, Any]:
        assert self._view is not None
        assert self.measure is not None
        drawing = self._view.draw(game_of(self.lab.loop))
        self.history.record(self.lab.step, drawing.values | self._moved(drawing))
        points = list(itertools.islice(self.history.back_from(self.lab.step), RECENT))[::-1]
        measured = next((point for point in self.history.back_from(self.lab.step) if "js" in point), {})
        return {
            **drawing.parts,
            "numbers": game_readouts(measured, points[-1], self.measure, self.lab.step),
            "findings": [finding.to_json() for finding in explanations.examine(points, self._facts)],
        }

    def _moved(self, drawing: Drawing) -> dict[str, float]:
        """Mean distance per step that a fake of fixed noise has moved since the last frame."""
        before, self._before = self._before, (self.lab.step, drawing)
        if before is None or before[0] >= self.lab.step:
            return {}
        distance = (drawing.fakes - before[1].fakes).norm(dim=1).mean()
        return {"moved": float(distance) / (self.lab.step - before[0])}

    def _dirac(self) -> dict[str, Any]:
        lab = self.lab
        path = lab.trail[: lab.step + 1]
        theta, psi = path[-1]
        self.history.record(lab.step, {"theta": theta, "psi": psi, "radius": math.hypot(theta, psi)})
        portrait = dirac.portrait(lab.settings, path, lab.log.unchanged_since(lab.step))
        return {
            **portrait,
            "numbers": dirac_readouts(portrait, self.history.point(lab.step)),
            "findings": [finding.to_json() for finding in dirac.examine(path, lab.settings, portrait)],
        }

    def _details(self) -> dict[str, float]:
        """The engine's numbers of the last move."""
        values = self.lab.loop.values() if self.lab.step else {}
        return {key: values[name] for key, name in DETAILS.items() if name in values}


def clean(value: Any) -> Any:
    """Replaces numbers that are not finite by None, for JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        # Long rows of numbers are already rounded and finite.
        return value if len(value) > 8 and isinstance(value[0], float | list) else [clean(item) for item in value]
    return value


# --- the numbers next to the picture


def game_readouts(
    measured: Mapping[str, Any], now: Mapping[str, Any], measure: Measure, step: int
) -> list[dict[str, Any]]:
    """The numbers next to the picture, each with its reference and its definition.

    measured: the newest point with measurements; now: the point of this moment.
    """
    when = "" if measured.get("step", step) == step else f", at step {measured['step']:,}"
    counted = f"from {NUM:,} samples{when}"
    exact = f"W1 to the exact quantiles, {counted}" if measure.on_line else f"exact W2 of {NUM_TRANSPORT} points{when}"
    rows = [
        _row("V", "V(D, G)", measured, -LOG_4, f"what D maximises and G minimises, {counted}; -log 4 when D = 1/2"),
        _row("bound", "-log 4 + 2 JSD", measured, -LOG_4, f"V of the best D against this G, {counted}"),
        _row("gap", "D away from optimal, %", measured, 0.0, f"100 times the mean of |D - D*|, {counted}"),
        _row("js", "JSD(data, G)", measured, 0.0, f"nats, at most log 2 = 0.693, {counted}"),
        _row("kl", "KL(data || G)", measured, 0.0, f"nats, large where G makes no samples and data are, {counted}"),
        _row(
            "kl_reverse",
            "KL(G || data)",
            measured,
            0.0,
            f"nats, large where G makes samples and no data are, {counted}",
        ),
        _row(
            "w",
            "W1" if measure.on_line else "W2",
            measured,
            measure.floor,
            f"{exact}; the reference is that of two samples of the data",
        ),
    ]
    if "num_modes" in now:
        rows.append(_row("modes", "modes covered", now, now["num_modes"], "modes with at least a tenth of their share"))
    return rows


def dirac_readouts(portrait: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of the Dirac-GAN: the distance from the equilibrium, and its rates by theory and by the engine."""
    theory, engine = (portrait["eigenvalues"][side] for side in ("theory", "engine"))
    references = theory[0] if theory else (None, None)
    measured = dict(zip(("real", "imag"), engine[0] if engine else (None, None), strict=True))
    measured |= {"distance": now["radius"], "radius": portrait["radius"]["engine"]}
    by_theory = "the reference is the theory's"
    return [
        _row("distance", "distance from equilibrium", measured, 0.0, "the length of (theta, psi)"),
        _row(
            "radius",
            "spectral radius of a step",
            measured,
            portrait["radius"]["theory"],
            f"below 1 the game converges; {by_theory}",
        ),
        _row("real", "eigenvalue, real part", measured, references[0], f"below 0 the game is damped; {by_theory}"),
        _row("imag", "eigenvalue, imaginary part", measured, references[1], f"the speed of rotation; {by_theory}"),
    ]


def _row(key: str, label: str, values: Mapping[str, Any], reference: float | None, note: str) -> dict[str, Any]:
    return {"key": key, "label": label, "value": values.get(key), "reference": reference, "note": note}
