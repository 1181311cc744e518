"""What all benchmarks share: the machine's facts, options, interleaved timing, and one JSON line at the end."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from zerosum.engine.devices import Precision, has_amx


@dataclass
class Side:
    """One side of a comparison. play(steps) does that many steps and returns the number of images it trained on or made.

    seconds: time per image of each counted round, filled by `interleaved`.
    """

    name: str
    play: Callable[[int], int]
    seconds: list[float] = field(default_factory=list)
    random_state: torch.Tensor = field(default_factory=torch.get_rng_state)

    @contextmanager
    def own_randomness(self) -> Iterator[None]:
        """The sides share one process, but not one stream of random numbers."""
        torch.set_rng_state(self.random_state)
        yield
        self.random_state = torch.get_rng_state()

    @property
    def median(self) -> float:
        """Seconds per image."""
        return statistics.median(self.seconds)


def options(about: str, device: bool = True, data: bool = True) -> argparse.ArgumentParser:
    """The options that every benchmark has; --device and --data where they matter."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    if device:
        parser.add_argument("--device", default="cpu", help="cpu or cuda")
    if data:
        parser.add_argument(
            "--data",
            type=Path,
            default=os.environ.get("ZEROSUM_DATA"),
            help="folder with the original MNIST files (or a parent of mnist/, cifar10/); default: $ZEROSUM_DATA, else "
            "generated images of the same shape",
        )
    parser.add_argument("--json", type=Path, help="also write the JSON line to this file")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    return parser


def add_slices(parser: argparse.ArgumentParser, steps: int, rounds: int = 7, what: str = "steps of a slice") -> None:
    """--rounds and --steps."""
    parser.add_argument("--rounds", type=int, default=rounds, help="counted rounds; in each, every side has one slice")
    parser.add_argument("--steps", type=int, default=steps, help=what)


def add_precision(
    parser: argparse.ArgumentParser, choices: Sequence[str] = ("both", "auto", "float32", "bfloat16")
) -> None:
    """--precision; its first choice is the default."""
    parser.add_argument(
        "--precision",
        choices=choices,
        default=choices[0],
        help="of our side; auto: bfloat16 where it is fast; both: float32, and bfloat16 where it is fast",
    )


def begin(args: argparse.Namespace) -> None:
    """Sets the threads and the smoke sizes."""
    args.device = getattr(args, "device", "cpu")
    if args.smoke and "rounds" in args:
        args.rounds, args.steps = 2, 2
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)


def precisions(wanted: str, device: str = "cpu") -> list[Precision]:
    """The precisions of our sides."""
    fast = has_amx() if device == "cpu" else torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "both":
        return ["float32", "bfloat16"] if fast else ["float32"]
    if wanted == "auto":
        return ["bfloat16" if fast else "float32"]
    return ["bfloat16" if wanted == "bfloat16" else "float32"]


# --- timing


def interleaved(sides: Sequence[Side], args: argparse.Namespace, warm_up: int | None = None) -> None:
    """Slices of `args.steps` steps, all sides in every round, so that the machine's noise meets all of them alike.

    Two uncounted slices come first. The order rotates, so that no side always follows the same one.
    """
    for side in sides:
        with side.own_randomness():
            side.play(warm_up or args.steps)
            side.play(warm_up or args.steps)
    for number in range(args.rounds):
        turn = number % len(sides)
        for side in (*sides[turn:], *sides[:turn]):
            with side.own_randomness():
                side.seconds.append(timed(side, args.steps, args.device))


def timed(side: Side, steps: int, device: str) -> float:
    """Seconds per image of one slice."""
    wait(device)
    begun = time.perf_counter()
    images = side.play(steps)
    wait(device)
    return (time.perf_counter() - begun) / images


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


# --- results


def ratio(slow: Side, fast: Side, least: float | None = None, goal: float | None = None) -> dict[str, Any]:
    """How many times faster `fast` is than `slow`: the median of the rounds' ratios, with their quartiles.

    Slices of one round see about the same machine, so this is steadier than the ratio of the two median times, also given.
    """
    rounds = [a / b for a, b in zip(slow.seconds, fast.seconds, strict=True)]
    low, value, high = statistics.quantiles(rounds, n=4, method="inclusive") if len(rounds) > 1 else rounds * 3
    found = {
        "name": f"{fast.name} over {slow.name}",
        "value": round(value, 4),
        "quartiles": [round(low, 4), round(high, 4)],
        "of_medians": round(slow.median / fast.median, 4),
        "rounds": len(rounds),
    }
    return found | {name: number for name, number in (("least", least), ("goal", goal)) if number is not None}


def summary(sides: Iterable[Side], images: int) -> dict[str, dict[str, float]]:
    """Each side's median and fastest time for so many images (a step's batch, say), and its images a second."""
    return {
        side.name: {
            "median_ms": round(side.median * images * 1e3, 3),
            "fastest_ms": round(min(side.seconds) * images * 1e3, 3),
            "samples_per_s": round(1 / side.median, 1),
        }
        for side in sides
    }


def show(sides: Mapping[str, Mapping[str, float]], ratios: Sequence[Mapping[str, Any]], per: str = "step") -> None:
    """Plain rows."""
    for name, numbers in sides.items():
        print(f"  {name:<44} {numbers['median_ms']:>10.2f} ms/{per} {numbers['samples_per_s']:>12,.0f} images/s")
    for found in ratios:
        low, high = found["quartiles"]
        wanted = "".join(f", {word} {found[word]:g}" for word in ("least", "goal") if word in found)
        print(f"  {found['name']}: {found['value']:.3f} (quartiles of the rounds {low:.3f} to {high:.3f}{wanted})")


def against_usual(
    usual: Sequence[Side],
    mine: Mapping[Precision, Side],
    wanted: Mapping[str, tuple[float, float | None]],
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Interleaves the usual loop, the usual loop with its data in memory, and our sides by precision; prints the rows.

    wanted: precision -> (least, goal) of the ratio to the usual loop. args.batch: images of a step.
    """
    interleaved([*usual, *mine.values()], args)
    loader = ratio(usual[0], usual[1])
    ratios = [ratio(usual[0], side, *wanted[precision]) for precision, side in mine.items()]
    ratios += [ratio(usual[1], side) for side in mine.values()] + [loader]
    sides = summary([*usual, *mine.values()], args.batch)
    show(sides, ratios)
    share = 1 - 1 / loader["value"]
    print(f"  the DataLoader takes {share:.0%} of the time of the {usual[0].name}")
    return {"sides": sides, "ratios": ratios, "loader_share": round(share, 4)}


def finish(name: str, args: argparse.Namespace, found: Mapping[str, Any]) -> dict[str, Any]:
    """Prints the JSON line, last, and writes it to --json; returns what it says."""
    setup = {
        key: str(item) if isinstance(item, Path) else item
        for key, item in vars(args).items()
        if key not in ("json", "data", "out")
    }
    line = {"benchmark": name, "machine": machine(args.device), "settings": setup, **found}
    text = json.dumps(line)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(text + "\n", encoding="utf-8")
    print(text, flush=True)
    return line


def machine(device: str = "cpu") -> dict[str, Any]:
    """What the numbers belong to."""
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:
        usable = os.cpu_count() or 1
    facts = {
        "cpu": _cpu(),
        "cores": usable,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "amx": has_amx(),
        "avx512_bf16": bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()),
        "load_average": [round(number, 2) for number in os.getloadavg()],
    }
    return facts | ({"gpu": torch.cuda.get_device_name()} if device.startswith("cuda") else {})


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model")]
        if len(lines) > 1:
            return f"{lines[1]} (model {lines[0]})"
    return platform.processor() or "unknown"
