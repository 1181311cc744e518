"""Quality at equal time on MNIST: our recipes, the usual DCGAN script and the tutorial's MLP loop, each trained equally long.

Only training counts, on every side: the sides take turns in slices of a few seconds, so that the machine's noise meets all of
them alike. At each mark all are judged by the features of one classifier trained on the labels: Fréchet distance of 10,000
samples to the 10,000 test images (with its floor: as many training images in the samples' place), class shares,
classes found, diversity. Sample grids are written beside. The usual sides are sampled as their scripts do it; ours are
sampled as published: average generator, evaluation mode.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import measuring
import pictures
import usual
from zerosum import catalog
from zerosum.data.images.pictures import save_grid
from zerosum.domains.images.data import Images, ImageSource, to_pixels
from zerosum.engine import Stepped
from zerosum.engine.seeds import derive
from zerosum.generation.sampler import Sampler
from zerosum.metrics.classes import class_coverage
from zerosum.metrics.distances import frechet_distance
from zerosum.metrics.feature_networks import SmallClassifier, cached_classifier, extract
from zerosum.metrics.neighbours import diversity
from zerosum.planning import plan

NUM_SAMPLES, NUM_SPREAD = 10_000, 500
MOST_OF_SCRIPT, MOST_DEVIATION = 0.25, 0.3


@dataclass
class Player:
    """One side: plays a step at a time, samples when asked. seconds, steps: of its own training so far."""

    name: str
    side: measuring.Side
    sample: Callable[[int], Tensor]
    about: str
    seconds: float = 0.0
    steps: int = 0

    def train(self, until: float) -> None:
        """Trains until its own clock says `until`."""
        with self.side.own_randomness():
            before = time.perf_counter()
            while self.seconds < until:
                self.side.play(1)
                now = time.perf_counter()
                self.seconds, before, self.steps = self.seconds + now - before, now, self.steps + 1


# --- the sides


def recipe_player(name: str, source: ImageSource, precision: str, smoke: bool) -> Player:
    """One of our recipes as `zerosum train` would play it."""
    domain = catalog.domain("images")
    info = domain.info_of(source)
    recipe = domain.recipes.table[name]
    with_labels = recipe.conditional is not False
    recipe = recipe.changed(conditional=with_labels, device="cpu", precision=precision)
    if smoke and recipe.generator.kind == "conv":
        recipe = recipe.changed(generator={"kind": "conv", "width": 4}, discriminator={"kind": "conv", "width": 4})
    match = plan.training_loop(plan.Plan(recipe, domain, source, info))
    events = match.run(10**12)

    def play(steps: int) -> int:
        done = 0
        while done < steps:
            done += isinstance(next(events), Stepped)
        return steps * recipe.batch

    network = match.average.network if match.average else match.game.players["generator"]
    sampler = Sampler(network, recipe.prior, info, with_labels)
    about = f"recipe {name}{' with labels' if with_labels else ''}, {recipe.precision}, average generator"
    return Player(f"zerosum-{name}", measuring.Side(name, play), lambda num: sampler.sample(num, seed=1), about)


def usual_players(source: ImageSource, smoke: bool) -> list[Player]:
    """The script and the tutorial, with their DataLoaders."""
    torch.manual_seed(0)
    script = usual.DcganScript(source.shape, usual.from_loader(source.train, 64), 4 if smoke else 64)
    loop = usual.TutorialLoop(source.shape, usual.from_loader(source.train, 128))
    return [
        Player(
            "dcgan-script",
            measuring.Side("dcgan-script", script.play),
            script.sample,
            "float32, batch 64, Adam 2e-4 (0.5, 0.999)",
        ),
        Player("tutorial-mlp", measuring.Side("tutorial-mlp", loop.play), loop.sample, "float32, batch 128, Adam 1e-3"),
    ]


# --- judging


class Judge:
    """One classifier's features of the test images, and everything compared with them."""

    def __init__(self, source: ImageSource, smoke: bool) -> None:
        assert source.heldout is not None, "the test images are needed"
        assert source.train.labels is not None, "the labels are needed"
        self.source, self.num_classes = source, source.shape.num_classes
        self.classifier, sha256 = cached_classifier(
            source.train.pixels,
            source.train.labels,
            source.fingerprint,
            num_classes=self.num_classes,
            steps=20 if smoke else None,
        )
        self.name = f"{source.name}-classifier-{sha256[:8]}"
        self.num = min(NUM_SAMPLES, len(source.heldout))
        self.real = extract(self.classifier, source.heldout.pixels[: self.num])
        self.shares = self._shares(source.heldout)
        order = torch.randperm(len(source.train), generator=torch.Generator().manual_seed(derive("floor")))
        self.floor = self.judge(source.train.pixels[order[: self.num]])

    def _shares(self, images: Images) -> list[float]:
        assert images.labels is not None
        counts: list[float] = torch.bincount(images.labels[: self.num], minlength=self.num_classes).double().tolist()
        return counts

    def judge(self, pixels: Tensor) -> dict[str, Any]:
        """The numbers of uint8 images (N, C, H, W)."""
        classifier: SmallClassifier = self.classifier
        features = extract(classifier, pixels)
        found = class_coverage(classifier.head(features), self.num_classes, self.shares)
        spread = diversity(features[:NUM_SPREAD]) / diversity(self.real[:NUM_SPREAD])
        return {
            "frechet": round(frechet_distance(self.real, features), 3),
            "classes_found": found.classes_found,
            "largest_share_deviation": round(found.largest_deviation, 4),
            "shares": [round(share, 4) for share in found.shares],
            "diversity_ratio": round(spread, 4),
        }


# --- the comparison


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains, judges at every mark, prints, returns the JSON line."""
    args = _arguments(argv)
    measuring.begin(args)
    source, about = pictures.load("mnist", args.data, args.smoke)
    judge = Judge(source, args.smoke)
    precision = measuring.precisions(args.precision)[-1]
    players = [recipe_player(name, source, precision, args.smoke) for name in args.recipe]
    players += usual_players(source, args.smoke)
    for player in players:
        print(f"  {player.name}: {player.about}")
    marks = []
    for mark in sorted(args.seconds):
        _train(players, mark, args)
        marks.append(_judged(players, judge, mark, args.out))
        _show(marks[-1], judge)
    found = {"data": about, "extractor": judge.name, "num_samples": judge.num, "real_against_real": judge.floor}
    summaries = {player.name: player.about for player in players}
    return measuring.finish("quality_at_time", args, found | {"players": summaries, "marks": marks})


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = measuring.options((__doc__ or "").splitlines()[0], device=False)
    measuring.add_precision(parser, ("auto", "float32", "bfloat16"))
    parser.add_argument("--seconds", type=float, nargs="+", default=[120.0], help="marks at which all sides are judged")
    parser.add_argument("--recipe", nargs="+", default=["dcgan"], help="recipes of our sides, such as dcgan rpgan")
    parser.add_argument(
        "--slice", type=float, default=5.0, help="seconds that a side trains before the next one's turn"
    )
    parser.add_argument("--sequential", action="store_true", help="one side after the other instead of slices")
    parser.add_argument("--out", type=Path, default=Path("quality-at-time"), help="folder of the sample grids")
    args = parser.parse_args(argv)
    if args.smoke:
        args.seconds, args.slice = [0.2], 0.1
    return args


def _train(players: Sequence[Player], mark: float, args: argparse.Namespace) -> None:
    """Every side's own clock to the mark, in turns."""
    if args.sequential:
        for player in players:
            player.train(mark)
        return
    reached = min(player.seconds for player in players)
    while reached < mark:
        reached = min(mark, reached + args.slice)
        for player in players:
            player.train(reached)


def _judged(players: Sequence[Player], judge: Judge, mark: float, out: Path) -> dict[str, Any]:
    """All sides' numbers at a mark, each one's grid, and our distances over the script's."""
    out.mkdir(parents=True, exist_ok=True)
    sides = {}
    for player in players:
        with player.side.own_randomness():
            samples = player.sample(judge.num)
        path = out / f"{player.name}-{mark:g}s.png"
        save_grid(samples[:100], 10, path)
        numbers = judge.judge(to_pixels(samples))
        steps = {"steps": player.steps, "seconds": round(player.seconds, 2), "grid": path.name}
        sides[player.name] = numbers | steps
    script = sides["dcgan-script"]["frechet"]
    ours = {name: numbers for name, numbers in sides.items() if name.startswith("zerosum-")}
    ratios = {f"{name} over dcgan-script": round(each["frechet"] / script, 4) for name, each in ours.items()}
    return {"seconds": mark, "sides": sides, "frechet_ratios": ratios, "most_ratio": MOST_OF_SCRIPT}


def _show(mark: dict[str, Any], judge: Judge) -> None:
    print(f"after {mark['seconds']:g} s of training each, judged by {judge.name}, {judge.num:,} samples")
    rows = {"real against real": judge.floor | {"steps": 0}} | mark["sides"]
    for name, row in rows.items():
        print(
            f"  {name:<20} Fréchet {row['frechet']:9.2f}   classes {row['classes_found']:>2}   "
            f"largest share deviation {row['largest_share_deviation']:6.1%}   diversity {row['diversity_ratio']:.2f}   "
            f"steps {row['steps']:,}"
        )
    for name, value in mark["frechet_ratios"].items():
        print(f"  Fréchet distance, {name}: {value:.3f} (at most {MOST_OF_SCRIPT}; shares within {MOST_DEVIATION:.0%})")


if __name__ == "__main__":
    main()
