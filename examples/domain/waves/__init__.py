"""A domain of 1-D signals with class labels: sine, square and saw-tooth waves, 1-D convolutions, plots of curves as previews."""

import math

import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from zerosum import domain
from zerosum.data.sources import SourceInfo
from zerosum.domain import Data, Domain, Evaluation, Games, Media, Recipes, SampleInfo, kit
from zerosum.engine import OptimizerConfig
from zerosum.recipe import PenaltyConfig, Recipe, part

CLASSES = ("sine", "square", "saw")


def waves(*, num: int = 6_000, length: int = 64, heldout: float = 0.1) -> kit.TensorSource:
    """(num, 1, length) signals of two to four periods, of any phase, in [-1, 1]."""
    draw = torch.Generator().manual_seed(0)
    periods, phase = 2 + 2 * torch.rand(num, 1, generator=draw), torch.rand(num, 1, generator=draw)
    turns = periods * torch.arange(length) / length + phase
    sine = (2 * math.pi * turns).sin()
    labels = torch.arange(num) % 3
    shapes = torch.stack([sine, sine.sign(), 2 * (turns % 1) - 1])
    signals = shapes[labels, torch.arange(num)] + 0.02 * torch.randn(num, length, generator=draw)
    return kit.tensor_source("waves", signals[:, None].clamp(-1, 1), labels, class_names=CLASSES, heldout=heldout)


class Generator(nn.Module):
    """(N, latent) noise and (N,) labels -> (N, 1, length) signals."""

    def __init__(self, length: int, *, latent: int, num_classes: int = 0, width: int = 32) -> None:
        super().__init__()
        self.classes = nn.Embedding(num_classes, latent) if num_classes else None
        self.start = nn.Linear(latent, width * (length // 4))
        self.layers = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv1d(width, width, 5, padding=2), nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2), nn.Conv1d(width, width, 5, padding=2), nn.LeakyReLU(0.2),
            nn.Conv1d(width, 1, 5, padding=2),
        )  # fmt: skip

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.classes is not None:
            noise = noise + self.classes(labels)
        start = self.start(noise)
        return self.layers(start.view(len(noise), self.layers[1].in_channels, -1))


class Discriminator(nn.Module):
    """(N, 1, length) signals and (N,) labels -> (N,) logits; the label enters by projection."""

    def __init__(self, length: int, *, num_classes: int = 0, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, width, 5, stride=2, padding=2), nn.LeakyReLU(0.2),
            nn.Conv1d(width, width, 5, stride=2, padding=2), nn.LeakyReLU(0.2), nn.Flatten(),
        )  # fmt: skip
        features = width * (length // 4)
        self.last = nn.Linear(features, 1)
        self.classes = nn.Embedding(num_classes, features) if num_classes else None

    def forward(self, signals: Tensor, labels: Tensor | None = None) -> Tensor:
        features = self.layers(signals)
        logits = self.last(features).squeeze(1)
        return logits if self.classes is None else logits + (features * self.classes(labels)).mean(1)


def spectrum(signals: Tensor) -> Tensor:
    """(N, 1, length) -> (N, length // 2 + 1): the power of each frequency, which no phase changes."""
    return (torch.fft.rfft(signals.squeeze(1)).abs() + 1e-3).log()


def preview(samples, path, context):
    """Curves under one another, each class in its colour."""
    sheet = Image.new("RGB", (520, 20 + 40 * min(len(samples), 16)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, signal in enumerate(samples[:16, 0].clamp(-1.2, 1.2).tolist()):
        label = 0 if context.condition is None else int(context.condition[row])
        points = [(10 + 500 * at / (len(signal) - 1), 30 + 40 * row - 16 * value) for at, value in enumerate(signal)]
        draw.line(points, fill=("#1f77b4", "#d62728", "#2ca02c")[label], width=2)
    sheet.save(path)


PARTS = {"generator": {"conv": Generator}, "discriminator": {"conv": Discriminator}}
RECIPE = Recipe(
    name="waves", domain="waves", why="Relativistic pairing with lazy R1 and R2 on signals.", data=part("waves"),
    generator=part("conv"), discriminator=part("conv"), prior={"size": 16}, loss="relativistic",
    penalties={name: PenaltyConfig(weight=0.1, every=4) for name in ("r1", "r2")},
    learning={name: OptimizerConfig(lr=1e-3, betas=(0.0, 0.99)) for name in ("generator", "discriminator")},
    steps=3_000, batch=64,
)  # fmt: skip


def game(recipe, info):
    return domain.duel(recipe, *PARTS.values(), {}, info.sample.axes["time"], num_classes=info.num_classes)


DOMAIN = Domain(
    name="waves",
    summary="signals of three kinds: sine, square and saw-tooth waves",
    data=Data(
        sources=lambda: {"waves": SourceInfo("sine, square and saw-tooth waves")},
        can_open=lambda where: where == "waves",
        open=lambda data, allow_download: domain.make("data", {"waves": waves}, data),
        info=lambda source: kit.info(
            source, SampleInfo(dict(zip(("channel", "time"), source.data.shape[1:])), "a signal")
        ),
        describe=lambda info: f"{info.num_rows:,} signals of {info.sample.axes['time']} steps",
    ),
    game=Games(game, parts=PARTS),
    evaluation=Evaluation(lambda source, seed: kit.FeatureEvaluator(source, spectrum, "log-spectrum", seed=seed)),
    media=Media(
        preview, kit.write_numbers, kit.read_numbers, num_shown=16, endings=kit.ENDINGS, sample_name="samples.npy"
    ),
    recipes=Recipes({"waves": RECIPE}, lambda info, minutes=None, device="cpu": ("waves", "there is only one")),
)
