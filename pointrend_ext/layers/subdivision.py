"""Adaptive subdivision: the one loop that refines a prediction (section 3.1 of the paper)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.layers.point_selection import get_uncertain_point_coords_on_grid

__all__ = ["fold_subdivision", "subdivide"]


def subdivide(
    logits: Tensor,
    predict_points: Callable[[Tensor], Tensor],
    *,
    steps: int,
    num_points: int,
    uncertainty: Callable[[Tensor], Tensor],
) -> Tensor:
    """Double the resolution ``steps`` times, correcting the most uncertain cells each time.

    Args:
        logits: (N, K, H, W), the prediction to start from; it is not modified.
        predict_points: (N, P, 2) coordinates in [0, 1] of the map -> (N, K, P) logits at these
            points.
        steps: number of doublings, at least 0.
        num_points: cells corrected per map and step; a step corrects all cells when there are
            fewer.
        uncertainty: (N, K, H, W) logits -> (N, 1, H, W) scores, larger is more uncertain.

    Returns:
        (N, K, H * 2**steps, W * 2**steps). Bilinear interpolation with pixel centres at
        half-integers everywhere but at the corrected cells.
    """
    for _ in range(steps):
        logits = F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=False)
        cells, coords_map = get_uncertain_point_coords_on_grid(uncertainty(logits), num_points)
        point_logits = predict_points(coords_map).to(logits.dtype)
        targets = cells.unsqueeze(1).expand_as(point_logits)  # (N, K, P)
        logits.flatten(2).scatter_(2, targets, point_logits)  # a view: writes into logits
    return logits


def fold_subdivision(side: int, steps: int, num_points: int) -> tuple[int, int]:
    """Skip the steps that would correct every cell anyway.

    As long as the doubled map has no more than ``num_points`` cells, nothing of the smaller map
    survives a step, so the refinement may start from a dense prediction at the larger side. The
    final side does not change.

    Args:
        side: side of the coarse map.
        steps: number of doublings, at least 0.
        num_points: cells corrected per step.

    Returns:
        The side to predict densely and the number of steps left.

    Example:
        >>> fold_subdivision(7, 5, 28 * 28)
        (28, 3)
    """
    while steps > 0 and 4 * side * side <= num_points:
        side, steps = 2 * side, steps - 1
    return side, steps
