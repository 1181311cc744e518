"""What is exported: one function from noise [and condition] to samples, its description, and the check of a copy of it.

Legend: N rows (the batch, free), L latent size, A attributes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zerosum.errors import UserError
from zerosum.generation.sampler import Sampler, TrainedGenerator

NOISE, SAMPLES = "noise", "samples"
BATCHES = (1, 2, 7, 16)
"""Sizes of the batches on which a copy is held against the original."""
FEWEST_BATCHES, ENOUGH_S = 2, 5.0
"""The least number of them, and the seconds after which no further one is tried."""
ROUNDING = 1e-5
"""A relative change of the inputs, larger than rounding errors."""


class Program(nn.Module):
    """The generator with its samples brought into the domain's range: for images [-1, 1]."""

    def __init__(self, generator: TrainedGenerator) -> None:
        super().__init__()
        self.network = generator.sampler.network
        self._postprocess, self._recipe = generator.domain.media.postprocess, generator.recipe

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) [, labels (N,) or attributes (N, A)] -> (N, ...)."""
        samples: Tensor = self.network(noise) if condition is None else self.network(noise, condition)
        return self._postprocess(samples, self._recipe)


def example_arguments(sampler: Sampler, num: int, seed: int) -> tuple[Tensor, ...]:
    """Arguments of the program: noise (N, L) and, where the generator has one, a condition."""
    condition = sampler.conditions(num, seed)
    return (sampler.noise(num, seed),) if condition is None else (sampler.noise(num, seed), condition)


def condition_name(sampler: Sampler) -> str | None:
    """labels, attributes or (drawn by the domain) condition: what the second argument is called; None without."""
    if not sampler.conditional:
        return None
    names = {"classes": "labels", "attributes": "attributes"}
    return names.get(sampler.info.condition.kind if sampler.info.condition else "", "condition")


def describe_program(generator: TrainedGenerator) -> dict[str, Any]:
    """What somebody needs who has the exported file alone: inputs, output, range, prior, classes, where it comes from."""
    sampler, info = generator.sampler, generator.sampler.info
    shape = list(sampler.sample(1).shape[1:])
    inputs: list[dict[str, Any]] = [{"name": NOISE, "dtype": "float32", "shape": ["batch", sampler.prior.size]}]
    condition = condition_name(sampler)
    if condition == "labels":
        inputs.append({"name": condition, "dtype": "int64", "shape": ["batch"]})
    elif condition == "attributes":
        inputs.append({"name": condition, "dtype": "float32", "shape": ["batch", info.num_attributes]})
    elif condition:
        given = example_arguments(sampler, 1, 0)[1]
        inputs.append({"name": condition, "dtype": "float32", "shape": ["batch", *given.shape[1:]]})
    prior: dict[str, Any] = {"kind": sampler.prior.kind, "size": sampler.prior.size}
    if sampler.prior.kind == "truncated_normal":
        prior["limit"] = sampler.prior.limit
    return {
        "inputs": inputs,
        "output": {"name": SAMPLES, "dtype": "float32", "shape": ["batch", *shape]},
        "range": [-1, 1] if generator.domain.media.pixels else None,
        "prior": prior,
        "classes": list(info.class_names) if condition == "labels" else [],
        "attributes": list(info.attribute_names) if condition == "attributes" else [],
        "recipe": generator.recipe.name,
        "source": info.name,
    }


def check_copy(generator: TrainedGenerator, copy: Callable[..., Tensor], tolerance: float) -> Mapping[str, Any]:
    """The largest difference between a copy and the original on several batches; UserError above the tolerance.

    A network that lets rounding errors grow, as many iterations of Griffin-Lim do, is allowed more than `tolerance`: as much as
    a change of its inputs by ROUNDING changes the original.
    """
    differences, tried, begun = [], list[tuple[tuple[Tensor, ...], Tensor]](), time.monotonic()
    for seed, num in enumerate(BATCHES):
        if len(tried) >= FEWEST_BATCHES and time.monotonic() - begun > ENOUGH_S:
            break
        arguments = example_arguments(generator.sampler, num, seed)
        original, made = _samples(generator, arguments), copy(*arguments)
        tried.append((arguments, original))
        if made.shape != original.shape:
            raise UserError(
                f"The exported generator makes {tuple(made.shape)} of {num} rows, not {tuple(original.shape)}."
            )
        differences.append((made - original).abs().max())
    worst = float(torch.stack(differences).max())
    if tolerance < worst < math.inf:
        tolerance = max(tolerance, *(_growth_of_rounding(generator, *one) for one in tried))
    if not worst <= tolerance:  # what is not a number fails too
        raise UserError(
            f"The exported generator differs from the original by {worst:.2g}, more than the tolerance {tolerance:.2g}; "
            "it was not kept."
        )
    return {"largest_difference": worst, "tolerance": tolerance, "batches": [len(original) for _, original in tried]}


def _samples(generator: TrainedGenerator, arguments: tuple[Tensor, ...]) -> Tensor:
    made = generator.sampler.make(arguments[0], arguments[1] if len(arguments) > 1 else None)
    return generator.domain.media.postprocess(made, generator.recipe)


def _growth_of_rounding(generator: TrainedGenerator, arguments: tuple[Tensor, ...], original: Tensor) -> float:
    """The largest change of a sample of the original when its arguments change by ROUNDING."""
    rng = torch.Generator().manual_seed(0)
    changed = tuple(
        one * (1 + ROUNDING * torch.randn(one.shape, generator=rng)) if one.is_floating_point() else one
        for one in arguments
    )
    return float((_samples(generator, changed) - original).abs().max())


def dynamic_batch(arguments: tuple[Tensor, ...]) -> tuple[dict[int, Any], ...]:
    """The dynamic shapes of torch.export: the first dimension of every argument is the batch."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    return tuple({0: batch} for _ in arguments)
