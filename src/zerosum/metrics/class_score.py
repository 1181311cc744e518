"""The score of a classifier's opinions: sure about each sample, and of many opinions over all of them.

With the standard Inception network this is the Inception Score (Salimans et al. 2016, arXiv:1606.03498); with any other
classifier it is not, and is not called so.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zerosum.errors import UserError
from zerosum.metrics.jackknife import Estimate

NUM_SPLITS = 10


def class_score(probabilities: Tensor, num_splits: int = NUM_SPLITS) -> Estimate:
    """exp E KL(p(class | sample) || p(class)) of probabilities (N, K): the mean over consecutive splits of the samples.

    Between 1 (one opinion of everything) and K (sure of each, all classes alike often). error: deviation over the splits
    / sqrt(splits). It is biased by the number of samples in a split: compare at equal N and splits only.
    UserError unless rows are probabilities and there is one for each split.
    """
    rows = probabilities.detach().to("cpu", torch.float64)
    if rows.ndim != 2 or len(rows) < num_splits or num_splits < 2:
        raise UserError(
            f"class_score: probabilities have shape {tuple(rows.shape)} for {num_splits} splits; "
            "give (N, K) with N at least the number of splits, which is 2 or more"
        )
    if not bool((rows >= 0).all()) or not torch.allclose(rows.sum(1), torch.ones(len(rows), dtype=torch.float64)):
        raise UserError("class_score: rows must be probabilities: not negative, with sum 1")
    scores = torch.stack([_of_one(part) for part in torch.tensor_split(rows, num_splits)])
    return Estimate(float(scores.mean()), float(scores.std() / num_splits**0.5))


def _of_one(rows: Tensor) -> Tensor:
    return (torch.xlogy(rows, rows) - torch.xlogy(rows, rows.mean(0))).sum(1).mean().exp()
