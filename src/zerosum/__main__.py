"""The command `zerosum`, and `python -m zerosum`: quiet from its first line on, even when interrupted while it is loaded."""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> None:
    """Loads the command line and runs it. A signal before it is there ends the program with its status, 130 or 143."""

    def end(number: int, frame: FrameType | None) -> None:
        os.write(2, b"zerosum: ended.\n")
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    from zerosum.cli import main as run_command_line

    run_command_line()


if __name__ == "__main__":
    main()
