"""The training step of every family of image networks, R1 and R2 included, in images a second, with the memory it takes.

Beside each a loop as one would write it in an afternoon, in contiguous float32 over the same modules: reals and fakes judged
in two calls, D unfrozen while G learns, Adam as it comes, an average of all weights in every step. Terms other than the loss,
R1 and R2 are left out on both sides, and so is augmentation. What the layers themselves gain over plain formulations
is measured by style_speed.py and r3_speed.py.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

import measuring
import pictures
from zerosum import catalog, memory
from zerosum.domain import pair
from zerosum.domains.images.data import ImageSource, Shape
from zerosum.engine import Stepped, TrainingLoop
from zerosum.engine.game import Batch, DiscriminatorOutput
from zerosum.engine.optimizers import at
from zerosum.planning import plan
from zerosum.recipe import Recipe

FAMILIES = ("cgan", "rpgan", "sngan", "biggan-s", "stylegan2-s", "r3gan-s", "fewshot")
SHAPES = {"28": Shape(1, 28, 28, 10), "32": Shape(3, 32, 32, 10), "64": Shape(3, 64, 64, 10)}
LEARNT = ("r1", "r2")


class Loop:
    """The plain side: the networks of a match, copied, in a loop of its own."""

    def __init__(self, recipe: Recipe, match: TrainingLoop, batches: Iterator[Batch]) -> None:
        players = match.game.players
        self.generator, self.discriminator = (_plain(players[name]) for name in ("generator", "discriminator"))
        self.average = copy.deepcopy(self.generator)
        self.recipe, self.batches, self.step, self.loss = recipe, batches, count(), pair(recipe)
        self.steps = {net: torch.optim.Adam(net.parameters(), 1e-3, (0.0, 0.99)) for net in self._networks}

    @property
    def _networks(self) -> tuple[nn.Module, nn.Module]:
        return self.generator, self.discriminator

    def play(self, steps: int) -> int:
        """Plays; returns the number of real images of a step, all told."""
        for _ in range(steps):
            for _ in range(self.recipe.rules.discriminator_steps):
                self._discriminate(next(self.batches), next(self.step))
            real = next(self.batches)
            self._generate(real)
        return steps * len(real)

    def _told(self, batch: Batch) -> tuple[Tensor, ...]:
        return (batch.condition,) if self.recipe.conditional is True and batch.condition is not None else ()

    def _fakes(self, batch: Batch) -> Tensor:
        return self.generator(torch.randn(len(batch), self.recipe.prior.size), *self._told(batch))  # type: ignore[no-any-return]

    def _judge(self, data: Tensor, batch: Batch) -> Tensor:
        return DiscriminatorOutput.of(self.discriminator(data, *self._told(batch))).score()

    def _discriminate(self, batch: Batch, step: int) -> None:
        fake = self._fakes(batch).detach()
        loss = self.loss.discriminator(self._judge(batch.data, batch), self._judge(fake, batch)).mean()
        for name, part in self.recipe.penalties.items():
            if step % part.every == 0:
                points = (batch.data if name == "r1" else fake).clone().requires_grad_(True)
                (slope,) = torch.autograd.grad(self._judge(points, batch).sum(), points, create_graph=True)
                weight = at(part.weight, step) * part.every / 2  # type: ignore[arg-type]
                loss = loss + weight * slope.square().sum((1, 2, 3)).mean()
        self._update(self.discriminator, loss)

    def _generate(self, batch: Batch) -> None:
        on_fake = self._judge(self._fakes(batch), batch)
        on_real = self._judge(batch.data, batch) if self.loss.needs_real else on_fake
        self._update(self.generator, self.loss.generator(on_real, on_fake).mean())
        with torch.no_grad():
            for mean, weight in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                mean.mul_(0.999).add_(weight, alpha=0.001)

    def _update(self, network: nn.Module, loss: Tensor) -> None:
        self.steps[network].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.steps[network].step()
        loss.item()


def _plain(network: nn.Module) -> nn.Module:
    copied = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    for module in copied.modules():
        if hasattr(module, "layout"):
            module.layout = torch.contiguous_format
    return copied


def begun(name: str, shape: Shape, precision: str, smoke: bool) -> tuple[Recipe, TrainingLoop, ImageSource]:
    """A recipe on generated images, ready to play."""
    domain = catalog.domain("images")
    recipe = domain.recipes.table[name].changed(device="cpu", precision=precision, augment=None)
    kept = {key: part.model_dump(mode="json") for key, part in recipe.penalties.items() if key in LEARNT}
    recipe = recipe.changed(penalties=kept, rules=recipe.rules.__class__(batches=recipe.rules.batches))
    if smoke:
        small = {
            player: {"kind": getattr(recipe, player).kind, "width": 16} for player in ("generator", "discriminator")
        }
        recipe = recipe.changed(**small)
    source = pictures.generated(shape, smoke=True)
    info = domain.info_of(source)
    recipe, _ = plan.resolve_auto(plan.resolve_conditional(recipe, info), domain, info)
    return recipe, plan.training_loop(plan.Plan(recipe, domain, source, info)), source


def sides(name: str, shape: Shape, precision: str, smoke: bool) -> tuple[measuring.Side, measuring.Side, int, int]:
    """The plain loop and our engine; images of a batch; bytes that one of our steps takes at its peak."""
    recipe, match, source = begun(name, shape, precision, smoke)
    batch = match.settings.batch
    with memory.measured(torch.device("cpu")) as peak:
        match.train_step()
    events = match.run(10**12)

    def play(steps: int) -> int:
        done = 0
        while done < steps:
            done += isinstance(next(events), Stepped)
        return steps * batch

    loop = Loop(recipe, match, _batches(source, batch))
    return (
        measuring.Side(f"{name} plain", loop.play),
        measuring.Side(f"{name} zerosum", play),
        batch,
        peak.num_bytes or 0,
    )


def _batches(source: ImageSource, batch: int) -> Iterator[Batch]:
    while True:
        yield source.batch(torch.randint(source.num_rows, (batch,)))


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, returns the JSON line."""
    parser = measuring.options((__doc__ or "").splitlines()[0], device=False, data=False)
    measuring.add_slices(parser, steps=8, rounds=3)
    measuring.add_precision(parser, ("float32", "bfloat16", "auto"))
    parser.add_argument("--recipe", nargs="+", choices=FAMILIES, default=list(FAMILIES), help="which families")
    parser.add_argument("--size", choices=SHAPES, default="32", help="28 grey, 32 or 64 in colour")
    args = parser.parse_args(argv)
    measuring.begin(args)
    results: dict[str, Any] = {}
    ratios = []
    for name in args.recipe:
        plain, ours, batch, peak = sides(name, SHAPES[args.size], measuring.precisions(args.precision)[0], args.smoke)
        measuring.interleaved([plain, ours], args)
        ratios.append(measuring.ratio(plain, ours))
        found = measuring.summary([plain, ours], batch)
        measuring.show(found, ratios[-1:])
        print(f"  batch {batch}; a step takes {peak / 1e6:,.0f} MB at its peak")
        results |= found | {f"{name} memory": {"batch": batch, "peak_bytes": peak}}
    return measuring.finish("family_speed", args, {"sides": results, "ratios": ratios})


if __name__ == "__main__":
    main()
