"""The training runs behind docs/results.md: recipe against recipe for the same time, few-shot faces, Stacked-MNIST.

Each run is a `zerosum train` that anybody can type; each group is measured by `zerosum compare`, under one protocol. A run
that is already finished in the folder is not trained again, so the program can be stopped and started.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One run: name in its group, data, recipe, and what else is set."""

    name: str
    data: str
    recipe: str
    settings: tuple[str, ...] = ()

    def command(self, minutes: float, out: Path) -> list[str]:
        """What is typed."""
        settings = [word for setting in self.settings for word in ("--set", setting)]
        options = ["--recipe", self.recipe, "--minutes", f"{minutes:g}", *settings, "--out", str(out)]
        return ["zerosum", "train", self.data, *options]


@dataclass(frozen=True)
class Group:
    """Runs that are compared with one another, each trained for so many minutes."""

    minutes: float
    entries: Sequence[Entry]


def recipes_on(data: str, *names: str, settings: tuple[str, ...] = ()) -> list[Entry]:
    """One entry a recipe."""
    return [Entry(name, data, name, settings) for name in names]


PLAIN = ("penalties={}", "loss=non_saturating", "discriminator.norm=batch", "learning.generator.lr=2e-4")
"""The DCGAN of 2015 with the loss of 2014: no penalty, batch normalisation in both networks, the usual rates."""

FAMILIES = ("rpgan", "sngan", "biggan-s", "stylegan2-s", "r3gan-s")
GROUPS = {
    "mnist": Group(4, recipes_on("mnist", "cgan", *FAMILIES)),
    "fashion-mnist": Group(4, recipes_on("fashion-mnist", "cgan", *FAMILIES)),
    "cifar10": Group(6, recipes_on("cifar10", "cgan", *FAMILIES)),
    "faces": Group(
        3,
        recipes_on(
            "olivetti-faces",
            *("dcgan", "rpgan-64", *FAMILIES, "fewshot"),
            settings=("conditional=false", "data.flip=false"),  # the same images for all
        ),
    ),
    "few-shot": Group(
        15,
        [
            Entry("fewshot", "olivetti-faces", "fewshot", ("conditional=false",)),
            Entry("fewshot-plain", "olivetti-faces", "fewshot", ("conditional=false", "augment=null")),
            Entry("fewshot-100", "olivetti-faces", "fewshot", ("conditional=false", "data.max_images=100")),
            Entry(
                "fewshot-100-plain",
                "olivetti-faces",
                "fewshot",
                ("conditional=false", "data.max_images=100", "augment=null"),
            ),
        ],
    ),
    "stacked-mnist": Group(
        28,
        [
            Entry("rpgan", "stacked-mnist", "rpgan"),
            Entry("dcgan-2014", "stacked-mnist", "dcgan", (*PLAIN, "learning.discriminator.lr=2e-4")),
        ],
    ),
    "cifar10-long": Group(30, recipes_on("cifar10", "rpgan")),
}


def finished(folder: Path) -> bool:
    """Whether the folder holds a run that came to its end."""
    status = folder / "status.json"
    return status.is_file() and json.loads(status.read_text()).get("state") == "finished"


def play(group: str, out: Path, minutes: float | None, threads: int) -> list[Path]:
    """Trains what is missing of a group; the folders of all its runs."""
    wanted = GROUPS[group]
    folders = []
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    for entry in wanted.entries:
        folder = out / group / entry.name
        folders.append(folder)
        if not finished(folder):
            command = entry.command(minutes or wanted.minutes, folder)
            print("$", shlex.join(command), file=sys.stderr, flush=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(command, check=True, env=environment)
    return folders


def main() -> None:
    """Trains and compares the groups asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help=f"of {', '.join(GROUPS)}; default: all")
    parser.add_argument("--out", type=Path, default=Path("runs/results"), help="where the runs lie")
    parser.add_argument("--minutes", type=float, help="of every run, instead of the group's own")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    args = parser.parse_args()
    for group in args.groups or GROUPS:
        folders = play(group, args.out, args.minutes, args.threads)
        if len(folders) > 1:
            picture = args.out / f"{group}.png"
            subprocess.run(["zerosum", "compare", *map(str, folders), "--out", str(picture)], check=True)


if __name__ == "__main__":
    main()
