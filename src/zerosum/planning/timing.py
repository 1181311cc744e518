"""How long a step takes here, lazy penalties at their share, and with how many threads."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from zerosum.engine.events import NonFinite
from zerosum.engine.game import Game, Turn
from zerosum.engine.loop import TrainingLoop
from zerosum.errors import within

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
LOOKING, LEAST_LOOKS, MOST_LOOKS = 0.05, 5, 30
"""The share of a planned time that previews may take, and bounds of their number: the least only while they take no more
than half of the time."""
NUM_PLACES = 32
"""Places of a run where its turns are looked at."""
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


def best(begin: Callable[[], TrainingLoop], wanted: int, device: str, steps: int = 1) -> StepTime:
    """The pace with the number of CPU threads that serves best, which is then set. wanted: 0 chooses. steps: of the whole run.

    All threads must be worth it: small networks are hardly faster with more than one, and far slower as soon as something
    else is at work on the machine.
    """
    if wanted or device != "cpu" or THREADS == 1:
        return _pace(begin(), wanted or THREADS, steps)
    with_all, alone = _pace(begin(), THREADS, steps), _pace(begin(), 1, steps)
    if alone.seconds < MUST_GAIN * with_all.seconds:
        return alone
    torch.set_num_threads(THREADS)
    return with_all


def _pace(match: TrainingLoop, threads: int, steps: int) -> StepTime:
    """The pace with so many threads, which are then set. The match is used up by it."""
    torch.set_num_threads(threads)
    begun, own = time.perf_counter(), time.thread_time()
    seconds = seconds_per_step(match, steps)
    # On a CPU this thread works all the time, unless another program has its core.
    share = (time.thread_time() - own) / max(time.perf_counter() - begun, 1e-9)
    return StepTime(threads, seconds, seconds * min(1.0, share) if match.device.type == "cpu" else seconds)


def seconds_per_step(match: TrainingLoop, steps: int = 1, budget_s: float = BUDGET_S) -> float:
    """The mean time of a step in a training of `steps` steps, the same on all processes. The match is used up by it.

    Steps differ: a lazy penalty is due in some of them, a game in phases plays other turns later. Each kind is timed by
    itself and counts with its share.
    """
    kinds = _kinds(match, steps)
    spent: dict[int, list[float]] = {step: [] for step in kinds}
    phases_of = _by_phase(match.game, kinds)
    begun = time.perf_counter()
    try:
        for phase in phases_of:
            _time_rounds(match, {step: spent[step] for step in phase}, budget_s / len(phases_of))
    except NonFinite:
        pass  # the training will meet it too, in a folder where it can be told; all processes stop here
    every = [second for seconds in spent.values() for second in seconds] or [time.perf_counter() - begun]
    typical = sum(every) / len(every)
    total = sum(kinds.values())
    mean = sum(share / total * (sum(s) / len(s) if (s := spent[step]) else typical) for step, share in kinds.items())
    mine = torch.tensor([mean / match.world.size], device=match.device)
    match.world.sum_([mine])
    return float(mine)


def _by_phase(game: Game, steps: Iterable[int]) -> list[list[int]]:
    """The steps, those with the same turns together. One phase is timed after the other: what a phase computes once, when it
    begins, would be computed anew each time a step of another one came between."""
    found: dict[tuple[Turn, ...], list[int]] = {}
    for step in steps:
        found.setdefault(tuple(game.turns(step)), []).append(step)
    return list(found.values())


def _time_rounds(match: TrainingLoop, spent: Mapping[int, list[float]], budget_s: float) -> None:
    """Times each kind of step in turn, for about so long, and adds the seconds."""
    begun = time.perf_counter()
    for step in [*spent, *spent]:  # warm-up: optimizers make their state, kernels are chosen
        _timed(match, step)
        if match.world.any(time.perf_counter() - begun > budget_s):
            break
    begun = time.perf_counter()
    for number in range(MOST_ROUNDS):
        for step, seconds in spent.items():
            seconds.append(_timed(match, step))
        late = time.perf_counter() - begun > budget_s
        if match.world.any((number + 1 >= LEAST_ROUNDS and late) or time.perf_counter() - begun > 4 * budget_s):
            break


def evaluation_bound(minutes: float) -> float:
    """The most seconds that the evaluation of a run of so many minutes may take."""
    return max(EVALUATING * 60 * minutes, LEAST_EVALUATING_S)


def reserved(minutes: float, known_s: float | None) -> float:
    """The seconds of so many minutes that are kept for the evaluation: as long as it took before on these data, where that is
    known, else half of its most; never more than its share."""
    most = EVALUATING * 60 * minutes
    return min(most / 2 if known_s is None else known_s, most)


def planned(minutes: float, per_step: float, per_look: float, evaluating: float = 0.0) -> tuple[int, int]:
    """Steps and previews for that many minutes, of which `evaluating` seconds are kept for the evaluation: fewer previews
    where they would take too much of it."""
    total = minutes * 60 - evaluating
    fitting = total / max(per_look, 1e-9)
    least = max(1, min(LEAST_LOOKS, int(fitting / 2)))
    num_looks = max(least, min(MOST_LOOKS, int(LOOKING * fitting)))
    return max(1, int((total - min(num_looks * per_look, total / 2)) / per_step)), num_looks


def _timed(match: TrainingLoop, step: int) -> float:
    """Seconds of one step of the kind that is played at `step`."""
    match.step = step
    begun = time.perf_counter()
    match.train_step()
    if match.device.type == "cuda":
        torch.cuda.synchronize(match.device)
    return time.perf_counter() - begun


def phases(game: Game, steps: int) -> list[int]:
    """Steps at even distances, of a run of `steps`, at which each kind of turns is first met; [0] for a game without phases."""
    first: dict[tuple[Turn, ...], int] = {}
    for step in _places(steps):
        first.setdefault(tuple(game.turns(step)), step)
    return list(first.values())


def _places(steps: int) -> list[int]:
    return sorted({steps * place // NUM_PLACES for place in range(NUM_PLACES)})


def _kinds(match: TrainingLoop, steps: int) -> dict[int, int]:
    """For each kind of step, the first step of that kind and how often it comes: in one period of all lazy parts where the
    game has no phases, else in such periods at even distances over the run."""
    penalties = getattr(match.game, "penalties", ())
    every = [penalty.every for penalty in penalties] + [match.settings.average_every]
    period = min(math.lcm(*every), LONGEST_PERIOD)
    starts = _places(steps) if len(phases(match.game, steps)) > 1 else [0]
    first: dict[Any, int] = {}
    counts: Counter[Any] = Counter()
    for step in (start + ahead for start in starts for ahead in range(period)):
        due = tuple(penalty.name for penalty in penalties if penalty.due(step))
        kind = (tuple(match.game.turns(step)), due, (step + 1) % match.settings.average_every == 0)
        first.setdefault(kind, step)
        counts[kind] += 1
    return {first[kind]: count for kind, count in counts.items()}
