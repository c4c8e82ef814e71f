"""The part of a map around a box, as one operator: a recorded graph need not know its size.

Importing this file registers ``torch.ops.pointrend_ext.cut_map``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.library.custom_op("pointrend_ext::cut_map", mutates_args=())
def cut_map(feature: Tensor, window: Tensor) -> Tensor:
    """Copy a part of a map. Two slices, one after the other, would copy all its columns first.

    Args:
        feature: (N, C, H, W).
        window: (4,) int64, first column, first row, columns w, rows h.

    Returns:
        (N, C, h, w).
    """
    left, top, width, height = window.tolist()
    return feature[:, :, top : top + height, left : left + width].clone()


@cut_map.register_fake
def _part_of_any_size(feature: Tensor, _window: Tensor) -> Tensor:
    context = torch.library.get_ctx()
    sides = context.new_dynamic_size(min=1), context.new_dynamic_size(min=1)
    return feature.new_empty(*feature.shape[:2], *sides)


def windows_of(boxes_px: Tensor, stride: float, size_hw: Sequence[int]) -> Tensor:
    """Find the cells that points in boxes are read from, as ``region_window`` does.

    Args:
        boxes_px: (R, 4), x0, y0, x1, y1 in pixels. Numbers that are none count as 0.
        stride: pixels per cell.
        size_hw: rows and columns of the map.

    Returns:
        (R, 4) int64 as for ``cut_map``, none without a cell: at the edge for a box beyond the map.
    """
    corners = torch.where(boxes_px.isnan(), 0.0, boxes_px) / stride - 0.5
    start, stop = corners.chunk(2, dim=1)  # (R, 2), x and y
    edge = torch.stack([torch.full_like(start[:, 0], x - 1) for x in reversed(size_hw)], dim=1)
    # One more cell on either side, as in ``region_window``.
    first = torch.minimum((torch.minimum(start, stop).floor() - 1).clamp(min=0), edge)
    last = torch.minimum(torch.maximum(start, stop).floor() + 2, edge)
    return torch.cat((first, (last - first).clamp(min=0) + 1), dim=1).long()
