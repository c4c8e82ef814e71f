"""What are the logits at these points of these regions? The answer that suits exported graphs."""

from collections.abc import Iterator
from functools import reduce

import torch
from torch import Tensor

from pointrend_ext.layers import sample_region_features
from pointrend_ext.layers.fast import bilinear_hats
from pointrend_ext.modeling.point_head.fast.plane_predictor import PlaneRegionPredictor, product
from pointrend_ext.modeling.point_head.fast.split_layers import SplitPointLayers
from pointrend_ext.modeling.point_head.region_inputs import RegionInputs


class GraphRegionPredictor(PlaneRegionPredictor):
    """``PlaneRegionPredictor`` for one image, in operators that ONNX Runtime is quick at.

    The few cells of the coarse maps are read by products with ``bilinear_hats``: sampling the D
    channels of each layer would take three times as long. The first layer is applied to the cells
    of a map instead of to the points where those are fewer. Which ones are fewer is known when the
    graph runs: it holds both ways, and one of them is given no region, and no row of the map.
    """

    def __init__(
        self, layers: SplitPointLayers, inputs: RegionInputs, points_per_region: int
    ) -> None:
        """Apply the layers to the coarse cells, and the first one to maps.

        Args:
            layers: of the point head.
            inputs: R regions of one image.
            points_per_region: points that each region will be asked for, in all.
        """
        super().__init__(layers, inputs)
        num_regions = inputs.classes.shape[0]
        biases = (bias.view(-1, 1).expand(num_regions, -1, 1) for bias in layers.biases)
        tables = [maps.flatten(2) for maps in self._coarse]  # (R, D, S * S), (R, 1, S * S) at last
        num_hidden = len(layers.coarse) // len(layers.biases[0])
        # A bias is what a layer reads of one more cell, whose weight is 1 everywhere.
        self._tables = [torch.cat(x, dim=2) for x in zip(tables[:num_hidden], biases, strict=False)]
        self._out_table = next(iter(tables[num_hidden:]), None)
        self._projected = []
        for feature, weight in zip(inputs.features, layers.fine, strict=True):
            _, _, height, width = feature.shape
            share = torch.sym_min(num_regions * points_per_region // (height * width), 1)  # 0 or 1
            num_rows = (height - 1) * share + 1  # ONNX Runtime samples no map without a row
            cells = feature.narrow(2, 0, num_rows).flatten(2)
            rows = torch.matmul(weight, cells).unflatten(2, (num_rows, width))
            self._projected.append((rows, num_regions * share))

    def __call__(self, coords_box: Tensor) -> Tensor:
        """Predict each region's own class, as ``PlaneRegionPredictor`` does."""
        side = self._inputs.coarse_logits.shape[2:]
        hats = bilinear_hats(coords_box, side)  # (R, S * S, P)
        hats_and_one = torch.cat((hats, torch.ones_like(hats[:, :1])), dim=1)
        hidden = reduce(torch.add, self._first_layer(coords_box))  # without its bias
        for number, bias in enumerate(self._layers.biases):
            part = None
            if number < len(self._tables):
                part = torch.bmm(self._tables[number], hats_and_one)
            if number > 0:
                hidden = product(hidden, self._weights[number], bias if part is None else None)
            hidden = (hidden if part is None else hidden + part).relu()
        logits = torch.bmm(self._out, hidden) + self._out_bias
        return logits if self._out_table is None else logits + torch.bmm(self._out_table, hats)

    def _first_layer(self, coords_box: Tensor) -> Iterator[Tensor]:
        """Yield what the first layer makes of each map: (R, D, P)."""
        x = self._inputs
        (boxes,) = x.boxes_px
        maps = zip(x.features, x.strides, self._layers.fine, self._projected, strict=True)
        for feature, stride, weight, (rows, count) in maps:
            rest = boxes.shape[0] - count
            here, there = (
                sample_region_features(
                    [plane], [stride], [boxes.narrow(0, *part)], coords_box.narrow(0, *part)
                )
                for plane, part in ((rows, (0, count)), (feature, (count, rest)))
            )
            yield torch.cat((here, product(there, weight)))
