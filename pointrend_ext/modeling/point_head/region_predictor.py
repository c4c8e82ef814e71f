"""What are the logits at these points of these regions? The plain answer."""

from dataclasses import dataclass

from torch import Tensor, nn

from pointrend_ext.layers import point_sample, sample_region_features, select_class
from pointrend_ext.modeling.point_head.region_inputs import ImplicitInputs, RegionInputs


@dataclass(frozen=True)
class RegionPointPredictor:
    """Answers for points of the regions of one batch, in training and in inference alike.

    It is built once per forward pass and keeps what does not change during it. This is the plain
    form: it reads the fine-grained features and the coarse logits at the points and runs the point
    head on them. It takes any point head, and is the reference for ``ProjectedRegionPredictor``.

    Attributes:
        point_head: maps (R, F, P) and (R, K, P) to (R, C, P), F = sum of C_m; if it has
            ``class_logits``, that is called for the class of each region alone.
        inputs: what it reads.
    """

    point_head: nn.Module
    inputs: RegionInputs

    def __call__(self, coords_box: Tensor) -> Tensor:
        """Predict each region's own class.

        Args:
            coords_box: (R, P, 2), (x, y) in [0, 1] of the boxes.

        Returns:
            (R, 1, P) logits.
        """
        x = self.inputs
        fine = sample_region_features(x.features, x.strides, x.boxes_px, coords_box)
        coarse = point_sample(x.coarse_logits, coords_box)
        class_logits = getattr(self.point_head, "class_logits", None)
        if class_logits is not None:
            return class_logits(fine, coarse, x.classes)
        return select_class(self.point_head(fine, coarse), x.classes)


@dataclass(frozen=True)
class ImplicitPointPredictor:
    """The same of Implicit PointRend, in training and in inference alike.

    Attributes:
        point_head: an ``ImplicitPointHead``.
        inputs: what it reads.
    """

    point_head: nn.Module
    inputs: ImplicitInputs

    def __call__(self, coords_box: Tensor) -> Tensor:
        """Predict each region's own class, as ``RegionPointPredictor`` does."""
        x = self.inputs
        fine = sample_region_features(x.features, x.strides, x.boxes_px, coords_box)
        return self.point_head(fine, coords_box, x.parameters, x.classes)
