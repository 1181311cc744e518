"""The four panels of Figure 1 of the 2014 paper: the engine trains a generator of a normal distribution from uniform noise."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zerosum.domains.toy import densities, drawing
from zerosum.domains.toy.drawing import Curves
from zerosum.domains.toy.networks import ToyDiscriminator, ToyGenerator
from zerosum.engine import (
    Duel,
    OptimizerConfig,
    Penalty,
    Prior,
    Schedule,
    Settings,
    TrainingLoop,
    Turn,
    losses,
    penalties,
)
from zerosum.engine.seeds import derive, generator
from zerosum.lessons.lesson import Check, Findings
from zerosum.lessons.toy_games import RowSource
from zerosum.theory import divergence

if TYPE_CHECKING:
    from PIL import Image

TEXT = """\
The generator maps uniform noise z to points x; where its arrows are dense, p_g is high. (a) At the start p_g
differs from p_data, and D is hardly trained. (b) D alone is trained, until D* = p_data / (p_data + p_g). (c) G alone
is trained and moves towards points with a high D. (d) After many steps of both, p_g = p_data and D = 1/2 everywhere:
V(D, G) = -log 4."""
SOURCE = "Goodfellow et al. 2014, arXiv:1406.2661, figure 1"
FORMATS = (".png", ".gif")

DATA = densities.normal()
X = torch.linspace(-4, 4, 401, dtype=torch.float64)
NOISE = (torch.arange(20_000) + 0.5) / 10_000 - 1
"""Midpoints of equal slices of the uniform noise: their images under G show its distribution without sampling noise."""
BLUR = 0.04
START = (1.3, 0.65)
"""Mean and deviation of the normal distribution with which G starts: shifted from the data, and narrower."""
BATCH = 256


@dataclass(frozen=True)
class Phase:
    """One phase of the training. player: the player that is trained, None for both. rates: initial learning rates of the
    discriminator and of the generator; they decay to a hundredth. frames: number of frames that are drawn."""

    title: str
    player: str | None
    steps: int
    frames: int
    rates: tuple[float, float]
    penalties: tuple[Penalty, ...] = ()


PHASES = (
    Phase("(a) p_g differs from p_data, D is hardly trained", "discriminator", 12, 4, (2e-3, 0.0)),
    Phase("(b) D alone is trained, until D = D*", "discriminator", 500, 14, (5e-3, 0.0)),
    Phase("(c) G alone moves towards points with a high D", "generator", 16, 8, (0.0, 4e-4)),
    Phase(
        "(d) both are trained, until D = 1/2", None, 1200, 30, (4e-3, 5e-4), (penalties.r1(0.01), penalties.r2(0.01))
    ),
)


@dataclass(frozen=True)
class Frame:
    """The curves at one step, their title, V and its bound."""

    title: str
    curves: Curves
    value: float
    bound: float


def run(seed: int) -> Findings:
    """Trains through the four phases and measures at the end of (b) and (d)."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "figure 1"))
        net_g = ToyGenerator(1, latent=1, width=32, depth=2, activation="tanh")
        net_d = ToyDiscriminator(1, width=64, depth=2, activation="leaky_relu")
    _fit_start(net_g)
    data = RowSource(DATA.sample(2**17, generator(seed, "data")))
    frames = [_make_frame(PHASES[0].title, net_g, net_d)]
    ends = []
    for number, phase in enumerate(PHASES):
        frames += _train_phase(phase, net_g, net_d, data, seed + number)
        ends.append(len(frames) - 1)
    trained, last = frames[ends[1]], frames[ends[3]]
    return Findings([*_checks_of_best_d(trained), *_checks_of_end(last)], {"frames": frames, "ends": ends})


def _fit_start(net_g: ToyGenerator) -> None:
    """Fits G by least squares, not by a game, to map the noise to the distribution START."""
    z = NOISE[::20, None]
    target = START[0] + START[1] * torch.special.ndtri((0.98 * z + 1) / 2)
    optimizer = torch.optim.LBFGS(net_g.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        # The second term keeps the weights small and the curve smooth.
        size = torch.stack([weights.square().sum() for weights in net_g.parameters()]).sum()
        loss: Tensor = (net_g(z) - target).square().mean() + 1e-5 * size
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]


def _train_phase(phase: Phase, net_g: ToyGenerator, net_d: ToyDiscriminator, data: RowSource, seed: int) -> list[Frame]:
    """The frames of a phase: closer together at its start, where more changes."""
    learning = {
        name: OptimizerConfig(lr=Schedule(rate, rate / 100, "cosine", over_steps=phase.steps), betas=(0.0, 0.99))
        for name, rate in zip(("discriminator", "generator"), phase.rates, strict=True)
    }
    game = Duel(
        net_g,
        net_d,
        loss=losses.non_saturating,
        penalties=phase.penalties,
        prior=Prior(1, "uniform"),
    )
    loop = TrainingLoop(game, data, Settings(batch=BATCH, seed=seed, learning=learning, average=None))
    frame_steps = {max(1, round(phase.steps * ((i + 1) / phase.frames) ** 2)) for i in range(phase.frames)}
    frames = []
    for step in range(1, phase.steps + 1):
        loop.train_step(
            None if phase.player is None else [Turn((phase.player,), reals=phase.player == "discriminator")]
        )
        if step in frame_steps:
            frames.append(_make_frame(phase.title, net_g, net_d))
    return frames


@torch.no_grad()
def _make_frame(title: str, net_g: ToyGenerator, net_d: ToyDiscriminator) -> Frame:
    p = DATA.log_prob(X[:, None]).exp()
    points = net_g(NOISE[:, None]).squeeze(1)
    q = drawing.smoothed(points, X, BLUR)
    d = net_d(X[:, None].float()).double().sigmoid()
    arrows = torch.stack([NOISE, points], 1)[len(NOISE) // 64 :: len(NOISE) // 32]
    curves = Curves(X, p, q, d, divergence.optimal_discriminator(p, q), arrows)
    step = float(X[1] - X[0])
    value, bound = divergence.game_value(d, p * step, q * step), divergence.optimal_value(p * step, q * step)
    return Frame(title, curves, float(value), float(bound))


# --- measurements


def _checks_of_best_d(frame: Frame) -> list[Check]:
    curves, how = frame.curves, f"{PHASES[1].steps} turns of D alone"
    assert curves.d is not None
    assert curves.d_star is not None
    weights = (curves.p + curves.q) / (curves.p + curves.q).sum()
    distance = float((weights * (curves.d - curves.d_star).abs()).sum())
    return [
        Check("mean |D - D*| under (p + q)/2, after (b)", 0.0, distance, 0.02, how),
        Check("V(D, G) after (b): -log 4 + 2 JSD", frame.bound, frame.value, 0.01, how),
    ]


def _checks_of_end(frame: Frame) -> list[Check]:
    curves, how = frame.curves, f"{PHASES[3].steps} steps of both"
    assert curves.d is not None
    inside = X.abs() <= 1.5
    return [
        Check(
            "largest |D - 1/2| on [-1.5, 1.5], after (d)", 0.0, float((curves.d - 0.5).abs()[inside].max()), 0.05, how
        ),
        Check("V(D, G) after (d): -log 4", -math.log(4), frame.value, 0.015, how),
        Check("W1 between p_g and the data, after (d)", 0.0, _distance(curves), 0.06, how),
    ]


def _distance(curves: Curves) -> float:
    """W1, the area between the two distribution functions."""
    step = float(X[1] - X[0])
    return float(((curves.p - curves.q).cumsum(0) * step).abs().sum() * step)


# --- pictures


def picture(findings: Findings, path: Path) -> None:
    """A .png shows the four panels side by side, a .gif all frames."""
    frames: Sequence[Frame] = findings.data["frames"]
    top = 1.12 * max(float(frame.curves.q.max()) for frame in frames)
    if path.suffix.lower() == ".gif":
        _animation(frames, findings.data["ends"], top, path)
        return
    figure = drawing.new_figure(1280, 400)
    for number, end in enumerate(findings.data["ends"]):
        left = 0.025 + number * 0.244
        drawing.panel(figure, (left, 0.03, 0.218, 0.76), frames[end].curves, top, labels=True)
        figure.text(left + 0.109, 0.84, f"({'abcd'[number]})", ha="center", fontsize=12, color=drawing.INK)
    drawing.key(figure, belief=True, bound=True, size=11)
    drawing.save(figure, path)


def _animation(frames: Sequence[Frame], ends: Sequence[int], top: float, path: Path) -> None:
    """All frames; the last of each phase is shown longer."""
    from PIL import Image

    images = [_draw_frame(frame, top) for frame in frames]
    palette = images[-1].quantize(64)
    flat = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    times = [1600 if index in ends else 110 for index in range(len(flat))]
    flat[0].save(path, save_all=True, append_images=flat[1:], duration=times, loop=0, optimize=True)


def _draw_frame(frame: Frame, top: float) -> Image.Image:
    from PIL import Image

    figure = drawing.new_figure(640, 520)
    drawing.panel(figure, (0.06, 0.03, 0.88, 0.74), frame.curves, top, labels=True)
    drawing.key(figure, belief=True, bound=True)
    figure.text(0.06, 0.88, frame.title, fontsize=12, color=drawing.INK)
    numbers = f"V(D, G) = {frame.value:.3f}      -log 4 + 2 JSD = {frame.bound:.3f}"
    figure.text(0.06, 0.825, numbers, fontsize=11, color=drawing.MUTED)
    body = io.BytesIO()
    figure.savefig(body, format="png")
    return Image.open(body).convert("RGB")
