"""Cells of the padding of a batch are the least uncertain ones, in an order."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

LEAST_PADDING = 2.0**100
"""No finite gap between logits is as large; and its multiples are exact."""


def exclude_padding(scores: Tensor, sizes_px: Sequence[tuple[int, int]], stride: float) -> Tensor:
    """Make cells outside the images of a padded batch the least uncertain, in place.

    Args:
        scores: (N, 1, H, W), larger is more uncertain.
        sizes_px: rows and columns of each image, in pixels.
        stride: pixels per cell; below 1 for a grid finer than the image.

    Returns:
        ``scores``, those of ``padding_scores`` in every cell whose centre is outside its image.
    """
    for image_scores, size_px in zip(scores, sizes_px, strict=True):
        rows, columns = (math.ceil(side / stride - 0.5) for side in size_px)
        if (rows, columns) != tuple(scores.shape[-2:]):
            padding = padding_scores(scores.shape[-2:], scores)
            image_scores[:, rows:] = padding[rows:]
            image_scores[:, :, columns:] = padding[:, columns:]
    return scores


def padding_scores(size_hw: Sequence[int], like: Tensor) -> Tensor:
    """Return scores (H, W) of cells that come last, row by row.

    Were they equal, a step that corrects more cells than lie in an image would leave it undefined
    which of the padding it corrects, and that shows in the last pixels of the image.

    Args:
        size_hw: rows and columns, less than 2^24 cells, beyond which the last ones are equal.
        like: gives type and device.
    """
    height, width = size_hw
    cells = torch.arange(height * width, device=like.device).view(height, width)
    return (cells + 1).to(like.dtype) * -LEAST_PADDING
