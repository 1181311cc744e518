"""The trainer: runs the training loop of a plan in a run folder, and logs, saves and evaluates between the steps."""

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
from zerosum.engine.game import Game
from zerosum.engine.loop import Boundary, NonFinite, Stepped
from zerosum.engine.losses import value
from zerosum.errors import UserError
from zerosum.evaluation import evaluate
from zerosum.evaluation.training_evaluator import TrainingEvaluator
from zerosum.formatting import Progress, format_duration, in_shell, patience
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
        self.best = BestCheckpoint(folder, self.logger, plan.domain.evaluation.best_metric_of(plan.info))
        self._evaluated: set[int] = set()
        self.monitor = monitor_of(plan.recipe, self.loop.game)
        self._rollbacks = RollbackPolicy(plan.recipe.on_nonfinite == "rollback")
        self._skips = SkippedUpdates(self.loop)
        self._earlier_seconds, self._started_at, self._boundary_seconds = 0.0, time.monotonic(), 0.0

    @functools.cached_property
    def async_evaluation(self) -> AsyncEvaluation:
        """Evaluation of snapshots in another process; created at its first use."""
        return AsyncEvaluation(self.folder, self.logger, self.progress.log)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do: all steps are trained and saved, and the last one is evaluated and reported."""
        steps, report = self.plan.recipe.steps, self.folder.report
        return self.loop.step >= steps and self.loop.step in self._evaluated and report.is_file()

    def _elapsed_seconds(self) -> float:
        return self._earlier_seconds + time.monotonic() - self._started_at

    # --- before training

    def prepare(self) -> None:
        """Prepares the metrics, once. Called before the run folder is complete and before the time is measured."""
        if self.chief:
            self.evaluator.prepare(self.progress.log)

    def write_run_files(self) -> None:
        """Writes the files that are known before the first step. run.json is the last one: it makes the folder a run folder."""
        if not self.chief:
            return
        try:
            self.evaluator.write_real_preview(self.folder.previews / f"real{self.plan.domain.media.preview_ending}")
            if self.plan.domain.media.sound is not None:
                self.evaluator.write_real_sound(self.folder.previews / f"real{SOUND_ENDING}")
            self.folder.write("recipe.json", self.plan.recipe.to_json())
            self.folder.write("references.json", reference_lines(self.loop.game))
            self._write_status("running")
            name = self.folder.root.resolve().name
            self.folder.write("run.json", describe_run(self.plan, self.loop.game, name, self.world))
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.folder}: {error.strerror or error}. Free space, or use --out."
            ) from None

    def restore(self, rewind: bool = True) -> None:
        """Loads the newest complete checkpoint of the folder; without one, stays at step 0.

        rewind: also remove the later lines of the log.
        """
        state = self.checkpoints.newest_state()
        if state is None:
            self.folder.refuse_if_trained()
        self._load_state(state, rewind)
        if state is not None and rewind and self.chief and (message := self.folder.lost_log(self.loop.step)):
            self.progress.log(message)

    def _load_state(self, state: Mapping[str, Any] | None, rewind: bool = True) -> None:
        if state is not None:
            try:
                self.loop.load_state_dict(state["match"])
                self._earlier_seconds = float(state["seconds"])
                self._rollbacks.events = list(state.get("rollbacks", []))
            except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise UserError(f"The checkpoint in {self.folder} belongs to another game: {reason}") from None
            self.checkpoints.step = self.loop.step
            self._skips = SkippedUpdates(self.loop)
        self._evaluated = {line["step"] for line in self.folder.lines() if line["kind"] == "evaluation"}
        if rewind and self.chief and not self.complete:
            self.folder.rewind(self.loop.step)
            self.async_evaluation.discard_after(self.loop.step)
            self.best.restore(self.folder.lines())
        lines = [line for line in self.folder.lines() if line["step"] <= self.loop.step]
        self._evaluated = self.async_evaluation.steps | {line["step"] for line in lines if line["kind"] == "evaluation"}
        self.monitor.restore(lines)

    def record_resumption(self) -> None:
        """Writes the recipe of a resumed run, which may have more steps than before, and logs the step that it continues at."""
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
            else f"{self.folder}: all {steps:,} steps are done. To train on: zerosum resume {in_shell(self.folder)} --steps "
            f"{2 * steps}"
        )
        if self.complete and not self.folder.has_status:
            self._started_at = time.monotonic()
            self._write_status("finished")

    # --- the training loop

    def train(self) -> str:
        """Trains to the last step. Returns "finished", or "stopped" after a signal or a callback requested a stop; the state is
        saved in both cases."""
        self._started_at = time.monotonic()
        self.checkpoints.start_clock()
        if self.chief:
            self.folder.hold()
        self._write_status("running")
        self.callbacks(TrainingBegun(self.loop.step, self.folder.root, self.plan.recipe.to_json()))
        if self._rollbacks.enabled and not self.loop.step:
            self.save()  # so that a rollback always has a checkpoint
        try:
            with self._close_evaluation_on_error(), self.stop.waiting():
                while not self._train_or_roll_back():
                    pass
        except ProcessLost as error:
            self._fail(f"{error} Go on with: zerosum resume {in_shell(self.folder)}")
        except (RuntimeError, MemoryError) as error:
            if not memory.exhausted(error):
                raise
            when = f"after step {self.loop.step:,}"
            self._fail(memory.message(self.plan.recipe, self.plan.domain, self.plan.info, error, when, self.world.size))
        finally:
            self.progress.close()
        finished = self.loop.step >= self.plan.recipe.steps
        self._fail_if_stuck(self._skips.stuck_reason(finished))
        if message := self._skips.message():
            self.progress.log(message)
        if self.checkpoints.unsaved:
            self.save()  # the disk may have been freed since
        self._write_status("finished" if finished else "stopped", self.checkpoints.unsaved)
        return "finished" if finished else "stopped"

    def _train_or_roll_back(self) -> bool:
        """Trains to the last step or to a stop; False after a rollback, when training must continue."""
        try:
            self._train_steps()
        except NonFinite as error:
            if not self._rollbacks.allowed:
                advice = divergence_advice(error, self.loop.players, self._rollbacks.enabled)
                self._fail(f"Training diverged: {error}.\n{self._rollbacks.summary()}{advice}")
            self._roll_back(error)
            return False
        return True

    def _train_steps(self) -> None:
        cadence, steps = self.plan.recipe.cadence, self.plan.recipe.steps
        counted, announced, skipping = (0.0, self.loop.step), False, self.loop.settings.on_nonfinite == "skip"
        for event in self.loop.run(steps):
            if isinstance(event, Boundary):
                if self._handle_boundary(event):
                    return
                continue
            if skipping:
                self._skips.update()
                self._fail_if_stuck(self._skips.stuck_reason())
            if self.chief and (event.step % cadence.log == 0 or event.step == 1):
                counted = self._log_step(event, counted)
            if self.stop.number and not announced:
                announced = True
                again = " (once more to leave at once)" if self.chief and not self.world.size > 1 else ""
                self.progress.log(f"{signals.name(self.stop.number)}: stopping after this step{again} ...")

    def _log_step(self, event: Stepped, counted: tuple[float, int]) -> tuple[float, int]:
        """Writes one log line. samples_per_s counts the time of the steps, not that of the work between them."""
        now, values = time.monotonic() - self._started_at - self._boundary_seconds, event.values()
        values["samples_per_s"] = (event.step - counted[1]) * self.loop.settings.batch / max(1e-9, now - counted[0])
        self._check_folder()
        self._write_line("train", values=values)
        self.async_evaluation.poll()
        self.monitor.update(values)
        self.progress.tick(event.step, self.plan.recipe.steps, values)
        return now, event.step

    def _roll_back(self, error: NonFinite) -> None:
        """Loads an earlier checkpoint of the cadence and multiplies all learning rates by ROLLBACK_RATE."""
        elapsed, rate, events = self._elapsed_seconds(), self.loop.rate * ROLLBACK_RATE, self._rollbacks.events
        earlier = self.checkpoints.rollback_state(events[-1]["to_step"] if events else None)
        if earlier is None:
            self._fail(f"Training diverged: {error}. There is no checkpoint to go back to.")
        self._load_state(earlier)
        self.world.barrier()
        self._rollbacks.events, self.loop.rate = events, rate
        self._earlier_seconds, self._started_at, self._boundary_seconds = elapsed, time.monotonic(), 0.0
        self.progress.log(self._rollbacks.record(error, self.loop.step, rate))
        if self.chief:
            self._write_line("rollback", rollbacks=self._rollbacks.events)
        self.save(overwrite=True)  # the checkpoint on disk has the old rate

    def _fail_if_stuck(self, stuck: str) -> None:
        if stuck and self.loop.nonfinite:
            self._fail(
                f"Training diverged: {stuck}.\n{divergence_advice(self.loop.nonfinite, self.loop.players, False)}"
            )

    def _fail(self, reason: str) -> NoReturn:
        """Ends a training that cannot continue: writes status and report, and raises UserError with the newest checkpoint."""
        self._write_status("failed", reason)
        if self.chief:
            self.write_report_page()
            self.callbacks(Finished(self.loop.step, self.folder.root, "failed", reason))
        kept = f"step {self.checkpoints.step:,}" if self.checkpoints.step >= 0 else "none: it came before the first"
        raise UserError(f"{reason}\nNewest checkpoint in {self.folder}: {kept}.") from None

    @contextlib.contextmanager
    def _close_evaluation_on_error(self) -> Iterator[None]:
        """Ends the evaluating process, if there is one, when the training in this context ends by an error or a signal."""
        try:
            yield
        except BaseException:
            if "async_evaluation" in vars(self):
                self.async_evaluation.close()
            raise

    # --- between two steps

    def _handle_boundary(self, boundary: Boundary) -> bool:
        """Writes a preview with its health check, submits an evaluation and saves, where these are due. True when training
        must stop here."""
        arrived, cadence, step = time.monotonic(), self.plan.recipe.cadence, boundary.step
        self._check_folder()
        stop = self.world.any(bool(self.stop.number) or self.callbacks.stopping)
        if self.chief and (step % cadence.preview == 0 or boundary.last):
            with contextlib.nullcontext() if step else patience(self.progress.log, "Making the first samples ..."):
                self._write_preview(step)
        due = cadence.evaluate and step and step % cadence.evaluate == 0
        if self.chief and due and not boundary.last and step not in self._evaluated:
            self._evaluated.add(step)
            self.async_evaluation.submit(step, self.loop.samples, self._elapsed_seconds(), self._publish)
        overdue = self.world.any(self.checkpoints.overdue)
        if (step and step % cadence.checkpoint == 0) or boundary.last or stop or overdue:
            self.save()
        self._boundary_seconds += time.monotonic() - arrived
        return stop

    def _write_preview(self, step: int) -> None:
        if self.plan.domain.media.sound is not None:  # before the picture, whose arrival the page in the browser sees
            self.logger.write_preview(step, self.evaluator.write_sound, SOUND_ENDING, announced=False)
        self.logger.write_preview(step, self.evaluator.write_preview, self.plan.domain.media.preview_ending)
        values, bins = self.evaluator.health_values()
        found = self.monitor.check(step, values)
        self._write_line("health", values=values, findings=[finding.to_json() for finding in found])
        self._write_line("scores", **bins)
        self.best.update(step, values, self._publish)
        for message in self.monitor.new_messages(step, found):
            self.progress.log(message)

    def _check_folder(self) -> None:
        """Raises UserError, and writes nothing, when the run folder was removed or renamed during the training."""
        if self.chief and self.folder.gone:
            kept = (
                f"step {self.checkpoints.step:,} was its newest checkpoint"
                if self.checkpoints.step >= 0
                else "nothing was saved"
            )
            raise UserError(
                f"{self.folder} was removed or renamed during the training, which has ended after step "
                f"{self.loop.step:,}; {kept}. If it was renamed: zerosum resume ITS_NEW_NAME"
            )

    # --- saving

    def save(self, overwrite: bool = False) -> None:
        """Writes a checkpoint and the published generator. overwrite: also when there is a checkpoint of this step."""
        state = {
            "match": self.loop.state_dict(),
            "seconds": self._elapsed_seconds(),
            "rollbacks": self._rollbacks.events,
        }
        self.checkpoints.start_clock()
        if self.chief:
            self.checkpoints.save(self.loop.step, state, lambda: self._publish(self.folder.root), overwrite)
            self._write_status("running", self.checkpoints.unsaved)
            if not self.checkpoints.unsaved:
                self.callbacks(CheckpointSaved(self.loop.step, self.folder.root))

    def _publish(self, where: Path) -> None:
        network = self.loop.average.network if self.loop.average else self.loop.game.players["generator"]
        publish(where, network, self.plan.recipe, self.plan.info, self.loop.step, self.evaluator.examples)

    # --- evaluating

    def evaluate(
        self, write: bool = True, historic: bool = False, options: EvalOptions = EvalOptions()
    ) -> list[dict[str, Any]]:
        """Evaluates the average generator and returns the records. write: also write them to the log."""
        records = [record.to_json() for record in self.evaluator.evaluate(historic, options)]
        for record in records if self._rollbacks else ():
            record["protocol"] |= {"rollbacks": len(self._rollbacks), "rate": self.loop.rate}
        for record in records if self.loop.skipped else ():
            record["protocol"] |= {"skipped_updates": self.loop.skipped}
        if write:
            every = evaluate.merge_records(self.folder.lines(), self.loop.step, records)
            found = self.monitor.check_records(self.loop.step, every)
            self._write_line("evaluation", records=every, findings=[finding.to_json() for finding in found])
            self._evaluated.add(self.loop.step)
        return records

    def _evaluate_finished_run(self) -> None:
        """Evaluates a finished run. The stages of a long evaluation are logged; its time is limited when the run was given
        minutes."""
        self.progress.log("Evaluating (longer the first time: a measure may have to be trained on these data) ...")
        trained = self._elapsed_seconds()
        bound, device = self.plan.evaluation_bound_s, self.loop.device
        with memory.measured(device) as peak, evaluate.log_stages(self.progress.log, bound) as watch:
            self.evaluate()
        if self.chief and not watch.left_out:
            cost = trial_step.EvaluationCost(watch.seconds - watch.once_s, peak.num_bytes or 0)
            trial_step.store_evaluation_cost(self.plan.info, cost)
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
                f"All measures: zerosum evaluate {in_shell(self.folder)}"
            )
        self.progress.log(message)

    # --- the end, the report and the log

    def finish(self, state: str) -> None:
        """After the last step: evaluates a finished run once, writes the report, and logs how to resume a stopped one."""
        self._check_folder()
        try:
            self.async_evaluation.wait(state == "finished")
            if state == "finished" and self.loop.step not in self._evaluated:
                self._evaluate_finished_run()
        except Stopped:
            self.progress.log(
                f"Evaluation left out; training is complete. Later: zerosum evaluate {in_shell(self.folder)}"
            )
        self.write_report_page()
        self.best.log_best()
        self.callbacks(Finished(self.loop.step, self.folder.root, state, self.checkpoints.unsaved))
        if self.checkpoints.unsaved:
            again = (
                f"zerosum resume {in_shell(self.folder)}"
                if self.checkpoints.step >= 0
                else "train again, in another folder (--out)."
            )
            raise UserError(
                f"{self.checkpoints.unsaved} What was trained since is lost. Free some space, then: {again}"
            )
        if state == "stopped":
            self.progress.log(f"Saved at step {self.loop.step:,}. Go on with: zerosum resume {in_shell(self.folder)}")

    def write_report_page(self) -> None:
        """Writes the report page; a full disk causes a warning."""
        try:
            write_report(self.folder.root)
        except UserError as error:
            self.progress.log(f"Warning: {error}")

    def _write_line(self, kind: str, **content: Any) -> None:
        self.logger.write_line(kind, self.loop.step, self.loop.samples, self._elapsed_seconds(), content)

    def _write_status(self, state: str, message: str = "") -> None:
        stopped = ""
        if state == "stopped" and (self.stop.number or self.callbacks.stopping):
            stopped = f"stopped by {signals.name(self.stop.number) if self.stop.number else 'a callback'}"
        content = {
            "state": state,
            "step": self.loop.step,
            "steps": self.plan.recipe.steps,
            "seconds": round(self._elapsed_seconds(), 1),
            "samples": self.loop.samples,
            "message": message or stopped,
            "rollbacks": len(self._rollbacks),
            "skipped_updates": self.loop.skipped,
            "resume": f"zerosum resume {in_shell(self.folder.root)}",
        }
        if self.chief:
            self.logger.write_status(content)


# --- the content of run.json and references.json


def describe_run(plan: Plan, game: Game, name: str, world: DistributedContext) -> dict[str, Any]:
    """The content of run.json: data, machine, versions, and the summary that is printed before training."""
    recipe, info = plan.recipe, plan.info
    shape = info.sample.axes | ({"num_classes": info.num_classes} if info.num_classes else {})
    return {
        "format": RUN_FORMAT,
        "name": name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "zerosum": zerosum.__version__,
        **numeric_settings(world),
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


def numeric_settings(world: DistributedContext) -> dict[str, Any]:
    """Settings that the last bits of a sum depend on."""
    return {"torch": str(torch.__version__), "threads": torch.get_num_threads(), "processes": world.size}


def machine_warnings(recorded: Mapping[str, Any], world: DistributedContext) -> list[str]:
    """A warning for each part of the machine that is no longer what run.json recorded."""
    return [
        f"Warning: this run began with {name} = {recorded.get(name)}, now it is {now}: sums may differ in the last bits."
        for name, now in numeric_settings(world).items()
        if recorded.get(name) != now
    ]


def reference_lines(game: Game) -> dict[str, Any]:
    """The reference lines of the curves: {name: {"value", "label"}}."""
    if game.loss is None:
        return {}
    lines = {name: {"value": number, "label": text} for name, (number, text) in game.loss.references.items()}
    if game.loss.probabilistic:
        zero = torch.zeros(1)
        lines["V"] = {"value": float(value(zero, zero)), "label": "-log 4: D cannot tell real from made"}
    return lines
