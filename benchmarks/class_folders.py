"""Two classes of a labelled source as folders without pairs: trainA/, trainB/, testA/ and testB/, as PNG files named
by their class (equal names on both sides would mean pairs).

python benchmarks/class_folders.py cifar10 horse deer horse2deer
zerosum train horse2deer
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from zerosum.domains.images import DOMAIN
from zerosum.engine.game import Batch
from zerosum.recipe import part


def chosen(batch: Batch, number: int) -> Tensor:
    """(N, H, W, C) uint8 of the images with this label."""
    assert batch.condition is not None
    images = batch.data[batch.condition == number]
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)


def main() -> None:
    """Writes the folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("classes", nargs=2, metavar="CLASS")
    parser.add_argument("out", type=Path)
    wish = parser.parse_args()
    source = DOMAIN.open(part(wish.source), False)
    names = list(DOMAIN.facts(source)["class_names"])
    for name in wish.classes:
        if name not in names:
            raise SystemExit(f"{wish.source} has no class {name!r}; it has {', '.join(names)}")
    for set_name, read, num in (
        ("train", source.batch, source.num_rows),
        ("test", source.heldout_batch, source.num_heldout),
    ):
        batch = read(torch.arange(num))
        for side, name in zip("AB", wish.classes, strict=True):
            folder = wish.out / f"{set_name}{side}"
            folder.mkdir(parents=True, exist_ok=True)
            for place, image in enumerate(chosen(batch, names.index(name))):
                Image.fromarray(image.numpy().squeeze()).save(folder / f"{name}-{place:05d}.png")


if __name__ == "__main__":
    main()
