"""One turn: who may learn, micro-batches, backward, sum over processes, limits, the finite check, the update."""

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


@dataclass
class Player:
    """One side of the game at the engine's table."""

    name: str
    network: nn.Module
    learning: OptimizerConfig
    parameters: list[nn.Parameter] = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        # What the user froze beforehand (a backbone, say) is not ours to train.
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError(f"player {self.name!r} has no parameter that requires a gradient")
        self.optimizer = self.learning.build(self.parameters)


def remember_buffers(networks: Iterable[nn.Module]) -> Callable[[], None]:
    """Copies the buffers (running statistics); the returned function puts the copies back."""
    buffers = [buffer for network in networks for buffer in network.buffers()]
    kept = [buffer.clone() for buffer in buffers]

    @torch.no_grad()
    def put_back() -> None:
        for buffer, before in zip(buffers, kept, strict=True):
            buffer.copy_(before)

    return put_back


@contextlib.contextmanager
def only_learns(players: Mapping[str, Player], mover: str) -> Iterator[None]:
    """Freezes everybody but the mover. The error still flows through the frozen networks to the mover; their
    parameters and buffers are afterwards what they were before."""
    others = [player for name, player in players.items() if name != mover]
    put_back = remember_buffers(player.network for player in others)
    for player in others:
        for parameter in player.parameters:
            parameter.requires_grad_(False)
    try:
        yield
    finally:
        for player in others:
            for parameter in player.parameters:
                parameter.requires_grad_(True)
        put_back()


@dataclass
class StepResult:
    """What a turn did to one player: its terms (sums over shares, means over the global batch) and gradient."""

    terms: dict[str, Tensor]
    total: Tensor
    gradient_norm: Tensor
    clipped: Tensor | None = None
    noted: dict[str, Tensor] = field(default_factory=dict)

    def values(self) -> dict[str, Tensor]:
        """Named scalars for the log."""
        named = dict(self.terms)
        named["total"] = self.total
        named["gradient_norm"] = self.gradient_norm
        if self.clipped is not None:
            named["clipped"] = self.clipped
        return named


def backward(
    game: Game,
    player: Player,
    shares: Sequence[MicroBatch],
    world: DistributedContext,
    context: Callable[[MicroBatch], contextlib.AbstractContextManager[object]],
) -> StepResult:
    """Leaves in the player's `.grad` the gradient of the mean of its terms over the global batch.

    What belongs to a turn happens once, however the batch is cut: one iteration of spectral normalisation, and one move of the
    running means.
    """
    player.optimizer.zero_grad(set_to_none=True)
    iterate(player.network)
    game.meet(_rehearsed(game, player.name, shares, world, context))
    sums: dict[str, Tensor] = {}
    noted: dict[str, Tensor] = {}
    means = RunningMeans(player.network) if len(shares) > 1 or world.size > 1 else None
    for share in shares:
        with context(share):
            terms = game.terms(player.name, share)
        weight = len(share) / share.draws.total
        weighted = {name: term.float() * weight for name, term in terms.items()}
        total = torch.stack(list(weighted.values())).sum() if len(weighted) > 1 else next(iter(weighted.values()))
        total.backward()  # type: ignore[no-untyped-call]
        if means:
            means.see(weight)
        _add(sums, weighted)
        _add(noted, {name: number.float() * weight for name, number in game.noted(player.name).items()})
    if means:
        means.settle(world)
    if world.size > 1:
        sums, noted = ({name: number.clone() for name, number in named.items()} for named in (sums, noted))
        _sum_gradients(player, [*sums.values(), *noted.values()], world)
    gradients = [p.grad for p in player.parameters if p.grad is not None]
    total = torch.stack(list(sums.values())).sum() if len(sums) > 1 else next(iter(sums.values()))
    return StepResult(sums, total, norm_of(gradients), noted=noted)


def _sum_gradients(player: Player, others: Sequence[Tensor], world: DistributedContext) -> None:
    """Sums over processes the gradient, and other numbers with it."""
    touched = torch.tensor([float(p.grad is not None) for p in player.parameters], device=player.parameters[0].device)
    for parameter in player.parameters:
        if parameter.grad is None:  # all processes must send messages of one length
            parameter.grad = torch.zeros_like(parameter)
    world.sum_([touched, *(p.grad for p in player.parameters if p.grad is not None), *others])
    for parameter, times in zip(player.parameters, touched.tolist(), strict=True):
        if not times:  # no share's terms reach it in this turn: it stays, as on one process
            parameter.grad = None


class RunningMeans:
    """The floating-point buffers of a network over the parts of one turn (micro-batches, processes).

    Every part begins with the buffers of the turn's beginning; they end where the parts move them to on average, by rows. For
    running means this is where the whole batch would have moved them. What no part moves stays as it is, exactly.
    """

    def __init__(self, network: nn.Module) -> None:
        self.buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        self.before = [buffer.clone() for buffer in self.buffers]
        self.moved = [torch.zeros_like(buffer) for buffer in self.buffers]

    @torch.no_grad()
    def see(self, weight: float) -> None:
        """A part with this share of the global batch's rows was computed."""
        for buffer, before, moved in zip(self.buffers, self.before, self.moved, strict=True):
            moved.add_(buffer - before, alpha=weight)
            buffer.copy_(before)

    @torch.no_grad()
    def settle(self, world: DistributedContext) -> None:
        """All parts of this process were computed."""
        world.sum_(self.moved)
        for buffer, moved in zip(self.buffers, self.moved, strict=True):
            buffer.add_(moved)


def _add(sums: dict[str, Tensor], more: Mapping[str, Tensor]) -> None:
    for name, number in more.items():
        sums[name] = sums[name] + number.detach() if name in sums else number.detach()


def _rehearsed(
    game: Game,
    name: str,
    shares: Sequence[MicroBatch],
    world: DistributedContext,
    context: Callable[[MicroBatch], contextlib.AbstractContextManager[object]],
) -> Tensor | None:
    """The values that couple rows of different shares, for the whole batch; None when there is nothing to couple."""
    if len(shares) == 1 and world.size == 1:
        return None
    put_back = remember_buffers([game.players[name]])
    rows = []
    with torch.no_grad():
        for share in shares:
            with context(share):
                part = game.rehearse(name, share)
            if part is None:
                return None
            rows.append(part)
    put_back()
    return world.gather_rows(torch.cat(rows))


def norm_of(gradients: Sequence[Tensor]) -> Tensor:
    """The L2 norm over all gradients. Dot products use all threads, which torch's own total norm does not."""
    squares = [torch.dot(g.view(-1), g.view(-1)) if g.is_contiguous() else g.square().sum() for g in gradients]
    return torch.stack(squares).sum().sqrt()


def check_finite(player: Player, outcome: StepResult, step: int) -> None:
    """Raises NonFinite, naming the first term at fault, before anything is updated."""
    if bool(torch.isfinite(outcome.total + outcome.gradient_norm)):
        return
    values = {name: float(term) for name, term in outcome.values().items()}
    at_fault = next((name for name, term in outcome.terms.items() if not bool(torch.isfinite(term))), "gradient")
    raise NonFinite(player.name, at_fault, step, values)


def limit(player: Player, outcome: StepResult) -> None:
    """Clips by value, then by norm, and notes the clipped share: of entries by value, of updates by norm."""
    learning = player.learning
    gradients = [p.grad for p in player.parameters if p.grad is not None]
    norm = outcome.gradient_norm
    if learning.clip_value is not None:
        beyond = torch.stack([(g.abs() > learning.clip_value).sum() for g in gradients]).sum()
        outcome.clipped = beyond / sum(g.numel() for g in gradients)
        torch._foreach_clamp_min_(gradients, -learning.clip_value)
        torch._foreach_clamp_max_(gradients, learning.clip_value)
        norm = norm_of(gradients)
    if learning.clip_norm is not None:
        over = (norm > learning.clip_norm).float()
        outcome.clipped = over if outcome.clipped is None else torch.maximum(outcome.clipped, over)
        torch._foreach_mul_(gradients, (learning.clip_norm / (norm + 1e-12)).clamp(max=1.0))
