"""Small generators of every family, published with random weights: what a folder of a training would hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from zerosum import catalog
from zerosum.api import Run, load
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


def facts(classes: int = 0, attributes: int = 0, channels: int = 1, size: int = 16) -> dict[str, Any]:
    told: dict[str, Any] = {"num_attributes": attributes}
    if attributes:
        rows = torch.randn(20, attributes, generator=torch.Generator().manual_seed(5)).tolist()
        names = [f"a{i}" for i in range(attributes)]
        told |= {"attribute_names": names, "attribute_rows": rows, "attribute_scales": [[0.0, 1.0]] * attributes}
    return {
        "name": "made",
        "channels": channels,
        "height": size,
        "width": size,
        "num_classes": classes,
        "class_names": [f"class{i}" for i in range(classes)],
        "class_counts": [10] * classes,
        "num_rows": 10 * max(classes, 1),
        "num_heldout": 0,
        "fingerprint": "f" * 64,
        "notes": [],
        **told,
    }


def generator(
    folder: Path, kind: str = "conv", *, latent: int = 32, prior: dict[str, Any] | None = None, seed: int = 0, **of: Any
) -> Run:
    """The run of a published folder; `of` goes to `facts`, `options` among them to the network. conditional=False: it is told
    no class."""
    options, told = {**FAMILIES.get(kind, {}), **of.pop("options", {})}, of.pop("conditional", True)
    about = facts(**of)
    recipe = Recipe(
        name="small",
        why="for tests",
        generator=part(kind, **options),
        discriminator=part("mlp"),
        prior={"size": latent, **(prior or {})},
        conditional=told and bool(about["num_classes"] or about["num_attributes"]),
        seed=seed,
    )
    network = catalog.domain("images").game(recipe, about).players["generator"]
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
