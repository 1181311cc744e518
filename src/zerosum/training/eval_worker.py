"""Evaluates a snapshot of the generator in a process of its own: `python -m zerosum.training.eval_worker FOLDER SNAPSHOT [now]`.

Without "now" it takes what the training leaves it: lowest priority, one thread, the CPU. It ends when its standard input does,
so a training that is killed leaves nobody behind, and it leaves Ctrl-C to the training.
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
    os.read(sys.stdin.fileno(), 1)  # returns when the training closes its end, or dies; never by a byte
    os._exit(1)


def main(folder: Path, snapshot: Path) -> None:
    """Measures the generator in `snapshot` against the data of the run, and writes the result beside it."""
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
