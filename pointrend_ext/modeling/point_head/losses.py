"""Losses over points, and what is logged about them. Pure functions."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.layers import at_least_float32

IGNORED_LABEL = -1
"""Label of a mask point that takes no part in the loss."""


def mask_point_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy, averaged over the points that are not ignored.

    Section 3.3 of the paper. Its text sums over a region's points; Detectron2's PointRend averages
    over all points of all regions, and so do we. Unlike there, ignored points do not count in the
    mean: adding some changes nothing.

    Args:
        logits: (R, P), each region's logits of its own class.
        labels: (R, P) in [0, 1], soft labels allowed, or ``IGNORED_LABEL``.

    Returns:
        A scalar in at least 32 bits; zero, connected to ``logits``, when no point is left.
    """
    logits = at_least_float32(logits)
    valid = labels != IGNORED_LABEL
    losses = F.binary_cross_entropy_with_logits(
        logits, labels.to(logits.dtype).clamp(min=0), reduction="none"
    )
    return torch.where(valid, losses, 0).sum() / valid.sum().clamp(min=1)


def mask_point_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of the valid points whose sign agrees with their label, soft labels split at 0.5.

    Args:
        logits: (R, P), each region's logits of its own class.
        labels: (R, P) in [0, 1], or ``IGNORED_LABEL``.

    Returns:
        A scalar in [0, 1]; 0 without any valid point.
    """
    valid = labels != IGNORED_LABEL
    agrees = ((logits > 0) == (labels > 0.5)) & valid
    return agrees.sum() / valid.sum().clamp(min=1)
