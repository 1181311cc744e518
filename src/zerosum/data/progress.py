"""Lines on stderr about work that takes longer than a few seconds."""

from __future__ import annotations

import sys
import time

FIRST_REPORT_S, REPORT_EVERY_S = 5.0, 10.0


class WorkProgress:
    """Lines on stderr about work of a known amount that takes longer than a few seconds. unit: of `total`, in the plural."""

    def __init__(self, what: str, total: float, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.begun = time.monotonic()
        self.next = self.begun + FIRST_REPORT_S

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self.begun

    def tick(self, done: float) -> None:
        """Prints a line if one is due."""
        now = time.monotonic()
        if now < self.next or not done:
            return
        self.next = now + REPORT_EVERY_S
        rate = done / (now - self.begun)
        left = max(0.0, self.total - done) / rate
        speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        print_status(
            f"{self.what}: {done:,.0f} of {self.total:,.0f} {self.unit}, {speed} {self.unit}/s, about {left:,.0f} s left"
        )


def print_status(text: str) -> None:
    """Prints a line of progress to stderr."""
    print(text, file=sys.stderr, flush=True)
