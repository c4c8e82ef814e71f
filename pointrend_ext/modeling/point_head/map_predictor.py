"""What are the logits at these points of these images?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from pointrend_ext.layers import MapRows, linear, map_to_map, point_sample
from pointrend_ext.modeling.point_head.split_layers import SplitPointLayers

__all__ = ["MapInputs", "MapPointPredictor", "MapRowPredictor", "extent_px"]

_MAX_POINTS = {True: 4096, False: 2**20}
"""Points evaluated at once on a CPU, and elsewhere."""


@dataclass(frozen=True)
class MapInputs:
    """The state of one forward pass over N images.

    All maps of an image start at its upper left corner, but they need not cover the same extent, so
    points are converted through pixels.

    Attributes:
        features: fine-grained maps, each (N, C_m, H_m, W_m).
        strides: pixels per cell of each map.
        coarse_logits: (N, C, H, W), the coarse prediction. It is never replaced by a refined one.
        coarse_stride: pixels per cell of ``coarse_logits``.
    """

    features: Sequence[Tensor]
    strides: Sequence[int]
    coarse_logits: Tensor
    coarse_stride: int

    @cached_property
    def coarse_rows(self) -> MapRows:
        """The coarse prediction, laid out once for all who read many points of it."""
        return MapRows(self.coarse_logits)

    @property
    def extent_px(self) -> tuple[int, int]:
        """Rows and columns that the coarse prediction covers, and every refined map as well."""
        return extent_px(self.coarse_logits, self.coarse_stride)

    def coords_of_maps(self, coords_map: Tensor) -> list[Tensor]:
        """Convert points (N, P, 2) in [0, 1] of the coarse extent to the frame of each map."""
        return [
            map_to_map(coords_map, self.extent_px, extent_px(feature, stride))
            for feature, stride in zip(self.features, self.strides, strict=True)
        ]

    def image(self, number: int) -> MapInputs:
        """Return the same for one image, N = 1."""
        one = slice(number, number + 1)
        return replace(
            self,
            features=[feature[one] for feature in self.features],
            coarse_logits=self.coarse_logits[one],
        )


class MapPointPredictor:
    """Answers for points of whole images. The plain form, for any point head and for training."""

    def __init__(self, point_head: nn.Module, inputs: MapInputs) -> None:
        """Keep the state of a forward pass.

        Args:
            point_head: maps (N, F, P) and (N, C, P) to (N, C, P), F = sum of C_m.
            inputs: what it reads.
        """
        self._point_head, self._inputs = point_head, inputs

    def __call__(self, coords_map: Tensor) -> Tensor:
        """Predict all classes.

        Args:
            coords_map: (N, P, 2), (x, y) in [0, 1] of the extent of the coarse prediction.

        Returns:
            (N, C, P) logits.
        """
        x = self._inputs
        coords = x.coords_of_maps(coords_map)
        fine = [point_sample(*pair) for pair in zip(x.features, coords, strict=True)]
        coarse = point_sample(x.coarse_logits, coords_map)
        return self._point_head(torch.cat(fine, dim=1), coarse)


class MapRowPredictor:
    """``MapPointPredictor`` for a ``StandardPointHead`` in inference, with a row per point.

    Points outnumber neither the cells of the coarse map nor those of a fine one, so nothing is
    projected; rows are read faster than planes, and multiplied faster (``layers.linear``).
    """

    def __init__(self, layers: SplitPointLayers, inputs: MapInputs) -> None:
        """Lay the maps out.

        Args:
            layers: of the point head.
            inputs: what it reads.
        """
        self._layers, self._inputs = layers, inputs
        self._fine = [MapRows(feature) for feature in inputs.features]
        self._coarse = inputs.coarse_rows

    def __call__(self, coords_map: Tensor) -> Tensor:
        """Predict all classes: see ``MapPointPredictor``. The result is a view of rows."""
        limit = max(_MAX_POINTS[coords_map.device.type == "cpu"] // len(coords_map), 1)
        rows = [self._predict(part) for part in coords_map.split(limit, dim=1)]  # each (N, P, C)
        return torch.cat(rows, dim=1).transpose(1, 2)

    def _predict(self, coords_map: Tensor) -> Tensor:
        layers = self._layers
        coords = self._inputs.coords_of_maps(coords_map)
        coarse = self._coarse.read(coords_map)  # (N * P, C)
        hidden = None
        for rows, coords_of_map, weight in zip(self._fine, coords, layers.fine, strict=True):
            part = linear(rows.read(coords_of_map), weight)
            hidden = part if hidden is None else hidden.add_(part)
        hidden = hidden.add_(layers.biases[0])
        width = hidden.shape[1]
        for number, weight_of_coarse in enumerate(layers.coarse.split(width)):
            if number > 0:
                hidden = self._next(hidden, number)
            hidden = hidden.add_(linear(coarse, weight_of_coarse)).relu_()
        for number in range(len(layers.coarse) // width, len(layers.biases)):
            hidden = self._next(hidden, number).relu_()
        logits = linear(hidden, layers.out, layers.out_bias)
        if layers.out_coarse is not None:
            logits = logits + linear(coarse, layers.out_coarse)
        num_images, num_points, _ = coords_map.shape
        return logits.view(num_images, num_points, -1)

    def _next(self, hidden: Tensor, number: int) -> Tensor:
        return linear(hidden, self._layers.hidden[number - 1], self._layers.biases[number])


def extent_px(feature: Tensor, stride: int) -> tuple[int, int]:
    """Return the rows and columns of the image plane that a map covers.

    Args:
        feature: (..., H, W).
        stride: pixels per cell.
    """
    return feature.shape[-2] * stride, feature.shape[-1] * stride
