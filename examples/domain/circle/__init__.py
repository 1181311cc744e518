"""A whole domain in one file: points on a circle in the plane. Copy the folder to zerosum/domains/ and `zerosum train circle`."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zerosum import domain
from zerosum.domain import Data, DatasetInfo, Domain, Evaluation, Games, Media, Recipes, SampleInfo
from zerosum.engine import Batch, OptimizerConfig
from zerosum.metrics.record import Record
from zerosum.recipe import PenaltyConfig, Recipe, part

CENTRES = torch.stack([(torch.arange(8) * math.pi / 4).cos(), (torch.arange(8) * math.pi / 4).sin()], 1)


# --- data: random access to rows, and a description of them


@dataclass(frozen=True)
class Points:
    """(N, 2) float32 points."""

    points: Tensor
    name: str = "circle"
    notes: tuple[str, ...] = ()

    @property
    def num_rows(self) -> int:
        return len(self.points)

    @property
    def num_heldout(self) -> int:
        return 0

    def batch(self, indices: Tensor) -> Batch:
        return Batch(self.points[indices])

    def to(self, device: torch.device) -> "Points":
        return Points(self.points.to(device))


def points_around(*, spread: float = 0.05, num: int = 8_000) -> Points:
    """The options of `data`: the checker reads them off this signature."""
    noise = torch.Generator().manual_seed(0)
    return Points(CENTRES[torch.arange(num) % 8] + spread * torch.randn(num, 2, generator=noise))


def info(source: Points) -> DatasetInfo:
    fingerprint = str(float(source.points.double().sum()))
    sample = SampleInfo({"dimensions": 2}, "a point in the plane")
    return DatasetInfo(source.name, source.num_rows, source.num_heldout, fingerprint, sample)


# --- networks: ordinary modules; the options after `*` can be set by a recipe


class Generator(nn.Module):
    def __init__(self, size: int, *, latent: int, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, size),
        )

    def forward(self, noise: Tensor) -> Tensor:
        return self.layers(noise)


class Discriminator(nn.Module):
    def __init__(self, size: int, *, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(size, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1)
        )

    def forward(self, points: Tensor) -> Tensor:
        return self.layers(points).squeeze(1)


# --- measures, pictures, files


class Evaluator:
    num_samples = 2_000

    def prepare(self, say):
        """Nothing to prepare; a slow extractor would be made here, and told."""

    def evaluate(self, fakes, labels, judge):
        distance, mode = torch.cdist(fakes, CENTRES).min(1)
        protocol = {"num_fake": len(fakes), "weights": "average"}
        modes = Record(
            "modes", float(len(mode[distance < 0.15].unique())), protocol, "higher", "Centres with a sample near them."
        )
        share = Record(
            "share_near",
            float((distance < 0.15).float().mean()),
            protocol,
            "higher",
            "Samples within 3 sigma of a centre.",
        )
        return [modes, share]

    def quick(self, fakes):
        return {"diversity": float(fakes.std() / CENTRES.std())}


def picture(samples: Tensor, path: Path, scene: domain.PreviewContext) -> None:
    """All samples as one scatter plot."""
    sheet = np.full((300, 300), 255, np.uint8)
    place = ((samples.clamp(-1.45, 1.45) + 1.5) * 100).long()
    sheet[place[:, 1], place[:, 0]] = 0
    Image.fromarray(sheet).save(path)


def write(samples: Tensor, path: Path, info: DatasetInfo, options: domain.WriteOptions) -> list[Path]:
    np.savetxt(path, samples.numpy(), delimiter=",")
    return [path]


# --- recipes, and the five parts


RECIPES = {
    "circle": Recipe(
        name="circle",
        domain="circle",
        why="The smallest game with modes that can be lost.",
        data=part("circle"),
        generator=part("mlp"),
        discriminator=part("mlp"),
        prior={"size": 8},
        loss="relativistic",
        penalties={"r1": PenaltyConfig(weight=0.02), "r2": PenaltyConfig(weight=0.02)},
        learning={name: OptimizerConfig(lr=2e-3) for name in ("generator", "discriminator")},
        steps=1_500,
        batch=256,
    )
}

DOMAIN = Domain(
    name="circle",
    summary="points on a circle in the plane",
    data=Data(
        can_open=lambda where: where == "circle",
        open=lambda data, allow_download: domain.make("data", {"circle": points_around}, data),
        info=info,
        describe=lambda info: f"{info.num_rows:,} points in the plane",
    ),
    game=Games(build=lambda recipe, info: domain.duel(recipe, {"mlp": Generator}, {"mlp": Discriminator}, {}, 2)),
    evaluation=Evaluation(evaluator=lambda source, seed: Evaluator()),
    media=Media(
        preview=picture,
        write=write,
        read=lambda paths, info: torch.cat(
            [torch.from_numpy(np.loadtxt(path, delimiter=",", ndmin=2)).float() for path in paths]
        ),
    ),
    recipes=Recipes(RECIPES, recommend=lambda info, minutes=None, device="cpu": ("circle", "there is only one")),
)
