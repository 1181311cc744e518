"""What a person sees while a run is at work: a bar on a terminal, plain lines elsewhere. All of it on stderr."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, TextIO

from zerosum.formatting import format_duration

if TYPE_CHECKING:
    from rich.progress import TaskID


class Progress(Protocol):
    """Receives what happens; says it, or does not."""

    def say(self, text: str) -> None: ...
    def tick(self, step: int, steps: int, values: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


class NoProgress:
    """Says nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def tick(self, step: int, steps: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


@contextlib.contextmanager
def patience(say: Callable[[str], None], text: str, after_s: float = 3.0) -> Iterator[None]:
    """Whoever waits for longer than that is told what for."""
    timer = threading.Timer(after_s, say, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


SHOWN = (
    ("discriminator/loss", "D loss"),
    ("generator/loss", "G loss"),
    ("D(x)", "D(x)"),
    ("D(G(z))", "D(G(z))"),
)


def numbers(values: Mapping[str, float]) -> str:
    """The few numbers of a progress line."""
    parts = [f"{text} {values[name]:.3f}" for name, text in SHOWN if name in values]
    if "samples_per_s" in values:
        parts.append(f"{values['samples_per_s']:,.0f} samples/s")
    return "  ".join(parts)


def short_numbers(values: Mapping[str, float]) -> str:
    """The same, so short that a bar and an ETA fit beside them in 80 columns."""
    parts = [f"{text.removesuffix(' loss')} {values[name]:.2f}" for name, text in SHOWN if name in values]
    if "samples_per_s" in values:
        parts.append(f"{values['samples_per_s']:,.0f}/s")
    return " ".join(parts)


class ProgressLines:
    """One plain line now and then, for logs and pipes."""

    def __init__(self, stream: TextIO, every_s: float = 10.0) -> None:
        self.stream, self.every_s, self.told = stream, every_s, 0.0
        self._first: tuple[float, int] | None = None

    def say(self, text: str) -> None:
        """Prints the text."""
        print(text, file=self.stream, flush=True)

    def tick(self, step: int, steps: int, values: Mapping[str, float]) -> None:
        """Prints a line every few seconds and at the end."""
        now = time.monotonic()
        first, begun = self._first = self._first or (now, step)
        if now - self.told >= self.every_s or step == steps:
            self.told = now
            left = (now - first) / (step - begun) * (steps - step) if step > begun else float("nan")
            rest = f"  {format_duration(left)} left" if left == left and step < steps else ""
            self.say(f"step {step:,} of {steps:,}{rest}  {numbers(values)}")

    def close(self) -> None:
        """Nothing to close."""


class ProgressBar:
    """A progress bar with ETA, on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        self.rich = Rich(
            BarColumn(bar_width=10),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True, highlight=False),
        )
        self.task: TaskID | None = None

    def say(self, text: str) -> None:
        """Prints above the bar."""
        self.rich.console.print(text, markup=False)

    def tick(self, step: int, steps: int, values: Mapping[str, float]) -> None:
        """Moves the bar."""
        if self.task is None:
            self.rich.start()
            # A resumed run begins in the middle: the speed counts from there.
            self.task = self.rich.add_task("", total=steps, completed=step)
        self.rich.update(self.task, completed=step, total=steps, description=short_numbers(values))

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self.task is not None:
            self.rich.stop()
            self.task = None


def for_terminal() -> Progress:
    """A bar when stderr is a terminal, else plain lines."""
    return ProgressBar() if sys.stderr.isatty() else ProgressLines(sys.stderr)
