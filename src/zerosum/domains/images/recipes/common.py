"""What several recipes share."""

from __future__ import annotations

from typing import Any

from zerosum.engine.optimizers import Learning


def both(**settings: Any) -> dict[str, Learning]:
    """The same way of learning for both players."""
    return {"generator": Learning(**settings), "discriminator": Learning(**settings)}
