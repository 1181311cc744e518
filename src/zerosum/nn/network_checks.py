"""Checks of a generator and a discriminator before the first step: whether they fit the prior, the data and the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zerosum.errors import UserError

Forward = Callable[[Tensor, Tensor | None], Any]
RESHAPING = (
    "View",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Permute",
    "Alias",
    "Select",
    "Slice",
    "Clone",
    "T",
)
"""Beginnings of the names of autograd nodes that leave the values as they are."""


def check_generator(
    generator: nn.Module, generate: Forward, size: int, real: Tensor, condition: Tensor | None = None
) -> None:
    """UserError where the generator fails on noise of (N, size), or its output is not shaped like the data, real (N, ...)."""
    noise = torch.zeros(len(real), size, device=real.device)
    try:
        with torch.no_grad():
            fake = generate(noise, condition)
    except (RuntimeError, ValueError, TypeError) as error:
        wanted = _input_size(generator)
        advice = (
            f"Its first layer takes {wanted} numbers: use prior={wanted}, or build the generator for {size}."
            if wanted not in (None, size)
            else "Look at the generator's forward."
        )
        raise UserError(
            f"The generator does not take {_inputs('noise', noise, condition)}: {_reason(error)}. {advice}"
        ) from error
    if not isinstance(fake, Tensor) or fake.shape != real.shape:
        made = tuple(fake.shape[1:]) if isinstance(fake, Tensor) else type(fake).__name__
        raise UserError(
            f"The generator makes samples of shape {made}, and the data have shape {tuple(real.shape[1:])}. "
            "Change the generator's last layer, or reshape the data."
        )


def check_discriminator(
    discriminate: Callable[[Tensor, Tensor | None], Sequence[Tensor]],
    logits_wanted: bool,
    data: Tensor,
    condition: Tensor | None = None,
) -> None:
    """UserError where the discriminator fails on the data, gives no row per sample, or ends in a sigmoid although logits are
    wanted. discriminate: (data, condition) -> its logits."""
    try:
        with torch.enable_grad():
            output = discriminate(data, condition)
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(
            f"The discriminator does not take {_inputs('data', data, condition)}: {_reason(error)}. Change its first layers, "
            "or reshape the data."
        ) from error
    for logits in output:
        if not logits.dim() or len(logits) != len(data):
            raise UserError(
                f"The discriminator makes an output of shape {tuple(logits.shape)} of {len(data)} samples; it must give one "
                "row per sample: (N,), (N, 1) or (N, ...)."
            )
        if logits_wanted and _last_operation(logits).startswith("Sigmoid"):
            raise UserError(
                "The discriminator ends in a sigmoid, and the loss takes logits: leave the sigmoid out (D(x) is the sigmoid "
                "of the logit). For a loss of your own on probabilities: GANLoss(..., on_logits=False)."
            )


def _input_size(network: nn.Module) -> int | None:
    """The number of inputs of the first layer that states it."""
    for module in network.modules():
        size = getattr(module, "in_features", None) or getattr(module, "in_channels", None)
        if isinstance(size, int):
            return size
    return None


def _last_operation(output: Tensor) -> str:
    """The name of the autograd node that computed the values; "" without a graph."""
    node: Any = output.grad_fn
    while node is not None and node.name().startswith(RESHAPING) and node.next_functions:
        node = node.next_functions[0][0]
    return "" if node is None else str(node.name())


def _inputs(what: str, data: Tensor, condition: Tensor | None) -> str:
    told = f"{what} of shape {tuple(data.shape)}"
    return told if condition is None else f"{told} with a condition of shape {tuple(condition.shape)}"


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
