"""The lab: frames and steps a second with training going on, and where the time of a frame goes.

The worker that `zerosum lab` serves plays a game with its default settings, measures beside it once a second as always, and
makes frames as text; a frame counts when it would be sent. The parts are CPU time of one thread, alone.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import measuring
from zerosum.lab.frame import Screen
from zerosum.lab.lab_game import LabGame
from zerosum.lab.settings import parse
from zerosum.lab.worker import Worker

GAMES: Mapping[str, Mapping[str, Any]] = {
    "line": {"source": "normal"},
    "plane": {"source": "ring"},
    "two numbers": {"mode": "dirac"},
}
SPEEDS = (1, 4, 16)
WANTED = 30


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, returns the JSON line."""
    parser = measuring.options((__doc__ or "").splitlines()[0], device=False, data=False)
    parser.set_defaults(threads=1)
    parser.add_argument("--seconds", type=float, default=8.0, help="of play for each game and speed")
    args = parser.parse_args(argv)
    measuring.begin(args)
    if args.smoke:
        args.seconds = 0.3
    parts = {name: _parts(game, 2 if args.smoke else 40) for name, game in GAMES.items()}
    rates = {
        name: {str(speed): _rates(game, speed, args.seconds) for speed in (SPEEDS[:1] if args.smoke else SPEEDS)}
        for name, game in GAMES.items()
    }
    print(
        f"frames a second (wanted: {WANTED}, the most that are sent) and steps a second, load {os.getloadavg()[0]:.1f}"
    )
    for name, speeds in rates.items():
        for speed, found in speeds.items():
            frames, steps = found["frames_per_s"], found["steps_per_s"]
            print(f"  {name:<12} {speed:>3} steps a frame {frames:>8.1f} frames/s {steps:>8.0f} steps/s")
    for name, found in parts.items():
        print(f"  {name:<12} CPU ms: " + ", ".join(f"{part} {value:g}" for part, value in found.items()))
    return measuring.finish("lab_speed", args, {"rates": rates, "cpu_ms": parts, "load": os.getloadavg()[0]})


def _parts(game: Mapping[str, Any], times: int) -> dict[str, float]:
    """CPU milliseconds of a step, of a frame, of its text, and of a measurement."""
    lab = LabGame(parse(game))
    screen = Screen(lab)
    for _ in range(20):
        lab.move()
    frame = screen.frame()
    found = {
        "step": _cpu_ms(lab.move, times),
        "frame": _cpu_ms(screen.frame, times),
        "text": _cpu_ms(lambda: json.dumps(frame, separators=(",", ":")), times),
    }
    if screen.measure is not None:
        measure, sitting = screen.measure, screen.networks()
        found["measurement"] = _cpu_ms(lambda: measure(sitting), max(1, times // 8))
    return found


def _cpu_ms(act: Callable[[], Any], times: int) -> float:
    act()
    begun = time.thread_time()
    for _ in range(times):
        act()
    return round((time.thread_time() - begun) / times * 1e3, 3)


def _rates(game: Mapping[str, Any], speed: int, seconds: float) -> dict[str, float]:
    """Frames and steps a second of a worker at play."""
    worker = Worker(parse(game))
    made: list[str] = []
    worker.slot.put = made.append  # type: ignore[method-assign]
    worker.start()
    for action in ({"action": "speed", "speed": speed}, {"action": "play"}):
        worker.ask(lambda action=action: worker.do(action)).result()  # type: ignore[misc]
    time.sleep(min(1.0, seconds))
    begun, frames, steps = time.monotonic(), len(made), worker.lab.step
    time.sleep(seconds)
    took = time.monotonic() - begun
    found = {"frames_per_s": (len(made) - frames) / took, "steps_per_s": (worker.lab.step - steps) / took}
    worker.stop()
    return {name: round(value, 2) for name, value in found.items()}


if __name__ == "__main__":
    main()
