"""The training step of `r3gan-s` (28x28) and `fewshot` (64x64), R1 and R2 included, against plain loops over the same networks.

The plain side has the same weights, options, losses, penalties and cadence, in contiguous float32: channels first in memory,
interpolation before the 1x1 convolution, every activation a new tensor, one call of D for the reals and one for the fakes,
D unfrozen while G learns, Adam as it comes. With --every 1 the penalties are taken in every step on both sides, as published.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import measuring
import pictures
from zerosum import catalog
from zerosum.domains.images.data import ImageSource, Shape
from zerosum.domains.images.networks import fastgan, r3
from zerosum.domains.images.networks.layers import pad_images
from zerosum.engine import Stepped
from zerosum.engine.game import DiscriminatorOutput
from zerosum.engine.losses import relativistic
from zerosum.planning import plan
from zerosum.recipe import Recipe

FAMILIES = {"r3gan-s": Shape(1, 28, 28), "fewshot": Shape(1, 64, 64)}


# --- the same networks, plainly


class Plain(nn.Module):
    """A network's own layers, called as a plain program would: `walk` is the forward pass."""

    def __init__(self, network: nn.Module, walk: Callable[..., Any]) -> None:
        super().__init__()
        self.network, self.walk = copy.deepcopy(network), walk

    def forward(self, x: Tensor) -> Any:
        """Noise to images, or images to logits."""
        return self.walk(self.network, x)


def _block(block: r3.R3Block, x: Tensor) -> Tensor:
    hidden = F.leaky_relu(block.widen(x), 0.2)
    return x + block.narrow(F.leaky_relu(block.mix(hidden), 0.2))  # type: ignore[no-any-return]


def _line(x: Tensor) -> Tensor:
    line = torch.tensor([1.0, 2.0, 1.0])
    return torch.outer(line, line).div(16).repeat(x.shape[1], 1, 1, 1)


def _resample(layer: nn.Module, x: Tensor) -> Tensor:
    if isinstance(layer, r3.Up):  # zeros between the pixels, then the filter
        wide = torch.zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        wide[:, :, ::2, ::2] = x
        return layer.conv(F.conv2d(wide, 4 * _line(x), padding=1, groups=x.shape[1]))  # type: ignore[no-any-return]
    assert isinstance(layer, r3.R3Down)
    return layer.conv(F.conv2d(x, _line(x), padding=1, groups=x.shape[1])[:, :, ::2, ::2])  # type: ignore[no-any-return]


def _trunk(stages: nn.Module, x: Tensor) -> Tensor:
    for layer in stages.children():
        x = _block(layer, x) if isinstance(layer, r3.R3Block) else _resample(layer, x)
    return x


def r3_generator(net: r3.R3Generator, noise: Tensor) -> Tensor:
    """(N, L) -> (N, C, H, W)."""
    scaled = net.grid.linear(noise)[:, :, None, None] * net.grid.basis.permute(2, 0, 1).contiguous()
    return _cut(net.output(net.unfold(net.to_image(_trunk(net.stages, scaled)))), net.shape)


def r3_discriminator(net: r3.R3Discriminator, images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N,)."""
    x = net.from_image(net.fold(pad_images(images, net.shape)))
    return net.linear(net.pool(_trunk(net.stages, x)).flatten(1)).squeeze(1)  # type: ignore[no-any-return]


def light_generator(net: fastgan.FastGanGenerator, noise: Tensor) -> Tensor:
    """(N, L) -> (N, C, H, W)."""
    x = net.stem(noise).view(len(noise), *net.grid, -1).permute(0, 3, 1, 2).contiguous()
    seen = [F.glu(net.stem_norm(x), 1)]
    for number, level in enumerate(net.levels, 1):
        x = level(seen[-1])
        if number >= net.reach:
            x = x * net.excitations[number - net.reach](seen[number - net.reach])
        seen.append(x)
    return _cut(net.output(net.last(seen[-1])), net.shape)


def light_discriminator(net: fastgan.FastGanDiscriminator, images: Tensor) -> DiscriminatorOutput:
    """(N, C, H, W) -> logits; the decoders always decode, as they do in a plain program."""
    images = pad_images(images, net.shape)
    first = net.levels[0][0]  # type: ignore[index]
    seen = [F.leaky_relu(first.conv(images), 0.2)]
    for level in list(net.levels)[1:]:
        seen.append(level(seen[-1]))
    logits = net.head(seen[-1].permute(0, 2, 3, 1).flatten(1), None), net.patches(seen[net.coarse])
    return DiscriminatorOutput(logits, outputs=net._reconstruction(images, seen))


def _cut(images: Tensor, shape: Shape) -> Tensor:
    top, left = (images.shape[2] - shape.height) // 2, (images.shape[3] - shape.width) // 2
    return images[:, :, top : top + shape.height, left : left + shape.width]


PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "r3": (r3_generator, r3_discriminator),
    "light": (light_generator, light_discriminator),
}


# --- the plain loop


class Loop:
    """A training loop as one would write it in an afternoon."""

    def __init__(self, recipe: Recipe, pair: tuple[nn.Module, nn.Module], batches: Iterator[Tensor]) -> None:
        walks = PAIRS[recipe.generator.kind]
        self.netG, self.netD = (Plain(net, walk) for net, walk in zip(pair, walks, strict=True))
        self.recipe, self.batches, self.step = recipe, batches, count()
        self.optimizers = [
            torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.0, 0.99)) for net in (self.netG, self.netD)
        ]

    def play(self, steps: int) -> int:
        """Plays; returns the number of real images seen."""
        for _ in range(steps):
            self._discriminate(next(self.batches), next(self.step))
            self._generate(next(self.batches))
        return steps * len(next(self.batches))

    def _noise(self, num: int) -> Tensor:
        return torch.randn(num, self.recipe.prior.size)

    def _discriminate(self, real: Tensor, step: int) -> None:
        fake = self.netG(self._noise(len(real))).detach()
        on_real, on_fake = DiscriminatorOutput.of(self.netD(real)), DiscriminatorOutput.of(self.netD(fake))
        loss = relativistic.discriminator(on_real.score(), on_fake.score()).mean()
        for name, part in self.recipe.penalties.items():
            if name == "reconstruction":
                loss = loss + on_real.outputs["reconstruction"].mean()
            elif step % part.every == 0:
                points = (real if name == "r1" else fake).clone().requires_grad_(True)
                total = DiscriminatorOutput.of(self.netD(points)).score().sum()
                (slope,) = torch.autograd.grad(total, points, create_graph=True)
                loss = loss + float(part.weight) * part.every / 2 * slope.square().sum((1, 2, 3)).mean()  # type: ignore[arg-type]
        self._update(1, loss)

    def _generate(self, real: Tensor) -> None:
        fake = self.netG(self._noise(len(real)))
        on_real, on_fake = DiscriminatorOutput.of(self.netD(real)), DiscriminatorOutput.of(self.netD(fake))
        self._update(0, relativistic.generator(on_real.score(), on_fake.score()).mean())

    def _update(self, index: int, loss: Tensor) -> None:
        self.optimizers[index].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers[index].step()
        loss.item()


# --- the comparison


def sides(name: str, every: int | None, smoke: bool) -> tuple[measuring.Side, measuring.Side, int]:
    """The plain loop and our engine on one recipe, without augmentation; and the batch."""
    domain = catalog.domain("images")
    recipe = domain.recipes.table[name].changed(conditional=False, device="cpu", precision="float32", augment=None)
    penalties = {key: part.model_copy(update={"every": every or part.every}) for key, part in recipe.penalties.items()}
    kept = {key: part if key in ("r1", "r2") else recipe.penalties[key] for key, part in penalties.items()}
    recipe = recipe.changed(penalties={key: part.model_dump(mode="json") for key, part in kept.items()})
    if smoke:
        recipe = recipe.changed(
            **{p: {"kind": recipe.generator.kind, "width": 16} for p in ("generator", "discriminator")}
        )
    source = pictures.generated(FAMILIES[name], smoke=True)
    match = plan.training_loop(plan.Plan(recipe.with_schedules_in_steps(), domain, source, domain.info_of(source)))
    pair = match.game.players["generator"], match.game.players["discriminator"]
    loop = Loop(recipe, pair, _batches(source, match.settings.batch))
    events = match.run(10**12)

    def play(steps: int) -> int:
        done = 0
        while done < steps:
            done += isinstance(next(events), Stepped)
        return steps * match.settings.batch

    return measuring.Side(f"{name} plain", loop.play), measuring.Side(f"{name} zerosum", play), match.settings.batch


def _batches(source: ImageSource, batch: int) -> Iterator[Tensor]:
    for _ in count():
        yield source.batch(torch.randint(source.num_rows, (batch,))).data


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, returns the JSON line."""
    parser = measuring.options((__doc__ or "").splitlines()[0], device=False, data=False)
    measuring.add_slices(parser, steps=8)
    parser.add_argument("--every", type=int, help="R1 and R2 in every so many steps; default: as the recipe has it")
    parser.add_argument("--recipe", nargs="+", choices=list(FAMILIES), default=list(FAMILIES), help="which families")
    args = parser.parse_args(argv)
    measuring.begin(args)
    results: dict[str, Any] = {}
    ratios = []
    for name in args.recipe:
        plain, ours, batch = sides(name, args.every, args.smoke)
        measuring.interleaved([plain, ours], args)
        ratios.append(measuring.ratio(plain, ours))
        found = measuring.summary([plain, ours], batch)
        measuring.show(found, ratios[-1:])
        results |= found
    return measuring.finish("r3_speed", args, {"sides": results, "ratios": ratios})


if __name__ == "__main__":
    main()
