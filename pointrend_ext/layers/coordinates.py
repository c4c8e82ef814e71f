"""Coordinate frames, and the only conversions between them.

* ``coords_px``: absolute image pixels, (x, y). Pixel (row i, column j) covers [j, j+1) x [i, i+1),
  its centre is (j + 0.5, i + 0.5). Boxes (x0, y0, x1, y1) live on the same continuous plane,
  without any "+ 1".
* ``coords_box``: [0, 1]^2 of a box.
* ``coords_map``: [0, 1]^2 of the extent that a grid covers: a mask, or a feature map of stride s
  with W columns, which covers s * W pixels (the padded image, not the image).

``docs/pixel_conventions.md`` works through a 4 x 4 example.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.layers.exporting import is_exported


def box_to_px(coords_box: Tensor, boxes_px: Tensor) -> Tensor:
    """Convert box-normalised points to absolute pixels.

    Args:
        coords_box: (R, P, 2), (x, y) in [0, 1] of the box.
        boxes_px: (R, 4), (x0, y0, x1, y1) in pixels. A box of no extent maps all its points onto
            its corner.

    Returns:
        (R, P, 2) ``coords_px``, (x, y).
    """
    corner_px, opposite_px = boxes_px[:, None, :2], boxes_px[:, None, 2:]  # (R, 1, 2)
    return coords_box * (opposite_px - corner_px) + corner_px


def px_to_box(coords_px: Tensor, boxes_px: Tensor) -> Tensor:
    """Convert absolute pixels to box-normalised points, the reverse of ``box_to_px``.

    Args:
        coords_px: (R, P, 2), (x, y) in pixels.
        boxes_px: (R, 4), (x0, y0, x1, y1) in pixels.

    Returns:
        (R, P, 2) ``coords_box``, below 0 or above 1 outside of the box; infinite, or not a number,
        along an axis in which the box has no extent.
    """
    corner_px, opposite_px = boxes_px[:, None, :2], boxes_px[:, None, 2:]  # (R, 1, 2)
    return (coords_px - corner_px) / (opposite_px - corner_px)


def px_to_map(coords_px: Tensor, size_hw: Sequence[int], stride: float = 1) -> Tensor:
    """Convert absolute pixels to the normalised frame of a grid whose origin is the image's.

    Args:
        coords_px: (..., 2), (x, y) in pixels.
        size_hw: rows and columns of the grid.
        stride: pixels per cell; 1 for a ground-truth mask.

    Returns:
        (..., 2) ``coords_map``; 1.0 is the far edge of the last cell.
    """
    # By axis: a tensor of the two extents would have to be sent to the device.
    x, y = coords_px.unbind(-1)
    return torch.stack((x / (size_hw[1] * stride), y / (size_hw[0] * stride)), dim=-1)


def map_to_map(
    coords_map: Tensor, extent_from_px: Sequence[int], extent_to_px: Sequence[int]
) -> Tensor:
    """Convert between the normalised frames of two grids with the same origin.

    Maps of one image may cover different extents: strides 4 and 16 cover 500 and 512 of 500 pixels.
    Equal extents leave every bit of the coordinates as it is.

    Args:
        coords_map: (..., 2), (x, y) in [0, 1] of the first extent.
        extent_from_px: rows and columns that the first grid covers, in pixels.
        extent_to_px: rows and columns that the second grid covers, in pixels.

    Returns:
        (..., 2); beyond 1 where the second grid is smaller.
    """
    if not is_exported() and tuple(extent_from_px) == tuple(extent_to_px):
        return coords_map
    (rows_from, columns_from), (rows_to, columns_to) = extent_from_px, extent_to_px
    x, y = coords_map.unbind(-1)
    return torch.stack((x * (columns_from / columns_to), y * (rows_from / rows_to)), dim=-1)


def cells_to_coords(cells: Tensor, size_hw: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Convert flat cell numbers of a grid to the normalised coordinates of the cell centres.

    Args:
        cells: (...) integers in [0, H * W), row-major.
        size_hw: rows and columns of the grid.
        dtype: a floating-point type of at least 32 bits: half precision cannot tell cells of a wide
            grid apart.

    Returns:
        (..., 2), (x, y) in (0, 1).
    """
    height, width = size_hw
    rows = torch.div(cells, width, rounding_mode="floor")
    columns = cells - rows * width  # no remainder: ONNX's translation of it wants a constant
    # Rounded as Detectron2's PointRend rounds the centres of the cells that it refines.
    step_x, step_y = 1.0 / width, 1.0 / height
    x = step_x / 2.0 + columns.to(dtype) * step_x
    y = step_y / 2.0 + rows.to(dtype) * step_y
    return torch.stack((x, y), dim=-1)


def cell_centers(size_hw: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the normalised centres of all cells of a grid.

    Args:
        size_hw: rows and columns of the grid.
        dtype: floating-point type of the result.
        device: device of the result.

    Returns:
        (H * W, 2), (x, y) in (0, 1), row-major.

    Example:
        >>> cell_centers((1, 2), dtype=torch.float32, device=torch.device("cpu"))
        tensor([[0.2500, 0.5000],
                [0.7500, 0.5000]])
    """
    # By way of [-1, 1], where Detectron2's PointRend makes its dense grids too: the last bit of a
    # coordinate shows in the fifth digit of a probability.
    half_and_centre = torch.tensor([[[0.5, 0, 0.5], [0, 0.5, 0.5]]], dtype=dtype)
    half_and_centre = half_and_centre.to(device, non_blocking=True)  # else a GPU is waited for
    grid = F.affine_grid(half_and_centre, [1, 1, *size_hw], align_corners=False)
    return grid.reshape(-1, 2)
