"""Which numbers the networks compute in: float32, or bfloat16 by autocast with float32 weights, losses and penalties' sums."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Literal, cast

import torch

Precision = Literal["float32", "bfloat16"]


def choose(wanted: str, device: torch.device) -> Precision:
    """Resolves "auto": bfloat16 where it is faster, else float32.

    On a GPU that means native bfloat16; on a CPU, AMX tiles. A CPU with AVX512-bf16 but without AMX computes
    convolutions in bfloat16 more slowly than in float32 (measured: 0.6 times), so it gets float32; for networks without
    convolutions see `multiplies_faster`.
    """
    if wanted in ("float32", "bfloat16"):
        return cast(Precision, wanted)
    if wanted != "auto":
        raise ValueError(f"precision must be auto, float32 or bfloat16, got {wanted!r}")
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device.type == "cpu" and has_amx() else "float32"


def has_amx() -> bool:
    """Whether this process may use the CPU's AMX tiles."""
    probe: Callable[[], bool] | None = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(probe()) if probe is not None else False


def multiplies_faster(device: torch.device) -> bool:
    """Whether matrices are multiplied faster in bfloat16 than in float32: on a CPU by AMX or AVX512-bf16 (measured on the
    latter: 2.1 times for 500 x 256 by 256 x 256), on a GPU where `choose` takes it."""
    if device.type != "cpu":
        return choose("auto", device) == "bfloat16"
    probe: Callable[[], bool] | None = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return has_amx() or bool(probe is not None and probe())


def autocast(precision: Precision, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """The context in which a game computes its terms."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def without_autocast(device_type: str) -> contextlib.AbstractContextManager[object]:
    """The context in which autocast, if any, is off. It does nothing where autocast is off already, so that the network can be
    exported."""
    on = torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)
    return torch.autocast(device_type, enabled=False) if on else contextlib.nullcontext()
