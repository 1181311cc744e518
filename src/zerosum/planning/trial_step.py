"""One trial step on networks that are thrown away: does the recipe work, does it fit into memory, how long does a step take?"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from zerosum import memory
from zerosum.domain import DatasetInfo, Domain
from zerosum.engine.devices import DistributedContext, autocast
from zerosum.engine.game import DiscriminatorOutput, Game, MicroBatch, Turn
from zerosum.engine.loop import NonFinite, TrainingLoop
from zerosum.errors import Damaged, UserError, within
from zerosum.jsonfile import read_object
from zerosum.metrics.feature_networks import default_cache_dir
from zerosum.recipe import Recipe, resolved_number
from zerosum.store import write_durably

CAUSES = (
    (
        r"scaled_dot_product",
        "attention by scaled_dot_product_attention",
        "write it as softmax(q k^T / sqrt(d)) v with matmul and softmax, or run the module inside "
        "torch.nn.attention.sdpa_kernel(SDPBackend.MATH)",
    ),
    (
        r"cdist",
        "torch.cdist",
        "write the squared distances as |x|^2 + |y|^2 - 2 x y^T with matmul",
    ),
    (
        r"(?i)cudnn.*rnn|rnn.*cudnn",
        "a cuDNN RNN",
        "run the module inside torch.backends.cudnn.flags(enabled=False)",
    ),
    (
        r"(?i)sync_?batch_?norm|batch_norm_(backward_)?elemt|batch_norm_gather",
        "SyncBatchNorm",
        "leave normalisation out of a penalised discriminator, or use GroupNorm",
    ),
    (
        r"(?i)torch\.compile|aot_?autograd|CompiledFunction|donated buffer",
        "torch.compile",
        "give this network without torch.compile",
    ),
    (
        r"once_differentiable",
        "an autograd function marked once_differentiable",
        "write its backward of operations that torch can differentiate, without that mark",
    ),
    (
        r"(?i)checkpoint",
        "activation checkpointing in its reentrant form",
        "call torch.utils.checkpoint.checkpoint(..., use_reentrant=False)",
    ),
)
"""A pattern of torch's error message, the operation without a second derivative, and what to use instead."""


def play_trial_steps(loop: TrainingLoop, steps: int = 1) -> None:
    """Makes one step of a new loop, in which every lazy penalty is due, and one of every later phase of a run of `steps`.

    UserError names the module that has no second derivative for a penalty, or the penalty that depends on no weight, and the
    change to make. Other errors of torch are raised unchanged; numbers that are not finite are reported by the training.
    """
    without_gradient: set[str] = set()

    def note(player: str, micro_batch: MicroBatch, terms: Mapping[str, Tensor]) -> None:
        without_gradient.update(name for name, term in terms.items() if not term.requires_grad)

    try:
        for step in _trial_steps(loop, steps):
            loop.step = step
            loop.train_step(observer=note)
    except (NonFinite, UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        if memory.exhausted(error):
            raise
        if message := _second_derivative(loop):
            raise UserError(message) from error
        if not without_gradient:
            raise
    if without_gradient:
        raise UserError(_unconnected_message(sorted(without_gradient)))


def _trial_steps(loop: TrainingLoop, steps: int) -> list[int]:
    """A step of each phase, if possible one at which every lazy penalty is due."""
    period = math.lcm(*(penalty.every for penalty in loop.game.penalties))
    found = []
    for first in phases(loop.game, steps):
        due = -(-first // period) * period
        found.append(due if loop.game.turns(due) == loop.game.turns(first) else first)
    return found


def trial_error(recipe: Recipe, error: Exception) -> UserError:
    """A UserError with torch's message about sizes that do not fit together, and how to compare with the original recipe."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(
        f"This recipe cannot play its first steps: {reason}\nLook at what was changed in it: `zerosum recipes "
        f"{recipe.name}` shows the original."
    )


def _unconnected_message(names: list[str]) -> str:
    listed = " and ".join(names)
    return (
        f"{listed}: this term does not depend on any weight of its player, so nothing would be learned from it. The network "
        "cuts the graph somewhere: look for .detach(), .data, torch.no_grad(), argmax or rounding in its forward."
    )


# --- which module


def _second_derivative(loop: TrainingLoop) -> str:
    """The message about the smallest module that has a first derivative but no second one; "" when there is none."""
    calls = _recorded_calls(loop)
    for player, network in loop.game.players.items():
        failing: dict[str, str] = {}
        for name, module in network.named_modules():
            reason = _second_derivative_error(loop, module, *calls[module]) if module in calls else None
            if reason is not None:
                failing[name] = reason
        for name, reason in failing.items():
            inner = any(other != name and other.startswith(f"{name}." if name else "") for other in failing)
            if not inner:
                return _no_second_derivative_message(loop, player, name, dict(network.named_modules())[name], reason)
    return ""


def _recorded_calls(loop: TrainingLoop) -> dict[nn.Module, tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments of the newest call of each module in one more step, which may fail where the first one did."""
    found: dict[nn.Module, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found[module] = (args, kwargs)

    modules = [module for network in loop.game.players.values() for module in network.modules()]
    hooks = [module.register_forward_pre_hook(note, with_kwargs=True) for module in modules]
    try:
        loop.train_step()
    except (RuntimeError, NotImplementedError, AssertionError):
        pass  # the same failure as before
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _second_derivative_error(
    loop: TrainingLoop, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> str | None:
    """Torch's error when the module alone is differentiated twice; None without one, or when the first derivative fails."""
    try:
        with autocast(loop.settings.precision, loop.device):
            _sum_of_squares(
                module(*map(_leaf, args), **{name: _leaf(item) for name, item in kwargs.items()})
            ).backward()  # type: ignore[no-untyped-call]
    except (RuntimeError, NotImplementedError, AssertionError, TypeError):
        return None
    args, kwargs = tuple(map(_leaf, args)), {name: _leaf(item) for name, item in kwargs.items()}
    leaves = [item for item in (*args, *kwargs.values()) if isinstance(item, Tensor) and item.requires_grad]
    try:
        with autocast(loop.settings.precision, loop.device):
            total = _sum_of_squares(module(*args, **kwargs))
        slopes = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
        slope = _sum_of_squares([slope for slope in slopes if slope is not None])
        if slope.requires_grad:
            slope.backward()  # type: ignore[no-untyped-call]
    except (RuntimeError, NotImplementedError) as error:
        return str(error)
    return None


def _leaf(item: Any) -> Any:
    if isinstance(item, Tensor) and item.is_floating_point():
        return item.detach().clone().requires_grad_(True)
    return item


def _sum_of_squares(item: Any) -> Tensor:
    """The sum of the squares of all floating-point tensors in a nested result."""
    return torch.stack([tensor.float().square().sum() for tensor in _tensors(item)] or [torch.zeros(())]).sum()


def _tensors(item: Any) -> Iterator[Tensor]:
    if isinstance(item, Tensor):
        if item.is_floating_point():
            yield item
    elif isinstance(item, Mapping):
        for value in item.values():
            yield from _tensors(value)
    elif isinstance(item, list | tuple):
        for value in item:
            yield from _tensors(value)
    elif isinstance(item, DiscriminatorOutput):
        yield from _tensors(item.logits)


def _no_second_derivative_message(loop: TrainingLoop, player: str, name: str, module: nn.Module, reason: str) -> str:
    concerned = [penalty.name for penalty in loop.game.penalties if player in penalty.players and penalty.second_order]
    what = f"The penalty {' and the penalty '.join(concerned)}" if concerned else "A term of this game"
    where = f"{player}.{name}" if name else f"the {player} itself"
    first = reason.splitlines()[0] if reason else "torch gives no reason"
    operation, change = next(
        ((operation, change) for pattern, operation, change in CAUSES if re.search(pattern, reason)),
        (f"an operation of it ({first})", "build the module of operations that torch can differentiate twice"),
    )
    leave = ", or play without it (--set 'penalties={}')" if concerned else ""
    return (
        f"{what} needs the second derivative of the {player}, and {where} ({type(module).__name__}) has none: it uses "
        f"{operation}.\nChange: {change}{leave}."
    )


# --- how long a step and an evaluation take on this machine


THREADS = torch.get_num_threads()
"""Torch's default number of threads; a training may use fewer."""
MUST_GAIN = 1.25
"""All threads are used when a step is at least so many times faster with them than with one."""
BUDGET_S, MOST_ROUNDS, LEAST_ROUNDS = 1.5, 16, 3
"""A measurement takes about this long, or one round where a round takes longer."""
BUSY = 1.5
"""The machine counts as busy, which is reported, when a step takes so many times longer than it would alone."""
EVALUATING, LEAST_EVALUATING_S = 0.25, 10.0
"""The most of --minutes that the evaluation may take, and the least bound in seconds."""
PREVIEWS, LEAST_PREVIEWS, MOST_PREVIEWS = 0.05, 5, 30
"""The share of a planned time that previews may take, and bounds of their number: the least only while they take no more
than half of the time."""
PREVIEWS_OF_STEPS, UNNOTICED_S = 0.1, 10.0
"""Without --minutes: the share of the steps' time that previews may take, where MOST_PREVIEWS take more than so many seconds."""
NUM_PLACES = 32
"""Steps of a run at which its turns are compared, to find phases."""
MOST_COSTS = 200
"""Number of evaluations whose cost is stored, the newest ones."""
MOST_MINUTES = 60 * 24 * 365
LONGEST_PERIOD = 4_096
"""Most steps over which kinds of steps are counted; lazy penalties have shorter periods."""


def check_minutes(option: str, minutes: float) -> None:
    """UserError unless it is a time of more than 0 minutes and at most a year."""
    within(option, minutes, 0, MOST_MINUTES, above=True)


@dataclass(frozen=True)
class StepTime:
    """The time of a step on this machine. threads: of the CPU. seconds: wall time of a step. alone: the same minus the time in
    which other programs used the processor."""

    threads: int
    seconds: float
    alone: float

    @property
    def busy(self) -> bool:
        """Whether other programs use so much of the processor that this is reported."""
        return self.seconds > BUSY * self.alone


@contextlib.contextmanager
def cpu_threads(number: int) -> Iterator[None]:
    """A context in which torch uses so many threads of the CPU; 0 changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def best_threads(loop: TrainingLoop, requested: int, device: str, steps: int = 1) -> StepTime:
    """The time of a step with the best number of CPU threads. requested: 0 chooses. steps: of the whole run. The loop
    must not be used afterwards.

    Small networks are hardly faster with more than one thread, and far slower when other programs use the machine; therefore
    all threads are used only where they save enough time.
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
    """The mean time of a step in a training of `steps` steps, the same on all processes. The loop must not be used afterwards.

    Steps differ: a lazy penalty is due in some of them, a game in phases plays other turns later. Each kind is timed by
    itself and counts with its share.
    """
    kinds = _step_kinds(loop, steps)
    spent: dict[int, list[float]] = {step: [] for step in kinds}
    phases_of = _steps_by_phase(loop.game, kinds)
    begun = time.perf_counter()
    try:
        for phase in phases_of:
            _time_rounds(loop, {step: spent[step] for step in phase}, budget_s / len(phases_of))
    except NonFinite:
        pass  # the training will fail too and report it in its folder; all processes stop here
    every = [second for seconds in spent.values() for second in seconds] or [time.perf_counter() - begun]
    typical = sum(every) / len(every)
    total = sum(kinds.values())
    mean = sum(share / total * (sum(s) / len(s) if (s := spent[step]) else typical) for step, share in kinds.items())
    mine = torch.tensor([mean / loop.world.size], device=loop.device)
    loop.world.sum_([mine])
    return float(mine)


def _steps_by_phase(game: Game, steps: Iterable[int]) -> list[list[int]]:
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
        _time_step(loop, step)
        if loop.world.any(time.perf_counter() - begun > budget_s):
            break
    begun = time.perf_counter()
    for number in range(MOST_ROUNDS):
        for step, seconds in spent.items():
            seconds.append(_time_step(loop, step))
        late = time.perf_counter() - begun > budget_s
        if loop.world.any((number + 1 >= LEAST_ROUNDS and late) or time.perf_counter() - begun > 4 * budget_s):
            break


def evaluation_bound(minutes: float) -> float:
    """The most seconds that the evaluation of a run of so many minutes may take."""
    return max(EVALUATING * 60 * minutes, LEAST_EVALUATING_S)


def evaluation_reserve(minutes: float, known_s: float | None) -> float:
    """The seconds of so many minutes that are kept for the evaluation: as long as it took before on these data, where that is
    known, else half of its most; never more than its share."""
    most = EVALUATING * 60 * minutes
    return min(most / 2 if known_s is None else known_s, most)


def steps_for_minutes(minutes: float, per_step: float, per_preview: float, evaluating: float = 0.0) -> tuple[int, int]:
    """Steps and previews for that many minutes, of which `evaluating` seconds are kept for the evaluation: fewer previews
    where they would take too much of it."""
    total = minutes * 60 - evaluating
    fitting = total / max(per_preview, 1e-9)
    least = max(1, min(LEAST_PREVIEWS, int(fitting / 2)))
    num_previews = max(least, min(MOST_PREVIEWS, int(PREVIEWS * fitting)))
    return max(1, int((total - min(num_previews * per_preview, total / 2)) / per_step)), num_previews


def previews_beside(steps_s: float, per_preview: float) -> int:
    """The previews of a run whose steps take so many seconds: fewer where all would take too long."""
    if MOST_PREVIEWS * per_preview <= UNNOTICED_S:
        return MOST_PREVIEWS
    return max(LEAST_PREVIEWS, min(MOST_PREVIEWS, int(PREVIEWS_OF_STEPS * steps_s / per_preview)))


def _time_step(loop: TrainingLoop, step: int) -> float:
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
    for step in _sampled_steps(steps):
        first.setdefault(tuple(game.turns(step)), step)
    return list(first.values())


def _sampled_steps(steps: int) -> list[int]:
    return sorted({steps * place // NUM_PLACES for place in range(NUM_PLACES)})


def _step_kinds(loop: TrainingLoop, steps: int) -> dict[int, int]:
    """For each kind of step, the first step of that kind and how often it comes: in one period of all lazy parts where the
    game has no phases, else in such periods at even distances over the run."""
    penalties = loop.game.penalties
    every = [penalty.every for penalty in penalties] + [loop.settings.average_every]
    period = min(math.lcm(*every), LONGEST_PERIOD)
    starts = _sampled_steps(steps) if len(phases(loop.game, steps)) > 1 else [0]
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


def known_evaluation_cost(info: DatasetInfo) -> EvaluationCost | None:
    """The last evaluation of these data with as many threads; None when there was none."""
    found = _entries().get(_key(info))
    return None if found is None else EvaluationCost(float(found[0]), int(found[1]))


def store_evaluation_cost(info: DatasetInfo, cost: EvaluationCost) -> None:
    """Keeps the cost of an evaluation; a folder that cannot be written is no fault."""
    entries = {key: value for key, value in _entries().items() if key != _key(info)}
    entries[_key(info)] = [round(cost.seconds, 2), cost.num_bytes]
    with contextlib.suppress(OSError):
        _cost_file().parent.mkdir(parents=True, exist_ok=True)
        write_durably(_cost_file(), json.dumps(dict([*entries.items()][-MOST_COSTS:])).encode())


# --- does the recipe fit into memory; with --fit: the smallest number of micro-batches with which it does


Begin = Callable[[Recipe], TrainingLoop]
NAMED = 3
"""Modules that are named in a note."""


@dataclass(frozen=True)
class Trial:
    """A trial that was played to its end. loop: it was played on; its weights are still those of step 0. recipe: with as many
    micro-batches as memory asks for. notes: on the number of micro-batches, whether they play the game of the whole batch, and
    the memory that is needed."""

    loop: TrainingLoop
    recipe: Recipe
    notes: list[str]


def play_trial(
    recipe: Recipe, domain: Domain, info: DatasetInfo, begin: Begin, fit: bool = False, processes: int = 1
) -> Trial:
    """Tries one step with every penalty due; where memory does not suffice and `fit` allows it, with more micro-batches.

    begin: makes the training loop of a recipe. UserError says what cannot work, or that the memory does not suffice and what
    to change.
    """
    device, requested = torch.device(recipe.device), recipe.micro_batches
    most = max(1, resolved_number(recipe.batch, "batch") // processes)
    while True:
        memory.release(device)
        free = memory.available(device)
        loop, shortage, peak = _run_trial(recipe, begin, device)
        if loop is not None:
            break
        if not fit or recipe.micro_batches >= most:
            when = "in the first step" + (", even one row at a time" if fit else "")
            assert shortage is not None
            raise UserError(memory.message(recipe, domain, info, shortage, when, processes, free)) from None
        shortage = None  # it holds the tensors of the step that failed
        recipe = recipe.changed(micro_batches=min(most, 2 * recipe.micro_batches))
    notes = []
    if recipe.micro_batches != requested:
        rows = -(-resolved_number(recipe.batch, "batch") // recipe.micro_batches)
        notes.append(
            f"micro_batches = {recipe.micro_batches} (asked: {requested}): {rows} rows at a time fit into memory, more do not."
        )
    if recipe.micro_batches > 1 or processes > 1:
        notes += split_batch_notes(recipe, loop.game, processes)
    return Trial(loop, recipe, notes + _memory_notes(peak, device, known_evaluation_cost(info)))


def _run_trial(
    recipe: Recipe, begin: Begin, device: torch.device
) -> tuple[TrainingLoop | None, BaseException | None, memory.Peak]:
    """One trial step: the loop that it was played on, or what memory was lacking, and the most that was held.

    At rate 0 no weight changes, so that whatever is tried or measured on the loop afterwards begins like the training.
    """
    with memory.measured(device) as peak, memory.bounded(device):
        try:
            loop = begin(recipe)
            loop.rate = 0.0
            play_trial_steps(loop, recipe.steps)
        except UserError:
            raise
        except ArithmeticError:
            pass  # numbers that are not finite: the training will meet them and say so
        except (RuntimeError, MemoryError, ValueError, IndexError) as error:
            if not memory.exhausted(error):
                raise trial_error(recipe, error) from error
            return None, error.with_traceback(None), peak
    return loop, None, peak


def _memory_notes(peak: memory.Peak, device: torch.device, evaluation: EvaluationCost | None) -> list[str]:
    free = memory.available(device)
    if peak.num_bytes is None:
        return []
    rest = f"; {memory.size(free)} are free" if free is not None else ""
    took = 0 if evaluation is None else evaluation.num_bytes
    after = f"the evaluation took {memory.size(took)} last time" if took else "the evaluation may take more"
    return [f"Memory: about {memory.size(peak.num_bytes)} while training, as measured in a step; {after}{rest}."]


def split_batch_notes(recipe: Recipe, game: Game, processes: int = 1) -> list[str]:
    """A note where the game is cut into parts, micro-batches or processes, that do not play the game of the whole batch."""
    batch = resolved_number(recipe.batch, "batch")
    parts = [
        part
        for rank in range(processes)
        for part in DistributedContext(rank, processes).parts(batch, recipe.micro_batches)
    ]
    found = batch_dependent_modules(game, parts)
    if not found:
        return []
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    kinds = {name.rpartition(" ")[2] for name in found}
    advice = "Group normalisation (norm = group) plays the same game" if any("Norm" in kind for kind in kinds) else ""
    return [
        f"This is NOT the game of the whole batch of {batch} rows, which is played in {len(parts)} parts of about "
        f"{-(-batch // len(parts))}: {', '.join(found[:NAMED])}{more} see only the rows of a part.{advice and f' {advice}.'}"
    ]


def batch_dependent_modules(game: Game, parts: Sequence[tuple[int, int]]) -> list[str]:
    """The modules whose result for a row depends on how the batch is cut into `parts` (first and last+1 row of each), by player
    and name: "generator.1 (BatchNorm2d)". None where there is one part.

    BatchNorm in training; torch's own dropout, which draws its mask for each part; modules that look at `rows_together`
    consecutive rows, an attribute of theirs, where a part cuts such a group.
    """
    return [
        f"{player}.{name} ({type(module).__name__})".replace(". ", " ")
        for player, network in game.players.items()
        for name, module in network.named_modules()
        if len(parts) > 1 and _depends_on_parts(module, parts)
    ]


def _depends_on_parts(module: nn.Module, parts: Sequence[tuple[int, int]]) -> bool:
    if isinstance(module, _BatchNorm):
        return module.training or not module.track_running_stats
    if isinstance(module, _DropoutNd):
        return module.training and module.p > 0
    together = getattr(module, "rows_together", 1)
    return module.training and any(stop % together for _, stop in parts)
