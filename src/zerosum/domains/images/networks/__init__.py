"""Networks for images of any size, grey or colour, rectangular too: one class a family.

Legend: N rows, C channels, H height, W width, L latent size, F features. First argument the image's shape, the rest by
keyword. Generators map (N, L) noise [, condition] to (N, C, H, W); discriminators map images [, condition] to (N,) logits.
"""

from collections.abc import Callable, Mapping

from torch import nn

from zerosum.domains.images.networks.biggan import BigGanGenerator, biggan_discriminator
from zerosum.domains.images.networks.fastgan import FastGanDiscriminator, FastGanGenerator
from zerosum.domains.images.networks.maxout import MaxoutDiscriminator, SigmoidGenerator
from zerosum.domains.images.networks.mlp_dcgan import ConvDiscriminator, ConvGenerator, MlpDiscriminator, MlpGenerator
from zerosum.domains.images.networks.r3 import R3Discriminator, R3Generator
from zerosum.domains.images.networks.resnet import ResNetDiscriminator, ResNetGenerator
from zerosum.domains.images.networks.style import StyleDiscriminator, StyleGenerator

GENERATORS: Mapping[str, Callable[..., nn.Module]] = {
    "mlp": MlpGenerator,
    "conv": ConvGenerator,
    "sigmoid": SigmoidGenerator,
    "resnet": ResNetGenerator,
    "biggan": BigGanGenerator,
    "style": StyleGenerator,
    "r3": R3Generator,
    "light": FastGanGenerator,
}
DISCRIMINATORS: Mapping[str, Callable[..., nn.Module]] = {
    "mlp": MlpDiscriminator,
    "conv": ConvDiscriminator,
    "maxout": MaxoutDiscriminator,
    "resnet": ResNetDiscriminator,
    "biggan": biggan_discriminator,
    "style": StyleDiscriminator,
    "r3": R3Discriminator,
    "light": FastGanDiscriminator,
}
