"""Networks for images of any size, grey or colour, rectangular too: one class a family.

Legend: N rows, C channels, H height, W width, L latent size, F features. First argument the image's shape, the rest by
keyword. Generators map (N, L) noise [, (N,) labels] to (N, C, H, W); discriminators map images [, labels] to (N,) logits.
"""

from zerosum.domains.images.networks.classic import ConvDiscriminator, ConvGenerator, MlpDiscriminator, MlpGenerator
from zerosum.domains.images.networks.maxout import MaxoutDiscriminator, SigmoidGenerator

GENERATORS = {"mlp": MlpGenerator, "conv": ConvGenerator, "sigmoid": SigmoidGenerator}
DISCRIMINATORS = {"mlp": MlpDiscriminator, "conv": ConvDiscriminator, "maxout": MaxoutDiscriminator}
