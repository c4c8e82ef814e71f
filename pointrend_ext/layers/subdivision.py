"""Adaptive subdivision: the one loop that refines a prediction (section 3.1 of the paper)."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.layers.point_selection import get_uncertain_point_coords_on_grid


class RefinableGrid(Protocol):
    """A prediction on a grid that can be doubled, and corrected cell by cell."""

    def double(self) -> None:
        """Double the resolution by bilinear interpolation."""

    def most_uncertain(self, num_points: int) -> tuple[Tensor, Tensor]:
        """Return numbers of the most uncertain cells, and their centres (N, P, 2) in (0, 1)."""

    def write(self, cells: Tensor, point_logits: Tensor) -> None:
        """Replace the logits of cells by (N, K, P) others."""


def refine(
    grid: RefinableGrid,
    predict_points: Callable[[Tensor], Tensor],
    *,
    steps: int,
    num_points: int,
) -> None:
    """Double a grid ``steps`` times, correcting the most uncertain cells each time.

    Args:
        grid: the prediction, changed in place.
        predict_points: (N, P, 2) coordinates in [0, 1] of the grid -> (N, K, P) logits at these
            points.
        steps: number of doublings, at least 0.
        num_points: cells corrected per map and step; a step corrects all cells when there are
            fewer.
    """
    for _ in range(steps):
        grid.double()
        cells, coords_map = grid.most_uncertain(num_points)
        grid.write(cells, predict_points(coords_map))


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
        predict_points: as for ``refine``.
        steps: as for ``refine``.
        num_points: as for ``refine``.
        uncertainty: (N, K, H, W) logits -> (N, 1, H, W) scores, larger is more uncertain.

    Returns:
        (N, K, H * 2**steps, W * 2**steps). Bilinear interpolation with pixel centres at
        half-integers everywhere but at the corrected cells.
    """
    grid = _LogitGrid(logits, uncertainty)
    refine(grid, predict_points, steps=steps, num_points=num_points)
    return grid.logits


class _LogitGrid:
    """All logits at every cell."""

    def __init__(self, logits: Tensor, uncertainty: Callable[[Tensor], Tensor]) -> None:
        self.logits, self._uncertainty = logits, uncertainty

    def double(self) -> None:
        self.logits = F.interpolate(
            self.logits, scale_factor=2, mode="bilinear", align_corners=False
        )

    def most_uncertain(self, num_points: int) -> tuple[Tensor, Tensor]:
        return get_uncertain_point_coords_on_grid(self._uncertainty(self.logits), num_points)

    def write(self, cells: Tensor, point_logits: Tensor) -> None:
        targets = cells.unsqueeze(1).expand_as(point_logits)  # (N, K, P)
        flat = self.logits.flatten(2)  # a view
        flat.scatter_(2, targets, point_logits.to(flat.dtype))


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
