"""Penalties on the discriminator's gradient and further loss terms, as functions of a LossContext: one value per row, averaged
by the engine.

Those on a gradient are computed with the exact second derivative and reduced in float32. ``every=k`` makes a penalty lazy: it is
computed in every k-th step and multiplied by k, so that its mean strength does not change (Karras et al. 2020).
Adding a penalty is adding one public function to this module that is annotated to return a Penalty.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from zerosum.engine.game import DISCRIMINATOR, GENERATOR, DiscriminatorOutput, LossContext
from zerosum.engine.optimizers import Schedule, at
from zerosum.errors import UserError, known_as
from zerosum.nn.latent import PathLengthGenerator

PenaltyFunction = Callable[[LossContext], Tensor]


@dataclass(frozen=True)
class Penalty:
    """A named term of a player: weight * every * function(context) in every `every`-th step, else nothing.

    weight: a number >= 0 or a Schedule over steps. players: whose turns it is part of.
    second_order: the function differentiates a network, so that the network needs a second derivative.
    augment_role: the `UpdateRules.augment_role` that the penalty works with, and that needs this penalty; None: any.
    weight_scales: a good weight depends on the size of the samples and on the batch; otherwise the default of the function
    that makes the penalty holds for all. source: who published it.
    any_game: it works for any data and networks, without an augmentation; the others need an output of the discriminator, a
    mapping network or an augmentation.
    """

    name: str
    function: PenaltyFunction
    weight: float | Schedule
    every: int = 1
    players: tuple[str, ...] = ("discriminator",)
    second_order: bool = True
    augment_role: Literal["compared"] | None = None
    weight_scales: bool = False
    source: str = ""
    any_game: bool = True

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"penalty {self.name}: every must be at least 1, got {self.every}")
        if not isinstance(self.weight, Schedule) and not self.weight >= 0:
            raise ValueError(f"penalty {self.name}: weight must be at least 0, got {self.weight}")

    def due(self, step: int) -> bool:
        """Whether the penalty is computed in this step (0-based)."""
        return step % self.every == 0

    def term(self, context: LossContext) -> Tensor:
        """(N,) float32, weighted."""
        return self.function(context) * (at(self.weight, context.step) * self.every)


def squared_gradient(context: LossContext, points: Tensor, side: str = "real", through_augment: bool = False) -> Tensor:
    """(N,) float32: ||dD/dx||^2 at `points` (N, ...), judged under the conditions of that side, with a graph for the
    second derivative. through_augment: D judges the augmented points, and the derivative is that of the plain ones."""
    points = points.detach().to(context.real.dtype).requires_grad_(True)  # fakes may come out of autocast in bfloat16
    # The sum over rows gives every row its own gradient, as long as D does not mix rows.
    total = context.judge(context.augment(points, side) if through_augment else points, side).score().sum()
    (gradient,) = torch.autograd.grad(total, points, create_graph=True)
    return gradient.float().square().flatten(1).sum(1)


def _between(context: LossContext) -> Tensor:
    """Random points on the segments from fake to real, one weight a row."""
    weight = context.rng.uniform("between", *[1] * (context.real.dim() - 1)).to(context.real.dtype)
    return torch.lerp(context.fake.to(context.real.dtype), context.real, weight)


def _around(context: LossContext, width: float) -> Tensor:
    """Points around the data: x + width * U[0, 1), in every coordinate."""
    return context.real + width * context.rng.uniform("around", *context.real.shape[1:])


def r1(weight: float | Schedule = 1.0, every: int = 1, through_augment: bool = False) -> Penalty:
    """weight/2 * E ||dD/dx||^2 on reals. Mescheder et al. 2018, arXiv:1801.04406, equation 9.

    through_augment: the slope at the plain reals, through the augmentation (Karras et al. 2020, arXiv:2006.06676).
    """
    return _at_samples("r1", "real", weight, every, through_augment)


def r2(weight: float | Schedule = 1.0, every: int = 1, through_augment: bool = False) -> Penalty:
    """weight/2 * E ||dD/dx||^2 on fakes. Mescheder et al. 2018, arXiv:1801.04406, equation 10. through_augment: as in r1."""
    return _at_samples("r2", "fake", weight, every, through_augment)


def _at_samples(name: str, side: str, weight: float | Schedule, every: int, through_augment: bool) -> Penalty:
    def function(context: LossContext) -> Tensor:
        shown, plain = (context.real, context.plain_real) if side == "real" else (context.fake, context.plain_fake)
        points = plain if through_augment and plain is not None else shown
        return 0.5 * squared_gradient(context, points, side, through_augment)

    return Penalty(name, function, weight, every, weight_scales=True, source="Mescheder et al. 2018")


def gradient_penalty(
    weight: float | Schedule = 10.0, every: int = 1, target: float = 1.0, one_sided: bool = False
) -> Penalty:
    """weight * E (||dD/dx|| - target)^2 between fakes and reals; one-sided counts only norms above the target.

    Gulrajani et al. 2017, arXiv:1704.00028, equation 3; one-sided: Petzka et al. 2018, arXiv:1709.08894.
    """

    def function(context: LossContext) -> Tensor:
        # The tiny constant keeps the root's derivative finite where the gradient vanishes.
        excess = (squared_gradient(context, _between(context)) + 1e-12).sqrt() - target
        return (excess.relu() if one_sided else excess).square()

    return Penalty("gradient_penalty", function, weight, every, source="Gulrajani et al. 2017")


def zero_centred(weight: float | Schedule = 10.0, every: int = 1) -> Penalty:
    """weight * E ||dD/dx||^2 between fakes and reals. Thanh-Tung et al. 2019, arXiv:1902.03984."""
    source = "Thanh-Tung et al. 2019"
    return Penalty(
        "zero_centred", lambda context: squared_gradient(context, _between(context)), weight, every, source=source
    )


def dragan(
    weight: float | Schedule = 10.0, every: int = 1, spread: float = 0.5, target: float = 1.0, deviation: float = 0.5
) -> Penalty:
    """weight * E (||dD/dx|| - target)^2 at x + spread * deviation * U[0, 1). Kodali et al. 2017, arXiv:1705.07215.

    deviation: the standard deviation of the data; about 1/2 for images in [-1, 1]. The paper takes it from each batch;
    a stated number leaves every row independent of the others, over micro-batches and processes too.
    """

    def function(context: LossContext) -> Tensor:
        return ((squared_gradient(context, _around(context, spread * deviation)) + 1e-12).sqrt() - target).square()

    return Penalty("dragan", function, weight, every, source="Kodali et al. 2017")


# --- further terms: an auxiliary classifier, a decoder, consistency, path lengths


def classification(weight: float | Schedule = 1.0, every: int = 1, generator_weight: float = 1.0) -> Penalty:
    """Cross-entropy of the discriminator's class logits, outputs["classes"] (N, K): on reals in its own turn, on fakes in
    the generator's, times generator_weight. Odena et al. 2017 (AC-GAN), arXiv:1610.09585; D does not learn from fakes."""

    def function(context: LossContext) -> Tensor:
        own = context.player == DISCRIMINATOR
        output, labels = (context.on_real, context.condition) if own else (context.on_fake, context.fake_condition)
        if labels is None or labels.dim() != 1:
            raise ValueError("the penalty `classification` needs data with class labels")
        lost = cross_entropy(_output(output, "classes", "classification").float(), labels, reduction="none")
        return lost if own else lost * generator_weight

    players = (DISCRIMINATOR, GENERATOR)
    source = "Odena et al. 2017"
    return Penalty(
        "classification", function, weight, every, players, second_order=False, source=source, any_game=False
    )


def reconstruction(weight: float | Schedule = 1.0, every: int = 1) -> Penalty:
    """The error of the decoder inside the discriminator on reals, outputs["reconstruction"] (N,).
    Liu et al. 2021 (FastGAN), arXiv:2101.04775, section 3.2."""

    def function(context: LossContext) -> Tensor:
        return _output(context.on_real, "reconstruction", "reconstruction").float()

    source = "Liu et al. 2021"
    return Penalty("reconstruction", function, weight, every, second_order=False, source=source, any_game=False)


def consistency(weight: float | Schedule = 10.0, every: int = 1) -> Penalty:
    """(D(x) - D(T(x)))^2 on reals and on fakes, with the game's augmentation T.
    Zhao et al. 2020 (balanced consistency regularisation), arXiv:2002.04724, section 3.1."""

    def function(context: LossContext) -> Tensor:
        real = context.on_real.score() - context.judge(context.augment(context.real, "real"), "real").score()
        fake = context.on_fake.score() - context.judge(context.augment(context.fake.detach(), "fake"), "fake").score()
        return real.square() + fake.square()

    return Penalty(
        "consistency",
        function,
        weight,
        every,
        second_order=False,
        augment_role="compared",
        source="Zhao et al. 2020",
        any_game=False,
    )


def path_length(weight: float | Schedule = 2.0, every: int = 4, decay: float = 0.01) -> Penalty:
    """(||J^T y|| - a)^2, where J = d sample / d w, y ~ N(0, 1) / sqrt(number of places), and a the running mean of the lengths.

    Samples are (N, C, ...) of any rank; the places of images are their H W pixels.

    Karras et al. 2020 (StyleGAN2), arXiv:1912.04958, section 3.2. The generator derives from `nn.latent.PathLengthGenerator`;
    its buffer `path_length_mean` moves by `decay` each time. The lengths are compared with the mean before the turn, so that the
    rows of a batch stay apart.
    """

    def function(context: LossContext) -> Tensor:
        generator = context.generator
        if context.noise is None or not isinstance(generator, PathLengthGenerator):
            raise ValueError("the penalty `path_length` needs a generator with a mapping network, such as kind `style`")
        ws = generator.mapping(context.noise, context.fake_condition)
        samples = generator.synthesis(ws)
        places = samples[0, 0].numel()
        direction = context.rng.normal("path length", *samples.shape[1:]) / places**0.5
        (slope,) = torch.autograd.grad((samples * direction).sum(), ws, create_graph=True)
        lengths = slope.float().square().sum(2).mean(1).sqrt()
        mean = generator.path_length_mean
        before = mean.clone()  # that of all rows before this turn, for every part of the batch
        with torch.no_grad():
            mean.lerp_(lengths.mean().to(mean.dtype), decay)
        return (lengths - before).square()

    # Its noise is scaled by the size of the sample, so the weight need not be.
    return Penalty("path_length", function, weight, every, (GENERATOR,), source="Karras et al. 2020", any_game=False)


def _output(output: DiscriminatorOutput, name: str, penalty: str) -> Tensor:
    if name not in output.outputs:
        raise ValueError(f"the penalty `{penalty}` needs a discriminator with the output {name!r}; this one has none")
    rows: Tensor = output.outputs[name]
    return rows


# --- limits on the weights, and the table of all penalties


def clip_weights(network: nn.Module, limit: float) -> None:
    """Clamps every parameter that learns to [-limit, limit]: WGAN's first way to a Lipschitz critic (arXiv:1701.07875,
    algorithm 1)."""
    with torch.no_grad():
        parameters: list[Tensor] = [parameter for parameter in network.parameters() if parameter.requires_grad]
        torch._foreach_clamp_min_(parameters, -limit)
        torch._foreach_clamp_max_(parameters, limit)


def makers(module: Mapping[str, Any]) -> dict[str, Callable[..., Penalty]]:
    """The public functions of a module's globals that are annotated to return a Penalty, by name."""
    return {
        name: item
        for name, item in module.items()
        if inspect.isfunction(item)
        and not name.startswith("_")
        and item.__module__ == module["__name__"]
        and item.__annotations__.get("return") in (Penalty, "Penalty")
    }


def table(any_game: bool = False) -> dict[str, Callable[..., Penalty]]:
    """The penalties of this module by name; read off the module, so that a new penalty needs no second edit. any_game: only those
    that work for any data and networks."""
    return {name: maker for name, maker in makers(globals()).items() if not any_game or maker().any_game}


def listed(given: Penalty | str | Iterable[Penalty | str] | Mapping[str, float]) -> tuple[Penalty, ...]:
    """The penalties of Penalty objects, of names of this module, or of names with their weights; UserError for anything else."""
    if isinstance(given, Mapping):
        return tuple(known_as(name, table(), "penalty")(weight) for name, weight in given.items())
    items = [given] if isinstance(given, Penalty | str) or not isinstance(given, Iterable) else given
    found: tuple[Any, ...] = tuple(
        known_as(item, table(), "penalty")() if isinstance(item, str) else item for item in items
    )
    for item in found:
        if not isinstance(item, Penalty):
            called = f" Call it: {item.__name__}(weight)." if callable(item) and hasattr(item, "__name__") else ""
            raise UserError(
                f'penalties: got {item!r}; give names ["r1"], weights {{"r1": 1.0}} or zs.penalties.r1().{called}'
            )
    return found
