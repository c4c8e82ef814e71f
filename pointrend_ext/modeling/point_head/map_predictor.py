"""What are the logits at these points of these images?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from pointrend_ext.layers import map_to_map, point_sample
from pointrend_ext.layers.fast import MapRows


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

    def image(self, number: int) -> "MapInputs":
        """Return the same for one image, N = 1."""
        one = slice(number, number + 1)
        return replace(
            self,
            features=[feature[one] for feature in self.features],
            coarse_logits=self.coarse_logits[one],
        )


@dataclass(frozen=True)
class MapPointPredictor:
    """Answers for points of whole images. The plain form, for any point head and for training.

    Attributes:
        point_head: maps (N, F, P) and (N, C, P) to (N, C, P), F = sum of C_m.
        inputs: what it reads.
    """

    point_head: nn.Module
    inputs: MapInputs

    def __call__(self, coords_map: Tensor) -> Tensor:
        """Predict all classes.

        Args:
            coords_map: (N, P, 2), (x, y) in [0, 1] of the extent of the coarse prediction.

        Returns:
            (N, C, P) logits.
        """
        x = self.inputs
        coords = x.coords_of_maps(coords_map)
        fine = [point_sample(*pair) for pair in zip(x.features, coords, strict=True)]
        coarse = point_sample(x.coarse_logits, coords_map)
        return self.point_head(torch.cat(fine, dim=1), coarse)


def extent_px(feature: Tensor, stride: int) -> tuple[int, int]:
    """Return the rows and columns of the image plane that a map covers.

    Args:
        feature: (..., H, W).
        stride: pixels per cell.
    """
    return feature.shape[-2] * stride, feature.shape[-1] * stride
