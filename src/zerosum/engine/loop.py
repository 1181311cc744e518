"""The training loop and its step: turns of players, micro-batches, gradients, updates. It knows no game by name.

`TrainingLoop.run` yields events; the caller owns the `for` and may look, save, evaluate or leave at any of them. An update of one
player (`TrainingLoop._run_turn`) freezes the others (`train_only`), computes the gradient (`backward`), checks that all is
finite, clips and moves the weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zerosum.engine.devices import DistributedContext, Precision, autocast
from zerosum.engine.game import Game, MicroBatch, Source, Turn, as_source
from zerosum.engine.optimizers import OptimizerConfig, Schedule, WeightAverage, at
from zerosum.engine.seeds import SeededNoise, derive, rows_at
from zerosum.errors import UserError, nearest
from zerosum.nn.layers import batch_part, iterate

OnNonFinite = Literal["raise", "skip"]
TermsObserver = Callable[[str, MicroBatch, Mapping[str, Tensor]], None]
"""(player, micro-batch, its terms) -> None."""


# --- events


@dataclass(frozen=True)
class Boundary:
    """Between two steps: nothing is in flight, so this is the place to evaluate, preview, save or stop.

    step: steps completed, 0 before the first. last: no step follows.
    """

    step: int
    last: bool


@dataclass(frozen=True)
class Stepped:
    """A step was completed. `values()` reads all logged scalars; call it before the next step, and only when needed.

    step: steps completed. samples: steps times rows of a batch, over all processes.
    """

    step: int
    samples: int
    values: Callable[[], dict[str, float]]


Event = Boundary | Stepped


class NonFinite(ArithmeticError):
    """A loss or a gradient is not finite. Raised before the update, so the weights are still those of `step` steps."""

    def __init__(self, player: str, term: str, step: int, values: dict[str, float]) -> None:
        self.player, self.term, self.step, self.values = player, term, step, values
        shown = ", ".join(f"{name} = {number:.4g}" for name, number in values.items())
        super().__init__(f"{player}'s {term} is not finite in step {step + 1} ({shown}); the update was not made")


# --- the loop


@dataclass(frozen=True)
class Settings:
    """How a game is trained.

    batch: rows of the global batch of a turn, over all processes. micro_batches: parts into which each process cuts its rows.
    learning: player -> OptimizerConfig; players without an entry use `default`.
    average: the player whose weights are averaged; None for none. half_life_samples: of that average, in samples.
    on_nonfinite: "raise" stops before the update; "skip" leaves the update out and counts it.
    """

    batch: int = 64
    seed: int = 0
    micro_batches: int = 1
    learning: Mapping[str, OptimizerConfig] = field(default_factory=dict)
    default: OptimizerConfig = OptimizerConfig()
    average: str | None = "generator"
    half_life_samples: float | Schedule = 10_000.0
    ramp: float | None = 0.05
    average_every: int = 1
    precision: Precision = "float32"
    on_nonfinite: OnNonFinite = "raise"

    def __post_init__(self) -> None:
        if self.batch < 1 or self.micro_batches < 1 or self.average_every < 1:
            raise ValueError("batch, micro_batches and average_every must be at least 1")
        if self.micro_batches > self.batch:
            raise ValueError(f"micro_batches ({self.micro_batches}) cannot exceed batch ({self.batch})")


class TrainingLoop:
    """A game during training: players with their optimizers, the average, and the number of steps completed.

    Everything else (order of the data, noise, dropout, schedules) is a function of the settings and that number.
    """

    def __init__(
        self,
        game: Game,
        source: Source,
        settings: Settings = Settings(),
        world: DistributedContext = DistributedContext(),
    ) -> None:
        self.game, self.source, self.settings, self.world = game, source, settings, world
        _check_names(game, settings, world)
        self.players = {
            name: Player(name, network, settings.learning.get(name, settings.default))
            for name, network in game.players.items()
        }
        self.average = WeightAverage(game.players[settings.average], settings.ramp) if settings.average else None
        self.step = 0
        self.skips = dict.fromkeys(self.players, 0)  # updates that were left out, of each player
        self.nonfinite: NonFinite | None = None  # the reason for the newest of them
        self.rate = 1.0  # a factor on all learning rates; less after a rollback
        self._results: dict[str, StepResult] = {}
        # The newest value of each term: a lazy penalty is not computed in every step, and each log line must hold it.
        self._terms: dict[str, dict[str, Tensor | float]] = {name: {} for name in self.players}
        self.device = next(iter(self.players.values())).parameters[0].device

    # --- training

    def run(self, steps: int) -> Iterator[Event]:
        """Trains until `steps` steps are completed; yields a Boundary before each step and at the end, a Stepped after each."""
        while True:
            yield Boundary(self.step, last=self.step >= steps)
            if self.step >= steps:
                return
            self.train_step()
            yield Stepped(self.step, self.samples, self.values)

    @property
    def samples(self) -> int:
        """Samples trained on: steps times rows of a batch, over all processes. Half-lives are counted in it."""
        return self.step * self.settings.batch

    @property
    def skipped(self) -> int:
        """Updates that were left out because something was not finite, of all players."""
        return sum(self.skips.values())

    def train_step(self, turns: Sequence[Turn] | None = None, observer: TermsObserver | None = None) -> None:
        """One step: the game's turns, or `turns` in their place (the update of one player alone, say).

        observer: called with (player, micro-batch, terms) whenever terms are computed. torch's global random generators are
        afterwards as they were before.
        """
        drawn = 0
        with _preserved_rng(self.device):
            for index, turn in enumerate(self.game.turns(self.step) if turns is None else turns):
                micro_batches = self._micro_batches(index, turn, drawn)
                drawn += turn.reals
                try:
                    self._run_turn(turn, micro_batches, observer)
                except NonFinite as error:
                    if self.settings.on_nonfinite == "raise":
                        raise
                    self.nonfinite = error.with_traceback(None)  # its frames hold the tensors of the turn
                    for name in turn.players:
                        self.skips[name] += 1
        self.step += 1
        every = self.settings.average_every
        if self.average is not None and self.step % every == 0:
            half_life = at(self.settings.half_life_samples, self.step - 1)
            network = self.game.players[self.settings.average or ""]
            self.average.update(network, self.settings.batch * every, self.samples, half_life)

    def _run_turn(self, turn: Turn, micro_batches: Sequence[MicroBatch], observer: TermsObserver | None = None) -> None:
        updated = [self.players[name] for name in turn.players]
        restore = save_buffers(player.network for player in updated)
        for player in updated:
            with train_only(self.players, player.name):
                self._results[player.name] = backward(
                    self.game, player, micro_batches, self.world, self._context, observer
                )
        try:
            for player in updated:
                self._results[player.name].check_finite(player.name, self.step)
        except NonFinite:
            restore()  # running statistics hold the numbers that are not finite
            raise
        for player in updated:
            result = self._results[player.name]
            self._terms[player.name] |= result.terms
            player.clip_gradient(result)
            player.learning.schedule(player.optimizer, self.step, self.rate)
            player.optimizer.step()
            self.game.after_step(player.name, result.statistics)

    def _micro_batches(self, turn_index: int, turn: Turn, drawn: int) -> list[MicroBatch]:
        """This process's rows of the turn's batch, cut into micro-batches. drawn: turns of this step that drew reals before."""
        total = self.settings.batch
        first, last = self.world.rows(total)
        reals = None
        if turn.reals:
            position = (self.game.reals_before(self.step) + drawn) * total
            reals = self.source.batch(rows_at(position, total, self.source.num_rows, self.settings.seed)[first:last])
        micro_batches = []
        for start, stop in self.world.parts(total, self.settings.micro_batches):
            rng = SeededNoise(self.settings.seed, self.step, turn_index, start, stop, total, self.device)
            rows = reals.rows(start - first, stop - first) if reals else None
            micro_batches.append(MicroBatch(rows, rng, self.step))
        return micro_batches

    @contextlib.contextmanager
    def _context(self, micro_batch: MicroBatch) -> Iterator[None]:
        """Autocast, and seeds: layers of zerosum.nn draw by the row, torch's own layers by the first row of the micro-batch."""
        rng = micro_batch.rng
        batch, own = (derive(self.settings.seed, "dropout", rng.step, rng.turn, row) for row in (0, rng.start))
        torch.default_generator.manual_seed(own)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(own)
        rows = batch_part(rng.start, rng.stop, rng.total, batch)
        with rows, autocast(self.settings.precision, self.device):
            yield

    # --- the log

    def values(self) -> dict[str, float]:
        """All scalars of the last step by name: "player/term", `Game.log_values`, learning rates."""
        named: dict[str, Tensor | float] = dict(self.game.log_values())
        for name, result in self._results.items():
            terms = self._terms[name] | result.values()
            if len(self._terms[name]) == 1:
                del terms["total"]  # it would repeat the only term
            named |= {f"{name}/{key}": number for key, number in terms.items()}
        for name, player in self.players.items():
            named[f"lr/{name}"] = self.rate * at(player.learning.lr, max(0, self.step - 1))
        if self.skipped:
            named["skipped_updates"] = self.skipped
        return {key: float(number) for key, number in named.items()}

    # --- state

    def state_dict(self) -> dict[str, Any]:
        """The complete state beside the settings. All processes must call it together."""
        game = {
            key: self.world.gather_rows(item) if key.startswith("rows.") else item
            for key, item in self.game.state_dict().items()
        }
        return {
            "step": self.step,
            "skipped": dict(self.skips),
            "rate": self.rate,
            "terms": {
                name: {term: float(value) for term, value in terms.items()} for name, terms in self._terms.items()
            },
            "networks": {name: dict(player.network.state_dict()) for name, player in self.players.items()},
            "optimizers": {name: player.optimizer.state_dict() for name, player in self.players.items()},
            "average": dict(self.average.state_dict()) if self.average else {},
            "game": game,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        for name, player in self.players.items():
            player.network.load_state_dict(state["networks"][name])
            player.optimizer.load_state_dict(state["optimizers"][name])
        if self.average:
            self.average.load_state_dict(state["average"])
        first, last = self.world.rows(self.settings.batch)
        game = {
            key: item[first:last].to(self.device) if key.startswith("rows.") else item
            for key, item in state["game"].items()
        }
        self.game.load_state_dict(game | {"first_row": first})
        skips = state["skipped"] if isinstance(state["skipped"], Mapping) else {}  # older checkpoints named no players
        self.step, self.skips = int(state["step"]), {name: int(skips.get(name, 0)) for name in self.players}
        self.rate = float(state.get("rate", 1.0))  # older checkpoints had none
        terms = state["terms"] if "terms" in state else state["noted"]  # its name in older checkpoints
        self._terms = {name: dict(terms[name]) for name in self.players}


def _check_names(game: Game, settings: Settings, world: DistributedContext) -> None:
    for field_name, names in (("learning", settings.learning), ("average", [settings.average])):
        for name in names:
            if name is not None and name not in game.players:
                raise UserError(f"{field_name}: the game has no player {name!r}. {nearest(name, game.players)}")
    if settings.batch < world.size:
        raise ValueError(f"batch = {settings.batch} cannot be shared by {world.size} processes")


def train(
    game: Game,
    source: Source | Tensor | tuple[Tensor, Tensor],
    *,
    steps: int,
    batch: int = Settings.batch,
    seed: int = Settings.seed,
    micro_batches: int = Settings.micro_batches,
    learning: Mapping[str, OptimizerConfig] | None = None,
    default: OptimizerConfig = Settings.default,
    average: str | None = Settings.average,
    half_life_samples: float | Schedule = Settings.half_life_samples,
    ramp: float | None = Settings.ramp,
    average_every: int = Settings.average_every,
    precision: Precision = Settings.precision,
    on_nonfinite: OnNonFinite = Settings.on_nonfinite,
    world: DistributedContext = DistributedContext(),
) -> Iterator[Event]:
    """Trains a game for `steps` steps and yields its events; the other keywords are the fields of Settings.

    `for event in train(game, source, steps=10_000): ...`; leave the loop whenever you like. The networks are set to training
    mode and trained in place, on their device. UserError before the first step where networks and data do not fit.

    source: a Source, whose batches may also be a tensor or a pair (data, condition); or all rows in memory, as a tensor (N, ...)
        or a pair (data, condition).
    """
    rates = average, half_life_samples, ramp, average_every
    settings = Settings(batch, seed, micro_batches, learning or {}, default, *rates, precision, on_nonfinite)
    device = next((p.device for network in game.players.values() for p in network.parameters()), torch.device("cpu"))
    rows = as_source(source, device)
    loop = TrainingLoop(game, rows, settings, world)
    for network in game.players.values():
        network.train()
    restore = save_buffers(game.players.values())
    with _preserved_rng(loop.device), autocast(precision, loop.device):
        game.check(rows.batch(torch.arange(min(2, rows.num_rows))))
    restore()
    yield from loop.run(steps)


def _preserved_rng(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """torch's global random generators are afterwards as they were before."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


# --- one update of one player: micro-batches, backward, sum over processes, clipping, check of finiteness


@dataclass
class Player:
    """A network of the game with its optimizer."""

    name: str
    network: nn.Module
    learning: OptimizerConfig
    parameters: list[nn.Parameter] = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        # Parameters that the user froze beforehand (of a backbone, say) stay frozen.
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        if not self.parameters:
            raise UserError(
                f"player {self.name!r} has no parameter that requires a gradient. Unfreeze some: network.requires_grad_(True)."
            )
        self.optimizer = self.learning.build(self.parameters)

    def clip_gradient(self, result: StepResult) -> None:
        """Clips by value, then by norm; result.clipped becomes the share clipped: of entries by value, of updates by norm."""
        learning = self.learning
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = result.gradient_norm
        if learning.clip_value is not None:
            beyond = torch.stack([(g.abs() > learning.clip_value).sum() for g in gradients]).sum()
            result.clipped = beyond / sum(g.numel() for g in gradients)
            torch._foreach_clamp_min_(gradients, -learning.clip_value)
            torch._foreach_clamp_max_(gradients, learning.clip_value)
            norm = norm_of(gradients)
        if learning.clip_norm is not None:
            over = (norm > learning.clip_norm).float()
            result.clipped = over if result.clipped is None else torch.maximum(result.clipped, over)
            torch._foreach_mul_(gradients, (learning.clip_norm / (norm + 1e-12)).clamp(max=1.0))


def save_buffers(networks: Iterable[nn.Module]) -> Callable[[], None]:
    """Copies the buffers (running statistics); the returned function restores them."""
    buffers = [buffer for network in networks for buffer in network.buffers()]
    kept = [buffer.clone() for buffer in buffers]

    @torch.no_grad()
    def restore() -> None:
        for buffer, before in zip(buffers, kept, strict=True):
            buffer.copy_(before)

    return restore


@contextlib.contextmanager
def train_only(players: Mapping[str, Player], player_name: str) -> Iterator[None]:
    """Freezes all players but one. Gradients still flow through the frozen networks to it; the parameters and buffers of
    the frozen networks are afterwards what they were before."""
    frozen = [player for name, player in players.items() if name != player_name]
    restore = save_buffers(player.network for player in frozen)
    for player in frozen:
        for parameter in player.parameters:
            parameter.requires_grad_(False)
    try:
        yield
    finally:
        for player in frozen:
            for parameter in player.parameters:
                parameter.requires_grad_(True)
        restore()


@dataclass
class StepResult:
    """The result of one update: terms (means over the global batch), their sum, gradient norm, and the share clipped."""

    terms: dict[str, Tensor]
    total: Tensor
    gradient_norm: Tensor
    clipped: Tensor | None = None
    statistics: dict[str, Tensor] = field(default_factory=dict)

    def values(self) -> dict[str, Tensor]:
        """Named scalars for the log."""
        clipped = {} if self.clipped is None else {"clipped": self.clipped}
        return {**self.terms, "total": self.total, "gradient_norm": self.gradient_norm, **clipped}

    def check_finite(self, player: str, step: int) -> None:
        """Raises NonFinite, which names the first non-finite term; to be called before the update."""
        if bool(torch.isfinite(self.total + self.gradient_norm)):
            return
        values = {name: float(term) for name, term in self.values().items()}
        at_fault = next((name for name, term in self.terms.items() if not bool(torch.isfinite(term))), "gradient")
        raise NonFinite(player, at_fault, step, values)


def backward(
    game: Game,
    player: Player,
    batches: Sequence[MicroBatch],
    world: DistributedContext,
    context: Callable[[MicroBatch], contextlib.AbstractContextManager[object]],
    observer: TermsObserver | None = None,
) -> StepResult:
    """Leaves in the player's `.grad` the gradient of the mean of its terms over the global batch.

    Whatever the number of micro-batches, spectral normalisation iterates once and running means are updated once.
    observer: called with the terms of each micro-batch before its backward.
    """
    player.optimizer.zero_grad(set_to_none=True)
    iterate(player.network)
    game.set_batch_scores(_batch_scores(game, player.name, batches, world, context))
    sums: dict[str, Tensor] = {}
    statistics: dict[str, Tensor] = {}
    means = RunningMeans(player.network) if len(batches) > 1 or world.size > 1 else None
    for batch in batches:
        with context(batch):
            terms = game.terms(player.name, batch)
        if observer is not None:
            observer(player.name, batch, terms)
        weight = len(batch) / batch.rng.total
        weighted = {name: term.float() * weight for name, term in terms.items()}
        total = torch.stack(list(weighted.values())).sum() if len(weighted) > 1 else next(iter(weighted.values()))
        total.backward()  # type: ignore[no-untyped-call]
        if means:
            means.update(weight)
        _add(sums, weighted)
        _add(statistics, {name: number.float() * weight for name, number in game.statistics(player.name).items()})
    if means:
        means.apply(world)
    if world.size > 1:
        sums, statistics = ({name: number.clone() for name, number in named.items()} for named in (sums, statistics))
        _sum_gradients(player, [*sums.values(), *statistics.values()], world)
    gradients = [p.grad for p in player.parameters if p.grad is not None]
    total = torch.stack(list(sums.values())).sum() if len(sums) > 1 else next(iter(sums.values()))
    return StepResult(sums, total, norm_of(gradients), statistics=statistics)


def _sum_gradients(player: Player, others: Sequence[Tensor], world: DistributedContext) -> None:
    """Sums the gradient over processes, and other scalars in the same message."""
    touched = torch.tensor([float(p.grad is not None) for p in player.parameters], device=player.parameters[0].device)
    for parameter in player.parameters:
        if parameter.grad is None:  # all processes must send messages of one length
            parameter.grad = torch.zeros_like(parameter)
    world.sum_([touched, *(p.grad for p in player.parameters if p.grad is not None), *others])
    for parameter, times in zip(player.parameters, touched.tolist(), strict=True):
        if not times:  # no process has a gradient for it in this turn: it is not updated, as on one process
            parameter.grad = None


class RunningMeans:
    """The floating-point buffers of a network over the micro-batches and processes of one turn.

    Every micro-batch starts from the same buffers; afterwards they move by the mean of its changes, weighted by rows. For running
    means this equals the update by the whole batch. Buffers that no micro-batch changes stay exactly as they are.
    """

    def __init__(self, network: nn.Module) -> None:
        self.buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        self.before = [buffer.clone() for buffer in self.buffers]
        self.moved = [torch.zeros_like(buffer) for buffer in self.buffers]

    @torch.no_grad()
    def update(self, weight: float) -> None:
        """Call after each micro-batch; weight: its share of the global batch's rows."""
        for buffer, before, moved in zip(self.buffers, self.before, self.moved, strict=True):
            moved.add_(buffer - before, alpha=weight)
            buffer.copy_(before)

    @torch.no_grad()
    def apply(self, world: DistributedContext) -> None:
        """Call after the last micro-batch of this process: applies the mean change."""
        world.sum_(self.moved)
        for buffer, moved in zip(self.buffers, self.moved, strict=True):
            buffer.add_(moved)


def _add(sums: dict[str, Tensor], more: Mapping[str, Tensor]) -> None:
    for name, number in more.items():
        sums[name] = sums[name] + number.detach() if name in sums else number.detach()


def _batch_scores(
    game: Game,
    name: str,
    batches: Sequence[MicroBatch],
    world: DistributedContext,
    context: Callable[[MicroBatch], contextlib.AbstractContextManager[object]],
) -> Tensor | None:
    """`Game.batch_scores` of the global batch; None on one process with one micro-batch, and where the game gives None."""
    if len(batches) == 1 and world.size == 1:
        return None
    restore = save_buffers([game.players[name]])
    rows = []
    with torch.no_grad():
        for batch in batches:
            with context(batch):
                part = game.batch_scores(name, batch)
            if part is None:
                return None
            rows.append(part)
    restore()
    return world.gather_rows(torch.cat(rows))


def norm_of(gradients: Sequence[Tensor]) -> Tensor:
    """The L2 norm over all gradients. Dot products use all threads; torch.nn.utils.get_total_norm does not."""
    squares = [torch.dot(g.view(-1), g.view(-1)) if g.is_contiguous() else g.square().sum() for g in gradients]
    return torch.stack(squares).sum().sqrt()
