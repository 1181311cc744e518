"""Checks of a source, a generator and a discriminator before the first step: whether they fit the prior, the data and the
loss."""

from __future__ import annotations

import warnings
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


def check_source(source: Any) -> None:
    """UserError for a source that has no num_rows or no batch(indices)."""
    if not (callable(getattr(source, "batch", None)) and hasattr(source, "num_rows")):
        hint = ""
        if hasattr(source, "__array__"):
            hint = " Convert an array with torch.from_numpy(array).float()."
        elif hasattr(source, "__getitem__") or hasattr(source, "__iter__"):
            hint = " The rows of a torch Dataset in memory: torch.stack([x for x, *_ in dataset])."
        raise UserError(
            f"source: got {type(source).__name__}. Give a float32 tensor (N, ...), a pair of tensors (data, condition), or an "
            f"object with `num_rows` and `batch(indices) -> zs.Batch`.{hint}"
        )
    if source.num_rows < 1:
        raise UserError("source: there are no rows (num_rows is 0).")


def check_batch(data: Any, condition: Any) -> None:
    """UserError unless data is a tensor, and condition None or a tensor with as many rows."""
    for name, part in (("data", data), ("condition", condition)):
        if not isinstance(part, Tensor) and not (name == "condition" and part is None):
            kind = f"{type(part).__name__} of {part.dtype}" if hasattr(part, "dtype") else type(part).__name__
            raise UserError(
                f"source: the {name} of a batch must be a torch tensor, got {kind}. A batch is zs.Batch(data, condition), a "
                "tensor, or a pair of tensors (data, condition); convert an array with torch.from_numpy(array).float()."
            )
    if condition is not None and len(condition) != len(data):
        raise UserError(f"source: the condition has {len(condition):,} rows, and the data have {len(data):,}.")


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
        advice = _dtype_advice("noise", noise, "generator", generator) or (
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
    discriminator: nn.Module,
    discriminate: Callable[[Tensor, Tensor | None], Sequence[Tensor]],
    logits_wanted: bool,
    data: Tensor,
    condition: Tensor | None = None,
) -> None:
    """UserError where the discriminator fails on the data, gives no row per sample, or ends in a sigmoid although logits are
    wanted. A warning where it gives several logits for a row of flat data, or two for any. discriminate: (data, condition) ->
    its logits."""
    try:
        with torch.enable_grad():
            output = discriminate(data, condition)
    except (RuntimeError, ValueError, TypeError) as error:
        advice = _dtype_advice("data", data, "discriminator", discriminator) or (
            "Change its first layers, or reshape the data."
        )
        raise UserError(
            f"The discriminator does not take {_inputs('data', data, condition)}: {_reason(error)}. {advice}"
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
        if logits.dim() == 2 and (logits.shape[1] == 2 or (logits.shape[1] > 1 and data.dim() == 2)):
            warnings.warn(
                f"The discriminator gives {logits.shape[1]} logits for each sample; the loss is their mean, and each is "
                "trained to be positive for real samples. For one verdict (N, 1), change its last layer to one output.",
                stacklevel=2,
            )


def _input_size(network: nn.Module) -> int | None:
    """The number of inputs of the first layer that states it."""
    for module in network.modules():
        size = getattr(module, "in_features", None) or getattr(module, "in_channels", None)
        if isinstance(size, int):
            return size
    return None


def _dtype_advice(what: str, data: Tensor, name: str, network: nn.Module) -> str:
    """How to convert, where the network's weights are of another type than its input; else ""."""
    weights = next((p.dtype for p in network.parameters() if p.is_floating_point()), data.dtype)
    if weights == data.dtype:
        return ""
    given, of = (str(dtype).removeprefix("torch.") for dtype in (data.dtype, weights))
    change = (
        f"convert the {what} with .float()" if weights == torch.float32 else f"convert the {name} with {name}.float()"
    )
    return f"The {what} are of type {given}, and the {name}'s weights of {of}: {change}.".replace(
        "noise are", "noise is"
    )


def _last_operation(output: Tensor) -> str:
    """The name of the autograd node that computed the values; "" without a graph."""
    node: Any = output.grad_fn
    while node is not None and node.name().startswith(RESHAPING) and node.next_functions:
        node = node.next_functions[0][0]
    return "" if node is None else str(node.name())


def _inputs(what: str, data: Tensor, condition: Tensor | None) -> str:
    text = f"{what} of shape {tuple(data.shape)}"
    return text if condition is None else f"{text} with a condition of shape {tuple(condition.shape)}"


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
