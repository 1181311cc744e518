"""Evaluates a snapshot of the generator in a process of its own: `python -m zerosum.training.eval_worker FOLDER SNAPSHOT [now]`.

It uses one thread and the CPU and, without "now", the lowest priority. It ends when its standard input closes, so that it does
not outlive a training that is killed. It ignores Ctrl-C; the training handles it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from zerosum.training.signals import NICE


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the training closes the pipe or ends; nothing is ever written
    os._exit(1)


def main(folder: Path, snapshot: Path) -> None:
    """Evaluates the generator in `snapshot` on the data of the run and writes the result next to it."""
    from zerosum.errors import UserError
    from zerosum.evaluation.evaluate_saved import SavedEvaluator
    from zerosum.run_folder import RunFolder
    from zerosum.training.async_eval import result_of, write_result

    begun = time.monotonic()
    try:
        measurer = SavedEvaluator(RunFolder.open(folder), threads=1)
        write_result(result_of(snapshot), measurer.measure(snapshot).plain(), time.monotonic() - begun)
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    if "now" not in sys.argv:
        os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    main(Path(sys.argv[1]), Path(sys.argv[2]))
