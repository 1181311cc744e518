"""A domain in one file: eight clusters of points on a circle. `zs.register(DOMAIN)` makes it known; docs/extend.md says more."""

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zerosum import domain
from zerosum.data.sources import SourceInfo
from zerosum.domain import Data, Domain, Evaluation, Games, Media, Recipes, SampleInfo, kit
from zerosum.engine import OptimizerConfig
from zerosum.metrics.record import Record
from zerosum.recipe import PenaltyConfig, Recipe, part

ANGLES = torch.arange(8) * math.pi / 4
CENTRES = torch.stack([ANGLES.cos(), ANGLES.sin()], 1)


def circle(*, spread: float = 0.05, num: int = 8_000) -> kit.TensorSource:
    """The data. A recipe sets the keywords: --set data.spread=0.1."""
    noise = torch.randn(num, 2, generator=torch.Generator().manual_seed(0))
    return kit.tensor_source("circle", CENTRES[torch.arange(num) % 8] + spread * noise)


def layers(inputs: int, width: int, outputs: int) -> nn.Sequential:
    hidden = nn.Linear(inputs, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2)
    return nn.Sequential(*hidden, nn.Linear(width, outputs))


def generator(size: int, *, latent: int, width: int = 64) -> nn.Module:
    """(N, latent) noise -> (N, size) points. A recipe sets the keywords; `latent` is that of its prior."""
    return layers(latent, width, size)


def discriminator(size: int, *, width: int = 64) -> nn.Module:
    """(N, size) points -> (N,) logits."""
    return nn.Sequential(layers(size, width, 1), nn.Flatten(0))


def nearness(points: Tensor) -> Tensor:
    """(N, 2) -> (N, 8): how near a point is to each centre, the features that samples are measured in."""
    return (-torch.cdist(points, CENTRES).square() / 0.02).exp()


class Evaluator(kit.FeatureEvaluator):
    """Frechet distance and copies in these features, and the number of clusters that have samples."""

    def evaluate(self, fakes, labels, judge):
        modes = float((nearness(fakes) > 0.3).any(0).sum())
        found = Record("modes", modes, {"num_fake": len(fakes)}, "higher", "Centres with a sample near them.")
        return [found, *super().evaluate(fakes, labels, judge)]


def preview(samples, path, context):
    sheet = np.full((300, 300), 255, np.uint8)
    place = ((samples.clamp(-1.45, 1.45) + 1.5) * 100).long()
    sheet[place[:, 1], place[:, 0]] = 0
    Image.fromarray(sheet).save(path)


PARTS = {"generator": {"mlp": generator}, "discriminator": {"mlp": discriminator}}
RECIPE = Recipe(
    name="circle", domain="circle", why="The smallest game with modes that can be lost.", data=part("circle"),
    generator=part("mlp"), discriminator=part("mlp"), prior={"size": 8}, loss="relativistic",
    penalties={name: PenaltyConfig(weight=0.02) for name in ("r1", "r2")},
    learning={name: OptimizerConfig(lr=2e-3) for name in ("generator", "discriminator")}, steps=1_500, batch=256,
)  # fmt: skip
DOMAIN = Domain(
    name="circle",
    summary="points on a circle in the plane",
    data=Data(
        sources=lambda: {"circle": SourceInfo("eight clusters on a circle")},
        can_open=lambda where: where == "circle",
        open=lambda data, allow_download: domain.make("data", {"circle": circle}, data),
        info=lambda source: kit.info(source, SampleInfo({"coordinates": 2}, "a point in the plane")),
        describe=lambda info: f"{info.num_rows:,} points in the plane",
    ),
    game=Games(lambda recipe, info: domain.duel(recipe, *PARTS.values(), {}, 2), parts=PARTS),
    evaluation=Evaluation(lambda source, seed: Evaluator(source, nearness, "nearness", seed=seed)),
    media=Media(preview, kit.write_numbers, kit.read_numbers, endings=kit.ENDINGS, sample_name="samples.csv"),
    recipes=Recipes({"circle": RECIPE}, lambda info, minutes=None, device="cpu": ("circle", "there is only one")),
)
