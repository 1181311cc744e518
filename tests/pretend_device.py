"""A second device on a machine that has none: tensors that live on the CPU, say that they are on another device, and refuse to be
mixed with tensors of the CPU as a GPU refuses it.

    with pretended() as device:
        network.to(device)(rows.to(device))

The device is torch's "meta", whose tensors have no values of their own; within, each of its tensors holds one of the CPU, with
which everything is computed. Mixed operands raise `Mixed`. What torch allows on a GPU is allowed: a CPU tensor of no dimension
as a number, `to` and `copy_` between devices, and places to index at that lie on the CPU.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
import torch._dynamo  # it notes torch's functions when it is imported, which must not be those that are replaced below
from torch import Tensor
from torch.optim import optimizer
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

DEVICE = torch.device("meta")
CPU = torch.device("cpu")

COPIES = {torch.ops.aten.copy_, torch.ops.aten._to_copy, torch.ops.aten._copy_from}
INDEXED = {torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_, torch.ops.aten._index_put_impl_}
NO_NUMBERS = {torch.ops.aten.cat, torch.ops.aten.stack}
"""Operations that take no CPU tensor of no dimension beside tensors of a GPU."""


class Mixed(RuntimeError):
    """An operation was given tensors of two devices."""


class OnDevice(Tensor):
    """A tensor that says it is on DEVICE; `held` is the tensor of the CPU with its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        made: OnDevice = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=DEVICE
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return dispatched(function, args, kwargs or {})

    def tolist(self) -> Any:
        return self.held.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError("can't convert a tensor of a device to numpy. Use Tensor.cpu() first.")
        return self.held.numpy(force=True)

    def new_tensor(self, data: Any, *, dtype: torch.dtype | None = None, **named: Any) -> Tensor:
        return torch.as_tensor(data, dtype=dtype or self.dtype).clone().to(DEVICE)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied = OnDevice(self.held.detach().clone())
        copied.requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, self.requires_grad)
        memo[id(self)] = copied
        return copied

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"OnDevice({self.held!r})"


def tensors(items: Any) -> Iterator[Tensor]:
    """All tensors among arguments."""
    if isinstance(items, Tensor):
        yield items
    elif isinstance(items, Mapping):
        yield from tensors(list(items.values()))
    elif isinstance(items, list | tuple):
        for item in items:
            yield from tensors(item)


def check(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raises Mixed where a GPU would refuse the operands."""
    packet = function.overloadpacket
    if packet in COPIES:
        return
    given = [*tensors(args), *tensors(kwargs)]
    if packet in INDEXED and isinstance(args[0], OnDevice):
        given = [args[0], *tensors(args[2:])]
    numbers = packet not in NO_NUMBERS
    here = [one for one in given if not isinstance(one, OnDevice) and not (numbers and one.dim() == 0)]
    there = [one for one in given if isinstance(one, OnDevice)]
    if here and there:
        shapes = [f"{'device' if isinstance(one, OnDevice) else 'cpu'} {tuple(one.shape)}" for one in given]
        raise Mixed(f"{function} of tensors on two devices: {', '.join(shapes)}")


def dispatched(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Computes on the CPU; what belongs to the device is of it again."""
    check(function, args, kwargs)
    given = [*tensors(args), *tensors(kwargs)]
    there = any(isinstance(one, OnDevice) for one in given)
    if function.overloadpacket is torch.ops.aten.copy_:
        there = isinstance(args[0], OnDevice)
    if (target := kwargs.get("device")) is not None:
        there, kwargs = torch.device(target).type == DEVICE.type, {**kwargs, "device": CPU}
    known = {id(one.held): one for one in given if isinstance(one, OnDevice)}
    held = tree_map(lambda one: one.held if isinstance(one, OnDevice) else one, (tuple(args), dict(kwargs)))
    result = function(*held[0], **held[1])
    if torch.Tag.inplace_view in function.tags and there:  # squeeze_, say: the shape that the outside tells must follow
        with no_dispatch():
            function(*args, **kwargs)

    def outer(one: Any) -> Any:
        if not isinstance(one, Tensor) or isinstance(one, OnDevice):
            return one
        return known.get(id(one)) if id(one) in known else OnDevice(one) if there else one

    return tree_map(outer, result)


class Pretend(TorchDispatchMode):
    """Sees what makes tensors on the device, or brings them to it."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return dispatched(function, args, kwargs or {})


def on_cpu(device: Any) -> Any:
    """The CPU in the place of DEVICE, any other device as it is."""
    kind = device.type if isinstance(device, torch.device) else device
    return CPU.type if kind == DEVICE.type else device


class Generator(torch.Generator):
    """A generator of the CPU for DEVICE."""

    def __new__(cls, device: Any = "cpu") -> Generator:
        return super().__new__(cls, on_cpu(device))


class Autocast(torch.autocast):
    """That of the CPU for DEVICE."""

    def __init__(self, device_type: str, *args: Any, **named: Any) -> None:
        super().__init__(on_cpu(device_type), *args, **named)


def copied(call: Callable[..., Any]) -> Callable[..., Any]:
    """torch.tensor or torch.as_tensor: made on the CPU, copied to the device."""

    @functools.wraps(call)
    def act(*args: Any, device: Any = None, **named: Any) -> Any:
        made = call(*args, **named)
        return made if device is None else made.to(device)

    return act


@contextlib.contextmanager
def pretended() -> Iterator[torch.device]:
    """Within, DEVICE is a device with values."""
    fused = optimizer._get_fused_kernels_supported_devices
    with pytest.MonkeyPatch.context() as patch, Pretend():
        patch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: [*fused(), DEVICE.type])
        enabled = torch.is_autocast_enabled
        patch.setattr(torch, "is_autocast_enabled", lambda kind="cpu": enabled(on_cpu(kind)))
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(torch, "autocast", Autocast)
        for name in ("tensor", "as_tensor"):
            patch.setattr(torch, name, copied(getattr(torch, name)))
        yield DEVICE
