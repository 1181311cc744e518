"""How much of the project does a command walk through? Files, builds of networks and checks of recipes, counted.

    python benchmarks/path_length.py train digits [OPTIONS ...]    # up to the first step of the real training
    python benchmarks/path_length.py sample RUN [OPTIONS ...]      # the whole command
    python benchmarks/path_length.py ... --list                    # also the names of the files

It runs `zerosum COMMAND` in this process with a profiling function, and prints one JSON line:

files        files of the package in which a function was called, each once. Calls made while a module is imported do not count,
             and neither does the body of a module or of a class: those define what there is. Functions that dataclasses and
             named tuples generate lie in no file.
at_import    files in which a function was called only while some module was imported.
imported     modules of the package that were imported.
generators, discriminators   networks of each kind that were built by `zerosum.domain.factory.network`, the one function that
             all domains build them by when they play the ordinary game.
validations  times that pydantic checked a whole Recipe, imports apart; validated_at_import: recipes of the domains that were
             imported.
domains      domains that were imported.
reached      whether a training was stopped at its first step, as it should be.

Only the main thread is watched. The numbers do not depend on the speed of the machine.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

OPTIMIZED = 0x1
"""Of a code object's flags: a function has it, the body of a module or a class has it not (inspect.CO_OPTIMIZED)."""
BUILDER = ("zerosum.domain.factory", "network")
FIRST_STEP = ("zerosum.engine.loop", "train_step", "run")
"""The module, the function that plays a step, and the one that calls it in a real training; a trial calls it otherwise."""


class FirstStep(BaseException):
    """The first step of the real training is about to be played."""


class PathCounter:
    """Counts what the main thread enters from `start` to `stop`."""

    def __init__(self, stops_at_first_step: bool) -> None:
        self.stops = stops_at_first_step
        self.entered: set[str] = set()
        self.at_import: set[str] = set()
        self.networks: Counter[str] = Counter()
        self.validations: Counter[str] = Counter()
        self.importing = 0
        self.reached = False

    def start(self) -> None:
        """Begins to count."""
        sys.setprofile(self._event)

    def stop(self) -> None:
        """Ends it."""
        sys.setprofile(None)

    def _event(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if code.co_name == "<module>" and event in ("call", "return"):
            self.importing += 1 if event == "call" else -1
        if event != "call" or not code.co_flags & OPTIMIZED:
            return
        name = str(frame.f_globals.get("__name__", ""))
        if name == "pydantic.main":
            self._validated(frame)
        if not name.startswith("zerosum") or not code.co_filename.endswith(".py"):
            return
        (self.at_import if self.importing else self.entered).add(name)
        if (name, code.co_name) == BUILDER:
            self.networks[str(frame.f_locals["role"])] += 1
        caller = frame.f_back.f_code.co_name if frame.f_back else ""
        if self.stops and (name, code.co_name, caller) == FIRST_STEP:
            self.stop()
            self.reached = True
            raise FirstStep

    def _validated(self, frame: FrameType) -> None:
        """Notes a check of a whole Recipe: its constructor, or model_validate."""
        code = frame.f_code
        made = frame.f_locals.get("self") if code.co_name == "__init__" else frame.f_locals.get("cls")
        kind = made if isinstance(made, type) else type(made)
        if (
            code.co_name in ("__init__", "model_validate")
            and kind.__module__ == "zerosum.recipe"
            and kind.__name__ == "Recipe"
        ):
            self.validations["import" if self.importing else "run"] += 1

    def result(self) -> dict[str, Any]:
        """The counts as plain values."""
        modules = sorted(name for name in sys.modules if name.partition(".")[0] == "zerosum")
        package = "zerosum.domains."
        return {
            "reached": self.reached,
            "files": len(self.entered),
            "at_import": len(self.at_import - self.entered),
            "imported": len(modules),
            "generators": self.networks["generator"],
            "discriminators": self.networks["discriminator"],
            "validations": self.validations["run"],
            "validated_at_import": self.validations["import"],
            "domains": sorted(
                {name.removeprefix(package).partition(".")[0] for name in modules if name.startswith(package)}
            ),
        }


def counted(arguments: list[str]) -> PathCounter:
    """Runs `zerosum ARGUMENTS` up to the first real step, or to its end, in this process."""
    from zerosum.cli import main as run_command_line

    sys.argv = ["zerosum", *arguments]
    counter = PathCounter(stops_at_first_step=arguments[0] in ("train", "resume"))
    counter.start()
    try:
        run_command_line()
    except (FirstStep, SystemExit):
        pass
    finally:
        counter.stop()
    return counter


def main(arguments: list[str]) -> dict[str, Any]:
    """Counts one command and prints the numbers as a line of JSON."""
    listed = "--list" in arguments
    counter = counted([argument for argument in arguments if argument != "--list"])
    found = counter.result()
    if listed:
        found["names"] = sorted(counter.entered)
    print(json.dumps(found, indent=1 if listed else None), flush=True)
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
    main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # a training that was cut off has nothing left to do
