"""The parts of feature maps that regions lie in, as tables with one row per cell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pointrend_ext.layers.coordinates import px_to_map
from pointrend_ext.layers.fast.rows import copy_rows, rows_of_planes
from pointrend_ext.layers.fast.taps import bilinear_taps, tap_cells
from pointrend_ext.layers.precision import at_least_float32


@dataclass(frozen=True)
class Window:
    """The cells of one map that points inside a box are read from; none of a box beyond the map."""

    top: int
    left: int
    height: int
    width: int

    @property
    def num_cells(self) -> int:
        """Cells inside."""
        return self.height * self.width


def region_window(box_px: Sequence[float], stride: float, size_hw: Sequence[int]) -> Window:
    """Find the cells around a box.

    Args:
        box_px: (x0, y0, x1, y1) in pixels.
        stride: pixels per cell.
        size_hw: rows and columns of the map.
    """
    if not all(map(math.isfinite, box_px)):
        return Window(0, 0, 0, 0)
    left, width = _span(box_px[0], box_px[2], stride, size_hw[1])
    top, height = _span(box_px[1], box_px[3], stride, size_hw[0])
    return Window(top, left, height, width) if height and width else Window(0, 0, 0, 0)


def _span(start_px: float, stop_px: float, stride: float, count: int) -> tuple[int, int]:
    low_px, high_px = min(start_px, stop_px), max(start_px, stop_px)
    # One more cell on either side: the rounding of coordinates may carry a point over its edge.
    first = max(math.floor(low_px / stride - 0.5) - 1, 0)
    last = min(math.floor(high_px / stride - 0.5) + 2, count - 1)
    return first, max(last - first + 1, 0)


@dataclass
class RegionWindows:
    """A feature map around regions, laid out so that all channels of a point are read at once.

    Attributes:
        rows: (M, C), one row per cell, in at least 32 bits; M at least 1.
        layout: of each window the row number of its first cell, row and column of that cell in the
            map, and the columns of the window: (4, R, 1, 1) int32.
        size_hw: rows and columns of the map.
        stride: pixels per cell.
    """

    rows: Tensor
    layout: Tensor
    size_hw: Sequence[int]
    stride: float

    @classmethod
    def cut(
        cls, feature: Tensor, stride: float, images: Sequence[int], windows: Sequence[Window]
    ) -> "RegionWindows":
        """Copy the cells around each region.

        Args:
            feature: (N, C, H, W).
            stride: pixels per cell.
            images: number of the image of each of the R regions.
            windows: of each region.
        """
        total = sum(window.num_cells for window in windows)
        rows = feature.new_empty(total + 1, feature.shape[1])
        rows[-1] = 0  # what regions without a window read, never the window of another
        layout, begin = [], 0
        for image, w in zip(images, windows, strict=True):
            source = feature[image, :, w.top : w.top + w.height, w.left : w.left + w.width]
            target = rows[begin : begin + w.num_cells].view(w.height, w.width, rows.shape[1])
            copy_rows(target, source)
            layout.append((begin if w.num_cells else total, w.top, w.left, w.width))
            begin += w.num_cells
        return cls(at_least_float32(rows), _columns(layout, feature), feature.shape[-2:], stride)

    @classmethod
    def whole(cls, feature: Tensor, stride: float, images: Sequence[int]) -> "RegionWindows":
        """Read a map where it is, if its channels lie side by side; else copy it once.

        Args:
            feature: (N, C, H, W), best in ``channels_last``.
            stride: pixels per cell.
            images: number of the image of each of the R regions.
        """
        height, width = feature.shape[-2:]
        rows = rows_of_planes(feature)
        layout = [(image * height * width, 0, 0, width) for image in images]
        return cls(rows, _columns(layout, feature), feature.shape[-2:], stride)

    def taps(self, coords_px: Tensor) -> tuple[Tensor, Tensor]:
        """Find the rows to read at points.

        Args:
            coords_px: (R, P, 2), (x, y) in pixels, inside the boxes.

        Returns:
            (R * P, 4) row numbers and (R * P, 4) weights, for ``read_taps``.
        """
        coords_map = px_to_map(coords_px, self.size_hw, self.stride)
        columns, rows, weights = bilinear_taps(coords_map, self.size_hw)
        first, top, left, width = self.layout
        cells = tap_cells(columns - left, rows - top, width) + first
        # A tap of weight 0, beside the map, may miss the window: any row will do for it.
        cells = cells.clamp_(0, len(self.rows) - 1)
        return cells.flatten(0, 1), weights.flatten(0, 1).to(self.rows.dtype)


def _columns(layout: Sequence[tuple[int, int, int, int]], like: Tensor) -> Tensor:
    """Turn R tuples of 4 numbers into (4, R, 1, 1)."""
    table = torch.tensor(layout, dtype=torch.int32).view(-1, 4, 1, 1)
    return table.to(like.device, non_blocking=True).transpose(0, 1)
