"""Networks of encoded rows: a residual generator that copies given columns, and a perceptron that may score packs of rows.

Legend: N rows, D numbers of an encoded row, C columns, L latent size, K = C + D numbers of a condition (a mask of the given
columns, and their encoded values; all zeros without a condition). The first argument is the blocks of a row, the rest are
keywords.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, one_hot, silu, softmax

from zerosum.domains.tables.layout import TransformedBlock, split
from zerosum.nn.layers import Dropout

Blocks = Sequence[TransformedBlock]

SLOPE = 0.2
TURNS = 16.0
"""Standard deviation of the angles, in turns, that are computed from the noise: their fractional parts are uniform to within
exp(-2 (pi TURNS)^2)."""


class UniformFromNoise(nn.Module):
    """Uniform numbers from normal noise: the fractional parts of its products with fixed random directions.

    The numbers of a row depend on its noise only, so a generator that picks categories at random is still a function of its
    noise. The directions are drawn with the weights and are not trained.
    """

    directions: Tensor

    def __init__(self, latent: int, num: int) -> None:
        super().__init__()
        self.register_buffer("directions", torch.randn(latent, num) * (TURNS / latent**0.5))

    def forward(self, noise: Tensor) -> Tensor:
        """(N, L) -> (N, num) float32 in [0, 1)."""
        with torch.no_grad(), torch.autocast(noise.device.type, enabled=False):
            turns = noise.float() @ self.directions
            return turns - turns.floor()


class ResidualLayer(nn.Module):
    """x + Linear(SiLU(Linear(LayerNorm(x)))); the last layer starts at zero, so that the block starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.first, self.last = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, rows: Tensor) -> Tensor:
        """(N, W) -> (N, W)."""
        changed: Tensor = self.last(silu(self.first(self.norm(rows))))
        return rows + changed


class TableGenerator(nn.Module):
    """Noise and a condition to rows.

    A category is sampled with Gumbel noise: one-hot in eval mode; in training its soft form, which has a gradient (Jang
    et al. 2017, arXiv:1611.01144; Maddison et al. 2017, arXiv:1611.00712). temperature: of the soft form. chance: factor of the
    Gumbel noise. The Gumbel noise of a column is independent of the other columns; the smaller the factor, the more columns can
    depend on each other. straight: in training too the row is one-hot, with the gradient of the soft form. keep: given columns
    are copied into the row; else the generator must learn to (see `terms.given_columns`).
    """

    def __init__(
        self,
        blocks: Blocks,
        *,
        latent: int,
        num_attributes: int = 0,
        width: int = 256,
        depth: int = 2,
        temperature: float = 0.3,
        chance: float = 1.0,
        straight: bool = False,
        keep: bool = True,
    ) -> None:
        super().__init__()
        if width < 1 or depth < 0 or not temperature > 0 or not chance >= 0:
            raise ValueError(
                "width must be at least 1, depth and chance at least 0, temperature more than 0; got "
                f"{width}, {depth}, {chance}, {temperature}"
            )
        self.blocks, self.temperature, self.chance = tuple(blocks), temperature, chance
        self.straight, self.keep = straight, keep
        num_values = sum(block.width for block in blocks)
        self.body = nn.Sequential(
            nn.Linear(latent + num_attributes, width), *[ResidualLayer(width) for _ in range(depth)]
        )
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, num_values)
        self.chances = UniformFromNoise(latent, num_values)

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) [, (N, K)] -> (N, D)."""
        raw, uniform = self.raw(noise, condition).float(), self.chances(noise)
        rows = torch.cat([self._block(block, raw, uniform) for block in self.blocks], 1)
        if condition is None or not self.keep:
            return rows
        mask, values = split(condition.float(), self.blocks)
        return torch.where(mask > 0, values, rows)

    def raw(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, L) [, (N, K)] -> (N, D): numbers, and the logits of categories before sampling."""
        inputs = noise if condition is None else torch.cat([noise, condition.to(noise.dtype)], 1)
        made: Tensor = self.out(silu(self.norm(self.body(inputs))))
        return made

    def _block(self, block: TransformedBlock, made: Tensor, chances: Tensor) -> Tensor:
        """The entries of one column: a number, a sampled category, or the offset and the sampled mode of a mixture. If
        "missing" was sampled, the number is 0, as in real rows."""
        if block.choice is None:
            return made[:, block.start : block.stop]
        first, last = block.choice
        picked = self._pick(made[:, first:last], chances[:, first:last])
        number = made[:, block.start : first]
        return torch.cat([number * (1 - picked[:, -1:]) if block.missing else number, picked], 1)

    def _pick(self, logits: Tensor, chances: Tensor) -> Tensor:
        gumbel = -(-chances.clamp(1e-6, 1 - 1e-6).log()).log()
        scores = logits + self.chance * gumbel
        if not self.training:
            return one_hot(scores.argmax(1), scores.shape[1]).float()
        soft = softmax(scores / self.temperature, 1)
        if not self.straight:
            return soft
        return one_hot(scores.argmax(1), scores.shape[1]).float() + soft - soft.detach()


class TableDiscriminator(nn.Module):
    """Rows, with their condition, to logits.

    condition: what the discriminator receives of it: the mask of the given "columns", for generators that copy
    them (the row then contains their values), or also their "values". pack: number of consecutive rows that share one logit, so
    that a lack of diversity is visible (Lin et al. 2018, PacGAN, arXiv:1712.04086); a batch whose size is not a multiple is
    filled with rows from its beginning. dropout: share of hidden units set to 0.
    """

    def __init__(
        self,
        blocks: Blocks,
        *,
        num_attributes: int = 0,
        width: int = 256,
        depth: int = 3,
        condition: Literal["columns", "values"] = "columns",
        pack: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width < 1 or depth < 1 or pack < 1 or not 0 <= dropout < 1:
            raise ValueError(
                f"width, depth and pack must be at least 1 and dropout in [0, 1), got {width}, {depth}, {pack}, {dropout}"
            )
        self.pack = self.rows_together = pack
        self.num_condition = min(num_attributes, len(blocks)) if condition == "columns" else num_attributes
        wide = pack * (sum(block.width for block in blocks) + self.num_condition)
        self.hidden = nn.ModuleList(nn.Linear(wide if layer == 0 else width, width) for layer in range(depth))
        self.dropout, self.out = Dropout(dropout, bernoulli=True), nn.Linear(width, 1)

    def forward(self, rows: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, D) [, (N, K)] -> (N,)."""
        seen = rows if condition is None else torch.cat([rows, condition[:, : self.num_condition].to(rows.dtype)], 1)
        for layer in self.hidden:
            packed = seen if layer is not self.hidden[0] else self._packed(seen)
            seen = self.dropout(leaky_relu(layer(packed), SLOPE))
        logits: Tensor = self.out(seen)
        return logits.squeeze(1).repeat_interleave(self.pack)[: len(rows)]

    def _packed(self, rows: Tensor) -> Tensor:
        """(N, D) -> (ceil(N / pack), pack * D)."""
        if self.pack == 1:
            return rows
        filled = torch.arange(-(-len(rows) // self.pack) * self.pack, device=rows.device) % len(rows)
        return rows[filled].view(-1, self.pack * rows.shape[1])


GENERATORS = {"residual": TableGenerator}
DISCRIMINATORS = {"mlp": TableDiscriminator}
