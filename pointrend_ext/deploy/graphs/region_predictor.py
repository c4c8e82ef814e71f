"""What are the logits at these points of these few regions? The answer that suits a graph."""

from collections.abc import Iterator
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.deploy.windows import cut_map, windows_of
from pointrend_ext.layers import point_sample
from pointrend_ext.layers.fast import bilinear_hats
from pointrend_ext.modeling.point_head import RegionInputs
from pointrend_ext.modeling.point_head.fast import SplitPointLayers


class FewRegionsPredictor:
    """``RegionPointPredictor`` for a few regions of one image, as ONNX Runtime is quick at.

    The few cells of the coarse maps are read by products with ``bilinear_hats``: sampling channels
    would take three times as long. As in ``ProjectedRegionPredictor``, which says why it may, a
    layer is applied to cells instead of points where those are fewer. Of the coarse maps that is
    known beforehand; of the others when the graph runs, which holds both ways: see ``_Window``.
    """

    def __init__(
        self,
        layers: SplitPointLayers,
        inputs: RegionInputs,
        *,
        points_per_region: int,
        most_regions: int,
    ) -> None:
        """Apply the layers to cells.

        Args:
            layers: of the point head.
            inputs: R regions of one image, 1 or more.
            points_per_region: points that each region will be asked for, in all.
            most_regions: R at most, as whose number is known when a graph is recorded.
        """
        self._layers, self._side = layers, inputs.coarse_logits.shape[2:]
        coarse = inputs.coarse_logits.flatten(2)  # (R, K, S * S)
        self._channels = coarse if coarse.shape[1] < coarse.shape[2] else None
        own = inputs.classes if len(layers.out) > 1 else torch.zeros_like(inputs.classes)
        self._out = layers.out[own].unsqueeze(1)  # (R, 1, D)
        num_coarse = len(layers.coarse) // len(layers.biases[0])
        weights: list[Tensor | None] = [*layers.coarse.chunk(num_coarse)]  # (D, K) each
        weights += [None] * (len(layers.biases) - num_coarse)
        weights += [None if layers.out_coarse is None else layers.out_coarse[own].unsqueeze(1)]
        biases = [bias.unsqueeze(1).expand(coarse.shape[0], -1, 1) for bias in layers.biases]
        biases += [layers.out_bias[own].view(-1, 1, 1)]
        self._tables = [self._table(*one, coarse) for one in zip(weights, biases, strict=True)]
        maps = zip(inputs.features, inputs.strides, layers.fine, strict=True)
        (boxes,) = inputs.boxes_px
        self._windows = [
            list(_windows(*one, boxes, points_per_region, most_regions)) for one in maps
        ]

    def __call__(self, coords_box: Tensor) -> Tensor:
        """Predict each region's own class.

        Args:
            coords_box: (R, P, 2), (x, y) in [0, 1] of the boxes.

        Returns:
            (R, 1, P) logits.
        """
        read = bilinear_hats(coords_box, self._side)  # (R, S * S, P)
        if self._channels is not None:
            read = torch.bmm(self._channels, read)  # (R, K, P)
        read = torch.cat((read, torch.ones_like(read[:, :1])), dim=1)
        per_map = (
            torch.cat([part for window in windows for part in window.first_layer(coords_box)])
            for windows in self._windows
        )
        hidden = reduce(torch.add, per_map)  # (R, D, P)
        first, *further, last = self._tables
        hidden = (hidden + _product(first, read)).relu()
        for weight, table in zip(self._layers.hidden, further, strict=True):
            hidden = (_layer(weight, hidden) + _product(table, read)).relu()
        return torch.bmm(self._out, hidden) + _product(last, read)

    def _table(self, weight: Tensor | None, bias: Tensor, coarse: Tensor) -> Tensor:
        """Return what a layer makes of the coarse prediction: (R, O, J + 1), or (R, O, 1).

        A bias is what it reads of one more cell, or channel, that is 1 everywhere.
        """
        if weight is None:
            return bias
        part = torch.matmul(weight, coarse)
        if self._channels is not None:
            part = weight.expand(coarse.shape[0], -1, -1)
        return torch.cat((part, bias), dim=2)


def _product(table: Tensor, read: Tensor) -> Tensor:
    return table if table.shape[2] == 1 else torch.bmm(table, read)


def _layer(weight: Tensor, inputs: Tensor) -> Tensor:
    """Apply a layer (O, I) to (R, I, P)."""
    return F.conv1d(inputs, weight.unsqueeze(2))


def _windows(
    feature: Tensor,
    stride: float,
    weight: Tensor,
    boxes_px: Tensor,
    num_points: int,
    most_regions: int,
) -> Iterator["_Window"]:
    """Yield the cells around each region, and as many without a point as there may be regions."""
    num_regions: Any = boxes_px.shape[0]
    windows = windows_of(boxes_px, stride, feature.shape[2:])
    corners_px, sides_px = windows.float().mul(stride).chunk(2, dim=1)  # (R, 2) each
    scale = (boxes_px[:, 2:] - boxes_px[:, :2]) / sides_px
    frames = torch.stack((scale, (boxes_px[:, :2] - corners_px) / sides_px), dim=1)  # (R, 2, 2)
    one_cell = windows.new_tensor((0, 0, 1, 1)).expand(most_regions - 1, -1)
    windows = torch.cat((windows, one_cell))
    for number in range(most_regions):
        # One region or none; it is seen of these bounds that their sum is the number of regions.
        first, end = (torch.sym_min(num_regions, x) for x in (number, number + 1))
        cells, frame = cut_map(feature, windows[number]), frames.narrow(0, first, end - first)
        yield _Window(cells, weight, frame, first, num_points)


class _Window:
    """The cells around a region, or around none, whose number is known when the graph runs.

    If they are no more than the points, the layer is applied to them, and else to the points: there
    are both ways, and one of them is given no region.
    """

    def __init__(
        self,
        cells: Tensor,
        weight: Tensor,
        frame: Tensor,
        first: Any,
        num_points: int,
    ) -> None:
        rows, columns = cells.shape[2:]
        are_few = torch.sym_min(num_points // (rows * columns), 1)  # 0 or 1
        part = cells.narrow(2, 0, (rows - 1) * are_few + 1)  # none would have no row to sample
        table = torch.mm(weight, part.squeeze(0).flatten(1))
        self._table = table.unflatten(1, part.shape[2:]).unsqueeze(0)
        self._cells, self._weight, self._frame, self._first = cells, weight, frame, first
        is_there: Any = frame.shape[0]
        self._few = is_there * are_few
        self._many = is_there - self._few

    def first_layer(self, coords_box: Tensor) -> tuple[Tensor, Tensor]:
        """Read the region's points of (R, P, 2): (1, D, P) and (0, D, P), or the other way round.

        Both have no region if it is not there.
        """
        few, many = (
            _read(plane, coords_box.narrow(0, self._first, n), self._frame.narrow(0, 0, n))
            for plane, n in ((self._table, self._few), (self._cells, self._many))
        )
        return few, _layer(self._weight, many)


def _read(plane: Tensor, coords_box: Tensor, frames: Tensor) -> Tensor:
    """Read a plane (1, C, H, W) at points (n, P, 2) of boxes: (n, C, P)."""
    coords_map = coords_box * frames[:, :1] + frames[:, 1:]
    return point_sample(plane, coords_map[None]).squeeze(0).transpose(0, 1)
