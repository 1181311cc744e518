"""Style-based pair, CIFAR-10's shape: our layers against a plain formulation of the very same networks, interleaved.

Both sides play the same game on the same engine: non-saturating loss, lazy R1 and path lengths, styles mixed. The plain side
has the usual formulation in float32: N scaled weights and a grouped convolution, contiguous images, the filter and its
derivatives by autograd, gains in passes of their own. Ours scales channels instead, keeps channels last, says that the filter's
adjoint is a filter, and folds gains into weights. A slice holds whole rounds of the lazy penalties. That both sides compute the
same is checked before they are timed.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as f

import measuring
import ours
import pictures
from zerosum.domains.images.data import Shape
from zerosum.domains.images.networks.style import StyleDiscriminator, StyleGenerator
from zerosum.engine import Duel, OptimizerConfig, Settings, TrainingLoop, penalties
from zerosum.engine.devices import Precision
from zerosum.nn.layers import Blur
from zerosum.nn.style_layers import GAIN, SLOPE, EqualConv, ModulatedConv, ToImage

LATENT = 64
LAYERS = ((128, 7), (64, 14), (32, 28))
LAYOUTS = torch.contiguous_format, torch.channels_last


class PlainBlur(nn.Module):
    """The filter by torch's own derivatives."""

    def __init__(self, blur: Blur) -> None:
        super().__init__()
        self.register_buffer("kernel", blur.kernel.contiguous(), persistent=False)
        self.stride, self.padding = blur.stride, blur.padding

    def forward(self, x: Tensor) -> Tensor:
        return f.conv2d(x, self.kernel, stride=self.stride, padding=self.padding, groups=x.shape[1])


class PlainConv(nn.Module):
    """Scaled convolution, bias, leaky ReLU, gain: one after the other."""

    def __init__(self, conv: EqualConv) -> None:
        super().__init__()
        self.weight, self.bias, self.active = conv.weight, conv.bias, conv.active
        self.stride, self.padding = conv.stride, conv.padding
        self.gain = conv.scale * math.sqrt(conv.weight[0].numel())
        self.blur = plain(conv.blur)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight / math.sqrt(self.weight[0].numel())
        y = f.conv2d(self.blur(x), weight, stride=self.stride, padding=self.padding)
        if not self.active:
            return y * self.gain
        return f.leaky_relu(y + (self.bias / self.gain).view(1, -1, 1, 1), SLOPE) * self.gain


class PlainModulatedConv(nn.Module):
    """N scaled and normalised weights, one grouped convolution."""

    def __init__(self, conv: ModulatedConv) -> None:
        super().__init__()
        self.affine, self.weight, self.bias = conv.affine, conv.weight, conv.bias
        self.blur = None if conv.blur is None else plain(conv.blur)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        weights = self.weight * self.affine(w)[:, None, :, None, None]
        weights = weights * (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        n, after, before = weights.shape[:3]
        x = x.expand(n, -1, -1, -1).reshape(1, n * before, *x.shape[2:])
        if self.blur is None:
            y = f.conv2d(x, weights.flatten(0, 1), padding=1, groups=n)
        else:
            y = f.conv_transpose2d(x, weights.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
        y = y.view(n, after, *y.shape[2:])
        y = y if self.blur is None else self.blur(y)
        return y * GAIN + self.bias.view(1, -1, 1, 1)


class PlainToImage(nn.Module):
    """N scaled weights, one grouped convolution."""

    def __init__(self, layer: ToImage) -> None:
        super().__init__()
        self.affine, self.weight, self.bias = layer.affine, layer.weight, layer.bias

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        n, before, height, width = x.shape
        weights = (self.weight / math.sqrt(before)) * self.affine(w)[:, None]
        y = f.conv2d(x.reshape(1, n * before, height, width), weights.flatten(0, 1)[:, :, None, None], groups=n)
        return y.view(n, -1, height, width) + self.bias.view(1, -1, 1, 1)


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    Blur: PlainBlur,
    EqualConv: PlainConv,
    ModulatedConv: PlainModulatedConv,
    ToImage: PlainToImage,
}


def plain(network: nn.Module) -> nn.Module:
    """The network with its layers replaced, sharing their parameters."""
    if type(network) in PLAIN:
        return PLAIN[type(network)](network)
    for name, child in network.named_children():
        setattr(network, name, plain(child))
    if hasattr(network, "layout"):
        network.layout = torch.contiguous_format
    return network


def pair(shape: Shape, width: int) -> tuple[nn.Module, nn.Module]:
    """Networks of a few layers a size, up to eight times as wide at the small ones."""
    torch.manual_seed(0)
    widths = {"width": width, "max_width": 8 * width}
    generator = StyleGenerator(shape, latent=LATENT, mapping_layers=2, mixing=0.5, **widths)
    return generator, StyleDiscriminator(shape, **widths)


def side(
    name: str, networks: tuple[nn.Module, nn.Module], source: Any, args: Any, precision: Precision
) -> measuring.Side:
    """A match that plays on request."""
    generator, discriminator = (network.to(args.device).train() for network in networks)
    lazy = [penalties.r1(0.01, every=args.every), penalties.path_length(2.0, every=args.every)]
    game = Duel(generator, discriminator, prior=LATENT, penalties=lazy)
    settings = Settings(batch=args.batch, default=OptimizerConfig(lr=2e-3), precision=precision)
    match = TrainingLoop(game, source.to(args.device), settings)

    def play(steps: int) -> int:
        for _ in range(steps):
            match.train_step()
        return steps * args.batch

    return measuring.Side(name, play)


@torch.no_grad()
def difference(shape: Shape, width: int) -> float:
    """The largest difference between the two formulations' images and verdicts, relative to their spread; float64."""
    worst = 0.0
    inputs = torch.randn(4, LATENT).double(), torch.randn(4, shape.channels, shape.height, shape.width).double()
    for network, x in zip(pair(shape, width), inputs, strict=True):
        ours_, other = network.double().eval(), plain(copy.deepcopy(network)).eval()
        y = ours_(x)
        worst = max(worst, float((other(x) - y).abs().max() / y.std()))
    return worst


def layer(name: str, compute: Callable[[Tensor], Tensor], x: Tensor, second: bool) -> measuring.Side:
    """One layer forward and backward; second: through the squared slope, as in a penalty."""

    def play(steps: int) -> int:
        for _ in range(steps):
            y = compute(x)
            if second:
                (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
                slope.square().sum().backward()
            else:
                y.backward(y.detach())
        return steps * len(x)

    return measuring.Side(name, play)


def layers(args: Any) -> dict[str, Any]:
    """Modulated convolutions and filters of several shapes, in both formulations."""
    found: dict[str, Any] = {"sides": {}, "ratios": []}
    torch.manual_seed(0)
    w = torch.randn(args.batch, LATENT)
    for channels, size in ((4, 4),) if args.smoke else LAYERS:
        conv, blur = ModulatedConv(channels, channels, LATENT), Blur(channels, padding=2)
        x = torch.randn(args.batch, channels, size, size)
        plain_x, our_x = (x.contiguous(memory_format=kind).requires_grad_() for kind in LAYOUTS)
        usual, other = PlainModulatedConv(copy.deepcopy(conv)), PlainBlur(blur)
        pairs = {"convolution": (functools.partial(usual, w=w), functools.partial(conv, w=w)), "filter": (other, blur)}
        for (name, (theirs, mine)), second in itertools.product(pairs.items(), (False, True)):
            ending = f" {name} {channels}x{size}x{size}" + (", 2nd derivative" if second else "")
            both = [layer("plain" + ending, theirs, plain_x, second), layer("zerosum" + ending, mine, our_x, second)]
            measuring.interleaved(both, args)
            found["sides"] |= measuring.summary(both, args.batch)
            found["ratios"].append(measuring.ratio(*both))
    measuring.show(found["sides"], found["ratios"])
    return found


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, returns the JSON line."""
    parser = measuring.options((__doc__ or "").splitlines()[0])
    measuring.add_slices(parser, steps=8)
    measuring.add_precision(parser)
    parser.add_argument("--batch", type=int, default=32, help="rows of a step")
    parser.add_argument("--width", type=int, default=32, help="channels at the full size")
    parser.add_argument("--every", type=int, default=8, help="both penalties are computed in every so manieth step")
    parser.add_argument("--layers", action="store_true", help="only modulated convolutions and filters, one at a time")
    args = parser.parse_args(argv)
    measuring.begin(args)
    if args.layers:
        return measuring.finish("style_speed", args, layers(args))
    if args.smoke:
        args.width, args.batch, args.every = 4, 4, 2
    source, about = pictures.load("cifar10", args.data, args.smoke)
    shape = ours.plain(source.shape)
    print(f"{about}; batch {args.batch}, width {args.width}; R1 and path lengths in every {args.every} steps")
    apart = difference(shape, args.width)
    first, second = pair(shape, args.width)
    usual = side("plain formulation", (plain(first), plain(second)), source, args, "float32")
    mine = [
        side(f"zerosum {precision}", pair(shape, args.width), source, args, precision)
        for precision in measuring.precisions(args.precision, args.device)
    ]
    measuring.interleaved([usual, *mine], args)
    sides = measuring.summary([usual, *mine], args.batch)
    ratios = [measuring.ratio(usual, other) for other in mine]
    measuring.show(sides, ratios)
    print(f"  largest difference of their outputs in float64: {apart:.1e}")
    return measuring.finish("style_speed", args, {"data": about, "sides": sides, "ratios": ratios, "difference": apart})


if __name__ == "__main__":
    main()
