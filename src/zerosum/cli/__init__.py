"""The command line: parse, call, print. Progress goes to stderr, results to stdout; heavy imports happen inside the commands."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings

from zerosum.cli.common import app
from zerosum.errors import UserError

# The help lists the commands in the order in which these modules are imported.
# isort: off
from zerosum.cli import training
from zerosum.cli import sampling
from zerosum.cli import evaluation
from zerosum.cli import latents
from zerosum.cli import info
from zerosum.cli import theory
from zerosum.cli import lab
# isort: on

__all__ = ["app", "evaluation", "info", "lab", "latents", "main", "sampling", "theory", "training"]


class _Output(io.TextIOWrapper):
    """stdout that keeps the error of a failed write, so that the error is known to come from stdout, buffered or not."""

    error: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.error = error
            raise


def _open_streams() -> None:
    """Makes stdout and stderr accept all text: characters missing in their encoding are replaced; closed streams drop it."""
    for name in ("stdout", "stderr"):
        if (stream := getattr(sys, name)) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if (out := sys.stdout) is sys.__stdout__ and isinstance(out, io.TextIOWrapper):
        options = {"line_buffering": out.line_buffering, "write_through": out.write_through}
        sys.stdout = _Output(out.buffer, out.encoding, out.errors, newline="\n", **options)


def main() -> None:
    """The entry point. Exit status: 2 with one message for errors of the user, 130 after Ctrl-C, 143 after SIGTERM, 1 when
    stdout cannot be written."""
    try:
        _run()
    except OSError:
        if _flushed():
            raise
        raise SystemExit(1) from None
    except SystemExit:
        if not _flushed():
            raise SystemExit(1) from None
        raise


def _flushed() -> bool:
    """Whether stdout took all output. If not, prints the error (none for a closed pipe) and drops the rest."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    error: OSError | None = getattr(sys.stdout, "error", None)
    if error is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes again at exit
        if not isinstance(error, BrokenPipeError):
            print(f"zerosum: Cannot write the result to stdout: {error.strerror or error}.", file=sys.stderr)
    return error is None


def _run() -> None:
    from zerosum.training import signals

    signals.end_on_signal()
    _open_streams()
    signals.end_with_parent()
    warnings.formatwarning = lambda message, *_: f"Warning: {message}\n"
    try:
        app()
    except UserError as error:
        print(f"zerosum: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except signals.Stopped as stopped:
        print(f"zerosum: {signals.name(stopped.number)}: ended.", file=sys.stderr)
        raise SystemExit(signals.status(stopped.number)) from None
    except BrokenPipeError:
        raise SystemExit(1) from None
