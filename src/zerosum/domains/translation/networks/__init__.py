"""Networks of translation by kind."""

from zerosum.domains.translation.networks.cyclegan_cut import ContrastiveGenerator, CycleDiscriminator, CycleGenerator
from zerosum.domains.translation.networks.patch import PatchDiscriminator
from zerosum.domains.translation.networks.residual_identity import ResidualIdentity
from zerosum.domains.translation.networks.resnet import ResNet
from zerosum.domains.translation.networks.unet import UNet

GENERATORS = {
    "unet": UNet,
    "resnet": ResNet,
    "cycle": CycleGenerator,
    "contrastive": ContrastiveGenerator,
    "restyle": ResidualIdentity,
}
DISCRIMINATORS = {"patch": PatchDiscriminator, "cycle": CycleDiscriminator}

__all__ = ["DISCRIMINATORS", "GENERATORS", "CycleGenerator"]
