"""What are the logits at these points of these regions? The fast answer."""

from collections.abc import Callable

import torch
from torch import Tensor

from pointrend_ext.layers import at_least_float32
from pointrend_ext.layers.fast import bilinear_taps, linear, read_taps, tap_cells
from pointrend_ext.modeling.point_head.fast.split_layers import SplitPointLayers


class ProjectedRegionPredictor:
    """``RegionPointPredictor`` for a ``StandardPointHead``, with its linear algebra rearranged.

    Bilinear interpolation is linear and the same for every channel, so a linear layer may be
    applied before it, to the few cells of a map instead of to the many points: K (B c) = B (K c).
    What the layers read of the S x S coarse cells of a region is computed once per cell and
    interpolated from there, and the predictor is evaluated for the region's own class alone. Biases
    are added after the interpolation, whose weights do not sum to 1 at the edge of a map. Only the
    order of rounding differs from the plain predictor.
    """

    def __init__(
        self,
        layers: SplitPointLayers,
        first_layer: Callable[[Tensor], Tensor],
        coarse_logits: Tensor,
        classes: Tensor,
    ) -> None:
        """Apply the layers to the coarse cells.

        Args:
            layers: of the point head.
            first_layer: (R, P, 2) points in [0, 1] of the boxes -> (R * P, D), what the first layer
                makes of the fine-grained features there, bias included; a new tensor.
            coarse_logits: (R, K, S, S).
            classes: (R,) integers in [0, C); not read if C is 1.
        """
        regions, channels, *side = coarse_logits.shape
        self._layers, self._first_layer, self._side = layers, first_layer, tuple(side)
        cells = coarse_logits.flatten(2).transpose(1, 2)  # (R, S * S, K)
        table = linear(cells.reshape(-1, channels), layers.coarse)  # (R * S * S, J * D)
        self._table = at_least_float32(table)
        own = classes if len(layers.out) > 1 else torch.zeros_like(classes)
        self._out = layers.out[own].unsqueeze(2)  # (R, D, 1)
        self._out_bias = layers.out_bias[own].view(-1, 1, 1)
        self._out_table = None
        if layers.out_coarse is not None:
            weight = layers.out_coarse[own].unsqueeze(2)  # (R, K, 1)
            self._out_table = torch.bmm(cells.to(weight.dtype), weight).flatten()  # (R * S * S,)
        numbers = torch.arange(regions, device=classes.device)
        self._first_cell = numbers.view(-1, 1, 1) * cells.shape[1]

    def __call__(self, coords_box: Tensor) -> Tensor:
        """Predict each region's own class.

        Args:
            coords_box: (R, P, 2), (x, y) in [0, 1] of the boxes.

        Returns:
            (R, 1, P) logits.
        """
        regions, num_points, _ = coords_box.shape
        columns, rows, weights = bilinear_taps(coords_box, self._side)
        cells = tap_cells(columns, rows, self._side[1]) + self._first_cell  # rows of the tables
        cells, weights = cells.flatten(0, 1).int(), weights.flatten(0, 1).to(self._table.dtype)
        hidden = self._first_layer(coords_box)  # (R * P, D)
        width = hidden.shape[1]

        def coarse_part(number: int) -> Tensor:
            own = self._table[:, number * width : (number + 1) * width]
            return read_taps(own, cells, weights)

        hidden = self._layers.run(hidden, coarse_part).view(regions, num_points, width)
        logits = torch.bmm(hidden, self._out.to(hidden.dtype)) + self._out_bias  # (R, P, 1)
        if self._out_table is not None:
            coarse = (self._out_table[cells.long()] * weights).sum(1)
            logits = logits + coarse.view(regions, num_points, 1)
        return logits.transpose(1, 2)
