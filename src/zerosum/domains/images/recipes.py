"""Image recipes. A variant replaces a few fields of another recipe; results: docs/images.md and docs/networks-style.md."""

from __future__ import annotations

from collections.abc import Mapping

from zerosum.domain import both
from zerosum.engine.duel import UpdateRules
from zerosum.engine.optimizers import OptimizerConfig, Schedule
from zerosum.engine.seeds import Prior
from zerosum.recipe import AverageConfig, PenaltyConfig, Recipe, part

RADFORD = "Radford, Metz and Chintala 2015, arXiv:1511.06434"


MLP = Recipe(
    name="mlp",
    why="The MLP pair of the tutorials, with relativistic pairing, R1 and R2, and falling rates: keeps all classes.",
    sources=("Goodfellow et al. 2014, arXiv:1406.2661", "Huang et al. 2024 (R3GAN), arXiv:2501.05441"),
    generator=part("mlp"),
    discriminator=part("mlp"),
    prior=Prior(100),
    conditional=False,
    loss="relativistic",
    penalties={"r1": PenaltyConfig(weight=1.0, every=4), "r2": PenaltyConfig(weight=1.0, every=4)},
    rules=UpdateRules(batches="one"),
    learning=both(lr=Schedule(1e-3, 1e-4, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=20_000.0),
    steps=8_000,
    batch=64,
)

MLP_TUTORIAL = MLP.changed(
    name="mlp-tutorial",
    why="The same pair with the settings of the tutorials (cross-entropy, Adam 2e-4): on MNIST it loses classes.",
    sources=("Goodfellow et al. 2014, arXiv:1406.2661",),
    loss="non_saturating",
    penalties={},
    rules=UpdateRules(),
    learning=both(lr=2e-4, betas=(0.9, 0.999)),
    ema=AverageConfig(half_life_samples=0),
    steps=5_000,
    batch=100,
)

DCGAN = Recipe(
    name="dcgan",
    why="Convolutions and batch normalisation in the generator: the classic that still works on small images.",
    sources=(RADFORD,),
    generator=part("conv", width=32, norm="batch", up="transposed"),
    discriminator=part("conv", width=32, norm="none", down="strided"),
    prior=Prior(100),
    conditional=False,
    penalties={"r1": PenaltyConfig(weight=1.0, every=8)},
    learning=both(lr=2e-3, betas=(0.5, 0.99)),
    ema=AverageConfig(half_life_samples=20_000.0),
    steps=4_000,
    batch=64,
)

CGAN = DCGAN.changed(
    name="cgan",
    why="Conditional DCGAN: the generator concatenates the label to the noise, the discriminator has a projection.",
    sources=["Mirza and Osindero 2014, arXiv:1411.1784", "Miyato and Koyama 2018, arXiv:1802.05637", RADFORD],
    conditional=True,
    discriminator=part("conv", width=32, norm="none", down="strided", condition="projection"),
)

LSGAN = DCGAN.changed(
    name="lsgan",
    why="Least squares instead of cross-entropy: gradients do not vanish for fakes far on the right side.",
    sources=["Mao et al. 2017, arXiv:1611.04076", RADFORD],
    loss="least_squares",
)

WGAN_GP = DCGAN.changed(
    name="wgan-gp",
    why="A critic with bounded slope estimates the Wasserstein distance; slow, steady, hard to break.",
    sources=["Gulrajani et al. 2017, arXiv:1704.00028"],
    loss="wasserstein",
    penalties={"gradient_penalty": PenaltyConfig(weight=10.0)},
    rules={"discriminator_steps": 3},
    learning={
        "generator": {"lr": 5e-4, "betas": [0.0, 0.9]},
        "discriminator": {"lr": 5e-4, "betas": [0.0, 0.9]},
    },
    steps=4_000,
)

RPGAN = Recipe(
    name="rpgan",
    why="Relativistic pairing with R1 and R2, no normalisation layers, small batches: for images of up to about 32 px.",
    sources=("Huang et al. 2024 (R3GAN), arXiv:2501.05441", "Jolicoeur-Martineau 2018, arXiv:1807.00734"),
    generator=part("conv", width=32, norm="none", up="transposed", slope=0.2, init="kaiming", output="linear"),
    discriminator=part("conv", width=32, norm="none", down="strided", init="kaiming", condition="projection"),
    prior=Prior(64),
    loss="relativistic",
    penalties={"r1": PenaltyConfig(weight=0.3, every=8), "r2": PenaltyConfig(weight=0.3, every=8)},
    rules=UpdateRules(batches="one"),
    learning=both(lr=Schedule(2e-3, 2e-4, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=20_000.0),
    steps=16_000,
    batch=16,
    limits={"side": 48},
    beyond_limits="rpgan-64",
)

RPGAN_64 = RPGAN.changed(
    name="rpgan-64",
    why="rpgan for 64 px and more: with its high rates and light penalties the discriminator of larger images wins at once.",
    penalties={name: PenaltyConfig(weight=1.2, every=4) for name in ("r1", "r2")},
    learning=both(lr=Schedule(5e-4, 5e-5, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    limits={},
    beyond_limits="",
)

FLOOR_STEPS = 2_878_237
"""Updates after which 0.1 / 1.000004^t has come down to 1e-6."""


def _classic(lr: float) -> OptimizerConfig:
    """Momentum 0.5 to 0.7 over 250 epochs of 500 updates; a rate divided by 1.000004 in every update."""
    falling = Schedule(lr, lr * 1e-5, "exponential", over_steps=FLOOR_STEPS)
    return OptimizerConfig(kind="sgd", lr=falling, momentum=Schedule(0.5, 0.7, "linear", over_steps=125_000))


GOODFELLOW2014 = Recipe(
    name="goodfellow2014",
    why="The first GAN, by its published configuration for MNIST: history to be seen and measured, not the way to train today.",
    sources=("Goodfellow et al. 2014, arXiv:1406.2661", "https://github.com/goodfeli/adversarial (mnist.yaml)"),
    data=part("mnist", validation=1 / 6),
    generator=part("sigmoid", widths=[1200, 1200], irange=0.05),
    discriminator=part("maxout", widths=[240, 240], pieces=5, input_dropout=0.2, dropout=0.5, irange=0.005),
    prior=Prior(100),
    conditional=False,
    rules=UpdateRules(simultaneous=True, batches="one"),
    # The published loss of D carries a factor 1/2, which for this optimizer is half the rate.
    learning={"generator": _classic(0.1), "discriminator": _classic(0.05)},
    ema=AverageConfig(half_life_samples=0),
    steps=125_000,
    batch=100,
)


SNGAN = Recipe(
    name="sngan",
    why="Residual blocks and a discriminator of bounded slope by spectral normalisation, hinge loss.",
    sources=("Miyato et al. 2018, arXiv:1802.05957", "Miyato and Koyama 2018, arXiv:1802.05637"),
    generator=part("resnet", width=16, widest=4),
    discriminator=part("resnet", width=16, widest=4),
    prior=Prior(64),
    loss="hinge",
    learning=both(lr=2e-3, betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=20_000.0),
    steps=4_000,
    batch=64,
)

BIGGAN_S = SNGAN.changed(
    name="biggan-s",
    why="BigGAN at small size: split noise, one class embedding for all blocks, self-attention, orthogonal weights.",
    sources=["Brock et al. 2019, arXiv:1809.11096", "Zhang et al. 2019, arXiv:1805.08318"],
    generator=part("biggan", width=16, widest=4, spectral=False),  # with it, short runs learn more slowly
    discriminator=part("biggan", width=16, widest=4),
    prior={"size": 80},
    steps=2_500,
)


STYLEGAN2_S = Recipe(
    name="stylegan2-s",
    why="Styles in every layer: smooth, well-ordered latent space; lazy R1 and path lengths. Slow to begin.",
    sources=("Karras et al. 2020, arXiv:1912.04958", "Karras et al. 2019, arXiv:1812.04948"),
    # In a short run noise is learned before shapes are, and its fixed planes show in every sample.
    generator=part("style", width=16, max_width=64, mapping_layers=2, mixing=0.5, noise=False),
    discriminator=part("style", width=16, max_width=64, group=4),
    prior=Prior(64),
    # The reference's weight for R1 (0.005 at 28 px) is for long runs: in a short one D is soon right about every image.
    penalties={"r1": PenaltyConfig(weight=1.0, every=8), "path_length": PenaltyConfig(weight="auto", every=8)},
    learning=both(lr=Schedule(8e-3, 2e-3, "cosine", over_share=1.0), betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples="auto"),
    steps=4_000,
    batch=32,
)


HUANG = "Huang et al. 2024 (R3GAN), arXiv:2501.05441"
FIX_UP = "Zhang et al. 2019 (fix-up), arXiv:1901.09321"
DECAY_SHARE = 0.8
"""Of the run, after which nothing changes any more; published as a number of images, 20 million for CIFAR-10."""


def _moving(start: float, end: float) -> Schedule:
    return Schedule(start, end, "cosine", over_share=DECAY_SHARE)


R3GAN = Recipe(
    name="r3gan",
    why="R3GAN as published for CIFAR-10, 20.6 million weights a side: relativistic, R1 and R2 in every step, everything on a "
    "schedule; for GPUs and days.",
    sources=(HUANG, FIX_UP, "Karras et al. 2020 (ADA), arXiv:2006.06676"),
    data=part("cifar10", flip=True),
    generator=part("r3", width=768, full_size=32, blocks=2, group_width=16, expansion=2),
    discriminator=part("r3", width=768, full_size=32, blocks=2, group_width=16, expansion=2),
    prior=Prior(64),
    loss="relativistic",
    penalties={
        name: PenaltyConfig.model_validate({"weight": _moving(0.05, 0.005), "through_augment": True})
        for name in ("r1", "r2")
    },
    rules=UpdateRules(augment_strength=_moving(0.0, 0.55)),
    augment=part("ada", pipe=["blit", "geometric", "color", "cutout"], multipliers={"color": 0.5}),
    learning=both(lr=_moving(2e-4, 5e-5), betas=(0.0, _moving(0.9, 0.99))),
    # The ramp does not bind at the published length; in a shorter run it keeps the average from remembering its beginning.
    ema=AverageConfig(half_life_samples=_moving(0.0, 5e6), ramp=0.3),
    steps=48_828,  # of 512 images: 25 million, of which 20 on the schedules
    batch=512,
)

R3GAN_S = Recipe(
    name="r3gan-s",
    why="R3GAN small enough for one CPU core: few channels, 2x2 pixels at a time, lazy R1 and R2.",
    sources=(HUANG, FIX_UP),
    # Few features for the condition: with as many as the noise has, short runs draw one picture a class.
    generator=part("r3", width=64, full_size=8, blocks=2, patch=2, group_width=16, condition_features=16),
    discriminator=part("r3", width=64, full_size=8, blocks=2, patch=2, group_width=16),
    prior=Prior(64),
    loss="relativistic",
    penalties={"r1": PenaltyConfig(weight=0.2, every=8), "r2": PenaltyConfig(weight=0.2, every=8)},
    rules=UpdateRules(batches="one"),
    learning=both(lr=2e-3, betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=20_000.0),
    steps=6_000,
    batch=16,
)


FEWSHOT = Recipe(
    name="fewshot",
    why="For 50 to 500 images: a light pair, D rebuilds images too, all it sees is augmented. In minutes rpgan-64 is ahead.",
    sources=("Liu et al. 2021 (FastGAN), arXiv:2101.04775", "Zhao et al. 2020 (DiffAugment), arXiv:2006.10738"),
    data=part("digits", flip=True),
    generator=part("light", width=64),
    discriminator=part("light", width=64),
    prior=Prior(64),
    conditional=False,
    loss="relativistic",
    penalties={"r1": PenaltyConfig(weight=0.1, every=8), "reconstruction": PenaltyConfig(weight=1.0)},
    augment=part("diffaugment", policy=["color", "translation", "cutout"]),
    learning=both(lr=1e-3, betas=(0.0, 0.99)),
    ema=AverageConfig(half_life_samples=10_000.0),
    steps=6_000,
    batch=16,
)

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        *(MLP, MLP_TUTORIAL, DCGAN, CGAN, LSGAN, WGAN_GP, RPGAN, RPGAN_64, GOODFELLOW2014),
        *(SNGAN, BIGGAN_S, STYLEGAN2_S, R3GAN, R3GAN_S, FEWSHOT),
    )
}
