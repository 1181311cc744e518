"""Samples from a generator: the same for any batch size, from a published folder alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zerosum import catalog
from zerosum.domain import Domain
from zerosum.engine.duel import Prior
from zerosum.engine.seeds import Draws, generator
from zerosum.errors import UserError
from zerosum.recipe import Recipe, parse
from zerosum.store import Damaged, decode, encode, write_durably

WEIGHTS, CARD = "generator.safetensors", "generator.json"
FORMAT = 1
BATCH = 512


class Sampler:
    """A generator with all that is needed to sample from it: prior, facts of its source, recipe."""

    def __init__(self, network: nn.Module, prior: Prior, facts: Mapping[str, Any], conditional: bool) -> None:
        self.network, self.prior, self.facts, self.conditional = network, prior, facts, conditional
        self.device = next(network.parameters()).device

    def labels(self, num: int, seed: int) -> Tensor | None:
        """(num,) labels in the classes' shares of the training data, rounded to whole samples and shuffled by the seed, or
        None for an unconditional generator."""
        if not self.conditional:
            return None
        counts = torch.tensor(self.facts["class_counts"], dtype=torch.float64)
        # The middle of each of `num` equal slices of the cumulated shares names its class.
        middles = (torch.arange(num, dtype=torch.float64) + 0.5) / num
        labels = torch.searchsorted(counts.cumsum(0) / counts.sum(), middles)
        return labels[torch.randperm(num, generator=generator(seed, "labels"))]

    def noise(self, num: int, seed: int = 0) -> Tensor:
        """(num, L) float32, what `sample` feeds to the generator."""
        return self.prior.draw(Draws(seed, 0, 0, 0, num, num, torch.device("cpu")), "sample")

    @torch.no_grad()
    def sample(self, num: int, seed: int = 0, labels: Tensor | None = None, batch: int = BATCH) -> Tensor:
        """(num, ...) float32 samples on the CPU in the domain's range; for images [-1, 1] up to the generator's overshoot.

        labels: (num,) int64 for a conditional generator; by default drawn with the training data's shares.
        """
        if num < 1:
            raise UserError(f"num must be at least 1, got {num}.")
        if self.conditional:
            labels = self.labels(num, seed) if labels is None else labels
        elif labels is not None:
            raise UserError("this generator was trained without labels, so none can be asked for.")
        noise = self.noise(num, seed)
        training, samples = self.network.training, torch.empty(0)
        self.network.eval()
        for start in range(0, num, batch):
            z = noise[start : start + batch].to(self.device)
            y = None if labels is None else labels[start : start + batch].to(self.device)
            part = self.network(z) if y is None else self.network(z, y)
            if len(part) == num:
                samples = part.float().cpu()
                break
            samples = samples if len(samples) else torch.empty(num, *part.shape[1:])
            samples[start : start + batch] = part
        self.network.train(training)
        return samples


def publish(folder: Path, network: nn.Module, recipe: Recipe, facts: Mapping[str, Any], step: int) -> None:
    """Writes generator.safetensors and generator.json: a generator that can be loaded from its folder alone."""
    body = encode(network.state_dict())
    card = {
        "format": FORMAT,
        "step": step,
        "sha256": hashlib.sha256(body).hexdigest(),
        "replaces": _published(folder),
        "recipe": recipe.to_json(),
        "facts": dict(facts),
    }
    # The card first: between the two renames it vouches for the old weights too, so the pair is valid at every moment.
    write_durably(folder / CARD, (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode())
    write_durably(folder / WEIGHTS, body)


def _published(folder: Path) -> str | None:
    """SHA-256 of the weights that lie in the folder, None when there are none."""
    try:
        return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def load(folder: Path, device: str = "cpu") -> tuple[Sampler, Recipe, Domain]:
    """A published generator. Executes nothing from the folder; refuses files that are not what the card says."""
    body, card = _files(folder)
    if card.get("format") != FORMAT:
        raise UserError(
            f"{folder / CARD} has format {card.get('format')!r}; this version of zerosum reads format {FORMAT}."
        )
    try:
        recipe, facts, sums = (
            parse(card["recipe"], str(folder / CARD)),
            card["facts"],
            (card["sha256"], card["replaces"]),
        )
    except KeyError as error:
        raise UserError(f"{folder / CARD} is incomplete: it has no {error}.") from None
    domain = catalog.domain(recipe.domain)
    network = domain.game(recipe, facts).players["generator"]
    try:
        network.load_state_dict(decode(body, folder / WEIGHTS))
    except Damaged as error:
        raise UserError(str(error)) from None
    except RuntimeError as error:
        raise UserError(
            f"{folder / WEIGHTS} holds the weights of another architecture: {_first_lines(error)}"
        ) from None
    if hashlib.sha256(body).hexdigest() not in sums:
        raise UserError(f"{folder / WEIGHTS} does not match the SHA-256 in {CARD}; the file was changed or damaged.")
    return Sampler(network.to(device).eval(), recipe.prior, facts, recipe.conditional is True), recipe, domain


def _files(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """Weights and card. The weights are read first, because the card that is there by then knows them."""
    try:
        body = (folder / WEIGHTS).read_bytes()
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        why = (
            "This run has not saved yet; it does so at its first checkpoint." if (folder / "run.json").exists() else ""
        )
        missing = Path(error.filename).name
        raise UserError(f"{folder} holds no published generator: {missing} is missing. {why}".strip()) from None
    except (OSError, ValueError) as error:
        raise UserError(f"The generator in {folder} cannot be read: {error}.") from None
    if not isinstance(card, dict):
        raise UserError(f"{folder / CARD} holds no JSON object.")
    return body, card


def _first_lines(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines()[1:4]]
    return " ".join(line if len(line) < 160 else line[:157] + "..." for line in lines)
