"""Small generators of every family, published with random weights: what a folder of a training would hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import infos
from zerosum import catalog
from zerosum.api import Run, load
from zerosum.domain import DatasetInfo
from zerosum.generation.sampler import Sampler, publish
from zerosum.recipe import Recipe, part

FAMILIES: dict[str, dict[str, Any]] = {
    "mlp": {"widths": [32]},
    "conv": {"width": 8},
    "sigmoid": {},
    "resnet": {"width": 8},
    "biggan": {"width": 8},
    "style": {"width": 8, "max_width": 16, "mapping_layers": 2},
    "r3": {},
    "light": {},
}
"""Kind of generator -> options that keep it small."""


def info(classes: int = 0, attributes: int = 0, channels: int = 1, size: int = 16) -> DatasetInfo:
    condition = infos.attributes(attributes) if attributes else infos.classes(classes) if classes else None
    return infos.of_images(size, channels, 10 * max(classes, 1), condition)


def generator(
    folder: Path, kind: str = "conv", *, latent: int = 32, prior: dict[str, Any] | None = None, seed: int = 0, **of: Any
) -> Run:
    """The run of a published folder; `of` goes to `info`, `options` among them to the network. conditional=False: it is told
    no class."""
    options, conditional = {**FAMILIES.get(kind, {}), **of.pop("options", {})}, of.pop("conditional", True)
    about = info(**of)
    recipe = Recipe(
        name="small",
        why="for tests",
        generator=part(kind, **options),
        discriminator=part("mlp"),
        prior={"size": latent, **(prior or {})},
        conditional=conditional and about.condition is not None,
        seed=seed,
    )
    network = catalog.domain("images").game.build(recipe, about).players["generator"]
    settle(network, Sampler(network, recipe.prior, about, recipe.conditional is True))
    folder.mkdir(parents=True, exist_ok=True)
    publish(folder, network, recipe, about, 7)
    return load(folder)


def settle(network: torch.nn.Module, sampler: Sampler) -> None:
    """Running statistics as training leaves them: those of the batch, and of w. Conditions that begin silent are heard."""
    network.train()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for weight in network.parameters():
            if weight.dim() == 2 and not weight.any():
                weight.normal_(std=0.3)
        for seed in range(25):
            condition = sampler.conditions(32, seed)
            network(sampler.noise(32, seed), *([] if condition is None else [condition]))
    network.eval()
