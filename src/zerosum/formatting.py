"""Numbers, durations, lists, names and tables as text for people, the same in messages, reports and the command line; the
progress of a run on stderr."""

from __future__ import annotations

import contextlib
import math
import re
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import TaskID


SHARES = {
    *("precision", "recall", "coverage", "class_accuracy", "copy_rate", "nearest_in_train", "augmentation_leak"),
    *("discriminator_heldout", "discriminator_train", "discriminator_fakes", "share_near"),
}
"""Metrics whose values, and intervals around them, lie in [0, 1]."""
_ABBREVIATIONS = re.compile(r"\b(psnr|ssim|fid|kid)\b")


_SPECIAL = re.compile(r"[\s'\"$&;|<>()*?!#~`]")
"""What a shell does not take as a part of a word."""


def in_shell(path: object) -> str:
    """A path as a word of a command that is shown to be copied: quoted where it has spaces or signs with a meaning to shells."""
    return shlex.quote(str(path)) if _SPECIAL.search(str(path)) else str(path)


def format_number(value: float, digits: int = 4) -> str:
    """With thousands separators, `digits` significant digits, and no exponent between 0.001 and a million."""
    if not math.isfinite(value):
        return "not finite"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 1e-3:
        return f"{value:.{digits - 1}g}"
    return f"{value:.{digits}g}"


def format_with_error(value: float, error: float | None) -> str:
    """'12.3 ± 5.6': both to the second digit of the error; without an error the number alone."""
    if not error or not math.isfinite(error):
        return format_number(value)
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:,.{digits}f} ± {error:,.{digits}f}"


def interval(name: str, value: float, half: float) -> tuple[float, float]:
    """The ends of value ± half, within [0, 1] where the metric of that name is a share."""
    low, high = value - half, value + half
    share = name.partition("[")[0].strip().lower().replace(" ", "_") in SHARES
    return (min(max(low, 0.0), value), max(min(high, 1.0), value)) if share else (low, high)


def format_duration(seconds: float, exact: bool = False) -> str:
    """'45 s', '3 min' or '2 h 10 min'; exact: '3 min 5 s', for a time that was measured rather than estimated."""
    if math.isnan(seconds):
        return "an unknown time"
    if exact:
        whole = round(seconds)
        if whole < 60:
            return f"{whole} s"
        return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600:,} h {whole % 3600 // 60} min"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def format_count(number: int, one: str, many: str | None = None) -> str:
    """'1 warning', '2 warnings', '1,000 warnings'."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def join_words(parts: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def metric_words(name: str) -> str:
    """The name of a metric as people write it: "frechet" is Fréchet, "psnr" is PSNR."""
    return _ABBREVIATIONS.sub(lambda found: found[0].upper(), name.replace("frechet", "Fréchet"))


def format_value(value: Any) -> str:
    """A plain value on one line: lists with commas, objects by their "name"."""
    if isinstance(value, list | tuple):
        return ", ".join(map(format_value, value))
    if isinstance(value, dict):
        return str(value["name"]) if "name" in value else ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)


def format_paths(paths: Sequence[Path]) -> str:
    """One path per line; of many only the first three."""
    some = [str(path) for path in paths[:3]]
    return "\n".join(some if len(paths) <= 3 else [*some, f"... {len(paths)} files in {paths[0].parent}"])


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip() for row in rows
    )


def format_records(records: Sequence[Mapping[str, Any]]) -> str:
    """Metric records as a short table: name without extractor, value, reference of real data, what is better; below it the
    warnings of their protocols.

    Full names and protocols are in --json and in the report.
    """
    rows = [("measure", "value", "reference", "wanted")]
    names = [str(record["name"]) for record in records]
    for record in records:
        floor = record.get("reference")
        wanted = "" if record["better"] == "near reference" and floor is None else str(record["better"])
        wanted = "cannot judge" if record["protocol"].get("cannot_judge") else wanted
        value = f"{record['value']:.4g}" + (f" ± {record['error']:.2g}" if record.get("error") is not None else "")
        rows.append((_short(record["name"], names), value, "" if floor is None else f"{floor:.4g}", wanted))
    warnings = (str(r["protocol"]["warning"]) for r in records if r["protocol"].get("warning"))
    return "\n".join([format_table(rows), *warnings])


def _short(name: str, names: Sequence[str]) -> str:
    """frechet[digits-classifier-1b56db7b,n=1000] as "Fréchet n=1000": the number of samples, and what distinguishes the name
    from similar ones among all `names`."""
    base, own = _parts(name)
    similar = [parts for other, parts in map(_parts, names) if other == base]
    kept = [part for part in own if part.startswith("n=") or not all(part in parts for parts in similar)]
    return " ".join([metric_words(base), *kept])


def _parts(name: str) -> tuple[str, list[str]]:
    base, _, inside = name.partition("[")
    return base, inside.rstrip("]").split(",")


# --- the progress of a run on stderr: a bar on a terminal, plain lines elsewhere


class Progress(Protocol):
    """Receives what happens; says it, or does not."""

    def log(self, text: str) -> None: ...
    def tick(self, step: int, steps: int, values: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


class NoProgress:
    """Says nothing."""

    def log(self, text: str) -> None:
        """Nothing."""

    def tick(self, step: int, steps: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


@contextlib.contextmanager
def patience(log: Callable[[str], None], text: str, after_s: float = 3.0) -> Iterator[None]:
    """Whoever waits for longer than that is told what for."""
    timer = threading.Timer(after_s, log, [text])
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


def format_values(values: Mapping[str, float]) -> str:
    """The few numbers of a progress line."""
    parts = [f"{text} {values[name]:.3f}" for name, text in SHOWN if name in values]
    if "samples_per_s" in values:
        parts.append(f"{values['samples_per_s']:,.0f} samples/s")
    return "  ".join(parts)


def format_values_briefly(values: Mapping[str, float]) -> str:
    """The same, so short that a bar and an ETA fit beside them in 80 columns."""
    parts = [f"{text.removesuffix(' loss')} {values[name]:.2f}" for name, text in SHOWN if name in values]
    if "samples_per_s" in values:
        parts.append(f"{values['samples_per_s']:,.0f}/s")
    return " ".join(parts)


class ProgressLines:
    """One plain line now and then, for logs and pipes."""

    def __init__(self, stream: TextIO, every_s: float = 10.0) -> None:
        self.stream, self.every_s, self.printed_at = stream, every_s, 0.0
        self._first: tuple[float, int] | None = None

    def log(self, text: str) -> None:
        """Prints the text."""
        print(text, file=self.stream, flush=True)

    def tick(self, step: int, steps: int, values: Mapping[str, float]) -> None:
        """Prints a line every few seconds and at the end."""
        now = time.monotonic()
        first, begun = self._first = self._first or (now, step)
        if now - self.printed_at >= self.every_s or step == steps:
            self.printed_at = now
            left = (now - first) / (step - begun) * (steps - step) if step > begun else float("nan")
            rest = f"  {format_duration(left)} left" if left == left and step < steps else ""
            self.log(f"step {step:,} of {steps:,}{rest}  {format_values(values)}")

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

    def log(self, text: str) -> None:
        """Prints above the bar."""
        self.rich.console.print(text, markup=False)

    def tick(self, step: int, steps: int, values: Mapping[str, float]) -> None:
        """Moves the bar."""
        if self.task is None:
            self.rich.start()
            # A resumed run begins in the middle: the speed counts from there.
            self.task = self.rich.add_task("", total=steps, completed=step)
        self.rich.update(self.task, completed=step, total=steps, description=format_values_briefly(values))

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self.task is not None:
            self.rich.stop()
            self.task = None


def progress_for_terminal() -> Progress:
    """A bar when stderr is a terminal, else plain lines."""
    return ProgressBar() if sys.stderr.isatty() else ProgressLines(sys.stderr)
