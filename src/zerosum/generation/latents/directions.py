"""Directions in which a generator's samples change most, in closed form: no training, no labels, no data.

Legend: N rows, L size of the latent (of one style in w), S styles a sample, K directions, O outputs of linear layers.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zerosum.engine.seeds import generator
from zerosum.errors import Damaged, UserError, within
from zerosum.generation.latents.space import BATCH, Latents, Name, Space
from zerosum.jsonfile import read_object
from zerosum.nn import latent
from zerosum.store import decode, encode, fingerprint, write_durably

TENSORS, CARD = "directions.safetensors", "directions.json"
NUM_MEASURED = 2_000  # latents from which the spread along a direction is measured
MOST_DEVIATIONS = 1_000  # that one moves along a direction; the prior reaches about 4
MOST_PICTURES = 1_000  # of a strip
TOLERANCE = 1e-3  # of the largest value: what float32 leaves of an affine map, far below any nonlinearity


@dataclass(frozen=True)
class Directions:
    """Unit directions of one latent space, most effective first.

    vectors: (K, L). strengths: (K,) |A n|^2, see `nn.latent.closed_form`. deviations: (K,) standard deviation of the latents
    along each: the unit in which one moves. layers: the styles they were found for and act on; None for all, and in z.
    """

    space: Name
    vectors: Tensor
    strengths: Tensor
    deviations: Tensor
    layers: tuple[int, ...] | None = None

    def move(self, latents: Latents, by: dict[int, float]) -> Latents:
        """The latents moved along direction k by by[k] standard deviations; k counts from 0."""
        for k, far in by.items():
            within(f"--direction {k}: the deviations", far, -MOST_DEVIATIONS, MOST_DEVIATIONS)
            if not 0 <= k < len(self.vectors):
                raise UserError(
                    f"--direction {k}: there are {len(self.vectors)} directions, 0 to {len(self.vectors) - 1}."
                )
        if latents.space != self.space:
            raise UserError(f"These directions are of the space {self.space}, the latents of {latents.space}.")
        step = sum((self.vectors[k] * self.deviations[k] * far for k, far in by.items()), torch.zeros(()))
        values = latents.values.clone()
        if self.space == "w":
            values[:, list(self.layers or range(values.shape[1]))] += step
        else:
            values += step
        return Latents(latents.space, values, latents.condition)

    def save(self, folder: Path, space: Space) -> list[Path]:
        """directions.safetensors and directions.json in the folder, bound to the generator's weights."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"directions": self.vectors, "strengths": self.strengths, "deviations": self.deviations}
        card = {
            "space": self.space,
            "layers": self.layers,
            "generator": fingerprint(space.network.state_dict()),
            "strengths": self.strengths.tolist(),
            "deviations": self.deviations.tolist(),
        }
        write_durably(folder / TENSORS, encode(tensors))
        write_durably(folder / CARD, (json.dumps(card, indent=1) + "\n").encode())
        return [folder / TENSORS, folder / CARD]


def load_directions(folder: Path, space: Space) -> Directions | None:
    """The directions stored in the folder when they belong to this generator and space, else None."""
    try:
        card = read_object(folder / CARD)
        tensors = decode((folder / TENSORS).read_bytes(), folder / TENSORS)
        if (card["space"], card["generator"]) != (space.name, fingerprint(space.network.state_dict())):
            return None
        layers = None if card["layers"] is None else tuple(card["layers"])
        return Directions(space.name, tensors["directions"], tensors["strengths"], tensors["deviations"], layers)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, Damaged) as error:
        raise UserError(
            f"The directions in {folder} cannot be read ({error}). Remove {TENSORS} and {CARD}, or find them anew with "
            f"`zerosum directions {folder}`."
        ) from None


def find_directions(space: Space, num: int, layers: tuple[int, ...] | None = None) -> Directions:
    """The `num` most effective directions (SeFa, Shen and Zhou 2021), in w for the styles in `layers`, by default all."""
    if num < 1:
        raise UserError(f"--num must be at least 1, got {num}.")
    if layers is not None and space.name == "z":
        raise UserError("--layers chooses styles, and only generators with a mapping network have them.")
    vectors, strengths = latent.closed_form(affine_maps(space, layers), num)
    drawn = space.points(*_measured_noise(space)).values
    drawn = drawn[:, 0] if drawn.dim() == 3 else drawn
    return Directions(space.name, vectors, strengths, (drawn @ vectors.T).std(0), layers)


def check_strip(reach: float, steps: int) -> None:
    """UserError for strips that reach too far or have too many pictures."""
    within("--reach", reach, 0, MOST_DEVIATIONS, above=True)
    within("--steps", steps, 2, MOST_PICTURES)


def direction_strips(space: Space, found: Directions, keys: Latents, reach: float, steps: int) -> Latents:
    """For each direction and each key a row of `steps` latents, from -reach to reach standard deviations."""
    check_strip(reach, steps)
    places = torch.linspace(-reach, reach, steps).tolist()
    rows = [
        found.move(keys[i : i + 1], {k: far})
        for k in range(len(found.vectors))
        for i in range(len(keys))
        for far in places
    ]
    conditions = [row.condition for row in rows if row.condition is not None]
    return Latents(space.name, torch.cat([r.values for r in rows]), torch.cat(conditions) if conditions else None)


def _measured_noise(space: Space) -> tuple[Tensor, Tensor | None]:
    noise, labels = space.sampler.noise(NUM_MEASURED, 0), space.sampler.conditions(NUM_MEASURED, 0)
    return noise, labels


def affine_maps(space: Space, layers: tuple[int, ...] | None = None) -> Tensor:
    """(O, L): the matrices of all linear layers that read the latent directly, one below the other.

    They are found by running the network: a layer whose outputs at `base + e_i` (the unit vectors) predict that at another point
    is affine in the latent, whatever lies between (a split, a label joined to it, a weight scale, spectral normalisation).
    UserError when there is none, as behind a normalisation of the noise.
    """
    base = space.network.w_mean.cpu() if space.name == "w" else torch.zeros(space.sampler.prior.size)
    size = base.shape[-1]
    other = torch.randn(size, generator=generator(0, "directions"))
    rows = base + torch.cat([torch.zeros(1, size), torch.eye(size), other[None]])
    if space.name == "w":
        spread = base.expand(len(rows), space.network.num_ws, size).clone()
        spread[:, list(layers or range(space.network.num_ws))] = rows[:, None]
        rows = spread
    matrices = []
    for outputs in _linear_outputs(space, rows).values():
        columns = (outputs[1:-1] - outputs[0]).T  # (O, L)
        seen = outputs[-1] - outputs[0]
        scale = float(seen.abs().max())
        if scale > 0 and float((columns @ other - seen).abs().max()) < TOLERANCE * scale:
            matrices.append(columns)
    if not matrices:
        raise UserError(
            f"{type(space.network).__name__} has no linear layer that reads the {space.name} latent directly (something "
            "nonlinear, such as a normalisation, comes first), so its directions have no closed form."
        )
    return torch.cat(matrices)


def _linear_outputs(space: Space, rows: Tensor, batch: int = BATCH) -> dict[tuple[str, int], Tensor]:
    """(module, call) -> its outputs (N, O), for all modules with a matrix as weight that give a vector for each row.

    batch: rows at a time; a network that reads its batch row by row is given one at a time.
    """
    parts: dict[tuple[str, int], list[Tensor]] = defaultdict(list)
    calls: dict[str, int] = defaultdict(int)

    def watch(name: str) -> Any:
        def hook(module: nn.Module, given: Any, out: Any) -> None:
            if isinstance(out, Tensor) and out.dim() == 2:
                parts[name, calls[name]].append(out.detach().double().cpu())
                calls[name] += 1

        return hook

    def decode_rows(values: Tensor, condition: Tensor | None = None) -> Tensor:
        calls.clear()
        return space.decode(values, condition).flatten(1)[:, :1]

    readers = [(n, m) for n, m in space.network.named_modules() if getattr(m, "weight", None) is not None]
    hooks = [
        m.register_forward_hook(watch(n)) for n, m in readers if isinstance(m.weight, Tensor) and m.weight.dim() == 2
    ]
    try:
        space.sampler.apply(decode_rows, rows, _any_condition(space, len(rows)), batch=batch)
    finally:
        for handle in hooks:
            handle.remove()
    found = {key: torch.cat(outputs).float() for key, outputs in parts.items() if sum(map(len, outputs)) == len(rows)}
    return found if found or batch == 1 else _linear_outputs(space, rows, 1)


def _any_condition(space: Space, num: int) -> Tensor | None:
    """One and the same condition for all rows; the affine maps do not depend on it."""
    labels = None if space.name == "w" else space.sampler.conditions(1, 0)
    return None if labels is None else labels.expand(num, *labels.shape[1:])
