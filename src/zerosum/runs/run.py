"""A run from Python: train, resume, load; and what a finished run can do."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zerosum import report
from zerosum.engine.processes import World, join
from zerosum.errors import UserError
from zerosum.recipe import Recipe, differences, override
from zerosum.runs import plan as plans
from zerosum.runs.claim import claimed
from zerosum.runs.folder import RunFolder
from zerosum.runs.observe import judge as judge_with
from zerosum.runs.plan import Plan, Wish
from zerosum.runs.progress import Progress, Silent
from zerosum.runs.sampler import BATCH, Sampler
from zerosum.runs.sampler import load as load_generator
from zerosum.runs.session import Session
from zerosum.runs.signals import Stop
from zerosum.store import latest_checkpoint


class Run:
    """A run folder with its trained generator. Sampling needs the published generator only, not the data.

    stopped_by: the signal that stopped the training that returned this run; 0 when it came to its end.
    """

    def __init__(self, folder: RunFolder, device: str = "cpu") -> None:
        self.folder = folder
        self.stopped_by = 0
        self.sampler, self.recipe, self.domain = load_generator(folder.root, device)

    @property
    def path(self) -> Path:
        """Where the run lies."""
        return self.folder.root

    def sample(
        self, num: int = 64, seed: int = 0, labels: Sequence[int] | Tensor | None = None, batch: int = BATCH
    ) -> Tensor:
        """(num, ...) float32 samples on the CPU; for images (num, C, H, W) in [-1, 1]. The same for any `batch`."""
        wanted = None if labels is None else self._labels(torch.as_tensor(labels, dtype=torch.int64), num)
        return self.domain.within(self.sampler.sample(num, seed, wanted, batch), self.recipe)

    def _labels(self, labels: Tensor, num: int) -> Tensor:
        classes = self.sampler.facts.get("num_classes", 0)
        labels = labels.expand(num) if labels.dim() == 0 else labels
        if len(labels) != num:
            raise UserError(f"labels has {len(labels)} entries for {num} samples.")
        if classes and not bool(((labels >= 0) & (labels < classes)).all()):
            raise UserError(f"labels must lie in 0..{classes - 1}: {', '.join(self.sampler.facts['class_names'])}.")
        return labels

    def judge(self, paths: Sequence[str | Path], labels: Sequence[int] | None = None) -> list[float]:
        """The discriminator's D(x) in [0, 1] for each sample in the files: sigmoid of its logit above the neutral one.

        labels: one for each file. It says how real a sample looks to this run's discriminator at its last step; it is no
        probability beyond that.
        """
        return [score for _, score in self.verdicts(paths, labels)]

    def verdicts(self, paths: Sequence[str | Path], labels: Sequence[int] | None = None) -> list[tuple[str, float]]:
        """The same with the samples' names: the file's, and the sample's number behind it where a file holds several."""
        if not paths:
            raise UserError("judge needs at least one file of samples.")
        if labels is not None and len(labels) != len(paths):
            raise UserError(f"labels has {len(labels)} entries for {len(paths)} files.")
        missing = [str(path) for path in paths if not Path(path).is_file()]
        if missing:
            raise UserError(f"no such file: {', '.join(missing[:5])}.")
        parts = [self.domain.read([Path(path)], self.sampler.facts) for path in paths]
        names = [
            str(path) if len(part) == 1 else f"{path}:{row + 1}"
            for path, part in zip(paths, parts, strict=True)
            for row in range(len(part))
        ]
        if labels is not None:
            labels = [label for label, part in zip(labels, parts, strict=True) for _ in range(len(part))]
        return list(zip(names, self._judged(torch.cat(parts), labels), strict=True))

    def _judged(self, data: Tensor, labels: Sequence[int] | None) -> list[float]:
        state = latest_checkpoint(self.folder.checkpoints)
        if state is None:
            raise UserError(
                f"{self.path} has no checkpoint, so its discriminator is gone; `judge` needs the run folder of a training."
            )
        game = self.domain.game(self.recipe, self.sampler.facts)
        game.players["discriminator"].load_state_dict(state["match"]["networks"]["discriminator"])
        if self.recipe.conditional is not True:
            return self._scores(game, data, None)
        if labels is not None:
            return self._scores(game, data, self._labels(torch.as_tensor(labels, dtype=torch.int64), len(data)))
        # Without a label the most favourable class speaks.
        classes = range(self.sampler.facts["num_classes"])
        every = [self._scores(game, data, torch.full((len(data),), label)) for label in classes]
        return [max(scores) for scores in zip(*every, strict=True)]

    def _scores(self, game: Any, data: Tensor, labels: Tensor | None) -> list[float]:
        facts = dict(self.sampler.facts)
        logits = judge_with(game, data, labels, Plan(self.recipe, self.domain, None, facts))
        health = [line["values"] for line in self.folder.lines() if line["kind"] == "health"]
        return (logits - (health[-1].get("neutral_logit") or 0.0 if health else 0.0)).sigmoid().tolist()

    def evaluate(self, allow_download: bool = False, historic: bool = False) -> list[dict[str, Any]]:
        """All metrics of the generator at the newest checkpoint; a list of records. historic: also those of old papers.

        They are logged and the report is written anew, unless a training is at work in the folder.
        """
        folder = RunFolder.open(self.path)
        session = _reopened(folder, Silent(), World(), Stop(), allow_download, anywhere=True)
        session.restore(rewind=False)
        busy = folder.busy
        with contextlib.nullcontext() if busy else folder.locked():
            records = session.evaluate(write=not busy, historic=historic)
            if not busy:
                session.report()
        return records

    def metrics(self) -> list[dict[str, Any]]:
        """The records of the last evaluation, empty when there was none."""
        found = [line["records"] for line in self.folder.lines() if line["kind"] == "evaluation"]
        return found[-1] if found else []

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
    progress: Progress | None = None,
    on_plan: Callable[[Plan], None] | None = None,
) -> Run:
    """Trains a generator on `where` (a source's name or a path; default: the bundled digits) and returns the run.

    recipe: a name, a .toml/.json file or a Recipe. minutes: the number of steps is chosen so that training takes about
    that long here. set: {"generator.width": 32} or ["generator.width=32"]. out: the run folder, default runs/<name>.
    Ctrl-C and SIGTERM save and stop; the run returned has `stopped_by` set then.
    """
    settings = list(set) if not isinstance(set, Mapping) else [f"{k}={_text(v)}" for k, v in set.items()]
    progress = progress or Silent()
    world = _world(settings)
    wish = Wish(None if where is None else str(where), recipe, minutes, tuple(settings), allow_download)
    if out is not None and world.rank == 0:
        RunFolder(Path(out)).refuse_unless_free()  # before anything takes time
    plan = plans.make(wish, world)
    if on_plan and world.rank == 0:
        on_plan(plan)
    with Stop() as stop, claimed(plan, out, world) as folder:
        try:
            session = Session(plan, folder, progress if world.rank == 0 else Silent(), world, stop)
            session.prepare()
            session.begin()
        except BaseException:
            if world.rank == 0:
                folder.discard_unborn()
            raise
        return _played(session)


def resume(
    path: str | Path,
    *,
    steps: int | None = None,
    set: Sequence[str] = (),
    allow_download: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Goes on with a run as if it had never stopped. `steps` may extend it; any other change is refused."""
    folder = RunFolder.open(Path(path))
    old = folder.recipe()
    steps = _steps_wanted(folder, old, override(old, list(set)), steps)
    world = _world([f"device={old.device}"])
    progress = (progress or Silent()) if world.rank == 0 else Silent()
    with Stop() as stop, folder.locked() if world.rank == 0 else contextlib.nullcontext():
        session = _reopened(folder, progress, world, stop, allow_download, steps)
        session.restore()
        world.barrier()
        session.extend()
        if world.any(session.complete):
            return Run(folder)
        session.prepare()
        return _played(session)


def _steps_wanted(folder: RunFolder, old: Recipe, wanted: Recipe, steps: int | None) -> int:
    """How many steps the run shall have; UserError for any other change, and for fewer steps."""
    changed = [line for line in differences(old, wanted) if not line.startswith("steps:")]
    if changed:
        raise UserError(
            f"{folder} cannot be resumed with other settings:\n  "
            + "\n  ".join(changed)
            + "\nOnly steps can be extended; start a new run with `zerosum train --out` for the rest."
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
    return Run(RunFolder(root), device)


def files_in(paths: Sequence[str | Path]) -> list[Path]:
    """The files named, and for each folder the visible files that lie in it, by name."""
    found: list[Path] = []
    for path in map(Path, paths):
        found += sorted(p for p in path.iterdir() if p.is_file() and p.name[0] != ".") if path.is_dir() else [path]
    return found


# --- how a run begins and ends


def _world(settings: Sequence[str]) -> World:
    wanted = next((s.partition("=")[2] for s in reversed(settings) if s.startswith("device=")), "auto")
    on_gpu = wanted.startswith("cuda") or (wanted == "auto" and torch.cuda.is_available())
    return join("cuda" if on_gpu else "cpu")


def _reopened(
    folder: RunFolder,
    progress: Progress,
    world: World,
    stop: Stop,
    allow_download: bool,
    steps: int | None = None,
    anywhere: bool = False,
) -> Session:
    """The session of an existing run, at step 0. anywhere: on the CPU when the run's device is not here."""
    return Session(plan_of(folder, allow_download, steps, anywhere), folder, progress, world, stop)


def plan_of(folder: RunFolder, allow_download: bool, steps: int | None = None, anywhere: bool = False) -> Plan:
    """The plan of an existing run; UserError when the data are no longer those that it was trained on."""
    recipe = folder.recipe()
    recipe = recipe.changed(steps=steps or recipe.steps)
    if anywhere and recipe.device.startswith("cuda") and not torch.cuda.is_available():
        recipe = recipe.changed(device="cpu")
    recorded = str(folder.read("run.json").get("source", {}).get("fingerprint", "none"))
    plan = plans.reopen(recipe, allow_download)
    if plan.facts["fingerprint"] != recorded:
        raise UserError(
            f"The data at {recipe.data.kind!r} are not those this run was trained on (fingerprint "
            f"{plan.facts['fingerprint'][:12]}, recorded {recorded[:12]}). Restore them, or start a new run."
        )
    return plan


def _played(session: Session) -> Run:
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
