"""One training at work: the only place where plan, match, folder and person meet."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

from zerosum.engine.events import Boundary, NonFinite, Stepped
from zerosum.engine.processes import World
from zerosum.errors import UserError
from zerosum.report import write_report
from zerosum.runs import health, signals
from zerosum.runs.folder import RunFolder
from zerosum.runs.journal import Journal
from zerosum.runs.observe import Observer
from zerosum.runs.plan import Plan, match
from zerosum.runs.progress import Progress
from zerosum.runs.record import machine, references, run_facts
from zerosum.runs.sampler import publish
from zerosum.runs.signals import Stop, Stopped
from zerosum.store import latest_checkpoint, save_checkpoint

SAVE_EVERY_S = 60.0
"""A checkpoint is also written when this much time has passed: it changes no number, and little is lost by a kill."""


class Session:
    """Trains a plan in a folder until its steps are done or somebody asks it to stop."""

    def __init__(self, plan: Plan, folder: RunFolder, progress: Progress, world: World, stop: Stop) -> None:
        self.plan, self.folder, self.progress, self.world, self.stop = plan, folder, progress, world, stop
        self.match = match(plan, world)
        self.observer = Observer(plan, self.match)
        self.chief = world.rank == 0
        self.journal = Journal(folder, progress)
        self.unsaved = ""
        self._saved_step = -1
        self._evaluated: set[int] = set()
        self._health: list[Mapping[str, float]] = []
        self._told: set[str] = set()
        self._seconds, self._begun, self._away = 0.0, time.monotonic(), 0.0
        self._saved_at = self._begun

    # --- beginning

    def prepare(self) -> None:
        """What the measures need once; before the folder is a run folder and before the clock runs."""
        if self.chief:
            self.observer.prepare(self.progress.say)

    def begin(self) -> None:
        """Writes what is known before the first step. run.json comes last: with it the folder is a run folder."""
        if not self.chief:
            return
        try:
            self.observer.real_picture(self.folder.previews / "real.png")
            self.folder.write("recipe.json", self.plan.recipe.to_json())
            self.folder.write("references.json", references(self.match.game))
            self._status("running")
            name = self.folder.root.resolve().name
            self.folder.write("run.json", run_facts(self.plan, self.match.game, name, self.world))
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.folder}: {error.strerror or error}. Free space, or use --out."
            ) from None

    def restore(self, rewind: bool = True) -> None:
        """Goes back to the newest whole checkpoint of the folder; without any, to step 0. rewind: make the log follow."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            state = latest_checkpoint(self.folder.checkpoints)
        for warning in told:
            self.progress.say(f"Warning: {warning.message}")
        if state is not None:
            try:
                self.match.load_state_dict(state["match"])
                self._seconds = float(state["seconds"])
            except (RuntimeError, KeyError, ValueError) as error:
                raise UserError(
                    f"The checkpoint in {self.folder} belongs to another game: {str(error).splitlines()[0]}"
                ) from None
            self._saved_step = self.match.step
        self._evaluated = {line["step"] for line in self.folder.lines() if line["kind"] == "evaluation"}
        if rewind and self.chief and not self.complete:
            self.folder.rewind(self.match.step)
        lines = [line for line in self.folder.lines() if line["step"] <= self.match.step]
        self._evaluated = {line["step"] for line in lines if line["kind"] == "evaluation"}
        found = [line["values"] for line in lines if line["kind"] == "health"]
        self._health = [{name: x for name, x in values.items() if x is not None} for values in found]

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do: all steps played, saved, measured and reported."""
        steps, report = self.plan.recipe.steps, self.folder.report
        return self.match.step >= steps and self.match.step in self._evaluated and report.is_file()

    def extend(self) -> None:
        """Records the recipe of a run that goes on, which may have more steps than before, and tells where it stands."""
        if not self.chief:
            return
        steps = self.plan.recipe.steps
        recorded = self.folder.read("run.json")
        for name, now in machine(self.world).items():
            if recorded.get(name) != now:
                self.progress.say(
                    f"Warning: this run began with {name} = {recorded.get(name)}, now it is {now}: "
                    "sums may differ in the last bits."
                )
        if self.folder.recipe().steps != steps:
            self.folder.write("recipe.json", self.plan.recipe.to_json())
        self.journal.begin_at(self.match.step)
        self.progress.say(
            f"{self.folder}: going on at step {self.match.step:,} of {steps:,}."
            if self.match.step < steps
            else f"{self.folder}: all {steps:,} steps are done. To train on: zerosum resume {self.folder} --steps {2 * steps}"
        )

    # --- playing

    def play(self) -> str:
        """Plays to the end. Returns "finished", or "stopped" when a signal asked for it; state is saved either way."""
        self._begun = self._saved_at = time.monotonic()
        self._status("running")
        try:
            with self.stop.waiting():
                self._play()
        except NonFinite as error:
            self._diverged(error)
        finally:
            self.progress.close()
        finished = self.match.step >= self.plan.recipe.steps
        if self.unsaved:
            self.save()  # the disk may have been freed since
        self._status("finished" if finished else "stopped", self.unsaved)
        return "finished" if finished else "stopped"

    def _play(self) -> None:
        cadence, steps = self.plan.recipe.cadence, self.plan.recipe.steps
        counted, asked = (0.0, self.match.step), False
        for event in self.match.play(steps):
            if isinstance(event, Boundary):
                if self._at_boundary(event):
                    return
                continue
            if self.chief and (event.step % cadence.log == 0 or event.step == 1):
                counted = self._log(event, counted)
            if self.stop.number and not asked:
                asked = True
                again = " (once more to leave at once)" if self.chief and not self.world.size > 1 else ""
                self.progress.say(f"{signals.name(self.stop.number)}: stopping after this step{again} ...")

    def _at_boundary(self, boundary: Boundary) -> bool:
        """Previews, health, evaluation, saving; True when the run should stop here."""
        arrived, cadence, step = time.monotonic(), self.plan.recipe.cadence, boundary.step
        stop = self.world.any(bool(self.stop.number))
        if self.chief and (step % cadence.preview == 0 or boundary.last):
            self._preview(step)
        due = cadence.evaluate and step and step % cadence.evaluate == 0
        if self.chief and due and not boundary.last and step not in self._evaluated:
            self.evaluate()
        overdue = self.world.any(arrived - self._saved_at > SAVE_EVERY_S)
        if (step and step % cadence.checkpoint == 0) or boundary.last or stop or overdue:
            self.save()
        self._away += time.monotonic() - arrived
        return stop

    def save(self) -> None:
        """Writes a checkpoint and the published generator. A full disk is told, and training goes on with the older one."""
        state = {"match": self.match.state_dict(), "seconds": self._elapsed()}
        self._saved_at = time.monotonic()
        if not self.chief:
            return
        try:
            if self._saved_step != self.match.step:
                save_checkpoint(self.folder.checkpoints, self.match.step, state)
            self._saved_step, self.unsaved = self.match.step, ""
            network = self.match.average.network if self.match.average else self.match.game.players["generator"]
            publish(self.folder.root, network, self.plan.recipe, self.plan.facts, self.match.step)
        except OSError as error:
            kept = (
                f"the checkpoint of step {self._saved_step:,} is whole" if self._saved_step >= 0 else "nothing is saved"
            )
            self.unsaved = f"Step {self.match.step:,} is NOT saved ({error.strerror or error}); {kept}."
            self.progress.say(f"Warning: {self.unsaved} Free some space; training goes on, and saving is tried again.")

    def _elapsed(self) -> float:
        return self._seconds + time.monotonic() - self._begun

    # --- telling

    def _line(self, kind: str, **content: Any) -> None:
        self.journal.line(kind, self.match.step, self.match.images, self._elapsed(), content)

    def _log(self, event: Stepped, counted: tuple[float, int]) -> tuple[float, int]:
        """One log line. The speed counts steps only, not what is done between them."""
        now, values = time.monotonic() - self._begun - self._away, event.values()
        values["images_per_s"] = (event.step - counted[1]) * self.plan.recipe.batch / max(1e-9, now - counted[0])
        self._line("train", values=values)
        self.progress.tick(event.step, self.plan.recipe.steps, values)
        return now, event.step

    def _preview(self, step: int) -> None:
        self.journal.picture(step, self.observer.picture)
        values, bins = self.observer.health()
        found = health.examine(values, self._health) if step else []
        self._health.append(values)
        self._line("health", values=values, findings=[finding.to_json() for finding in found])
        self._line("scores", **bins)
        late = step >= self.plan.recipe.steps // 4
        for finding in found:
            if late and finding.level != "ok" and finding.title not in self._told:
                self.progress.say(finding.told())
                self._told.add(finding.title)

    def evaluate(self, write: bool = True, historic: bool = False) -> list[dict[str, Any]]:
        """Measures the average generator, logs (unless told not to) and returns the records."""
        records = [record.to_json() for record in self.observer.evaluate(historic)]
        if write:
            self._line("evaluation", records=records)
            self._evaluated.add(self.match.step)
        return records

    def conclude(self, state: str) -> None:
        """After the last step: evaluates a finished run once, writes the report, tells how a stopped one goes on."""
        try:
            if state == "finished" and self.match.step not in self._evaluated:
                self.progress.say(
                    "Evaluating (longer the first time for these data, where a measure must first be trained on them) ..."
                )
                self.evaluate()
        except Stopped:
            self.progress.say(
                f"Evaluation left out; the training is complete. Do it later with: zerosum evaluate {self.folder}"
            )
        self.report()
        self.journal.close()
        if self.unsaved:
            raise UserError(
                f"{self.unsaved} What was trained since is lost. Free some space, then: zerosum resume {self.folder}"
            )
        if state == "stopped":
            self.progress.say(f"Saved at step {self.match.step:,}. Go on with: zerosum resume {self.folder}")

    def report(self) -> None:
        """Writes the report page; a full disk is told."""
        try:
            write_report(self.folder.root)
        except UserError as error:
            self.progress.say(f"Warning: {error}")

    def _status(self, state: str, message: str = "") -> None:
        stopped = f"stopped by {signals.name(self.stop.number)}" if self.stop.number and state == "stopped" else ""
        content = {
            "state": state,
            "step": self.match.step,
            "steps": self.plan.recipe.steps,
            "seconds": round(self._elapsed(), 1),
            "images": self.match.images,
            "message": message or stopped,
            "resume": f"zerosum resume {self.folder.root}",
        }
        if self.chief:
            self.journal.status(content)

    def _diverged(self, error: NonFinite) -> None:
        kept = f"step {self._saved_step:,}" if self._saved_step >= 0 else "none: it came before the first"
        rates = " ".join(f"--set learning.{name}.lr=..." for name in self.match.players)
        advice = (
            f"The rates are probably too high, of either player: train anew with lower ones ({rates}), or clip the gradient "
            f"(--set learning.{error.player}.clip_norm=1). Resuming would come to the same step."
        )
        self._status("failed", f"{error}. {advice}")
        if self.chief:
            self.report()
            self.journal.close()
        raise UserError(f"Training diverged: {error}.\n{advice}\nNewest checkpoint in {self.folder}: {kept}.") from None
