"""A run folder as one self-contained HTML page: reads files only, needs neither torch nor a network."""

from __future__ import annotations

from zerosum.report.charts import CurvePoint, thin
from zerosum.report.page import compose, write_report
from zerosum.report.previews import spread
from zerosum.report.read import RunContents, read_run

__all__ = ["CurvePoint", "RunContents", "compose", "read_run", "spread", "thin", "write_report"]
