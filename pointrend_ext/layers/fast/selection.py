"""The largest of many numbers."""

import math

import torch
from torch import Tensor

from pointrend_ext.layers.device_rule import runs_cpu_form

_LARGE = 2**18
_SAMPLES = 2**14


def top_indices(scores: Tensor, count: int) -> Tensor:
    """Return where the largest numbers of each row are.

    Sorting out a few thousand of millions, ``torch.topk`` copies all of them with their places on a
    CPU. A sample tells nearly how large the smallest of the wanted ones is; what is certainly below
    is left out first.

    Args:
        scores: (N, M), no NaN.
        count: how many per row, at most M.

    Returns:
        (N, count) int64, in no particular order; which ones of equal numbers is not defined.
    """
    num_rows, num_scores = scores.shape
    # The rule first: sizes of what is exported have no values to compare.
    if not runs_cpu_form(scores.device) or num_scores <= _LARGE or 4 * count >= num_scores:
        return scores.topk(count, dim=1).indices
    if num_rows == 0:
        return torch.empty(0, count, dtype=torch.int64)
    return torch.stack([_top_of_many(row, count) for row in scores])


def _top_of_many(scores: Tensor, count: int) -> Tensor:
    stride = max(len(scores) // _SAMPLES, 1)
    sample = scores[::stride]
    # A little more than the share that is wanted: falling short costs the whole search.
    share = count / len(scores)
    rank = math.ceil(len(sample) * share + 4 * math.sqrt(len(sample) * share) + 1)
    if rank < len(sample):
        bound = sample.topk(rank).values[-1]
        candidates = (scores >= bound).nonzero().flatten()
        if len(candidates) >= count:
            return candidates[scores[candidates].topk(count).indices]
    return scores.topk(count).indices
