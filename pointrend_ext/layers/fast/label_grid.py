"""Labels that are refined by subdivision without a full-resolution map of every class."""

import math

import torch
from torch import Tensor

from pointrend_ext.layers.coordinates import cells_to_coords
from pointrend_ext.layers.device_rule import runs_cpu_form
from pointrend_ext.layers.fast.lazy_logits import LazyLogits
from pointrend_ext.layers.fast.rows import planes_of_rows
from pointrend_ext.layers.fast.selection import top_indices
from pointrend_ext.layers.fast.top_two import labels_and_gaps_of_planes
from pointrend_ext.layers.fast.upsampled_labels import labels_and_gaps, upsampled_labels_and_gaps
from pointrend_ext.layers.padding import LEAST_PADDING, padding_scores
from pointrend_ext.layers.precision import at_least_float32
from pointrend_ext.layers.two_classes import two_class_logits

_DENSE_SHARE = 0.25
"""Share of pixels to look at one by one from which looking at all of them at once is faster."""

_SLACK = 1e-5
"""Rounding of gaps, in logits."""

_CHUNK_LOGITS = 2**20


class LabelGrid:
    """A class map of one image that ``refine`` doubles and corrects, kept as labels and gaps.

    A pixel of a bilinearly doubled map is a weighted mean of four pixels of the smaller one, a
    *cell*. If one class is the largest at all four, it is the largest there too, by at least the
    smallest of the four gaps. So most pixels get their label without any logit being computed.
    Logits are computed where the four labels differ, and where the bound does not exclude that a
    pixel is among the most uncertain ones. The labels are those of the full logits, but for ties
    within rounding. Where most labels differ, as in noise, all pixels are looked at, class by
    class: that is the only form on a GPU, which then need not tell the host how many there are.

    Attributes:
        labels: (H, W), see ``label_dtype``.
    """

    def __init__(
        self, logits: Tensor, size_px: tuple[int, int], stride: int, table: Tensor | None = None
    ) -> None:
        """Start from a coarse map.

        Args:
            logits: (C, H, W); C of 1 is a binary model, positive on class 1.
            size_px: rows and columns of the image; cells beyond are never the most uncertain.
            stride: pixels per cell.
            table: ``logits`` with one row per cell, (H * W, C), in at least 32 bits, if there is
                one already.
        """
        is_binary = len(logits) == 1
        logits = two_class_logits(at_least_float32(logits), dim=0)
        self._logits = LazyLogits(logits, None if is_binary else table)
        self._num_classes = len(logits)
        self._size_px, self._stride = size_px, float(stride)
        self.labels, self._gaps = labels_and_gaps(logits)
        self._exact: Tensor | None = None  # pixels whose gap is no mere bound; None: all of them

    def double(self) -> None:
        """Double the resolution."""
        self._stride /= 2
        mixed = _mixed_cells(self.labels) if runs_cpu_form(self.labels.device) else None
        if mixed is None or mixed.float().mean() > _DENSE_SHARE:
            self.labels, self._gaps = upsampled_labels_and_gaps(
                self._logits.rows, self._num_classes, self._logits.size_hw, self._gaps
            )
            self._exact = None
            self._logits.double()
            return
        bounds = torch.stack(_corners(self._gaps)).amin(0)
        self.labels, self._gaps = _spread(_corners(self.labels)[0]), _spread(bounds)
        self._logits.double()
        self._exact = _pixels_of_cells(mixed)
        self._look_at(self._exact)

    def most_uncertain(self, num_points: int) -> tuple[Tensor, Tensor]:
        """Choose pixels inside the image.

        Args:
            num_points: how many, at most.

        Returns:
            Their flat numbers (P,), ascending, and their centres (1, P, 2), (x, y) in (0, 1) of the
            map.
        """
        rows, columns = (math.ceil(side / self._stride - 0.5) for side in self._size_px)
        gaps = self._gaps
        if gaps.shape != (rows, columns):
            gaps = -padding_scores(gaps.shape, gaps)
            gaps[:rows, :columns] = self._gaps[:rows, :columns]
        num_points = min(num_points, gaps.numel())
        candidates = self._candidates(gaps.flatten(), num_points)
        gaps = gaps.flatten() if candidates is None else gaps.flatten()[candidates]
        chosen = top_indices(gaps.neg()[None], num_points)[0]
        pixels = (chosen if candidates is None else candidates[chosen]).sort().values
        return pixels, cells_to_coords(pixels, self.labels.shape, self._gaps.dtype)[None]

    def write(self, cells: Tensor, point_logits: Tensor) -> None:
        """Replace the logits of pixels, by their flat numbers (P,), with (1, C, P) others."""
        rows = two_class_logits(point_logits[0].t().to(self._gaps.dtype))  # (P, C)
        self._logits.write(cells, rows)
        self._set(cells, rows)

    def _candidates(self, gaps: Tensor, num_points: int) -> Tensor | None:
        """Return pixels with exact gaps, the most uncertain ones among them; None for all."""
        exact = self._exact
        if exact is None:
            return None
        if len(exact) < num_points:
            exact = self._look_further(exact, top_indices(gaps.neg()[None], num_points)[0], gaps)
        cut_off = gaps[exact].kthvalue(num_points).values
        return self._look_further(exact, (gaps <= cut_off + _SLACK).nonzero().flatten(), gaps)

    def _look_further(self, exact: Tensor, pixels: Tensor, gaps: Tensor) -> Tensor:
        """Make the gaps of more pixels exact, in ``gaps`` too, and return all exact pixels."""
        is_exact = torch.zeros(gaps.numel(), dtype=torch.bool, device=gaps.device)
        is_exact[exact] = True
        pixels = pixels[~is_exact[pixels]]
        self._look_at(pixels)
        found = gaps[pixels]
        gaps[pixels] = torch.where(found < LEAST_PADDING, self._gaps.flatten()[pixels], found)
        self._exact = torch.cat((exact, pixels))
        return self._exact

    def _look_at(self, pixels: Tensor) -> None:
        """Compute labels and gaps of pixels from their logits."""
        for chunk in pixels.split(max(_CHUNK_LOGITS // self._num_classes, 1)):
            self._set(chunk, self._logits.read(chunk))

    def _set(self, pixels: Tensor, rows: Tensor) -> None:
        """Set labels and gaps of pixels (P,) from their logits (P, C)."""
        # By planes: a maximum over rows of few numbers takes three times as long.
        labels, gaps = labels_and_gaps_of_planes(planes_of_rows(rows))
        self.labels.view(-1)[pixels] = labels.to(self.labels.dtype)
        self._gaps.view(-1)[pixels] = gaps


def _corners(grid: Tensor) -> list[Tensor]:
    """Corners, four (H + 1, W + 1), of the cells between pixels (H, W), edges repeated."""
    grid = torch.cat((grid[:1], grid, grid[-1:]))
    grid = torch.cat((grid[:, :1], grid, grid[:, -1:]), dim=1)
    return [grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]]


def _mixed_cells(labels: Tensor) -> Tensor:
    """Tell which cells (H + 1, W + 1) have pixels of different labels."""
    first, *others = _corners(labels)
    return torch.stack([corner != first for corner in others]).any(0)


def _pixels_of_cells(is_chosen: Tensor) -> Tensor:
    """Flat numbers (P,) in (2 H, 2 W) of the pixels that lie in chosen cells (H + 1, W + 1)."""
    height, width = (2 * (side - 1) for side in is_chosen.shape)
    above, left = (2 * is_chosen.nonzero() - 1).unbind(1)  # the cells at the edges hang over
    rows = torch.stack((above, above, above + 1, above + 1), dim=1)
    columns = torch.stack((left, left + 1, left, left + 1), dim=1)
    is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return (rows * width + columns)[is_inside]


def _spread(cells: Tensor) -> Tensor:
    """Give the four pixels (2 H, 2 W) that lie in a cell its value (H + 1, W + 1)."""
    rows, columns = cells.shape
    doubled = cells[:, None, :, None].expand(-1, 2, -1, 2).reshape(2 * rows, 2 * columns)
    return doubled[1:-1, 1:-1].contiguous()
