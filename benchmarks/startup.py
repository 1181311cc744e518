"""Whole-process times and memory: `zerosum --help`, `zerosum train` of the default, a run on 60,000 images of MNIST's size.

Every number is of a fresh process: wall-clock from its start to its end, peak resident memory as the system counted it for
that child (with its children). The train runs start with an empty cache, so they also train the classifier that judges.
`python -c pass` and `python -c "import torch"` stand beside for what any such program costs here.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import measuring
import pictures

WANTED = {"help_s": 0.5, "train_s": 75.0, "first_step_s": 6.0, "memory_gb": 1.5}
ZEROSUM = [sys.executable, "-m", "zerosum"]
EMPTY, TORCH = [sys.executable, "-c", "pass"], [sys.executable, "-c", "import torch"]


@dataclass(frozen=True)
class Child:
    """What a finished process took; first_step_s: until the first line of its run's log about a step was there."""

    seconds: float
    peak_gb: float
    first_step_s: float | None = None


def child(command: Sequence[str], folder: Path, threads: int, run: Path | None = None) -> Child:
    """Runs a command in `folder` to its end; raises RuntimeError with its last words when it fails."""
    environment = os.environ | {"ZEROSUM_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": str(threads)}
    with (folder / "output.txt").open("w+") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        first = None if run is None else _first_step(run / "metrics.jsonl", process.pid, begun)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{output.read()[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Child(seconds, usage.ru_maxrss * unit / 1e9, first)


def _first_step(log: Path, process: int, begun: float) -> float | None:
    """Seconds until the log tells of a step; None when the process ended before."""
    while not (log.exists() and '"kind": "train"' in log.read_text(encoding="utf-8")):
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return None
        time.sleep(0.02)
    return time.perf_counter() - begun


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, returns the JSON line."""
    parser = measuring.options((__doc__ or "").splitlines()[0])
    measuring.add_slices(parser, steps=8, what="steps of the run whose memory is taken")
    parser.add_argument("--train-rounds", type=int, default=1, help="whole trainings of the default")
    args = parser.parse_args(argv)
    measuring.begin(args)
    sides = _short(args)
    memory, about = _sixty_thousand(args)
    trained = [memory] if args.smoke else [_default(args) for _ in range(args.train_rounds)]
    middle = statistics.median([one.seconds for one in trained])
    firsts = [one.first_step_s for one in trained if one.first_step_s is not None]
    values = {
        "help_s": sides["zerosum --help"],
        "train_s": round(middle, 2),
        "first_step_s": round(statistics.median(firsts), 2),
        "memory_gb": round(memory.peak_gb, 3),
    }
    for name, seconds in sides.items():
        print(f"  {name:<28} {seconds:8.3f} s")
    for name, value in values.items():
        print(f"  {name:<28} {value:8.3f}   (at most {WANTED[name]:g})")
    print(f"  memory of the default: {max(one.peak_gb for one in trained):.3f} GB; memory_gb is of {about}")
    ratios = {"help over python alone": round(values["help_s"] / sides["python -c pass"], 2)}
    found = {"data": about, "sides": sides, "ratios": ratios, "values": values, "at_most": WANTED}
    return measuring.finish(
        "startup", args, found | {"default_memory_gb": round(max(one.peak_gb for one in trained), 3)}
    )


def _short(args: Any) -> dict[str, float]:
    """Median seconds of the short commands, interleaved; one uncounted round first warms the disk's cache."""
    warm_up, rounds = (0, 1) if args.smoke else (1, args.rounds)
    commands = {"python -c pass": EMPTY, "python -c 'import torch'": TORCH, "zerosum --help": [*ZEROSUM, "--help"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(warm_up + rounds):
            for name, command in commands.items():
                seconds[name].append(child(command, Path(folder), args.threads).seconds)
    return {name: round(statistics.median(numbers[warm_up:]), 4) for name, numbers in seconds.items()}


def _default(args: Any) -> Child:
    """`zerosum train` to its report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [*ZEROSUM, "train", "--out", str(folder / "run"), "--device", args.device]
        done = child(command, folder, args.threads, folder / "run")
        if not (folder / "run" / "report.html").is_file():
            raise RuntimeError("zerosum train left no report.html")
        return done


def _sixty_thousand(args: Any) -> tuple[Child, str]:
    """A few steps on 60,000 labelled images of 28x28, evaluation and report included."""
    source, about = pictures.load("mnist", args.data, args.smoke)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arrays: dict[str, Any] = {}
        for part, images in (("train", source.train), ("test", source.heldout)):
            assert images is not None
            assert images.labels is not None
            arrays |= {f"{part}_images": images.pixels.squeeze(1).numpy(), f"{part}_labels": images.labels.numpy()}
        np.savez(folder / "images.npz", **arrays)
        del source, arrays
        command = [*ZEROSUM, "train", "images.npz", "--out", "run", "--steps", str(args.steps), "--device", args.device]
        if args.smoke:
            command += ["--recipe", "mlp", "--set", "data.labelled=false"]
        done = child([*command, "--json"], folder, args.threads, folder / "run")
        rows = json.loads((folder / "run" / "run.json").read_text())["source"]["num_rows"]
    return done, f"{about} ({rows:,} trained on, {args.steps} steps)"


if __name__ == "__main__":
    main()
