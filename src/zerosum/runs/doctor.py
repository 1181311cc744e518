"""What this machine offers to a training."""

from __future__ import annotations

import importlib.util
import os
import platform
from typing import Any

import torch

import zerosum
from zerosum.engine.precision import choose, has_amx


def examine() -> dict[str, Any]:
    """Plain facts, and what `auto` would choose."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    extras = {"tensorboard": "tensorboard"}
    return {
        "zerosum": zerosum.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cpu bfloat16 by AMX": "yes" if has_amx() else "no",
        "precision chosen": choose("auto", device),
        "data folder (ZEROSUM_DATA)": os.environ.get("ZEROSUM_DATA", "not set"),
        **{
            f"extra [{name}]": "installed"
            if importlib.util.find_spec(module)
            else f"missing: pip install 'zerosum[{name}]'"
            for name, module in extras.items()
        },
    }
