"""Feature extractors of images, by name: in which features real and generated images are compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from zerosum.domain.eval_options import EvalOptions
from zerosum.domains.images.extractors import file, inception, own, random
from zerosum.domains.images.extractors.extractor import Extractor
from zerosum.errors import UserError, known_as

if TYPE_CHECKING:
    from zerosum.domains.images.data import ImageSource

__all__ = ["EXTRACTORS", "Extractor", "chosen", "labeller"]

EXTRACTORS: dict[str, Callable[[ImageSource, EvalOptions, Path | None], Extractor]] = {
    "classifier": own.make,
    "random": random.make,
    "inception": inception.make,
    "file": file.make,
}


def chosen(source: ImageSource, choice: EvalOptions, cache_dir: Path | None = None) -> Extractor:
    """The extractor asked for; by default the classifier of the source's labels, or the random network without labels.

    UserError for an unknown name, and when the extractor cannot be had.
    """
    name, colon, rest = choice.extractor.partition(":")
    if colon and name != "file":
        raise UserError(
            f"--extractor {choice.extractor!r}: only file:PATH takes something behind a colon, not {rest!r}."
        )
    if not name:
        name = "classifier" if own.possible(source) else "random"
    offered = {"file:PATH" if one == "file" else one: make for one, make in EXTRACTORS.items()}
    make = EXTRACTORS["file"] if name == "file" else known_as(name, offered, "extractor")
    if choice.weights is not None and name != "inception":
        raise UserError(f"--weights: the extractor {name!r} takes none; they belong to --extractor inception.")
    return make(source, choice, cache_dir)


def labeller(source: ImageSource, cache_dir: Path | None = None) -> Extractor | None:
    """The classifier of the source's own labels, None when it has none: it says which class a generated image shows."""
    return own.make(source, EvalOptions(), cache_dir) if own.possible(source) else None
