"""One frame: all that the page draws and says of a game at one moment, as plain JSON values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

from zerosum.lab import dirac, explanations, words_dirac
from zerosum.lab.dirac import DiracTable
from zerosum.lab.history import History
from zerosum.lab.lab_game import LabGame
from zerosum.lab.measure import Measure, MeasureSession
from zerosum.lab.readouts import of_dirac, of_game
from zerosum.lab.table import ToyTable, duel
from zerosum.lab.views import Drawing, LineView, PlaneView

RECENT = 240
"""Points of the history that the sentences look at."""
NOTED = ("d_loss", "g_loss", "D(x)", "D(G(z))", "d_gradient_norm", "g_gradient_norm")


class Screen:
    """Draws one game; a new game gets a new screen. history: the numbers of all steps that were looked at."""

    def __init__(self, lab: LabGame) -> None:
        self.lab, self.history = lab, History()
        self.measure: Measure | None = None
        self._view: LineView | PlaneView | None = None
        if isinstance(lab.table, ToyTable):
            self._view = (LineView if lab.table.density.num_dims == 1 else PlaneView)(lab.table)
            self.measure = Measure(lab.table)
            deviation = float(self.measure.real.std(0).mean())
            self._facts = explanations.Facts(lab.settings.loss, lab.settings.penalty, deviation)
        self._news: int | None = None
        self._before: tuple[int, Drawing] | None = None

    def frame(self, **state: Any) -> dict[str, Any]:
        """The frame of this moment. state: playing, speed, recording: of whoever drives the lab."""
        lab = self.lab
        self.history.truncate(lab.last)
        details = self._details()
        self.history.note(lab.step, {key: details[key] for key in NOTED if key in details})
        parts = self._dirac() if isinstance(lab.table, DiracTable) else self._game()
        news, self._news = self._news, None
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
                "point": self.history.point(lab.step if news is None else news),
                **state,
            }
        )
        return plain

    def sitting(self) -> MeasureSession:
        """What `measure` measures: the networks as they are now."""
        return MeasureSession.of(self.lab.match)

    def measured(self, step: int, values: Mapping[str, float]) -> None:
        """Takes the dear numbers of a step; the next frame tells them."""
        self.history.note(step, values)
        self._news = step

    def _game(self) -> dict[str, Any]:
        assert self._view is not None
        assert self.measure is not None
        drawing = self._view.draw(duel(self.lab.match))
        self.history.note(self.lab.step, drawing.signs | self._moved(drawing))
        points = list(itertools.islice(self.history.back_from(self.lab.step), RECENT))[::-1]
        told = next((point for point in self.history.back_from(self.lab.step) if "js" in point), {})
        sentences = explanations.examine(points, self._facts)
        return {
            **drawing.parts,
            "numbers": of_game(told, points[-1], self.measure, self.lab.step),
            "sentences": [sentence.to_json() for sentence in sentences],
        }

    def _moved(self, drawing: Drawing) -> dict[str, float]:
        """Mean distance over which a fake of fixed noise has moved since the frame before, a step."""
        before, self._before = self._before, (self.lab.step, drawing)
        if before is None or before[0] >= self.lab.step:
            return {}
        distance = (drawing.fakes - before[1].fakes).norm(dim=1).mean()
        return {"moved": float(distance) / (self.lab.step - before[0])}

    def _dirac(self) -> dict[str, Any]:
        lab = self.lab
        path = lab.trail[: lab.step + 1]
        theta, psi = path[-1]
        self.history.note(lab.step, {"theta": theta, "psi": psi, "radius": math.hypot(theta, psi)})
        portrait = dirac.portrait(lab.settings, path, lab.log.settled(lab.step))
        sentences = words_dirac.examine(path, lab.settings, portrait)
        return {
            **portrait,
            "numbers": of_dirac(portrait, self.history.point(lab.step)),
            "sentences": [sentence.to_json() for sentence in sentences],
        }

    def _details(self) -> dict[str, float]:
        """What the engine logged of the last move."""
        if self.lab.step == 0:
            return {}
        values = self.lab.match.values()
        named = {
            "d_loss": "discriminator/loss",
            "g_loss": "generator/loss",
            "d_gradient_norm": "discriminator/gradient_norm",
            "g_gradient_norm": "generator/gradient_norm",
            "D(x)": "D(x)",
            "D(G(z))": "D(G(z))",
        }
        return {key: values[name] for key, name in named.items() if name in values}


def clean(value: Any) -> Any:
    """The same with None for numbers that are not finite: JSON knows no other."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        # Long rows of numbers come rounded and finite from the views.
        return value if len(value) > 8 and isinstance(value[0], float | list) else [clean(item) for item in value]
    return value
