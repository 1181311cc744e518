"""A training from its first step to its report: runs the training loop of a plan, and logs, saves and evaluates between steps."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import torch

import zerosum
from zerosum import memory
from zerosum.domain.contract import SOUND_ENDING, EvalOptions
from zerosum.engine.devices import DistributedContext, ProcessLost
from zerosum.engine.duel import Duel
from zerosum.engine.game import Game
from zerosum.engine.loop import Boundary, NonFinite, Stepped
from zerosum.engine.losses import value
from zerosum.errors import UserError
from zerosum.evaluation import evaluate
from zerosum.evaluation.training_evaluator import TrainingEvaluator
from zerosum.formatting import Progress, format_duration
from zerosum.generation.sampler import publish
from zerosum.jsonfile import RUN_FORMAT
from zerosum.planning import trial_step
from zerosum.planning.plan import Plan, training_loop
from zerosum.report import write_report
from zerosum.run_folder import RunFolder
from zerosum.training import signals
from zerosum.training.async_eval import AsyncEvaluation
from zerosum.training.callbacks import Callback, Callbacks, CheckpointSaved, Finished, RunLogger, TrainingBegun
from zerosum.training.checkpointing import (
    ROLLBACK_RATE,
    BestCheckpoint,
    CheckpointManager,
    RollbackPolicy,
    SkippedUpdates,
    divergence_advice,
)
from zerosum.training.diagnostics import monitor_of
from zerosum.training.signals import Stopped, StopRequest


class Trainer:
    """Trains a plan in a run folder until its steps are done or a stop is requested."""

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        progress: Progress,
        world: DistributedContext,
        stop: StopRequest,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.plan, self.folder, self.progress, self.world, self.stop = plan, folder, progress, world, stop
        self.loop = training_loop(plan, world)
        self.evaluator = TrainingEvaluator(plan, self.loop)
        self.chief = world.rank == 0
        self.callbacks = Callbacks(folder.root, callbacks if self.chief else ())
        self.logger = RunLogger(folder, progress, self.callbacks)
        self.checkpoints = CheckpointManager(folder, progress, max(1, plan.recipe.cadence.checkpoint))
        self.best = BestCheckpoint(folder, self.logger, plan.domain.evaluation.best_metric)
        self._evaluated: set[int] = set()
        self.monitor = monitor_of(plan.recipe, self.loop.game)
        self._rollbacks = RollbackPolicy(plan.recipe.on_nonfinite == "rollback")
        self._skips = SkippedUpdates(self.loop)
        self._seconds, self._begun, self._away = 0.0, time.monotonic(), 0.0

    @functools.cached_property
    def async_evaluation(self) -> AsyncEvaluation:
        """Evaluation of snapshots in another process; made at the first use."""
        return AsyncEvaluation(self.folder, self.logger, self.progress.log)

    @contextlib.contextmanager
    def _ending_evaluation(self) -> Iterator[None]:
        """Ends the process that evaluates, if there is one, when the training within ends by an error or a signal."""
        try:
            yield
        except BaseException:
            if "async_evaluation" in vars(self):
                self.async_evaluation.close()
            raise

    # --- beginning

    def prepare(self) -> None:
        """What the measures need once; before the folder is a run folder and before the clock runs."""
        if self.chief:
            self.evaluator.prepare(self.progress.log)

    def begin(self) -> None:
        """Writes what is known before the first step. run.json comes last: with it the folder is a run folder."""
        if not self.chief:
            return
        try:
            self.evaluator.real_picture(self.folder.previews / f"real{self.plan.domain.media.preview_ending}")
            if self.plan.domain.media.sound is not None:
                self.evaluator.real_sound(self.folder.previews / f"real{SOUND_ENDING}")
            self.folder.write("recipe.json", self.plan.recipe.to_json())
            self.folder.write("references.json", reference_lines(self.loop.game))
            self._status("running")
            name = self.folder.root.resolve().name
            self.folder.write("run.json", run_facts(self.plan, self.loop.game, name, self.world))
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.folder}: {error.strerror or error}. Free space, or use --out."
            ) from None

    def restore(self, rewind: bool = True) -> None:
        """Goes to the newest whole checkpoint of the folder; without any, stays at step 0. rewind: make the log follow."""
        state = self.checkpoints.newest()
        if state is None:
            self.folder.refuse_if_trained()
        self._load(state, rewind)
        if state is not None and rewind and self.chief and (message := self.folder.lost_log(self.loop.step)):
            self.progress.log(message)

    def _load(self, state: Mapping[str, Any] | None, rewind: bool = True) -> None:
        if state is not None:
            try:
                self.loop.load_state_dict(state["match"])
                self._seconds = float(state["seconds"])
                self._rollbacks.events = list(state.get("rollbacks", []))
            except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise UserError(f"The checkpoint in {self.folder} belongs to another game: {reason}") from None
            self.checkpoints.step = self.loop.step
            self._skips = SkippedUpdates(self.loop)
        self._evaluated = {line["step"] for line in self.folder.lines() if line["kind"] == "evaluation"}
        if rewind and self.chief and not self.complete:
            self.folder.rewind(self.loop.step)
            self.async_evaluation.forget(self.loop.step)
            self.best.recall(self.folder.lines())
        lines = [line for line in self.folder.lines() if line["step"] <= self.loop.step]
        self._evaluated = self.async_evaluation.steps | {line["step"] for line in lines if line["kind"] == "evaluation"}
        self.monitor.recall(lines)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do: all steps played, saved, measured and reported."""
        steps, report = self.plan.recipe.steps, self.folder.report
        return self.loop.step >= steps and self.loop.step in self._evaluated and report.is_file()

    def extend(self) -> None:
        """Records the recipe of a run that goes on, which may have more steps than before, and tells where it stands."""
        if not self.chief:
            return
        steps = self.plan.recipe.steps
        for warning in machine_warnings(self.folder.read("run.json"), self.world):
            self.progress.log(warning)
        old = self.folder.recipe()
        if (old.steps, old.data) != (steps, self.plan.recipe.data):
            self.folder.write("recipe.json", self.plan.recipe.to_json())
        self.progress.log(
            f"{self.folder}: going on at step {self.loop.step:,} of {steps:,}."
            if self.loop.step < steps
            else f"{self.folder}: all {steps:,} steps are done. To train on: zerosum resume {self.folder} --steps {2 * steps}"
        )
        if self.complete and not self.folder.has_status:
            self._begun = time.monotonic()
            self._status("finished")

    # --- playing

    def play(self) -> str:
        """Plays to the end. Returns "finished", or "stopped" when a signal asked for it; state is saved either way."""
        self._begun = time.monotonic()
        self.checkpoints.begin()
        if self.chief:
            self.folder.hold()
        self._status("running")
        self.callbacks(TrainingBegun(self.loop.step, self.folder.root, self.plan.recipe.to_json()))
        if self._rollbacks.wanted and not self.loop.step:
            self.save()  # there is always something to go back to
        try:
            with self._ending_evaluation(), self.stop.waiting():
                while not self._played():
                    pass
        except ProcessLost as error:
            self._fail(f"{error} Go on with: zerosum resume {self.folder}")
        except (RuntimeError, MemoryError) as error:
            if not memory.exhausted(error):
                raise
            when = f"after step {self.loop.step:,}"
            self._fail(memory.message(self.plan.recipe, self.plan.domain, self.plan.info, error, when, self.world.size))
        finally:
            self.progress.close()
        finished = self.loop.step >= self.plan.recipe.steps
        self._give_up_if(self._skips.stuck(finished))
        if message := self._skips.message():
            self.progress.log(message)
        if self.checkpoints.unsaved:
            self.save()  # the disk may have been freed since
        self._status("finished" if finished else "stopped", self.checkpoints.unsaved)
        return "finished" if finished else "stopped"

    def _played(self) -> bool:
        """Plays until the end or a stop; False when it went back and must play on."""
        try:
            self._play()
        except NonFinite as error:
            if not self._rollbacks.allowed:
                advice = divergence_advice(error, self.loop.players, self._rollbacks.wanted)
                self._fail(f"Training diverged: {error}.\n{self._rollbacks.history()}{advice}")
            self._roll_back(error)
            return False
        return True

    def _give_up_if(self, stuck: str) -> None:
        if stuck and self.loop.nonfinite:
            self._fail(
                f"Training diverged: {stuck}.\n{divergence_advice(self.loop.nonfinite, self.loop.players, False)}"
            )

    def _roll_back(self, error: NonFinite) -> None:
        """Back to a checkpoint of the cadence, with half the rates of now."""
        elapsed, rate, events = self._elapsed(), self.loop.rate * ROLLBACK_RATE, self._rollbacks.events
        good = self.checkpoints.good(events[-1]["to_step"] if events else None)
        if good is None:
            self._fail(f"Training diverged: {error}. There is no checkpoint to go back to.")
        self._load(good)
        self.world.barrier()
        self._rollbacks.events, self.loop.rate = events, rate
        self._seconds, self._begun, self._away = elapsed, time.monotonic(), 0.0
        self.progress.log(self._rollbacks.add(error, self.loop.step, rate))
        if self.chief:
            self._line("rollback", rollbacks=self._rollbacks.events)
        self.save(anew=True)  # the checkpoint on disk still has the old rate

    def _play(self) -> None:
        cadence, steps = self.plan.recipe.cadence, self.plan.recipe.steps
        counted, asked, skipping = (0.0, self.loop.step), False, self.loop.settings.on_nonfinite == "skip"
        for event in self.loop.run(steps):
            if isinstance(event, Boundary):
                if self._at_boundary(event):
                    return
                continue
            if skipping:
                self._skips.see()
                self._give_up_if(self._skips.stuck())
            if self.chief and (event.step % cadence.log == 0 or event.step == 1):
                counted = self._log(event, counted)
            if self.stop.number and not asked:
                asked = True
                again = " (once more to leave at once)" if self.chief and not self.world.size > 1 else ""
                self.progress.log(f"{signals.name(self.stop.number)}: stopping after this step{again} ...")

    def _at_boundary(self, boundary: Boundary) -> bool:
        """Previews, health, evaluation, saving; True when the run should stop here."""
        arrived, cadence, step = time.monotonic(), self.plan.recipe.cadence, boundary.step
        self._refuse_gone()
        stop = self.world.any(bool(self.stop.number) or self.callbacks.stopping)
        if self.chief and (step % cadence.preview == 0 or boundary.last):
            self._preview(step)
        due = cadence.evaluate and step and step % cadence.evaluate == 0
        if self.chief and due and not boundary.last and step not in self._evaluated:
            self._evaluated.add(step)
            self.async_evaluation.submit(step, self.loop.samples, self._elapsed(), self._publish)
        overdue = self.world.any(self.checkpoints.overdue)
        if (step and step % cadence.checkpoint == 0) or boundary.last or stop or overdue:
            self.save()
        self._away += time.monotonic() - arrived
        return stop

    def save(self, anew: bool = False) -> None:
        """Writes a checkpoint and the published generator; anew: even when this step has one."""
        state = {"match": self.loop.state_dict(), "seconds": self._elapsed(), "rollbacks": self._rollbacks.events}
        self.checkpoints.begin()
        if self.chief:
            self.checkpoints.save(self.loop.step, state, lambda: self._publish(self.folder.root), anew)
            self._status("running", self.checkpoints.unsaved)
            if not self.checkpoints.unsaved:
                self.callbacks(CheckpointSaved(self.loop.step, self.folder.root))

    def _publish(self, where: Path) -> None:
        network = self.loop.average.network if self.loop.average else self.loop.game.players["generator"]
        publish(where, network, self.plan.recipe, self.plan.info, self.loop.step, self.evaluator.examples)

    def _refuse_gone(self) -> None:
        """UserError, with nothing written, when the folder is no longer where the training began."""
        if self.chief and self.folder.gone:
            kept = (
                f"step {self.checkpoints.step:,} was its newest checkpoint"
                if self.checkpoints.step >= 0
                else "nothing was saved"
            )
            raise UserError(
                f"{self.folder} was removed or renamed while its training was at work, which has ended after step "
                f"{self.loop.step:,}; {kept}. If it was renamed: zerosum resume ITS_NEW_NAME"
            )

    def _elapsed(self) -> float:
        return self._seconds + time.monotonic() - self._begun

    # --- telling

    def _line(self, kind: str, **content: Any) -> None:
        self.logger.line(kind, self.loop.step, self.loop.samples, self._elapsed(), content)

    def _log(self, event: Stepped, counted: tuple[float, int]) -> tuple[float, int]:
        """One log line. The speed counts steps only, not what is done between them."""
        now, values = time.monotonic() - self._begun - self._away, event.values()
        values["samples_per_s"] = (event.step - counted[1]) * self.loop.settings.batch / max(1e-9, now - counted[0])
        self._refuse_gone()
        self._line("train", values=values)
        self.async_evaluation.look()
        self.monitor.see(values)
        self.progress.tick(event.step, self.plan.recipe.steps, values)
        return now, event.step

    def _preview(self, step: int) -> None:
        if self.plan.domain.media.sound is not None:  # before the picture, whose arrival the page in the browser sees
            self.logger.picture(step, self.evaluator.sound, SOUND_ENDING, announced=False)
        self.logger.picture(step, self.evaluator.picture, self.plan.domain.media.preview_ending)
        values, bins = self.evaluator.health()
        found = self.monitor.look(step, values)
        self._line("health", values=values, findings=[finding.to_json() for finding in found])
        self._line("scores", **bins)
        self.best.see(step, values, self._publish)
        for news in self.monitor.news(step, found):
            self.progress.log(news)

    def evaluate(
        self, write: bool = True, historic: bool = False, options: EvalOptions = EvalOptions()
    ) -> list[dict[str, Any]]:
        """Measures the average generator, logs (unless told not to) and returns the records."""
        records = [record.to_json() for record in self.evaluator.evaluate(historic, options)]
        for record in records if self._rollbacks else ():
            record["protocol"] |= {"rollbacks": len(self._rollbacks), "rate": self.loop.rate}
        for record in records if self.loop.skipped else ():
            record["protocol"] |= {"skipped_updates": self.loop.skipped}
        if write:
            every = evaluate.joined(self.folder.lines(), self.loop.step, records)
            found = self.monitor.measured(self.loop.step, every)
            self._line("evaluation", records=every, findings=[finding.to_json() for finding in found])
            self._evaluated.add(self.loop.step)
        return records

    def conclude(self, state: str) -> None:
        """After the last step: evaluates a finished run once, writes the report, tells how a stopped one goes on."""
        self._refuse_gone()
        try:
            self.async_evaluation.wait(state == "finished")
            if state == "finished" and self.loop.step not in self._evaluated:
                self._measure()
        except Stopped:
            self.progress.log(f"Evaluation left out; training is complete. Later: zerosum evaluate {self.folder}")
        self.report()
        self.best.tell()
        self.callbacks(Finished(self.loop.step, self.folder.root, state, self.checkpoints.unsaved))
        if self.checkpoints.unsaved:
            again = (
                f"zerosum resume {self.folder}"
                if self.checkpoints.step >= 0
                else "train again, in another folder (--out)."
            )
            raise UserError(
                f"{self.checkpoints.unsaved} What was trained since is lost. Free some space, then: {again}"
            )
        if state == "stopped":
            self.progress.log(f"Saved at step {self.loop.step:,}. Go on with: zerosum resume {self.folder}")

    def _measure(self) -> None:
        """The evaluation of a finished run: its stages are told where it takes long, and bounded where the run was given
        minutes."""
        self.progress.log("Evaluating (longer the first time: a measure may have to be trained on these data) ...")
        trained = self._elapsed()
        bound, device = self.plan.evaluation_bound_s, self.loop.device
        with memory.measured(device) as peak, evaluate.announced(self.progress.log, bound) as watch:
            self.evaluate()
        if self.chief and not watch.left_out:
            cost = trial_step.EvaluationCost(watch.seconds - watch.once_s, peak.num_bytes or 0)
            trial_step.remember_evaluation(self.plan.info, cost)
        once = (
            f", {format_duration(watch.once_s)} of it to prepare measures that are kept for these data"
            if watch.once_s >= 1
            else ""
        )
        message = (
            f"Training took {format_duration(trained)} in all, the evaluation {format_duration(watch.seconds)}{once}."
        )
        if watch.left_out:
            message += (
                f" Left out: {', '.join(watch.left_out)}. With --minutes an evaluation may take "
                f"{trial_step.EVALUATING:.0%} of the minutes, or {trial_step.LEAST_EVALUATING_S:.0f} s where that is more. "
                f"All measures: zerosum evaluate {self.folder}"
            )
        self.progress.log(message)

    def report(self) -> None:
        """Writes the report page; a full disk is told."""
        try:
            write_report(self.folder.root)
        except UserError as error:
            self.progress.log(f"Warning: {error}")

    def _status(self, state: str, message: str = "") -> None:
        stopped = ""
        if state == "stopped" and (self.stop.number or self.callbacks.stopping):
            stopped = f"stopped by {signals.name(self.stop.number) if self.stop.number else 'a callback'}"
        content = {
            "state": state,
            "step": self.loop.step,
            "steps": self.plan.recipe.steps,
            "seconds": round(self._elapsed(), 1),
            "samples": self.loop.samples,
            "message": message or stopped,
            "rollbacks": len(self._rollbacks),
            "skipped_updates": self.loop.skipped,
            "resume": f"zerosum resume {self.folder.root}",
        }
        if self.chief:
            self.logger.status(content)

    def _fail(self, reason: str) -> NoReturn:
        """Ends a training that cannot go on: recorded, reported, and told with what is kept."""
        self._status("failed", reason)
        if self.chief:
            self.report()
            self.callbacks(Finished(self.loop.step, self.folder.root, "failed", reason))
        kept = f"step {self.checkpoints.step:,}" if self.checkpoints.step >= 0 else "none: it came before the first"
        raise UserError(f"{reason}\nNewest checkpoint in {self.folder}: {kept}.") from None


# --- run.json and references.json, written before the first step


def run_facts(plan: Plan, game: Game, name: str, world: DistributedContext) -> dict[str, Any]:
    """The content of run.json: data, machine, versions, and the sentence told before training."""
    recipe, info = plan.recipe, plan.info
    shape = info.sample.axes | ({"num_classes": info.num_classes} if info.num_classes else {})
    return {
        "format": RUN_FORMAT,
        "name": name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "zerosum": zerosum.__version__,
        **machine(world),
        "device": recipe.device,
        "precision": recipe.precision,
        "domain": recipe.domain,
        "source": {"summary": plan.domain.data.describe(info), "shape": shape, **info.to_json()},
        "start": {"from": start.folder, "sha256": dict(start.sha256)} if (start := plan.weights) else None,
        "plan": plan.sentence(),
        "samples_file": plan.domain.media.sample_file,
        "has_baselines": plan.domain.evaluation.has_baselines,
        "num_parameters": {
            player: sum(p.numel() for p in network.parameters()) for player, network in game.players.items()
        },
    }


def machine(world: DistributedContext) -> dict[str, Any]:
    """What the last bits of a sum depend on."""
    return {"torch": str(torch.__version__), "threads": torch.get_num_threads(), "processes": world.size}


def machine_warnings(recorded: Mapping[str, Any], world: DistributedContext) -> list[str]:
    """A warning for each part of the machine that is no longer what run.json recorded."""
    return [
        f"Warning: this run began with {name} = {recorded.get(name)}, now it is {now}: sums may differ in the last bits."
        for name, now in machine(world).items()
        if recorded.get(name) != now
    ]


def reference_lines(game: Game) -> dict[str, Any]:
    """The reference lines of the curves: {name: {"value", "label"}}."""
    if not isinstance(game, Duel):
        return {}
    lines = {name: {"value": number, "label": text} for name, (number, text) in game.loss.references.items()}
    if game.loss.probabilistic:
        zero = torch.zeros(1)
        lines["V"] = {"value": float(value(zero, zero)), "label": "-log 4: D cannot tell real from made"}
    return lines
