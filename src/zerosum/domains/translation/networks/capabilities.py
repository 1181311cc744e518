"""Base classes that declare what a generator can do in addition to translating in one direction.

Legend: N rows, C channels, H height, W width, L latent size, P positions, F features.
"""

from __future__ import annotations

from torch import Tensor, nn


class TranslationGenerator(nn.Module):
    """A generator that translates pictures of any size, in tiles where they are large.

    multiple: sides and positions of tiles are multiples of it. reach: number of pixels in each direction on which an output
    pixel depends; None where it depends on the whole picture, or where this is not known.
    """

    multiple: int = 1
    reach: int | None = None


class ReversibleGenerator(TranslationGenerator):
    """A generator that also translates from targets to inputs."""

    def reverse(self, noise: Tensor, target: Tensor, *, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """(N, L), targets (N, C', H, W) -> (N, C, H, W)."""
        raise NotImplementedError


class AdjustableGenerator(TranslationGenerator):
    """A generator whose strength can be chosen after training. default_strength: where none is given."""

    default_strength = 1.0

    def with_strength(self, strength: float) -> AdjustableGenerator:
        """A copy whose effect has this strength: 0 returns the picture unchanged, 1 is the trained generator."""
        raise NotImplementedError


class PatchFeatures(TranslationGenerator):
    """A generator whose encoder describes positions of a picture by vectors, for contrastive terms."""

    def vectors(self, noise: Tensor, images: Tensor, places: Tensor) -> list[Tensor]:
        """For each depth unit vectors (N, P, F) at the positions `places` (N, P) float32 in [0, 1), counted along the rows."""
        raise NotImplementedError


class DirectionOfCycle(nn.Module):
    """One direction of a game of two generators; `other` is the generator of the opposite direction."""

    other: nn.Module
