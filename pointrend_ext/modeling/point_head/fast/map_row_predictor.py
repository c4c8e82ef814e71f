"""The answers of ``MapPointPredictor``, with a row per point."""

from functools import reduce

import torch
from torch import Tensor

from pointrend_ext.layers import runs_cpu_form
from pointrend_ext.layers.fast import MapRows, linear
from pointrend_ext.modeling.point_head.fast.split_layers import SplitPointLayers
from pointrend_ext.modeling.point_head.map_predictor import MapInputs

_MAX_POINTS = {True: 4096, False: 2**20}
"""Points evaluated at once on a CPU, and elsewhere."""


class MapRowPredictor:
    """``MapPointPredictor`` for a ``StandardPointHead`` in inference, with a row per point.

    Points outnumber neither the cells of the coarse map nor those of a fine one, so nothing is
    projected; rows are read faster than planes, and multiplied faster (``layers.fast.linear``).
    """

    def __init__(self, layers: SplitPointLayers, inputs: MapInputs) -> None:
        """Lay the maps out for the layers of the point head."""
        self._layers, self._inputs = layers, inputs
        self._fine = [MapRows(feature) for feature in inputs.features]
        self._coarse = inputs.coarse_rows

    def __call__(self, coords_map: Tensor) -> Tensor:
        """Predict all classes: see ``MapPointPredictor``. The result is a view of rows."""
        limit = max(_MAX_POINTS[runs_cpu_form(coords_map.device)] // len(coords_map), 1)
        rows = [self._predict(part) for part in coords_map.split(limit, dim=1)]  # each (N, P, C)
        return torch.cat(rows, dim=1).transpose(1, 2)

    def _predict(self, coords_map: Tensor) -> Tensor:
        layers = self._layers
        coords = self._inputs.coords_of_maps(coords_map)
        coarse = self._coarse.read(coords_map)  # (N * P, C)
        maps = zip(self._fine, coords, layers.fine, strict=True)
        hidden = reduce(Tensor.add_, (linear(rows.read(xy), weight) for rows, xy, weight in maps))
        hidden = hidden.add_(layers.biases[0])
        coarse_weights = layers.coarse.split(hidden.shape[1])
        hidden = layers.run(hidden, lambda number: linear(coarse, coarse_weights[number]))
        logits = linear(hidden, layers.out, layers.out_bias)
        if layers.out_coarse is not None:
            logits = logits + linear(coarse, layers.out_coarse)
        num_images, num_points, _ = coords_map.shape
        return logits.view(num_images, num_points, -1)
