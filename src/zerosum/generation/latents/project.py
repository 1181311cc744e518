"""Projection: the latent whose sample is nearest to a given picture.

Legend: N pictures, B candidates pursued at once, L size of a latent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.engine.seeds import generator
from zerosum.errors import UserError, within
from zerosum.generation.latents.space import BATCH, Latents, Space
from zerosum.metrics.feature_networks import Pyramid, psnr

CANDIDATES, PURSUED = 512, 8
MOST_STEPS = 1_000_000  # of the search for one picture
RATE, WARMUP, COOLDOWN = 0.1, 0.05, 0.5  # Adam's rate; shares of the steps in which it rises and falls
JITTER, JITTER_UNTIL = 0.05, 0.6  # noise on w, in its deviations, fading out over this share of the steps
PRIOR_WEIGHT = 0.1


@dataclass(frozen=True)
class Projection:
    """Latents of N pictures, the pictures (N, ...), what the generator makes of the latents, and the PSNR (N,) in dB."""

    latents: Latents
    targets: Tensor
    samples: Tensor
    psnr: Tensor


def project(
    space: Space,
    pictures: Tensor,
    *,
    steps: int = 300,
    seed: int = 0,
    labels: Sequence[int | str] | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> Projection:
    """The latents of pictures (N, C, H, W) in [-1, 1]; labels: of each picture in turn, by default the class that fits.

    Of 512 random samples (in w also the mean) the 8 nearest by `Pyramid` are pursued by Adam and the best kept.
    z keeps to the prior by a penalty; w is shaken by a fading noise so that it finds a wide minimum (Karras et al. 2020,
    arXiv:1912.04958, appendix D). The same seed gives the same latents.
    """
    if pictures.dim() != 4:
        raise UserError("only pictures can be projected.")
    within("--steps", steps, 1, MOST_STEPS)
    found = []
    for index, picture in enumerate(pictures):
        label = labels[index % len(labels)] if labels else None
        best = _project_one(space, picture[None].to(space.sampler.device), steps, seed, label)
        quality = float(psnr(space.render(best), picture[None].cpu()))
        log(f"picture {index + 1} of {len(pictures)}: {quality:.1f} dB after {steps} steps")
        found.append(best)
    values = torch.cat([best.values for best in found])
    conditions = [best.condition for best in found if best.condition is not None]
    latents = Latents(space.name, values, torch.cat(conditions) if conditions else None)
    samples = space.render(latents)
    return Projection(latents, pictures.cpu(), samples, psnr(samples, pictures.cpu()))


def _project_one(space: Space, target: Tensor, steps: int, seed: int, label: int | str | None) -> Latents:
    distance = Pyramid(target)
    starts, deviation = _nearest_samples(space, distance, seed, label)
    condition = None if starts.condition is None or space.name == "w" else starts.condition.to(target.device)
    base = starts.values[:, :1] if space.name == "w" else starts.values
    free = base.to(target.device).clone().requires_grad_(True)
    optimizer, rng = torch.optim.Adam([free], lr=RATE), generator(seed, "project")
    scale = deviation.to(target.device) if space.name == "w" else torch.ones((), device=target.device)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * _rate_factor(step / steps) * float(scale.mean())
        shaken = free
        if space.name == "w":
            fade = max(0.0, 1 - step / steps / JITTER_UNTIL) ** 2
            shaken = free + JITTER * fade * scale * torch.randn(free.shape, generator=rng).to(free)
        loss = _loss(space, distance, shaken, condition)
        (gradient,) = torch.autograd.grad(loss.sum(), free)  # does not change the gradients of the network
        free.grad = gradient
        optimizer.step()
    with torch.no_grad():
        best = int(_loss(space, distance, free, condition).argmin())
        values = _all_layers(space, free.detach())[best : best + 1].cpu().contiguous()
    return Latents(space.name, values, None if starts.condition is None else starts.condition[best : best + 1])


def _nearest_samples(space: Space, distance: Pyramid, seed: int, label: int | str | None) -> tuple[Latents, Tensor]:
    """The nearest of many samples, and the standard deviation of their latents, (L,)."""
    noise = space.sampler.noise(CANDIDATES, seed)
    condition = space.sampler.conditions(CANDIDATES, seed)
    if label is not None:
        condition = space.generator.labels(label, CANDIDATES)
    many = space.points(noise, condition)
    deviation = many.values.flatten(0, -2).std(0)
    if space.name == "w":
        many = Latents("w", many.values.clone(), many.condition)
        many.values[0] = space.network.w_mean.cpu()

    def distances_of(values: Tensor, condition_rows: Tensor | None = None) -> Tensor:
        return distance(_postprocessed(space, space.decode(values, condition_rows)))

    condition_rows = None if space.name == "w" else many.condition
    far = space.sampler.apply(distances_of, many.values, condition_rows, batch=BATCH)
    order = far.argsort()[:PURSUED]
    if space.name == "w" and 0 not in order:
        order[-1] = 0  # the mean is always tried
    return many[order], deviation


def _loss(space: Space, distance: Pyramid, values: Tensor, condition: Tensor | None) -> Tensor:
    """(B,) distances of the samples of these latents from the target, and for z a penalty for leaving the prior."""
    images = _postprocessed(space, space.decode(_all_layers(space, values), condition))
    return distance(images) + PRIOR_WEIGHT * _prior_penalty(space, values)


def _postprocessed(space: Space, images: Tensor) -> Tensor:
    """Samples clipped to the domain's range. The gradient is that without clipping (straight-through), so that it does not vanish
    for values outside the range."""
    trained, images = space.generator, images.float()
    return images + (trained.domain.media.postprocess(images.detach().clone(), trained.recipe) - images.detach())


def _all_layers(space: Space, values: Tensor) -> Tensor:
    """One style for all layers."""
    return values.expand(-1, space.network.num_ws, -1) if space.name == "w" else values


def _prior_penalty(space: Space, values: Tensor) -> Tensor:
    """(B,) how far latents z are from where their prior has its mass; 0 within it, and in w.

    Normal noise has |z|^2 / L = 1 with a standard deviation of sqrt(2 / L): three of them are free. Other priors have a box.
    """
    if space.name == "w":
        return torch.zeros(len(values), device=values.device)
    prior = space.sampler.prior
    if prior.kind == "normal":
        free = 3 * (2 / prior.size) ** 0.5
        return torch.relu((values.square().mean(1) - 1).abs() - free).square()
    limit = 1.0 if prior.kind == "uniform" else prior.limit
    return torch.relu(values.abs() - limit).square().mean(1)


def _rate_factor(share: float) -> float:
    """Rises linearly, stays, falls as a half cosine."""
    fall = min(1.0, (1 - share) / COOLDOWN)
    return min(1.0, (share + 0.01) / WARMUP) * (0.5 - 0.5 * math.cos(math.pi * fall))
