"""Noise as a function of the position, for generators that work in tiles.

Legend: N rows, C channels, * spatial sizes (H, W) or (X, Y, Z), L latent size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PositionNoise(nn.Module):
    """White noise (N, C, *) as a function of the absolute position: a stored field that repeats after a prime number of voxels
    along each axis, moved by an amount that the row's noise gives. So a volume made in blocks equals one that is made whole, and
    one seed has the same grain at any size."""

    PERIODS = (97, 89, 83)

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.channels, self.dims = channels, dims
        periods = self.PERIODS[:dims] if dims == 2 else (37, 31, 29)
        self.register_buffer("field", torch.randn(channels, *periods))
        self.field: Tensor

    def forward(self, noise: Tensor, size: Sequence[int], origin: Sequence[int]) -> Tensor:
        """(N, L), the size and the position of the block -> (N, C, *)."""
        shares = (torch.special.ndtr(noise.float()) * 65536).long()
        places = []
        for axis, (side, start) in enumerate(zip(size, origin, strict=True)):
            moved = shares[:, axis % noise.shape[1], None] + torch.arange(side, device=noise.device) + start
            shape = [side if at == axis else 1 for at in range(len(size))]
            places.append((moved % self.field.shape[axis + 1]).view(-1, *shape))
        return self.field[:, *places].movedim(1, 0)
