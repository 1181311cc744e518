"""What the engine costs: against a bare hand-written loop of the same networks, precision, losses, optimizer and data.

Both sides: uint8 data gathered in shuffled order, D frozen in G's step, G without a graph in D's step, float32 losses, fused
Adam, the average generator every step. Only the engine: randomness as a function of the step, buffers of the resting player
put back, gradient norms, the finite check before every update, micro-batches and processes, events, values every 32nd step.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import measuring
import ours
import pictures
from zerosum.domains.images.data import ImageSource
from zerosum.engine import OptimizerConfig, UpdateRules
from zerosum.engine.devices import Precision, autocast

HALF_LIFE, MOST_PERCENT = 10_000.0, 3.0
Pair = tuple[nn.Module, nn.Module]


class Bare:
    """The loop that somebody in a hurry writes for exactly this game: non-saturating, fresh fakes."""

    def __init__(
        self,
        pair: Pair,
        source: ImageSource,
        batch: int,
        learning: OptimizerConfig,
        precision: Precision,
        device: str,
        one: bool,
    ) -> None:
        self.generator, self.discriminator = (network.to(device).train() for network in pair)
        self.pixels, self.batch, self.device, self.one = source.train.pixels.to(device), batch, device, one
        self.precision, self.order, self.seen = precision, torch.empty(0, dtype=torch.int64), 0
        rates: dict[str, Any] = {"lr": learning.lr, "betas": learning.betas, "fused": True}
        self.for_g = torch.optim.Adam(self.generator.parameters(), **rates)
        self.for_d = torch.optim.Adam(self.discriminator.parameters(), **rates)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)

    def play(self, steps: int) -> int:
        """Plays; returns the number of real images seen."""
        for _ in range(steps):
            self._discriminator_turn()
            self._generator_turn()
            self._follow()
        return steps * self.batch

    def _reals(self) -> Tensor:
        if len(self.order) < self.batch:
            self.order = torch.cat([self.order, torch.randperm(len(self.pixels))])
        rows, self.order = self.order[: self.batch], self.order[self.batch :]
        return self.pixels.index_select(0, rows.to(self.device)).float().div_(127.5).sub_(1.0)

    def _noise(self) -> Tensor:
        return torch.randn(self.batch, ours.LATENT).to(self.device)

    def _context(self) -> contextlib.AbstractContextManager[object]:
        return autocast(self.precision, torch.device(self.device))

    def _discriminator_turn(self) -> None:
        real = self._reals()
        self.for_d.zero_grad(set_to_none=True)
        with self._context():
            with torch.no_grad():
                fake = self.generator(self._noise())
            if self.one:
                on_real, on_fake = self.discriminator(torch.cat([real, fake.to(real.dtype)])).chunk(2)
            else:
                on_real, on_fake = self.discriminator(real), self.discriminator(fake)
        (softplus(-on_real.float()) + softplus(on_fake.float())).mean().backward()  # type: ignore[no-untyped-call]
        self.for_d.step()

    def _generator_turn(self) -> None:
        self.discriminator.requires_grad_(False)
        self.for_g.zero_grad(set_to_none=True)
        with self._context():
            on_fake = self.discriminator(self.generator(self._noise()))
        softplus(-on_fake.float()).mean().backward()  # type: ignore[no-untyped-call]
        self.for_g.step()
        self.discriminator.requires_grad_(True)

    @torch.no_grad()
    def _follow(self) -> None:
        self.seen += self.batch
        decay = 0.5 ** (self.batch / min(HALF_LIFE, 0.05 * self.seen))
        mine: list[Tensor] = list(self.average.parameters())
        theirs = [parameter.detach() for parameter in self.generator.parameters()]
        torch._foreach_lerp_(mine, theirs, 1 - decay)
        for buffer, new in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            buffer.copy_(new)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, returns the JSON line."""
    parser = measuring.options((__doc__ or "").splitlines()[0])
    measuring.add_slices(parser, steps=4, rounds=61)
    measuring.add_precision(parser)
    parser.add_argument("--pair", choices=("mlp", "dcgan", "both"), default="both", help="which networks")
    args = parser.parse_args(argv)
    measuring.begin(args)
    print(
        "percent of the bare loop's time that the engine adds (short slices: the machine's noise cancels in the ratios)"
    )
    sides: dict[str, Any] = {}
    ratios: list[dict[str, Any]] = []
    data: dict[str, str] = {}
    for name in ("mlp", "dcgan") if args.pair == "both" else (args.pair,):
        for precision in measuring.precisions(args.precision, args.device):
            found, more, data[name] = _compare(name, precision, args)
            sides |= found
            ratios.append(more)
    measuring.show(sides, ratios)
    for each in ratios:
        low, high = each["quartile_percent"]
        print(
            f"  {each['pair']}: overhead {each['percent']:.1f} % (quartiles {low:.1f} to {high:.1f}), at most {MOST_PERCENT} %"
        )
    return measuring.finish("overhead", args, {"data": data, "sides": sides, "ratios": ratios})


def _compare(name: str, precision: Precision, args: Any) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Engine and bare loop of one pair, from the same weights."""
    mlp = name == "mlp"
    source, about = pictures.load("mnist" if mlp else "cifar10", args.data, args.smoke)
    width, batch, one = (8 if args.smoke else 64), (128 if mlp else 64), mlp
    pair = ours.mlp_pair(source.shape) if mlp else ours.dcgan_pair(source.shape, width, "none")
    learning = OptimizerConfig(lr=2e-4, betas=(0.5, 0.999))
    bare = Bare(copy.deepcopy(pair), source, batch, learning, precision, args.device, one)
    engine = ours.Engine(
        pair,
        source,
        batch=batch,
        rules=UpdateRules(batches="one" if one else "two"),
        learning=learning,
        precision=precision,
        device=args.device,
        half_life_samples=HALF_LIFE,
    )
    label = f"{name} {precision}"
    hand, made = measuring.Side(f"bare loop, {label}", bare.play), measuring.Side(f"zerosum, {label}", engine.play)
    measuring.interleaved([hand, made], args)
    found = measuring.ratio(made, hand)
    low, high = (round(100 * (quartile - 1), 2) for quartile in found["quartiles"])
    found |= {"pair": label, "percent": round(100 * (found["value"] - 1), 2), "quartile_percent": [low, high]}
    found["most_percent"] = MOST_PERCENT
    return measuring.summary([hand, made], batch), found, about


if __name__ == "__main__":
    main()
