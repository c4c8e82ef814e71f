"""What are the logits at these points of these regions?"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from pointrend_ext.layers import point_sample, sample_region_features, select_class

__all__ = ["RegionPointPredictor"]


class RegionPointPredictor:
    """Answers for points of the regions of one batch, in training and in inference alike.

    It is built once per forward pass and keeps what does not change during it. This is the plain
    form: it reads the fine-grained features and the coarse logits at the points and runs the point
    head on them.
    """

    def __init__(
        self,
        point_head: nn.Module,
        *,
        features: Sequence[Tensor],
        strides: Sequence[float],
        boxes_px: Sequence[Tensor],
        coarse_logits: Tensor,
        classes: Tensor,
    ) -> None:
        """Keep the state of a forward pass.

        Args:
            point_head: maps (R, F, P) and (R, K, P) to (R, C, P).
            features: fine-grained maps, each (N, C_m, H_m, W_m), F = sum of C_m.
            strides: pixels per cell of each map.
            boxes_px: for each of the N images the boxes (R_n, 4) of its regions; detached: a box
                gets no gradient from a point.
            coarse_logits: (R, K, S, S), the coarse prediction. It is never replaced by a refined
                one.
            classes: (R,) integers, the class of each region: of the ground truth in training,
                predicted in inference.
        """
        self._point_head = point_head
        self._features = features
        self._strides = strides
        self._boxes_px = boxes_px
        self._coarse_logits = coarse_logits
        self._classes = classes

    def __call__(self, coords_box: Tensor) -> Tensor:
        """Predict each region's own class.

        Args:
            coords_box: (R, P, 2), (x, y) in [0, 1] of the boxes.

        Returns:
            (R, 1, P) logits.
        """
        fine = sample_region_features(self._features, self._strides, self._boxes_px, coords_box)
        coarse = point_sample(self._coarse_logits, coords_box)
        return select_class(self._point_head(fine, coarse), self._classes)
