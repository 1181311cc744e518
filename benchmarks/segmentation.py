"""Segmentation networks that were trained on the images of a generator, against ones that were trained on real images.

    python benchmarks/segmentation.py RUN

RUN was trained on slices with label maps (recipe labels). The generator makes an image from the label map of each training row;
networks are trained on these pairs, on the real pairs, on those of one person, and on real images whose maps are exchanged; all
are tested on the real images of the held-out people.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zerosum.domains.medical import data, segmentation
from zerosum.generation.sampler import load
from zerosum.nn.layers import require_condition

MAX_ROWS, SEEDS = 2_000, (0, 1, 2)


def main() -> None:
    generator, recipe, _ = load(Path(sys.argv[1]))
    assert recipe.data is not None
    source = data.open_source(recipe.data, False)
    if source.payload.input != "labels" or not source.num_heldout:
        raise SystemExit("this needs a run with label maps as inputs and held-out people")
    torch.set_num_threads(1)
    order = torch.randperm(source.num_rows, generator=torch.Generator().manual_seed(0))[:MAX_ROWS]
    real, maps = rows(source.batch(order))
    first = source.train.rows[order, 0] == 0
    images = made(generator, maps)
    test, true = rows(source.heldout_batch(torch.arange(min(MAX_ROWS, source.num_heldout))))
    regions = segmentation.Regions.largest(maps, source.payload.codes.index(0))
    truth = regions.of(true)
    pairs = {
        "real": (real, maps),
        "made from the label maps": (images, maps),
        "real, of one person": (real[first], maps[first]),
        "real, maps exchanged": (real.roll(1, 0), maps),
    }
    counts = f"{len(test)} slices of held-out people, {len(real)} training slices"
    print(f"{len(regions) - 1} regions, {counts}, {segmentation.STEPS} steps")
    print("| trained on | Dice | error of volumes | seconds |\n| --- | --- | --- | --- |")
    for name, (shown, labels) in pairs.items():
        found = []
        begun = time.process_time()
        for seed in SEEDS:
            model = segmentation.trained(shown, labels, regions, seed)
            maps_found = segmentation.found_in(model, test)
            measures = segmentation.dice, segmentation.volume_error
            found.append([measure(maps_found, truth, len(regions)) for measure in measures])
        values = torch.tensor(found, dtype=torch.float64)
        mean, spread = values.mean(0).tolist(), values.std(0).tolist()
        seconds = (time.process_time() - begun) / len(SEEDS)
        print(
            f"| {name} | {mean[0]:.3f} ± {spread[0]:.3f} | {mean[1]:.3f} ± {spread[1]:.3f} | {seconds:.0f} |",
            flush=True,
        )


def rows(batch: Any) -> tuple[Tensor, Tensor]:
    """Images and label maps."""
    return batch.data, require_condition(batch.condition)


@torch.no_grad()
def made(generator: Any, maps: Tensor) -> Tensor:
    """One image for each label map, with a noise of its own."""
    parts = [generator.make(generator.noise(len(some), seed), some) for seed, some in enumerate(maps.split(32))]
    return torch.cat(parts).clamp(-1, 1)


if __name__ == "__main__":
    main()
