"""One training at work: the only place where plan, match, folder and person meet."""

from __future__ import annotations

import contextlib
import signal
import time
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import torch

import zerosum
from zerosum.engine.duel import Duel
from zerosum.engine.events import Boundary, NonFinite, Stepped
from zerosum.engine.losses import value
from zerosum.engine.processes import World
from zerosum.engine.state import latest_checkpoint, save_checkpoint
from zerosum.errors import UserError
from zerosum.report import write_report
from zerosum.runs import health
from zerosum.runs.folder import FORMAT, RunFolder
from zerosum.runs.observe import Observer
from zerosum.runs.plan import Plan, match
from zerosum.runs.progress import Progress
from zerosum.runs.sampler import publish
from zerosum.runs.tensorboard import Mirror

SAVE_EVERY_S = 60.0
"""A checkpoint is also written when this much time has passed: it changes no number, and little is lost by a kill."""


class Session:
    """Trains a plan in a folder until its steps are done or somebody asks it to stop."""

    def __init__(self, plan: Plan, folder: RunFolder, progress: Progress, world: World = World()) -> None:
        self.plan, self.folder, self.progress, self.world = plan, folder, progress, world
        self.match = match(plan, world)
        self.observer = Observer(plan, self.match)
        self.chief = world.rank == 0
        self.stop_asked = ""
        self.seconds, self._begun, self._saved_at = 0.0, 0.0, 0.0
        self._health: list[Mapping[str, float]] = []
        self._findings: list[health.Finding] = []
        self._mirror = Mirror(folder.root / "tensorboard") if self.chief else None

    # --- beginning

    def begin(self) -> None:
        """Writes what is known before the first step."""
        if not self.chief:
            return
        recipe, facts = self.plan.recipe, dict(self.plan.facts)
        shape = {name: facts[name] for name in ("channels", "height", "width", "num_classes") if name in facts}
        self.folder.write("recipe.json", recipe.to_json())
        self.folder.write(
            "run.json",
            {
                "format": FORMAT,
                "name": self.folder.root.name,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "zerosum": zerosum.__version__,
                "torch": str(torch.__version__),
                "device": recipe.device,
                "threads": torch.get_num_threads(),
                "processes": self.world.size,
                "precision": recipe.precision,
                "domain": recipe.domain,
                "source": {"summary": self.plan.domain.describe(facts), "shape": shape, **facts},
                "plan": self.plan.sentence(),
                "num_parameters": {
                    name: sum(p.numel() for p in network.parameters())
                    for name, network in self.match.game.players.items()
                },
            },
        )
        self.folder.write("references.json", self._references())
        self.plan.domain.grid(self.observer.real_grid(), self.observer.columns, self.folder.previews / "real.png")

    def _references(self) -> dict[str, Any]:
        game = self.match.game
        if not isinstance(game, Duel):
            return {}
        lines = {name: {"value": number, "label": text} for name, (number, text) in game.loss.references.items()}
        if game.loss.probabilistic:
            zero = torch.zeros(1)
            lines["V"] = {"value": float(value(zero, zero)), "label": "-log 4: D cannot tell real from made"}
        return lines

    def restore(self) -> None:
        """Goes back to the newest whole checkpoint of the folder; without any, to step 0."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            state = latest_checkpoint(self.folder.checkpoints)
        for warning in told:
            self.progress.say(f"Warning: {warning.message}")
        recorded = self.folder.read("run.json")
        for name, now in (
            ("torch", str(torch.__version__)),
            ("threads", torch.get_num_threads()),
            ("processes", self.world.size),
        ):
            if recorded.get(name) != now:
                self.progress.say(
                    f"Warning: this run began with {name} {recorded.get(name)}, now it is {now}: sums may differ in the last bits."
                )
        if state is not None:
            try:
                self.match.load_state_dict(state["match"])
            except (RuntimeError, KeyError, ValueError) as error:
                raise UserError(
                    f"The checkpoint in {self.folder} belongs to another game: {str(error).splitlines()[0]}"
                ) from None
            self.seconds = float(state["seconds"])
        if self.chief:
            self.folder.rewind(self.match.step)
        self._health = [line["values"] for line in self.folder.lines() if line["kind"] == "health"]

    def extend(self) -> None:
        """Records the recipe of a run that goes on, which may have more steps than before."""
        if self.chief:
            self.folder.write("recipe.json", self.plan.recipe.to_json())
            self.progress.say(f"{self.folder}: going on at step {self.match.step:,} of {self.plan.recipe.steps:,}.")

    # --- playing

    def play(self) -> str:
        """Plays to the end. Returns "finished", or "stopped" when a signal asked for it; state is saved either way."""
        steps, cadence = self.plan.recipe.steps, self.plan.recipe.cadence
        self._begun = self._saved_at = time.monotonic()
        counted = (self._begun, self.match.step)
        self._status("running")
        with self._listening():
            try:
                for event in self.match.play(steps):
                    if isinstance(event, Boundary):
                        if self._at_boundary(event):
                            break
                    elif self.chief and (event.step % cadence.log == 0 or event.step == 1):
                        counted = self._log(event, counted)
            except NonFinite as error:
                self._diverged(error)
        state = "finished" if self.match.step >= steps else "stopped"
        self._status(state)
        self.progress.close()
        return state

    def _at_boundary(self, boundary: Boundary) -> bool:
        """Previews, health, evaluation, saving; True when the run should stop here."""
        cadence, step = self.plan.recipe.cadence, boundary.step
        stop = self.world.any(bool(self.stop_asked))
        if self.chief and (step % cadence.preview == 0 or boundary.last):
            self._preview(step)
        if self.chief and cadence.evaluate and step and step % cadence.evaluate == 0 and not boundary.last:
            self.evaluate()
        overdue = self.world.any(time.monotonic() - self._saved_at > SAVE_EVERY_S)
        if step and (step % cadence.checkpoint == 0 or boundary.last or stop or overdue):
            self.save()
        return stop

    def save(self) -> None:
        """Writes a checkpoint and the published generator. A full disk is told, and training goes on with the older one."""
        state = {"match": self.match.state_dict(), "seconds": self._elapsed()}
        self._saved_at = time.monotonic()
        if not self.chief:
            return
        try:
            save_checkpoint(self.folder.checkpoints, self.match.step, state)
            network = self.match.average.network if self.match.average else self.match.game.players["generator"]
            publish(self.folder.root, network, self.plan.recipe, self.plan.facts, self.match.step)
        except OSError as error:
            self.progress.say(
                f"Warning: step {self.match.step:,} could not be saved ({error.strerror or error}); the checkpoint before it is "
                "untouched. Free some space; the next save is tried in a while."
            )

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self._begun

    # --- telling

    def _line(self, kind: str, **content: Any) -> dict[str, Any]:
        line = {
            "step": self.match.step,
            "images": self.match.images,
            "seconds": round(self._elapsed(), 3),
            "kind": kind,
            **content,
        }
        self.folder.log(line)
        return line

    def _log(self, event: Stepped, counted: tuple[float, int]) -> tuple[float, int]:
        now, values = time.monotonic(), event.values()
        if event.step > counted[1]:
            values["images_per_s"] = (event.step - counted[1]) * self.plan.recipe.batch / max(1e-9, now - counted[0])
        self._line("train", values=values)
        if self._mirror:
            self._mirror.scalars(event.step, values)
        self.progress.tick(event.step, self.plan.recipe.steps, values)
        return now, event.step

    def _preview(self, step: int) -> None:
        path = self.folder.previews / f"step-{step:08d}.png"
        self.plan.domain.grid(self.observer.grid(), self.observer.columns, path)
        if self._mirror:
            self._mirror.picture(step, path)
        values, bins = self.observer.health()
        found = health.examine(values, self._health) if step else []
        self._health.append(values)
        self._line("health", values=values, findings=[finding.to_json() for finding in found])
        self._line("scores", **bins)
        for finding in found:
            told = {known.title for known in self._findings}
            if finding.level != "ok" and finding.title not in told and step >= self.plan.recipe.steps // 10:
                self.progress.say(f"{finding.title}: {finding.sentence} ({finding.evidence}) {finding.advice}")
                self._findings.append(finding)

    def evaluate(self) -> list[dict[str, Any]]:
        """Measures the average generator, logs and returns the records."""
        records = [record.to_json() for record in self.observer.evaluate()]
        self._line("evaluation", records=records)
        return records

    def conclude(self, state: str) -> None:
        """After the last step: evaluates a finished run, writes the report, tells how a stopped one goes on."""
        try:
            if state == "finished":
                self.evaluate()
        except KeyboardInterrupt:
            self.progress.say(
                f"Evaluation left out; the run is complete. Do it later with: zerosum evaluate {self.folder}"
            )
        self.report()
        if state == "stopped":
            self.progress.say(f"Saved at step {self.match.step:,}. Go on with: zerosum resume {self.folder}")

    def report(self) -> None:
        """Writes the report page."""
        write_report(self.folder.root)

    def _status(self, state: str, message: str = "") -> None:
        if self.chief:
            self.folder.write(
                "status.json",
                {
                    "state": state,
                    "step": self.match.step,
                    "steps": self.plan.recipe.steps,
                    "seconds": round(self._elapsed(), 1),
                    "images": self.match.images,
                    "message": message or self.stop_asked,
                    "resume": f"zerosum resume {self.folder.root}",
                },
            )

    def _diverged(self, error: NonFinite) -> None:
        advice = f"Lower the learning rate of that player (--set learning.{error.player}.lr=...), or clip its gradient (clip_norm)."
        self._status("failed", f"{error}. {advice}")
        self.progress.close()
        raise UserError(
            f"Training diverged: {error}. {advice} Checkpoints up to the last good one are in {self.folder.checkpoints}."
        ) from None

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM ask for a stop at the next boundary; a second Ctrl-C leaves at once."""

        def ask(number: int, frame: object) -> None:
            if self.stop_asked and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.stop_asked = f"stopped by {signal.Signals(number).name}"
            self.progress.say("Stopping after this step; saving ...")

        try:
            before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not in the main thread: nobody can send us a signal
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
