"""The images of the benchmarks: MNIST and CIFAR-10 where their files are given, else generated stand-ins of the same shape."""

from __future__ import annotations

from pathlib import Path

import torch

from zerosum.data.images import named_datasets
from zerosum.domains.images.data import Images, ImageSource, Shape, open_source
from zerosum.errors import UserError

NUM_TRAIN, NUM_HELDOUT, NUM_CLASSES = 60_000, 10_000, 10


def load(name: str, data: Path | str | None, smoke: bool = False) -> tuple[ImageSource, str]:
    """The named source from the folder `data`, and a word about it; generated when the folder has none of its files."""
    info = named_datasets.SOURCES[name]
    shape = info.details["shape"]
    if data is not None and not smoke:
        root = Path(data)
        if not root.is_dir():
            raise UserError(f"--data {root}: there is no such folder.")
        for place in (root, *(root / folder for folder in info.folders)):
            if place.is_dir() and named_datasets.layout_of(place) is not None:
                source = open_source(str(place))
                if source.shape == shape:
                    return source, f"{name}, {len(source.train):,} images"
    return generated(shape, smoke), f"generated images of the shape of {name} (no files of it in --data)"


def generated(shape: Shape, smoke: bool = False) -> ImageSource:
    """Ten smooth random shapes, one a class, each image shifted, scaled in contrast and made noisy; the same every time."""
    scale = 50 if smoke else 1
    train, heldout = (_images(shape, count // scale, seed) for seed, count in ((0, NUM_TRAIN), (1, NUM_HELDOUT)))
    names = tuple(str(label) for label in range(NUM_CLASSES))
    title = f"generated-{shape.channels}x{shape.height}x{shape.width}-{len(train)}"
    return ImageSource(title, shape, train, heldout, names, (), title)


def _images(shape: Shape, count: int, seed: int) -> Images:
    random = torch.Generator().manual_seed(100)
    coarse = torch.randn(NUM_CLASSES, shape.channels, 5, 5, generator=random)
    size = (shape.height, shape.width)
    forms = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").mul_(2).sigmoid_()
    random.manual_seed(seed)
    labels = torch.randint(NUM_CLASSES, (count,), generator=random)
    parts = []
    for part in torch.split(labels, 50):
        shift = torch.randint(-3, 4, (2,), generator=random).tolist()
        contrast = 0.6 + 0.4 * torch.rand(len(part), 1, 1, 1, generator=random)
        noise = 0.05 * torch.randn(len(part), *forms.shape[1:], generator=random)
        moved = forms.roll(shift, (2, 3))[part]
        parts.append((moved * contrast + noise).clamp(0, 1).mul(255).to(torch.uint8))
    return Images(torch.cat(parts), labels)
