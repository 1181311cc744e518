"""The parser, the entry point, and the options and printing that all commands share."""

from __future__ import annotations

import contextlib
import io
import json as jsonlib
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from zerosum.errors import UserError

app = typer.Typer(
    help="Generative adversarial networks: train, resume, sample, judge, evaluate, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _number(text: str) -> float:
    """A number of minutes, with an error message of our own."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number; give one such as 30 or 0.5.") from None


def _whole(text: str) -> int:
    """A whole number; 1e5 is accepted."""
    with contextlib.suppress(ValueError):
        return int(text)  # every digit, where a float has 16
    try:
        if (value := float(text)) == int(value):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise typer.BadParameter(f"{text!r} is not a whole number; give one such as 1000 or 1e5.")


NUMBER = {"parser": _number, "metavar": "NUMBER"}
WHOLE = {"parser": _whole, "metavar": "INTEGER"}
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON for a program to read.")]
Folder = Annotated[Path, typer.Argument(help="A run folder, for example runs/digits.", show_default=False)]


def _version(wanted: bool) -> None:
    if wanted:
        import zerosum

        print(zerosum.__version__)
        raise typer.Exit


@app.callback()
def _zerosum(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change one field of the recipe; may be repeated. See `zerosum recipes NAME`.",
    ),
]
Download = Annotated[
    bool, typer.Option("--download", help="Allow a named data set to be downloaded (checked by SHA-256).")
]
MovedData = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="PATH", help="The present place of the data, if they were moved.", show_default=False
    ),
]
Extractor = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Feature extractor: classifier, random, inception or file:PATH; default: the data's own.",
        show_default=False,
    ),
]
Weights = Annotated[Path | None, typer.Option(help="The weights file of --extractor inception.", show_default=False)]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Load file:PATH although such a file can run code; use it only for files from a source that you trust.",
    ),
]
Devices = Annotated[
    int, typer.Option("--devices", min=1, help="Processes on this machine; the batch is shared among them.")
]


# --- printing


def print_message(*texts: str) -> None:
    """Prints lines on stderr."""
    for text in texts:
        print(text, file=sys.stderr, flush=True)


def show(content: Any, json: bool, text: str = "") -> None:
    """Prints the result on stdout: as JSON, or as the text."""
    plain = (sys.stdout.encoding or "").lower().replace(
        "-", ""
    ) != "utf8"  # ASCII JSON can be read back in any encoding
    print(jsonlib.dumps(content, indent=1, ensure_ascii=plain) if json else text)


# --- the entry point


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
