"""What this machine offers to a training. Nothing heavy is imported: the answer comes at once, with a broken torch too."""

from __future__ import annotations

import ast
import ctypes
import importlib.util
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import zerosum

CPUINFO = Path("/proc/cpuinfo")
AMPERE = 8
"""Compute capability from which on a GPU has bfloat16."""


def examine() -> dict[str, Any]:
    """Plain facts, and what `auto` would choose."""
    gpu = _gpu() if _for_cuda() else None
    amx = _has_amx()
    extras = {"tensorboard": "tensorboard"}
    fast = gpu[1] >= AMPERE if gpu else amx
    return {
        "zerosum": zerosum.__version__,
        "python": platform.python_version(),
        "torch": _version("torch"),
        "device": gpu[0] if gpu else "cpu",
        "cores": os.cpu_count(),
        "threads": _threads(),
        "cpu bfloat16 by AMX": "yes" if amx else "no",
        "precision chosen": "bfloat16" if fast else "float32",
        "data folder (ZEROSUM_DATA)": os.environ.get("ZEROSUM_DATA", "not set"),
        **{
            f"extra [{name}]": "installed"
            if importlib.util.find_spec(module)
            else f"missing: pip install 'zerosum[{name}]'"
            for name, module in extras.items()
        },
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _for_cuda() -> bool:
    """Whether the torch that is installed was built for CUDA: what its version.py says."""
    spec = importlib.util.find_spec("torch")
    try:
        tree = ast.parse((Path(str(spec and spec.origin)).parent / "version.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return False
    for node in tree.body:
        names = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if any(isinstance(one, ast.Name) and one.id == "cuda" for one in names):
            value = getattr(node, "value", None)
            return isinstance(value, ast.Constant) and value.value is not None
    return False


def _gpu() -> tuple[str, int] | None:
    """Name and major compute capability of the first GPU, as its driver tells them; None without one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        count, device, major, name = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(128)
        if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
            return None
        driver.cuDeviceGet(ctypes.byref(device), 0)
        driver.cuDeviceGetName(name, len(name), device)
        driver.cuDeviceGetAttribute(ctypes.byref(major), 75, device)  # COMPUTE_CAPABILITY_MAJOR
    except (OSError, AttributeError):
        return None
    return name.value.decode(errors="replace"), major.value


def _has_amx() -> bool:
    """Whether the CPU has AMX tiles that multiply bfloat16."""
    try:
        flags = next(line for line in CPUINFO.read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return {"amx_tile", "amx_bf16"} <= set(flags.split())


def _threads() -> str:
    """What torch takes by itself: a thread for each core of this process, unless OMP_NUM_THREADS says otherwise."""
    setting = os.environ.get("OMP_NUM_THREADS", "")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{setting} (OMP_NUM_THREADS)" if setting else f"{usable} at most"
