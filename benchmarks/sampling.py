"""Sampling from a published generator: Run.sample against a bare forward pass at the same batch size, interleaved.

The bare side has its noise (and labels) drawn beforehand, calls the network under inference_mode and throws its output away.
Ours draws the noise from the seed, collects the images, takes them to the CPU and clamps them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import measuring
import pictures
from zerosum import api, catalog
from zerosum.domains.images.data import ImageSource
from zerosum.generation.sampler import BATCH, publish

CASES = (("mlp", "mnist"), ("dcgan", "mnist"), ("dcgan", "cifar10"), ("rpgan", "cifar10"))
LEAST = 0.95


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, returns the JSON line."""
    parser = measuring.options((__doc__ or "").splitlines()[0], data=False)
    measuring.add_slices(parser, steps=1, what="calls of a slice")
    parser.add_argument("--num", type=int, default=2048, help="samples of one call")
    parser.add_argument("--batch", type=int, default=BATCH, help="rows of one forward pass, on both sides")
    args = parser.parse_args(argv)
    measuring.begin(args)
    if args.smoke:
        args.num, args.batch = 64, 32
    sides: dict[str, Any] = {}
    ratios: list[dict[str, Any]] = []
    for recipe, data in CASES[:2] if args.smoke else CASES:
        found, more = _compare(recipe, pictures.load(data, None, True)[0], args)
        sides |= found
        ratios.append(more)
    print(f"{args.num} samples a call, {args.batch} a forward pass; the ratio is our throughput over the bare one's")
    measuring.show(sides, ratios, per="call")
    return measuring.finish(
        "sampling", args, {"data": "none: generators of the given shapes, untrained", "sides": sides, "ratios": ratios}
    )


def _compare(recipe: str, source: ImageSource, args: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        loaded = _published(recipe, source, Path(folder), args.device)
    shape = source.shape
    num = int(args.num)
    label = f"{recipe} {shape.height}x{shape.width}x{shape.channels}"
    bare = measuring.Side(f"bare forward, {label}", _bare(loaded, num, args.batch))

    def play(steps: int) -> int:
        for seed in range(steps):
            loaded.sample(num, seed, batch=args.batch)
        return steps * num

    mine = measuring.Side(f"zerosum sample, {label}", play)
    measuring.interleaved([bare, mine], args, warm_up=1)
    return measuring.summary([bare, mine], num), measuring.ratio(bare, mine, LEAST)


def _published(recipe: str, source: ImageSource, folder: Path, device: str) -> api.Run:
    """A fresh generator of the recipe, written to a folder and loaded from there as any user loads one."""
    domain = catalog.domain("images")
    info = domain.info_of(source)
    chosen = domain.recipes.table[recipe]
    chosen = chosen.changed(conditional=chosen.conditional is not False, device=device)
    publish(folder, domain.game.build(chosen, info).players["generator"], chosen, info, 0)
    return api.load(folder, device)


def _bare(loaded: api.Run, num: int, batch: int) -> Callable[[int], int]:
    sampler = loaded.sampler
    noise = torch.split(torch.randn(num, sampler.prior.size, device=sampler.device), batch)
    labels = sampler.conditions(num, 0)
    conditions = [None] * len(noise) if labels is None else list(torch.split(labels.to(sampler.device), batch))

    def play(steps: int) -> int:
        with torch.inference_mode():
            for _ in range(steps):
                for z, label in zip(noise, conditions, strict=True):
                    sampler.network(z) if label is None else sampler.network(z, label)
        return steps * num

    return play


if __name__ == "__main__":
    main()
