"""A run from Python: train, resume, load; and what a finished run can do."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from zerosum import catalog, report
from zerosum.domain.conditions import Label
from zerosum.domain.eval_options import EvalOptions
from zerosum.engine.distributed import DistributedContext, join
from zerosum.errors import UserError
from zerosum.evaluation import discriminator_scores
from zerosum.evaluation.training_evaluator import preview_seconds
from zerosum.generation.sampler import Sampler
from zerosum.generation.trained_generator import TrainedGenerator
from zerosum.planning import plan as plans
from zerosum.planning import timing
from zerosum.planning.plan import Plan, TrainRequest
from zerosum.planning.reopen import plan_of, with_data_at
from zerosum.progress import NoProgress, Progress, patience
from zerosum.recipe import Recipe, differences, override
from zerosum.run_folder import RunFolder, claimed, refuse_exported
from zerosum.training.signals import StopRequest
from zerosum.training.trainer import Trainer

PLANNING = "Reading the data, trying the first step, measuring its time (longer for large networks) ..."


class Run(TrainedGenerator):
    """A run folder with its trained generator. Sampling needs the published generator only, not the data.

    stopped_by: the signal that stopped the training that returned this run; 0 when it came to its end.
    """

    def __init__(self, folder: RunFolder, device: str = "cpu") -> None:
        super().__init__(folder.root, device)
        self.folder = folder
        self.stopped_by = 0

    def judge(self, paths: Sequence[str | Path], labels: Sequence[Label] | None = None) -> list[float]:
        """The discriminator's D(x) in [0, 1] for each sample in the files: sigmoid of its logit above the neutral one.

        labels: one for each file, numbers or names. It says how real a sample looks to this run's discriminator at its last
        step; it is no probability beyond that.
        """
        return [score for _, score in self.verdicts(paths, labels)]

    def verdicts(self, paths: Sequence[str | Path], labels: Sequence[Label] | None = None) -> list[tuple[str, float]]:
        """The same with the samples' names: the file's, and the sample's number behind it where a file holds several."""
        names, data, told = discriminator_scores.read(self.domain, paths, self.sampler.info, labels)
        condition = None if told is None else self.labels(told, len(data))
        scores = discriminator_scores.scores(self.folder, self.recipe, self.domain, self.sampler.info, data, condition)
        return list(zip(names, scores, strict=True))

    def unlike(self, paths: Sequence[str | Path]) -> list[tuple[str, float]]:
        """The samples in the files that are unlike anything trained on, and how many times as far from their nearest training row
        they lie as any real row that was not looked at. UserError where the training data cannot be opened."""
        names, data, _ = discriminator_scores.read(self.domain, paths, self.sampler.info, None)
        ratios = discriminator_scores.unlike(self.domain, self.recipe, data) or []
        return [(name, ratio) for name, ratio in zip(names, ratios, strict=False) if ratio > 1]

    def evaluate(
        self,
        allow_download: bool = False,
        historic: bool = False,
        choice: EvalOptions = EvalOptions(),
        data: str | Path | None = None,
    ) -> list[dict[str, Any]]:
        """All metrics of the generator at the newest checkpoint; a list of records. historic: also those of old papers.
        choice: of the feature extractor and of the number of samples. data: where the data have moved to.

        They are logged and the report is written anew, unless a training is at work in the folder.
        """
        folder = RunFolder.open(self.path)
        recipe = with_data_at(folder.recipe(), data)
        with timing.cpu_threads(recipe.threads):
            return self._evaluate(folder, recipe, allow_download, historic, choice)

    def _evaluate(
        self, folder: RunFolder, recipe: Recipe, allow_download: bool, historic: bool, choice: EvalOptions
    ) -> list[dict[str, Any]]:
        session = _reopened(
            folder, NoProgress(), DistributedContext(), StopRequest(), allow_download, anywhere=True, recipe=recipe
        )
        session.restore(rewind=False)
        busy = folder.busy
        with contextlib.nullcontext() if busy else folder.locked():
            records = session.evaluate(write=not busy, historic=historic, choice=choice)
            if not busy:
                session.report()
        return records

    def metrics(self) -> list[dict[str, Any]]:
        """The records of the last evaluation, empty when there was none."""
        return self.folder.last_records()

    def report(self) -> Path:
        """Writes report.html anew and returns its path."""
        return report.write_report(self.path)


def train(
    where: str | None = None,
    recipe: str | Recipe | None = None,
    *,
    minutes: float | None = None,
    out: str | Path | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
    allow_download: bool = False,
    fit: bool = False,
    progress: Progress | None = None,
    on_plan: Callable[[Plan], None] | None = None,
) -> Run:
    """Trains a generator on `where` (a source's name or a path; default: the bundled digits) and returns the run.

    recipe: a name, a .toml/.json file or a Recipe. minutes: the number of steps is chosen so that training takes about
    that long here. set: {"generator.width": 32} or ["generator.width=32"]. out: the run folder, default runs/<name>.
    fit: cut the batch into micro-batches until a step fits into memory.
    Ctrl-C and SIGTERM save and stop; the run returned has `stopped_by` set then.
    """
    settings = list(set) if not isinstance(set, Mapping) else [f"{k}={_text(v)}" for k, v in set.items()]
    progress = progress or NoProgress()
    world = _world(settings)
    wish = TrainRequest(None if where is None else str(where), recipe, minutes, tuple(settings), allow_download, fit)
    if out is not None and world.rank == 0:
        RunFolder(Path(out)).refuse_unless_free()  # before anything takes time
    with patience(progress.say if world.rank == 0 else NoProgress().say, PLANNING):
        plan = plans.make(wish, world, preview_seconds)
    if on_plan and world.rank == 0:
        on_plan(plan)
    with (
        timing.cpu_threads(plan.recipe.threads),
        StopRequest() as stop,
        claimed(plan.info.name, out, world, plan.recipe.device) as folder,
    ):
        try:
            session = Trainer(plan, folder, progress if world.rank == 0 else NoProgress(), world, stop)
            session.prepare()
            session.begin()
        except BaseException:
            if world.rank == 0:
                folder.remove_incomplete()
            raise
        return _played(session)


def resume(
    path: str | Path,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    set: Sequence[str] = (),
    allow_download: bool = False,
    progress: Progress | None = None,
    data: str | Path | None = None,
) -> Run:
    """Goes on with a run as if it had never stopped. `steps` may extend it, or `minutes`: by about that long, at the mean
    speed that it had so far; `data` says where its data have moved to; any other change is refused."""
    folder = RunFolder.open(Path(path))
    old = folder.recipe()
    if minutes is not None:
        steps = _steps_after(folder, minutes)
    wanted = override(old, list(set))
    steps = _steps_wanted(folder, old, wanted, steps)
    recipe = with_data_at(wanted, data)
    world = _world([f"device={old.device}"])
    progress = (progress or NoProgress()) if world.rank == 0 else NoProgress()
    held = folder.locked() if world.rank == 0 else contextlib.nullcontext()
    with timing.cpu_threads(recipe.threads), StopRequest() as stop, held:
        session = _reopened(folder, progress, world, stop, allow_download, steps, recipe=recipe)
        session.restore()
        world.barrier()
        session.extend()
        if world.any(session.complete):
            return Run(folder)
        session.prepare()
        return _played(session)


def _steps_after(folder: RunFolder, minutes: float) -> int:
    """The steps in all of a run that goes on for so many minutes more."""
    timing.refuse_minutes("--minutes", minutes)
    lines = folder.lines()
    known = (
        folder.read("status.json") if folder.has_status or not lines else lines[-1]
    )  # its progress stands in the log, too
    step, seconds = known.get("step"), known.get("seconds")
    if not (isinstance(step, int) and isinstance(seconds, int | float) and step > 0 and seconds > 0):
        raise UserError(f"{folder} has no speed recorded yet, so --minutes cannot become steps. Give --steps instead.")
    return step + max(1, int(60 * minutes * step / seconds))


def _steps_wanted(folder: RunFolder, old: Recipe, wanted: Recipe, steps: int | None) -> int:
    """How many steps the run shall have; UserError for any other change, and for fewer steps."""
    free = ("steps:", *(f"data.{name}:" for name in catalog.domain(old.domain).data.paths))  # a path may have moved
    changed = [line for line in differences(old, wanted) if not line.startswith(free)]
    if changed:
        raise UserError(
            f"{folder} cannot be resumed with other settings:\n  "
            + "\n  ".join(changed)
            + "\nOnly steps can be extended, and data be said to have moved (--data). For the rest start a new run with "
            "`zerosum train --out`."
        )
    steps = wanted.steps if steps is None else steps
    if steps < old.steps:
        raise UserError(
            f"{folder} was planned for {old.steps:,} steps; {steps:,} would be fewer. Only more steps are possible."
        )
    return steps


def load(path: str | Path, device: str = "cpu") -> Run:
    """A trained run, or a published generator: a folder with generator.safetensors and generator.json."""
    root = Path(path)
    if not root.is_dir():
        raise UserError(f"There is no folder {root}. Runs lie where `zerosum train` said, by default in runs/.")
    refuse_exported(root)
    return Run(RunFolder(root), device)


def files_in(paths: Sequence[str | Path]) -> list[Path]:
    """The files named, and for each folder the visible files that lie in it, by name."""
    found: list[Path] = []
    for path in map(Path, paths):
        found += sorted(p for p in path.iterdir() if p.is_file() and p.name[0] != ".") if path.is_dir() else [path]
    return found


# --- how a run begins and ends


def _world(settings: Sequence[str]) -> DistributedContext:
    wanted = next((s.partition("=")[2] for s in reversed(settings) if s.startswith("device=")), "auto")
    on_gpu = wanted.startswith("cuda") or (wanted == "auto" and torch.cuda.is_available())
    return join("cuda" if on_gpu else "cpu")


def _reopened(
    folder: RunFolder,
    progress: Progress,
    world: DistributedContext,
    stop: StopRequest,
    allow_download: bool,
    steps: int | None = None,
    anywhere: bool = False,
    recipe: Recipe | None = None,
) -> Trainer:
    """The session of an existing run, at step 0; the rest as in `plan_of`."""
    return Trainer(plan_of(folder, allow_download, steps, anywhere, recipe), folder, progress, world, stop)


def _played(session: Trainer) -> Run:
    """Plays a session that holds its folder's lock, then evaluates and reports."""
    state = session.play()
    if session.chief:
        session.conclude(state)
    session.world.barrier()
    run = Run(session.folder)
    run.stopped_by = (session.stop.number or signal.SIGTERM) if state == "stopped" else 0
    return run


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


__all__ = ["Run", "Sampler", "load", "resume", "train"]
