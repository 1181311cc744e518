"""Monotonic alignment search: which character of a text each frame of its recording belongs to.

Legend: N rows, L characters, K frames.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def durations_of(scores: Tensor, characters: Tensor, frames: Tensor) -> Tensor:
    """(N, L) int64: the number of frames of each character in the alignment with the greatest sum of scores. Kim et al. 2020
    (Glow-TTS), arXiv:2005.11129, algorithm 1.

    scores: (N, L, K), of character l in frame k. characters, frames: (N,) int64, those of each row; what lies beyond is not read.
    The first frame belongs to the first character and the last frame to the last one; each frame to the character of the frame
    before or to the next one. Of equal alignments the one that stays longer is taken. Rows with fewer frames than characters use
    only as many of the first characters.
    """
    rows, length, total = scores.shape
    best = scores.new_full((rows, length), -torch.inf)
    best[:, 0] = scores[:, 0, 0]
    outside = scores.new_full((rows, 1), -torch.inf)
    came = torch.zeros(total, rows, length, dtype=torch.bool, device=scores.device)  # from the character before
    for frame, now in enumerate(scores.unbind(2)):
        if frame:
            before = torch.cat([outside, best[:, :-1]], 1)
            torch.gt(before, best, out=came[frame])
            best = torch.maximum(before, best) + now
    place = torch.minimum(characters, frames) - 1
    found = torch.zeros(rows, length, dtype=torch.int64, device=scores.device)
    for frame in range(total - 1, -1, -1):
        inside = (frame < frames).long()
        found.scatter_add_(1, place[:, None], inside[:, None])
        place = place - came[frame].gather(1, place[:, None])[:, 0].long() * inside
    return found
