"""What is known of data that do not exist."""

from __future__ import annotations

from typing import Any

import torch

from zerosum.domain import AttributeCondition, ClassCondition, Condition, DatasetInfo, OtherCondition, SampleInfo
from zerosum.domains.translation.sides import Side


def classes(num: int, each: int = 10) -> ClassCondition:
    """So many classes of equally many rows, named class0, class1 ..."""
    return ClassCondition((each,) * num, tuple(f"class{i}" for i in range(num)))


def attributes(num: int) -> AttributeCondition:
    """So many attributes a0, a1 ... with 20 example rows."""
    rows = torch.randn(20, num, generator=torch.Generator().manual_seed(5)).tolist()
    return AttributeCondition(tuple(f"a{i}" for i in range(num)), ((0.0, 1.0),) * num, tuple(map(tuple, rows)))


def of_images(
    size: int | tuple[int, int] = 8,
    channels: int = 1,
    rows: int = 100,
    condition: Condition | None = None,
    **payload: Any,
) -> DatasetInfo:
    """Of images; size: one number or (height, width)."""
    height, width = size if isinstance(size, tuple) else (size, size)
    axes = {"channels": channels, "height": height, "width": width}
    usual = {"num_images": rows, "flip": False, "crop": "centre", "background": "white", "measure": ""}
    sample = SampleInfo(axes, f"{width}x{height} images")
    return DatasetInfo("made", rows, 0, "f" * 64, sample, (), condition, usual | payload)


def of_pairs(given: Side, target: Side, paired: bool = True, **payload: Any) -> DatasetInfo:
    """Of a translation, in rows of 16x16."""
    axes = {"channels": target.channels, "height": 16, "width": 16}
    usual = {
        "input": given.to_dict(),
        "target": target.to_dict(),
        "paired": paired,
        "directions": 1 if paired else 2,
        "make": "",
        "num_images": [12, 12],
    }
    condition = OtherCondition("the input", (given.channels, 16, 16), examples=True)
    return DatasetInfo("made", 12, 0, "f" * 64, SampleInfo(axes, "a picture"), (), condition, usual | payload)


def of_shapes(points: int, **payload: Any) -> DatasetInfo:
    """Of shapes of so many points."""
    sample = SampleInfo({"points": points, "coordinates": 3}, "a shape")
    usual = {"normalise": "shape", "centre": [0.0, 0.0, 0.0], "radius": 1.0, "up": "z", "dtype": "float32"}
    return DatasetInfo("made", 10, 0, "f" * 64, sample, payload=usual | payload)


def of_sounds(samples: int = 512, rate: int = 8_000) -> DatasetInfo:
    """Of mono sounds of so many samples."""
    payload = {"rate": rate, "ending": ".wav", "subtype": "PCM_16", "normalise": "peak", "level": 0.5}
    sample = SampleInfo({"channels": 1, "samples": samples}, "a sound")
    return DatasetInfo("made", 10, 0, "f" * 64, sample, payload=payload)
