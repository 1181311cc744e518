"""Two classes of a labelled source as folders without pairs: trainA/, trainB/, testA/ and testB/, as PNG files named
by their class (equal names on both sides would mean pairs).

python benchmarks/class_folders.py cifar10 horse deer horse2deer
zerosum train horse2deer
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from zerosum.data.images import pictures
from zerosum.domains.images import DOMAIN
from zerosum.recipe import part


def main() -> None:
    """Writes the folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("classes", nargs=2, metavar="CLASS")
    parser.add_argument("out", type=Path)
    wish = parser.parse_args()
    source = DOMAIN.data.open(part(wish.source), False)
    names = list(DOMAIN.info_of(source).class_names)
    for name in wish.classes:
        if name not in names:
            raise SystemExit(f"{wish.source} has no class {name!r}; it has {', '.join(names)}")
    for set_name, read, num in (
        ("train", source.batch, source.num_rows),
        ("test", source.heldout_batch, source.num_heldout),
    ):
        batch = read(torch.arange(num))
        assert batch.condition is not None, "classes are labels"
        for side, name in zip("AB", wish.classes, strict=True):
            folder = wish.out / f"{set_name}{side}"
            folder.mkdir(parents=True, exist_ok=True)
            chosen = pictures.to_pixels(batch.data[batch.condition == names.index(name)])
            for place, pixels in enumerate(chosen):
                pictures.to_pillow(pixels).save(folder / f"{name}-{place:05d}.png")


if __name__ == "__main__":
    main()
