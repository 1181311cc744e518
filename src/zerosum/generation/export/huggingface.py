"""The layout of the Hugging Face hub, written without its library: config.json, model.safetensors, README.md, a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save

import zerosum
from zerosum import catalog
from zerosum.domain import PreviewContext
from zerosum.generation.export.card import model_card
from zerosum.generation.export.program import check_copy
from zerosum.generation.sampler import (
    EXAMPLES,
    HUB_CARD,
    HUB_WEIGHTS,
    TrainedGenerator,
    generator_card,
    generator_files,
)
from zerosum.jsonfile import read_object
from zerosum.store import write_durably

PREVIEW, README = "grid", "README.md"
"""The file of samples is "grid" with the ending of the domain's previews."""
COLUMNS, ROWS = 10, 6


def write(generator: TrainedGenerator, out: Path, licence: str | None) -> tuple[list[str], Mapping[str, Any]]:
    """The names of the files written, and the check of the folder that was loaded again. It can be used as a run folder is."""
    about = read_object(generator_files(generator.path)[1])
    network = generator.sampler.network
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    body = save(tensors, metadata={"format": "pt"})
    config = {
        "model_type": "zerosum-gan",
        "architectures": [type(network).__name__],
        "library_version": zerosum.__version__,
        **generator_card(
            body,
            catalog.with_public_paths(generator.recipe, generator.domain),
            generator.sampler.info,
            int(about.get("step", 0)),
        ),
    }
    write_durably(out / HUB_WEIGHTS, body)
    write_durably(out / HUB_CARD, (json.dumps(config, indent=1, ensure_ascii=False) + "\n").encode())
    examples = [EXAMPLES] if generator.sampler.examples is not None else []
    for name in examples:
        write_durably(out / name, (generator.path / name).read_bytes())
    copy = TrainedGenerator(out)
    found = check_copy(
        generator, lambda z, y=None: copy.domain.media.postprocess(copy.sampler.make(z, y), copy.recipe), 0.0
    )
    preview = PREVIEW + generator.domain.media.preview_ending
    _preview(generator, out / preview)
    write_durably(out / README, model_card(generator, config, licence, preview).encode())
    return [HUB_CARD, HUB_WEIGHTS, README, preview, *examples], {**found, "by": f"zerosum {zerosum.__version__}"}


def _preview(generator: TrainedGenerator, path: Path) -> None:
    """Samples of seed 0; where there are a few classes, a column for each."""
    classes = generator.sampler.info.num_classes
    by_class = generator.sampler.conditional and 2 <= classes <= 2 * COLUMNS
    columns = classes if by_class else COLUMNS
    labels = [index % columns for index in range(ROWS * columns)] if by_class else None
    num = generator.domain.media.num_shown or ROWS * columns
    labels = labels if not generator.domain.media.num_shown else None
    samples, noise, condition = (
        generator.sample(num, 0, labels),
        generator.sampler.noise(num, 0),
        generator.condition(num, 0, labels),
    )
    generator.domain.media.preview(
        samples, path, PreviewContext(columns, generator.sampler.info, noise, condition=condition)
    )
