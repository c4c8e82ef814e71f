"""What are the logits at these points of these two regions? The answer that suits a graph."""

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


class PairPredictor:
    """``RegionPointPredictor`` for one or two regions, in operators that ONNX Runtime is quick at.

    The few cells of the coarse maps are read by products with ``bilinear_hats``: sampling channels
    would take three times as long. As in ``ProjectedRegionPredictor``, which says why it may, a
    layer is applied to cells instead of points where those are fewer. Of the coarse maps that is
    known beforehand; of the others when the graph runs, which holds both ways: see ``_Window``.
    """

    def __init__(
        self,
        layers: SplitPointLayers,
        inputs: RegionInputs,
        points_per_region: int,
    ) -> None:
        """Apply the layers to cells.

        Args:
            layers: of the point head.
            inputs: R regions of one image, 1 or 2.
            points_per_region: points that each region will be asked for, in all.
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
        self._maps = [_PairOfWindows(*one, boxes, points_per_region) for one in maps]

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
        hidden = reduce(torch.add, (x.first_layer(coords_box) for x in self._maps))  # (R, D, P)
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
        if self._channels is None:
            return torch.cat((torch.matmul(weight, coarse), bias), dim=2)
        return torch.cat((weight.expand(coarse.shape[0], -1, -1), bias), dim=2)


def _product(table: Tensor, read: Tensor) -> Tensor:
    """Apply tables (R, O, J + 1) to what is read (R, J + 1, P); biases alone, (R, O, 1), are it."""
    return table if table.shape[2] == 1 else torch.bmm(table, read)


def _layer(weight: Tensor, inputs: Tensor) -> Tensor:
    """Apply a layer (O, I) to (R, I, P)."""
    return F.conv1d(inputs, weight.unsqueeze(2))


class _PairOfWindows:
    """A feature map around each of one or two regions.

    The second may not be there: its window is one cell then, and it has no point.
    """

    def __init__(
        self, feature: Tensor, stride: float, weight: Tensor, boxes_px: Tensor, num_points: int
    ) -> None:
        """Copy the cells around the boxes, and apply the layer where they are few."""
        windows = windows_of(boxes_px, stride, feature.shape[2:])  # (R, 4)
        corners_px, sides_px = windows.to(boxes_px.dtype).mul(stride).chunk(2, dim=1)  # (R, 2) each
        self._scale = ((boxes_px[:, 2:] - boxes_px[:, :2]) / sides_px).unsqueeze(1)
        self._shift = ((boxes_px[:, :2] - corners_px) / sides_px).unsqueeze(1)
        of_two = torch.cat((windows, windows.new_tensor([[0, 0, 1, 1]])))
        num_regions: Any = boxes_px.shape[0]
        self._windows = [
            _Window(feature, of_two[number], number, count, weight, num_points)
            for number, count in enumerate((1, num_regions - 1))
        ]

    def first_layer(self, coords_box: Tensor) -> Tensor:
        """Return what the layer makes of points (R, P, 2) in [0, 1] of the boxes: (R, D, P)."""
        coords_map = coords_box * self._scale + self._shift
        return torch.cat([part for x in self._windows for part in x.first_layer(coords_map)])


class _Window:
    """The cells around a region.

    If they are no more than its points, the layer is applied to them, and else to the points. Which
    is known when the graph runs: it has both ways, and one of them is given a cell and no region.
    """

    def __init__(
        self,
        feature: Tensor,
        window: Tensor,
        number: int,
        count: Any,
        weight: Tensor,
        num_points: int,
    ) -> None:
        """Copy the cells.

        Args:
            feature: (1, C, H, W).
            window: (4,) for ``cut_map``.
            number: of the region.
            count: 1, or 0 if the region is not there.
            weight: (D, C).
            num_points: that the region will be asked for.
        """
        self._number, self._weight = number, weight
        are_few = window[2] * window[3] <= num_points
        one_cell = torch.cat((window[:2], torch.ones_like(window[2:])))
        few = cut_map(feature, torch.where(are_few, window, one_cell))
        self._many = cut_map(feature, torch.where(are_few, one_cell, window))
        table = torch.mm(weight, few.squeeze(0).flatten(1))
        self._few = table.unflatten(1, few.shape[2:]).unsqueeze(0)
        # Read from a tensor: as an expression of other sizes it would grow with every use.
        self.num_few: Any = (are_few * torch.full_like(window[0], count)).item()
        torch._check(self.num_few <= count)
        self.num_many = count - self.num_few

    def first_layer(self, coords_map: Tensor) -> tuple[Tensor, Tensor]:
        """Read points (R, P, 2): (1, D, P) and (0, D, P), or the other way round.

        Neither has a region if it is not there.
        """
        few = _read(self._few, coords_map.narrow(0, self._number, self.num_few))
        many = _read(self._many, coords_map.narrow(0, self._number, self.num_many))
        return few, _layer(self._weight, many)


def _read(plane: Tensor, coords_map: Tensor) -> Tensor:
    """Read a plane (1, C, H, W) at points (n, P, 2): (n, C, P)."""
    return point_sample(plane, coords_map.unsqueeze(0)).squeeze(0).transpose(0, 1)
