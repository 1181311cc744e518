"""The first step on networks that are thrown away, every penalty due: what cannot work is told before anything begins."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zerosum import memory
from zerosum.engine.game import DiscriminatorOutput, MicroBatch
from zerosum.engine.loop import NonFinite, TrainingLoop
from zerosum.errors import UserError
from zerosum.nn.precision import autocast
from zerosum.planning import timing
from zerosum.recipe import Recipe

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
"""What torch says, the operation without a second derivative, and what to use in its place."""


def play_trial_steps(loop: TrainingLoop, steps: int = 1) -> None:
    """Plays one step of a fresh loop, in which every lazy penalty is due, and one of every later phase of a run of `steps`.

    UserError names the module that a penalty cannot be taken through, or the penalty that reaches no weight, and the change
    to make. Any other error of torch comes out as it is; a number that is not finite is left for the training to tell.
    """
    without_gradient: set[str] = set()

    def note(player: str, micro_batch: MicroBatch, terms: Mapping[str, Tensor]) -> None:
        without_gradient.update(name for name, term in terms.items() if not term.requires_grad)

    try:
        for step in _all_due(loop, steps):
            loop.step = step
            loop.train_step(observer=note)
    except (NonFinite, UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        if memory.exhausted(error):
            raise
        if told := _second_derivative(loop):
            raise UserError(told) from error
        if not without_gradient:
            raise
    if without_gradient:
        raise UserError(_unheard(sorted(without_gradient)))


def _all_due(loop: TrainingLoop, steps: int) -> list[int]:
    """A step of each phase, where it can be one at which every lazy penalty is due."""
    period = math.lcm(*(penalty.every for penalty in loop.game.penalties))
    found = []
    for first in timing.phases(loop.game, steps):
        due = -(-first // period) * period
        found.append(due if loop.game.turns(due) == loop.game.turns(first) else first)
    return found


def cannot_play(recipe: Recipe, error: Exception) -> UserError:
    """What torch says of sizes that do not fit together, with where to look."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(
        f"This recipe cannot play its first steps: {reason}\nLook at what was changed in it: `zerosum recipes "
        f"{recipe.name}` shows the original."
    )


def _unheard(names: list[str]) -> str:
    listed = " and ".join(names)
    return (
        f"{listed}: this term does not depend on any weight of its player, so nothing would be learned from it. The network "
        "cuts the graph somewhere: look for .detach(), .data, torch.no_grad(), argmax or rounding in its forward."
    )


# --- which module


def _second_derivative(loop: TrainingLoop) -> str:
    """The message about the smallest module that has a first derivative but no second one; "" when there is none."""
    calls = _calls(loop)
    for player, network in loop.game.players.items():
        failing: dict[str, str] = {}
        for name, module in network.named_modules():
            said = _refusal(loop, module, *calls[module]) if module in calls else None
            if said is not None:
                failing[name] = said
        for name, said in failing.items():
            inner = any(other != name and other.startswith(f"{name}." if name else "") for other in failing)
            if not inner:
                return _told(loop, player, name, dict(network.named_modules())[name], said)
    return ""


def _calls(loop: TrainingLoop) -> dict[nn.Module, tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments of the newest call of each module in one more step, which may fail where the first one did."""
    found: dict[nn.Module, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found[module] = (args, kwargs)

    modules = [module for network in loop.game.players.values() for module in network.modules()]
    hooks = [module.register_forward_pre_hook(note, with_kwargs=True) for module in modules]
    try:
        loop.train_step()
    except (RuntimeError, NotImplementedError, AssertionError):
        pass  # it is the failure that is being looked into
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _refusal(loop: TrainingLoop, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """What torch says when the module, alone, is differentiated twice; None when it can be, or not even once."""
    try:
        with autocast(loop.settings.precision, loop.device):
            _squares(module(*map(_leaf, args), **{name: _leaf(item) for name, item in kwargs.items()})).backward()  # type: ignore[no-untyped-call]
    except (RuntimeError, NotImplementedError, AssertionError, TypeError):
        return None
    args, kwargs = tuple(map(_leaf, args)), {name: _leaf(item) for name, item in kwargs.items()}
    leaves = [item for item in (*args, *kwargs.values()) if isinstance(item, Tensor) and item.requires_grad]
    try:
        with autocast(loop.settings.precision, loop.device):
            total = _squares(module(*args, **kwargs))
        slopes = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
        slope = _squares([slope for slope in slopes if slope is not None])
        if slope.requires_grad:
            slope.backward()  # type: ignore[no-untyped-call]
    except (RuntimeError, NotImplementedError) as error:
        return str(error)
    return None


def _leaf(item: Any) -> Any:
    if isinstance(item, Tensor) and item.is_floating_point():
        return item.detach().clone().requires_grad_(True)
    return item


def _squares(item: Any) -> Tensor:
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


def _told(loop: TrainingLoop, player: str, name: str, module: nn.Module, said: str) -> str:
    concerned = [penalty.name for penalty in loop.game.penalties if player in penalty.players and penalty.second_order]
    what = f"The penalty {' and the penalty '.join(concerned)}" if concerned else "A term of this game"
    where = f"{player}.{name}" if name else f"the {player} itself"
    first = said.splitlines()[0] if said else "torch gives no reason"
    operation, change = next(
        ((operation, change) for pattern, operation, change in CAUSES if re.search(pattern, said)),
        (f"an operation of it ({first})", "build the module of operations that torch can differentiate twice"),
    )
    leave = ", or play without it (--set 'penalties={}')" if concerned else ""
    return (
        f"{what} needs the second derivative of the {player}, and {where} ({type(module).__name__}) has none: it uses "
        f"{operation}.\nChange: {change}{leave}."
    )
