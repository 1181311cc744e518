"""A generator for other programs: ONNX, torch.export, and the layout of the Hugging Face hub."""

from __future__ import annotations

from zerosum.runs.export.exporting import FORMATS, Export, export

__all__ = ["FORMATS", "Export", "export"]
