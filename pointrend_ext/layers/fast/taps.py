"""Bilinear reading of tables with one row per cell: the fast way to read many channels at points.

A *table* holds a map with the channels of a cell side by side, (cells, C). A *tap* is one of the
four cells around a point, with its weight. Reading P points costs 4 P rows, whatever the
size of the map. The values are those of ``point_sample``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.layers.precision import has_float64


def bilinear_taps(coords_map: Tensor, size_hw: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Find the cells around points, and their weights.

    Args:
        coords_map: (..., 2), (x, y) in [0, 1] of the map, in at least 32 bits.
        size_hw: rows and columns of the map.

    Returns:
        columns: (..., 2) int32, left and right of the point.
        rows: (..., 2) int32, above and below it.
        weights: (..., 4) for (above, below) x (left, right), row-major. The weight of a cell
            outside the map is 0, and its column or row is that of the nearest cell inside.
    """
    columns, weights_x = _taps_1d(coords_map[..., 0], size_hw[1])
    rows, weights_y = _taps_1d(coords_map[..., 1], size_hw[0])
    return columns, rows, tap_weights(weights_x, weights_y)


def _taps_1d(coords: Tensor, count: int) -> tuple[Tensor, Tensor]:
    # Rounded as grid_sample rounds: to [-1, 1] first, then by one fused multiply-add. A position
    # that is off by its last bit shows in the fifth digit of a probability. float64 stands for the
    # fused step; without it that last bit is what differs.
    scaled = 2 * coords - 1
    if has_float64(coords.device):
        scaled = scaled.double()
    position = ((scaled + 1) * (count / 2) - 0.5).to(coords.dtype)
    # Beyond one cell outside nothing is read: that also keeps the integers in their range.
    position = position.clamp_(-2, count + 1).unsqueeze(-1)
    first = position.floor()
    cells = torch.cat((first, first + 1), dim=-1)
    weights = 1 - (position - cells).abs_()
    inside = (cells >= 0) & (cells <= count - 1)
    # What is no number reads some cell, with a weight that is none either.
    return cells.clamp_(0, count - 1).nan_to_num_(0.0).int(), weights * inside


def bilinear_hats(coords_map: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Weigh all cells of a small map at points, by products of hat functions.

    A dense matrix instead of four taps: few operators, which any runtime does well, and none that
    looks rows up.

    Args:
        coords_map: (R, P, 2), (x, y) in [0, 1] of the map, in at least 32 bits.
        size_hw: rows H and columns W of the map.

    Returns:
        (R, H * W, P) weights of the cells, row-major, of which at most four of a point are not 0.

    Example:
        >>> bilinear_hats(torch.tensor([[[0.5, 0.5], [1.0, 0.5]]]), (1, 2))[0].tolist()
        [[0.5, 0.0], [0.5, 0.5]]
    """
    x, y = coords_map.unsqueeze(1).unbind(-1)  # (R, 1, P)
    columns, rows = _hats_1d(x, size_hw[1]), _hats_1d(y, size_hw[0])
    return (rows.unsqueeze(2) * columns.unsqueeze(1)).flatten(1, 2)


def _hats_1d(coords: Tensor, count: int) -> Tensor:
    """Weigh the cells of an axis: (R, 1, P) to (R, count, P)."""
    cells = torch.arange(count, dtype=coords.dtype, device=coords.device).unsqueeze(1)
    return (1 - (coords * count - 0.5 - cells).abs()).clamp(min=0)


def tap_cells(columns: Tensor, rows: Tensor, num_columns: Tensor | int) -> Tensor:
    """Number the four cells of each point row by row.

    Args:
        columns: (..., 2), left and right.
        rows: (..., 2), above and below.
        num_columns: columns of the grid, a number or broadcastable to (..., 2).

    Returns:
        (..., 4), in the order of the weights of ``bilinear_taps``.
    """
    first_of_row = (rows * num_columns).unbind(-1)
    pairs = [first + column for first in first_of_row for column in columns.unbind(-1)]
    return torch.stack(pairs, dim=-1)


def tap_weights(weights_x: Tensor, weights_y: Tensor) -> Tensor:
    """Weigh the four cells of each point.

    Args:
        weights_x: (..., 2), of left and right.
        weights_y: (..., 2), of above and below.

    Returns:
        (..., 4), in the order of ``tap_cells``.
    """
    # Not by broadcasting: PyTorch's inner loop would have two turns, and take three times as long.
    pairs = [y * x for y in weights_y.unbind(-1) for x in weights_x.unbind(-1)]
    return torch.stack(pairs, dim=-1)


def distinct_cells(cells: Tensor, num_cells: int) -> tuple[Tensor, Tensor]:
    """Find out which cells are read at all: neighbouring points share theirs.

    Args:
        cells: (Q, 4) integers in [0, num_cells).
        num_cells: of the map.

    Returns:
        The distinct ones (U,) int64, ascending, and ``cells`` as numbers of them, (Q, 4) int64.
    """
    is_read = torch.zeros(num_cells, dtype=torch.bool, device=cells.device)
    is_read[cells.flatten().long()] = True
    distinct = is_read.nonzero().flatten()
    number = torch.empty(num_cells, dtype=torch.int64, device=cells.device)
    number[distinct] = torch.arange(len(distinct), device=cells.device)
    return distinct, number[cells.long()]


def read_taps(table: Tensor, cells: Tensor, weights: Tensor) -> Tensor:
    """Add up the rows of four cells per point.

    Args:
        table: (M, C), at least 32 bits; C may be a slice of a wider table.
        cells: (Q, 4) row numbers, integers.
        weights: (Q, 4), in the type of ``table``.

    Returns:
        (Q, C); differentiable in ``table``.

    Example:
        >>> table = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
        >>> read_taps(table, torch.tensor([[0, 1, 0, 1]]), torch.tensor([[0.25, 0.75, 0.0, 0.0]]))
        tensor([[ 2.5000, 25.0000]])
    """
    return F.embedding_bag(cells, table, per_sample_weights=weights, mode="sum")
