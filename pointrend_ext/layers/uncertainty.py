"""How uncertain a prediction is at a point: scores, larger is more uncertain."""

from __future__ import annotations

import torch
from torch import Tensor

from pointrend_ext.layers.precision import at_least_float32

__all__ = ["foreground_uncertainty", "select_class"]


def select_class(logits: Tensor, classes: Tensor) -> Tensor:
    """Keep each region's channel of its own class.

    Args:
        logits: (R, C, ...), or (R, 1, ...) of a class-agnostic head, which is returned as it is.
        classes: (R,) integers in [0, C).

    Returns:
        (R, 1, ...); differentiable.
    """
    if logits.shape[1] == 1:
        return logits
    regions = torch.arange(len(logits), device=logits.device)
    return logits[regions, classes].unsqueeze(1)


def foreground_uncertainty(logits: Tensor) -> Tensor:
    """Return -|z|: the closer a binary logit is to 0, the more uncertain it is.

    The order of points is that of section 3.1 of the paper, which measures |p - 0.5| on
    probabilities. A logit that is not a number counts as most uncertain: it is then looked at, and
    the loss shows it, instead of an index out of range coming out of the selection.

    Args:
        logits: (...), binary logits of any floating-point type.

    Returns:
        (...), at most 0, in at least 32 bits.
    """
    return at_least_float32(logits).abs().neg().nan_to_num(nan=0.0)
