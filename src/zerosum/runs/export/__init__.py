"""A generator for other programs: ONNX, torch.export, and the layout of the Hugging Face hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # at run time __getattr__ imports them: what is written is known without torch
    from zerosum.runs.export.exporting import Export as Export
    from zerosum.runs.export.exporting import export as export

TOLERANCE = {"torch": 1e-4, "onnx": 1e-3, "huggingface": 0.0}
"""Largest difference allowed in a sample, by the format; for images in [-1, 1] a grey level of 256 is 7.8e-3."""
FORMATS = tuple(TOLERANCE)

__all__ = ["FORMATS", "TOLERANCE", "Export", "export"]


def __getattr__(name: str) -> Any:
    if name not in ("Export", "export"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from zerosum.runs.export import exporting

    return getattr(exporting, name)
