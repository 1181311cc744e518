"""The parser, and the options and printing that all commands share."""

from __future__ import annotations

import contextlib
import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

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


def say(*texts: str) -> None:
    """Prints lines on stderr."""
    for text in texts:
        print(text, file=sys.stderr, flush=True)


def show(content: Any, json: bool, text: str = "") -> None:
    """Prints the result on stdout: as JSON, or as the text."""
    plain = (sys.stdout.encoding or "").lower().replace(
        "-", ""
    ) != "utf8"  # ASCII JSON can be read back in any encoding
    print(jsonlib.dumps(content, indent=1, ensure_ascii=plain) if json else text)
