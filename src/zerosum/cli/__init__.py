"""The command line: parse, call, print. Progress goes to stderr, results to stdout; heavy imports happen inside the verbs."""

from __future__ import annotations

import io
import os
import sys
import warnings

from zerosum.cli.common import app
from zerosum.errors import UserError

# The help lists verbs in the order in which these modules are imported.
# isort: off
from zerosum.cli import training
from zerosum.cli import sampling
from zerosum.cli import using
from zerosum.cli import latents
from zerosum.cli import exporting
from zerosum.cli import comparing
from zerosum.cli import baseline
from zerosum.cli import knowing
from zerosum.cli import theory
from zerosum.cli import lab
# isort: on

__all__ = [
    "app",
    "baseline",
    "comparing",
    "exporting",
    "knowing",
    "lab",
    "latents",
    "main",
    "sampling",
    "theory",
    "training",
    "using",
]


def _open_streams() -> None:
    """Streams that take every text: letters that their encoding lacks are replaced, and what goes to a closed one is dropped."""
    for name in ("stdout", "stderr"):
        if (stream := getattr(sys, name)) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main() -> None:
    """The entry point: errors a user can mend are one message and status 2, Ctrl-C is status 130 and SIGTERM 143."""
    from zerosum.runs import signals

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
