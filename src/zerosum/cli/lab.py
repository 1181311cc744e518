"""The command that opens a page in the browser: lab."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zerosum.cli.common import app, print_message
from zerosum.errors import Damaged, UserError
from zerosum.jsonfile import read_json

if TYPE_CHECKING:
    from zerosum.lab.server import Served


@app.command()
def lab(
    folder: Annotated[
        Path | None, typer.Argument(help="A run to watch, in progress or finished, for example runs/digits.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address only; do not open a browser.")] = False,
    replay: Annotated[Path | None, typer.Option(help="Replay a game that was saved in the lab (.json).")] = None,
) -> None:
    """Train small GANs step by step in the browser, or watch a run.

    The address on stdout can be opened once. Ctrl-C ends the lab.
    """
    from zerosum.lab.server import need_extra, serving

    need_extra()
    from zerosum.lab.settings import parse
    from zerosum.lab.worker import Worker

    log = _read(replay) if replay else None
    worker = Worker(parse({}))
    if log is not None:
        worker.replay(log)
    with serving(worker, port, folder) as served:
        _serve(served, no_open)


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, Damaged) as error:
        raise UserError(f"{path} cannot be read: {error}. Give a log that was saved by the lab.") from None


def _serve(served: Served, no_open: bool) -> None:
    """Serves until Ctrl-C, the normal end of a lab."""
    import signal

    from zerosum.training.signals import Stopped

    def opened(address: str) -> None:
        print(address, flush=True)
        print_message("The lab is open. The address works once, for one browser; Ctrl-C ends the lab.")
        if not no_open:
            import webbrowser

            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    try:
        served.run(opened)
    except Stopped as stopped:
        if stopped.number != signal.SIGINT:
            raise
        print_message("The lab is closed.")
