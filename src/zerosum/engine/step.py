"""One update of one player: freezing the others, micro-batches, backward, sum over processes, clipping, finite check."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from zerosum.engine.distributed import DistributedContext
from zerosum.engine.events import NonFinite
from zerosum.engine.game import Game, MicroBatch
from zerosum.engine.optimizers import OptimizerConfig
from zerosum.nn.spectral import iterate

TermsObserver = Callable[[str, MicroBatch, Mapping[str, Tensor]], None]
"""(player, micro-batch, its terms) -> None."""


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
            raise ValueError(f"player {self.name!r} has no parameter that requires a gradient")
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
        weight = len(batch) / batch.draws.total
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
