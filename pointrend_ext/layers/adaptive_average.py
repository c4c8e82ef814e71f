"""Averages over a grid of a fixed number of bins, whatever the size of a map."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.layers.exporting import is_exported


def adaptive_average(features: Tensor, bins: int) -> Tensor:
    """Average a map in ``bins`` x ``bins`` parts, as ``adaptive_avg_pool2d`` does.

    Bin i of n cells reaches from floor(i n / bins) to ceil((i + 1) n / bins); where there are fewer
    cells than bins, bins share them. In a graph whose sizes are symbols it is a product with two
    matrices that are made of the size.

    Args:
        features: (N, C, H, W).
        bins: along either side.

    Returns:
        (N, C, bins, bins).
    """
    if not is_exported():
        return F.adaptive_avg_pool2d(features, bins)
    rows, columns = (_shares(side, bins, features) for side in features.shape[-2:])
    return rows @ features @ columns.t()


def _shares(num_cells: int, bins: int, like: Tensor) -> Tensor:
    """(bins, cells): the weight of each cell in the average of each bin."""
    numbers = torch.arange(bins, device=like.device)
    first = torch.div(numbers * num_cells, bins, rounding_mode="floor")[:, None]
    behind = torch.div((numbers + 1) * num_cells + bins - 1, bins, rounding_mode="floor")[:, None]
    cells = torch.arange(num_cells, device=like.device)
    is_inside = (cells >= first) & (cells < behind)
    return is_inside.to(like.dtype) / (behind - first)
