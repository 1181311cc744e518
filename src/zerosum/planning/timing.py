"""How long things take on this machine: a step, with how many threads, and what the last evaluation of the same data took."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zerosum.domain import DatasetInfo
from zerosum.engine.game import Game, Turn
from zerosum.engine.loop import NonFinite, TrainingLoop
from zerosum.errors import Damaged, within
from zerosum.jsonfile import read_object
from zerosum.metrics.feature_networks import default_cache_dir
from zerosum.store import write_durably

THREADS = torch.get_num_threads()
"""What torch would use by itself; a training may set fewer."""
MUST_GAIN = 1.25
"""How many times faster a step must be with all threads than with one for all to be taken."""
BUDGET_S, MOST_ROUNDS, LEAST_ROUNDS = 1.5, 16, 3
"""A measurement takes about this long, or one round where a round takes longer."""
BUSY = 1.5
"""A step that takes so many times longer than it would alone: the machine is busy, and that is told."""
EVALUATING, LEAST_EVALUATING_S = 0.25, 10.0
"""The most of --minutes that the evaluation may take, and the least bound in seconds."""
PREVIEWS, LEAST_PREVIEWS, MOST_PREVIEWS = 0.05, 5, 30
"""The share of a planned time that previews may take, and bounds of their number: the least only while they take no more
than half of the time."""
NUM_PLACES = 32
"""Places of a run where its turns are looked at."""
MOST_COSTS = 200
"""Evaluations whose cost is kept, the newest."""
MOST_MINUTES = 60 * 24 * 365
LONGEST_PERIOD = 4_096
"""Steps that are looked at for the mix of kinds; lazy penalties come round sooner."""


def refuse_minutes(option: str, minutes: float) -> None:
    """UserError unless it is a time of more than 0 minutes and at most a year."""
    within(option, minutes, 0, MOST_MINUTES, above=True)


@dataclass(frozen=True)
class StepTime:
    """How fast steps are here. threads: of the CPU. seconds: of a step, by the clock. alone: the same less the time for which
    other programs had the processor."""

    threads: int
    seconds: float
    alone: float

    @property
    def busy(self) -> bool:
        """Whether other programs take so much of the processor that it must be told."""
        return self.seconds > BUSY * self.alone


@contextlib.contextmanager
def cpu_threads(number: int) -> Iterator[None]:
    """Torch computes with so many threads of the CPU within, and with as many as before behind it. 0 changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def best(loop: TrainingLoop, requested: int, device: str, steps: int = 1) -> StepTime:
    """The time of a step with the number of CPU threads that serves best. requested: 0 chooses. steps: of the whole run. The loop
    is used up by it.

    All threads must be worth it: small networks are hardly faster with more than one, and far slower as soon as something
    else is at work on the machine.
    """
    if requested or device != "cpu" or THREADS == 1:
        return _step_time(loop, requested or THREADS, steps)
    with_all, alone = _step_time(loop, THREADS, steps), _step_time(loop, 1, steps)
    return alone if alone.seconds < MUST_GAIN * with_all.seconds else with_all


def _step_time(loop: TrainingLoop, threads: int, steps: int) -> StepTime:
    """The time of a step with so many threads."""
    with cpu_threads(threads):
        begun, own = time.perf_counter(), time.thread_time()
        seconds = seconds_per_step(loop, steps)
        # On a CPU this thread works all the time, unless another program has its core.
        share = (time.thread_time() - own) / max(time.perf_counter() - begun, 1e-9)
    return StepTime(threads, seconds, seconds * min(1.0, share) if loop.device.type == "cpu" else seconds)


def seconds_per_step(loop: TrainingLoop, steps: int = 1, budget_s: float = BUDGET_S) -> float:
    """The mean time of a step in a training of `steps` steps, the same on all processes. The loop is used up by it.

    Steps differ: a lazy penalty is due in some of them, a game in phases plays other turns later. Each kind is timed by
    itself and counts with its share.
    """
    kinds = _kinds(loop, steps)
    spent: dict[int, list[float]] = {step: [] for step in kinds}
    phases_of = _by_phase(loop.game, kinds)
    begun = time.perf_counter()
    try:
        for phase in phases_of:
            _time_rounds(loop, {step: spent[step] for step in phase}, budget_s / len(phases_of))
    except NonFinite:
        pass  # the training will meet it too, in a folder where it can be told; all processes stop here
    every = [second for seconds in spent.values() for second in seconds] or [time.perf_counter() - begun]
    typical = sum(every) / len(every)
    total = sum(kinds.values())
    mean = sum(share / total * (sum(s) / len(s) if (s := spent[step]) else typical) for step, share in kinds.items())
    mine = torch.tensor([mean / loop.world.size], device=loop.device)
    loop.world.sum_([mine])
    return float(mine)


def _by_phase(game: Game, steps: Iterable[int]) -> list[list[int]]:
    """The steps, those with the same turns together. One phase is timed after the other: what a phase computes once, when it
    begins, would be computed anew each time a step of another one came between."""
    found: dict[tuple[Turn, ...], list[int]] = {}
    for step in steps:
        found.setdefault(tuple(game.turns(step)), []).append(step)
    return list(found.values())


def _time_rounds(loop: TrainingLoop, spent: Mapping[int, list[float]], budget_s: float) -> None:
    """Times each kind of step in turn, for about so long, and adds the seconds."""
    begun = time.perf_counter()
    for step in [*spent, *spent]:  # warm-up: optimizers make their state, kernels are chosen
        _timed(loop, step)
        if loop.world.any(time.perf_counter() - begun > budget_s):
            break
    begun = time.perf_counter()
    for number in range(MOST_ROUNDS):
        for step, seconds in spent.items():
            seconds.append(_timed(loop, step))
        late = time.perf_counter() - begun > budget_s
        if loop.world.any((number + 1 >= LEAST_ROUNDS and late) or time.perf_counter() - begun > 4 * budget_s):
            break


def evaluation_bound(minutes: float) -> float:
    """The most seconds that the evaluation of a run of so many minutes may take."""
    return max(EVALUATING * 60 * minutes, LEAST_EVALUATING_S)


def reserved(minutes: float, known_s: float | None) -> float:
    """The seconds of so many minutes that are kept for the evaluation: as long as it took before on these data, where that is
    known, else half of its most; never more than its share."""
    most = EVALUATING * 60 * minutes
    return min(most / 2 if known_s is None else known_s, most)


def planned(minutes: float, per_step: float, per_preview: float, evaluating: float = 0.0) -> tuple[int, int]:
    """Steps and previews for that many minutes, of which `evaluating` seconds are kept for the evaluation: fewer previews
    where they would take too much of it."""
    total = minutes * 60 - evaluating
    fitting = total / max(per_preview, 1e-9)
    least = max(1, min(LEAST_PREVIEWS, int(fitting / 2)))
    num_previews = max(least, min(MOST_PREVIEWS, int(PREVIEWS * fitting)))
    return max(1, int((total - min(num_previews * per_preview, total / 2)) / per_step)), num_previews


def _timed(loop: TrainingLoop, step: int) -> float:
    """Seconds of one step of the kind that is played at `step`."""
    loop.step = step
    begun = time.perf_counter()
    loop.train_step()
    if loop.device.type == "cuda":
        torch.cuda.synchronize(loop.device)
    return time.perf_counter() - begun


def phases(game: Game, steps: int) -> list[int]:
    """Steps at even distances, of a run of `steps`, at which each kind of turns is first met; [0] for a game without phases."""
    first: dict[tuple[Turn, ...], int] = {}
    for step in _places(steps):
        first.setdefault(tuple(game.turns(step)), step)
    return list(first.values())


def _places(steps: int) -> list[int]:
    return sorted({steps * place // NUM_PLACES for place in range(NUM_PLACES)})


def _kinds(loop: TrainingLoop, steps: int) -> dict[int, int]:
    """For each kind of step, the first step of that kind and how often it comes: in one period of all lazy parts where the
    game has no phases, else in such periods at even distances over the run."""
    penalties = loop.game.penalties
    every = [penalty.every for penalty in penalties] + [loop.settings.average_every]
    period = min(math.lcm(*every), LONGEST_PERIOD)
    starts = _places(steps) if len(phases(loop.game, steps)) > 1 else [0]
    first: dict[Any, int] = {}
    counts: Counter[Any] = Counter()
    for step in (start + ahead for start in starts for ahead in range(period)):
        due = tuple(penalty.name for penalty in penalties if penalty.due(step))
        kind = (tuple(loop.game.turns(step)), due, (step + 1) % loop.settings.average_every == 0)
        first.setdefault(kind, step)
        counts[kind] += 1
    return {first[kind]: count for kind, count in counts.items()}


# --- what an evaluation took


@dataclass(frozen=True)
class EvaluationCost:
    """seconds: of the evaluation by the clock. num_bytes: the most memory that the process held meanwhile, 0 if unknown."""

    seconds: float
    num_bytes: int = 0


def _cost_file() -> Path:
    return default_cache_dir().parent / "evaluation-cost.json"


def _key(info: DatasetInfo) -> str:
    return f"{info.fingerprint} threads={torch.get_num_threads()}"


def _entries() -> dict[str, list[float]]:
    """All entries, the oldest first; none where the file is missing or damaged: it is only a forecast."""
    with contextlib.suppress(OSError, Damaged):
        return {key: value for key, value in read_object(_cost_file()).items() if _is_cost(value)}
    return {}


def _is_cost(value: Any) -> bool:
    numbers = isinstance(value, list) and len(value) == 2 and all(isinstance(x, int | float) for x in value)
    return numbers and 0 < value[0] < 1e9 and 0 <= value[1] < 1e18


def known_evaluation(info: DatasetInfo) -> EvaluationCost | None:
    """The last evaluation of these data with as many threads; None when there was none."""
    found = _entries().get(_key(info))
    return None if found is None else EvaluationCost(float(found[0]), int(found[1]))


def remember_evaluation(info: DatasetInfo, cost: EvaluationCost) -> None:
    """Keeps the cost of an evaluation; a folder that cannot be written is no fault."""
    entries = {key: value for key, value in _entries().items() if key != _key(info)}
    entries[_key(info)] = [round(cost.seconds, 2), cost.num_bytes]
    with contextlib.suppress(OSError):
        _cost_file().parent.mkdir(parents=True, exist_ok=True)
        write_durably(_cost_file(), json.dumps(dict([*entries.items()][-MOST_COSTS:])).encode())
