"""What are the logits at these points of these images?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pointrend_ext.layers import map_to_map, point_sample

__all__ = ["MapPointPredictor", "extent_px"]


class MapPointPredictor:
    """Answers for points of whole images, in training and in inference alike.

    It is built once per forward pass and keeps what does not change during it. All maps of an image
    start at its upper left corner, but they need not cover the same extent, so points are converted
    through pixels.
    """

    def __init__(
        self,
        point_head: nn.Module,
        *,
        features: Sequence[Tensor],
        strides: Sequence[int],
        coarse_logits: Tensor,
        coarse_stride: int,
    ) -> None:
        """Keep the state of a forward pass.

        Args:
            point_head: maps (N, F, P) and (N, C, P) to (N, C, P).
            features: fine-grained maps, each (N, C_m, H_m, W_m), F = sum of C_m.
            strides: pixels per cell of each map.
            coarse_logits: (N, C, H, W), the coarse prediction. It is never replaced by a refined
                one.
            coarse_stride: pixels per cell of ``coarse_logits``.
        """
        self._point_head = point_head
        self._features = features
        self._strides = strides
        self._coarse_logits = coarse_logits
        self._extent_px = extent_px(coarse_logits, coarse_stride)

    def __call__(self, coords_map: Tensor) -> Tensor:
        """Predict all classes.

        Args:
            coords_map: (N, P, 2), (x, y) in [0, 1] of the extent of the coarse prediction, which
                every refined map covers as well.

        Returns:
            (N, C, P) logits.
        """
        fine = [
            point_sample(
                feature, map_to_map(coords_map, self._extent_px, extent_px(feature, stride))
            )
            for feature, stride in zip(self._features, self._strides, strict=True)
        ]
        coarse = point_sample(self._coarse_logits, coords_map)
        return self._point_head(torch.cat(fine, dim=1), coarse)


def extent_px(feature: Tensor, stride: int) -> tuple[int, int]:
    """Return the rows and columns of the image plane that a map covers.

    Args:
        feature: (..., H, W).
        stride: pixels per cell.
    """
    return feature.shape[-2] * stride, feature.shape[-1] * stride
