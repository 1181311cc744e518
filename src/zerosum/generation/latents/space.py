"""Latent spaces: z, the noise of the prior, and w, the styles that a mapping network makes of it.

Legend: N rows, L noise size, W style size, S styles a sample (one for each layer of the synthesis network).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from zerosum.domain import ClassCondition, OtherCondition
from zerosum.errors import Damaged, UserError, within
from zerosum.generation.labelled_grid import Layout
from zerosum.generation.latents.class_interpolation import blended_embeddings, interpolate_conditions
from zerosum.generation.sampler import TrainedGenerator, write_samples
from zerosum.nn import latent
from zerosum.store import decode, encode, write_durably, writing

Name = Literal["z", "w"]
BATCH = 64
MOST_FRAMES = 100_000
GRID = 64
"""A seed names the grid of this many samples that `zerosum sample --seed` makes."""


@dataclass(frozen=True)
class Latents:
    """Points of a latent space: values z (N, L) or w (N, S, W), and their condition.

    condition: labels (N,) int64, class weights (N, K) or attributes (N, A) float32; None without.
    """

    space: Name
    values: Tensor
    condition: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Tensor | slice) -> Latents:
        return replace(
            self, values=self.values[rows], condition=None if self.condition is None else self.condition[rows]
        )

    def save(self, path: Path) -> None:
        """As safetensors: the tensor "z" or "w", and "condition" where there is one."""
        tensors = {self.space: self.values} | ({} if self.condition is None else {"condition": self.condition})
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, encode(tensors))

    @classmethod
    def load(cls, path: Path) -> Latents:
        """The inverse of save; UserError for any other file."""
        try:
            tensors = decode(path.read_bytes(), path)
        except OSError as error:
            raise UserError(f"The latents {path} cannot be read: {error.strerror or error}.") from None
        except Damaged as error:
            raise UserError(str(error)) from None
        for space in ("z", "w"):
            if space in tensors:
                return cls(space, tensors[space], tensors.get("condition"))
        raise UserError(f"{path} holds no latents: it has neither a tensor z nor w, as `zerosum project` writes them.")


class Space:
    """One latent space of a generator: draws points, joins them by paths and renders them.

    name: "w" needs a mapping network; None takes w where there is one, else z.
    """

    def __init__(self, generator: TrainedGenerator, name: str | None = None) -> None:
        self.generator, self.sampler = generator, generator.sampler
        self.network: Any = generator.sampler.network
        mapped = isinstance(self.network, latent.MappedGenerator)
        if name not in (None, "z", "w"):
            raise UserError(f"--space {name}: choose z (the noise) or w (the styles of a mapping network).")
        if name == "w" and not mapped:
            raise UserError(f"--space w: the generator of {generator.path} has no mapping network. Use --space z.")
        self.name: Name = "w" if mapped and name != "z" else "z"
        self._refuse_useless_noise()

    def keys(
        self, wanted: Sequence[str], labels: Sequence[int | str] | None = None, truncation: float = 1.0
    ) -> Latents:
        """The latents of samples named "S" or "S:I": sample number I (default 0) of `zerosum sample --seed S`.

        labels: of the samples in turn, instead of those in that grid.
        """
        named = [_key(text) for text in wanted]
        noise = torch.stack([self.sampler.noise(GRID, seed)[row] for seed, row in named])
        return self.points(noise, self._condition(named, labels), truncation)

    def points(self, noise: Tensor, condition: Tensor | None, truncation: float = 1.0) -> Latents:
        """The latents of noise (N, L), truncated by the rule of `Sampler.sample`."""
        if not 0 <= truncation <= 1:
            raise UserError(f"truncation must lie in [0, 1], got {truncation}: 1 as trained, 0 the mean alone.")
        if self.name == "z":
            prior = self.sampler.prior
            return Latents("z", latent.truncate(noise, prior.kind, prior.limit, truncation), condition)
        mapped = self.sampler.apply(lambda z, y=None: self.network.mapping(z, y, truncation), noise, condition)
        return Latents("w", mapped.contiguous(), condition)  # one w expanded to all layers, so far

    def _condition(self, named: Sequence[tuple[int, int]], labels: Sequence[int | str] | None) -> Tensor | None:
        if labels:
            if not self.sampler.conditional:
                raise UserError("this generator was trained without labels, so none can be asked for.")
            given = [labels[index % len(labels)] for index in range(len(named))]
            return self.generator.labels(given, len(named))
        drawn = [(self.sampler.conditions(GRID, seed), row) for seed, row in named]
        rows = [labels[row] for labels, row in drawn if labels is not None]
        return torch.stack(rows) if rows else None

    @torch.no_grad()
    def _refuse_useless_noise(self) -> None:
        """UserError for a generator whose samples depend on an input alone: there is nothing between two of its latents."""
        condition = self.sampler.info.condition
        if not isinstance(condition, OtherCondition) or not condition.examples:
            return
        given = self.sampler.conditions(1, 0)
        one, other = (self.sampler.apply(self.network, noise, given) for noise in (self.sampler.noise(2, 0)[:, None]))
        if torch.equal(one, other):
            raise UserError(
                f"The samples of {self.generator.path} depend on their input ({condition.description}) alone, and not on noise: "
                "there is nothing between two samples of one input. Use `zerosum sample`."
            )

    # --- from latents to samples

    def decode(self, values: Tensor, condition: Tensor | None = None) -> Tensor:
        """The generator on latents, differentiable, on its device; samples as the network gives them."""
        if values.dim() == 3:  # the styles contain the condition
            images: Tensor = self.network.synthesis(values)
        elif condition is None:
            images = self.network(values)
        elif condition.is_floating_point() and isinstance(self.sampler.info.condition, ClassCondition):  # class weights
            with blended_embeddings(self.network, condition) as labels:
                images = self.network(values, labels)
        else:
            images = self.network(values, condition)
        return images

    def render(self, latents: Latents) -> Tensor:
        """(N, ...) float32 samples on the CPU in the domain's range; UserError when the latents are of another generator."""
        self._check_fits(latents)
        condition = None if latents.space == "w" else latents.condition
        samples = self.sampler.apply(self.decode, latents.values, condition, batch=BATCH)
        return self.generator.domain.media.postprocess(samples, self.generator.recipe)

    def _check_fits(self, latents: Latents) -> None:
        if latents.space == "w" and not isinstance(self.network, latent.MappedGenerator):
            raise UserError("These latents are styles w, and this generator has no mapping network.")
        size = self.sampler.prior.size
        shape = (size,) if latents.space == "z" else (self.network.num_ws, self.network.w_mean.shape[-1])
        if tuple(latents.values.shape[1:]) != shape:
            found = tuple(latents.values.shape[1:])
            raise UserError(f"These latents have the shape {found}; this generator needs {shape}.")
        if latents.space == "z" and (latents.condition is None) == self.sampler.conditional:
            raise UserError(
                "These latents come without labels or attributes, and this generator is conditional."
                if self.sampler.conditional
                else "These latents come with labels or attributes, and this generator was trained without."
            )

    def write(self, samples: Tensor, path: Path, layout: int | Layout, condition: Tensor | None = None) -> None:
        """Samples row by row as one picture; layout: the number of columns, or more about them. condition: of `Latents`, for
        each sample; None: that of the layout."""
        layout = Layout(layout) if isinstance(layout, int) else layout
        condition = layout.condition if condition is None else condition
        write_samples(self.generator, samples, path, replace(layout, condition=self._labels(condition)))

    def _labels(self, condition: Tensor | None) -> Tensor | None:
        """The condition as previews take it: of class weights (N, K) the class with the largest weight."""
        if condition is None or not isinstance(self.sampler.info.condition, ClassCondition):
            return condition
        return condition.argmax(1) if condition.is_floating_point() else condition

    def film(self, samples: Tensor, path: Path, frames_per_second: float) -> None:
        """Samples one after the other as a moving picture; UserError for a domain that has none."""
        self.check_film(path)
        film = self.generator.domain.media.film
        assert film is not None
        with writing(path) as aside:
            film(samples, aside, frames_per_second)

    def check_film(self, path: Path) -> None:
        """UserError where samples of the domain cannot be shown as a moving picture."""
        domain = self.generator.domain
        if domain.media.film is None:
            kinds = ", ".join(ending for ending in domain.media.endings if ending) or ".png"
            raise UserError(
                f"--out {path}: the domain {domain.name!r} has no moving pictures. Its samples are written as {kinds}."
            )

    # --- between latents

    def walk(self, keys: Latents, frames: int, loop: bool = False) -> Latents:
        """`frames` evenly spaced points of the path through the keys; with `loop` back to the first.

        Normal noise is joined by great circles, styles and uniform noise (whose values fill a box) by straight lines;
        classes by blends of their embeddings.
        """
        within("--frames", frames, 1, MOST_FRAMES)
        first, second, t = latent.path_positions(len(keys), frames, loop)
        spherical = keys.space == "z" and self.sampler.prior.kind != "uniform"
        join = latent.slerp if spherical else latent.lerp
        condition = None
        if keys.condition is not None:
            classes = self.sampler.info.num_classes
            condition = interpolate_conditions(keys.condition[first], keys.condition[second], t, classes)
        return Latents(keys.space, join(keys.values[first], keys.values[second], t), condition)


def _key(text: str) -> tuple[int, int]:
    """("3") -> (3, 0), ("3:17") -> (3, 17)."""
    seed, _, row = text.partition(":")
    if not seed.strip().isdigit() or (row and not row.isdigit()) or int(row or 0) >= GRID:
        raise UserError(
            f"{text!r} names no sample. Write a seed (3), or a seed and a number in its grid of {GRID} (3:0 to 3:{GRID - 1})."
        )
    return int(seed), int(row or 0)
