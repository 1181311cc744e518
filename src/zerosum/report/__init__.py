"""A run folder as one self-contained HTML page: reads files only, needs neither torch nor a network."""

from __future__ import annotations

from zerosum.report.page import compose, write_report
from zerosum.report.previews import spread
from zerosum.report.read import RunFolder, read_folder
from zerosum.report.series import Point, thin

__all__ = ["Point", "RunFolder", "compose", "read_folder", "spread", "thin", "write_report"]
