"""Extra loss terms of the generator or the discriminator, as functions of a LossContext: one value per row.

Adding a term is adding one public function to this module that is annotated to return a Penalty.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from zerosum.engine.game import DiscriminatorOutput, LossContext
from zerosum.engine.optimizers import Schedule
from zerosum.engine.penalties import Penalty, makers
from zerosum.nn.latent import PathLengthGenerator

DISCRIMINATOR, GENERATOR = "discriminator", "generator"


def classification(weight: float | Schedule = 1.0, every: int = 1, generator_weight: float = 1.0) -> Penalty:
    """Cross-entropy of the discriminator's class logits, outputs["classes"] (N, K): on reals in its own turn, on fakes in
    the generator's, times generator_weight. Odena et al. 2017 (AC-GAN), arXiv:1610.09585; D does not learn from fakes."""

    def function(play: LossContext) -> Tensor:
        own = play.player == DISCRIMINATOR
        verdict, labels = (play.on_real, play.condition) if own else (play.on_fake, play.fake_condition)
        if labels is None or labels.dim() != 1:
            raise ValueError("the penalty `classification` needs data with class labels")
        lost = cross_entropy(_output(verdict, "classes", "classification").float(), labels, reduction="none")
        return lost if own else lost * generator_weight

    players = (DISCRIMINATOR, GENERATOR)
    return Penalty("classification", function, weight, every, players, second_order=False, source="Odena et al. 2017")


def reconstruction(weight: float | Schedule = 1.0, every: int = 1) -> Penalty:
    """The error of the decoder inside the discriminator on reals, outputs["reconstruction"] (N,).
    Liu et al. 2021 (FastGAN), arXiv:2101.04775, section 3.2."""

    def function(play: LossContext) -> Tensor:
        return _output(play.on_real, "reconstruction", "reconstruction").float()

    return Penalty("reconstruction", function, weight, every, second_order=False, source="Liu et al. 2021")


def consistency(weight: float | Schedule = 10.0, every: int = 1) -> Penalty:
    """(D(x) - D(T(x)))^2 on reals and on fakes, with the game's augmentation T.
    Zhao et al. 2020 (balanced consistency regularisation), arXiv:2002.04724, section 3.1."""

    def function(play: LossContext) -> Tensor:
        real = play.on_real.score() - play.judge(play.augment(play.real, "real"), "real").score()
        fake = play.on_fake.score() - play.judge(play.augment(play.fake.detach(), "fake"), "fake").score()
        return real.square() + fake.square()

    source = "Zhao et al. 2020"
    return Penalty("consistency", function, weight, every, second_order=False, augment_role="compared", source=source)


def path_length(weight: float | Schedule = 2.0, every: int = 4, decay: float = 0.01) -> Penalty:
    """(||J^T y|| - a)^2, where J = d sample / d w, y ~ N(0, 1) / sqrt(number of places), and a the running mean of the lengths.

    Samples are (N, C, ...) of any rank; the places of images are their H W pixels.

    Karras et al. 2020 (StyleGAN2), arXiv:1912.04958, section 3.2. The generator derives from `nn.latent.PathLengthGenerator`;
    its buffer `path_length_mean` moves by `decay` each time. The lengths are compared with the mean before the turn, so that the
    rows of a batch stay apart.
    """

    def function(play: LossContext) -> Tensor:
        generator = play.generator
        if play.noise is None or not isinstance(generator, PathLengthGenerator):
            raise ValueError("the penalty `path_length` needs a generator with a mapping network, such as kind `style`")
        ws = generator.mapping(play.noise, play.fake_condition)
        samples = generator.synthesis(ws)
        places = samples[0, 0].numel()
        direction = play.draws.normal("path length", *samples.shape[1:]) / places**0.5
        (slope,) = torch.autograd.grad((samples * direction).sum(), ws, create_graph=True)
        lengths = slope.float().square().sum(2).mean(1).sqrt()
        mean = generator.path_length_mean
        before = mean.clone()  # that of all rows before this turn, for every part of the batch
        with torch.no_grad():
            mean.lerp_(lengths.mean().to(mean.dtype), decay)
        return (lengths - before).square()

    # Its noise is scaled by the size of the sample, so the weight need not be.
    return Penalty("path_length", function, weight, every, (GENERATOR,), source="Karras et al. 2020")


def _output(verdict: DiscriminatorOutput, name: str, penalty: str) -> Tensor:
    if name not in verdict.outputs:
        raise ValueError(f"the penalty `{penalty}` needs a discriminator with the output {name!r}; this one has none")
    rows: Tensor = verdict.outputs[name]
    return rows


def table() -> dict[str, Callable[..., Penalty]]:
    """The terms of this module by name; read off the module, so that a new term needs no second edit."""
    return makers(globals())
