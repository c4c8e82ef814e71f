"""Point heads: small MLPs over points, their losses, and the predictors that feed them."""

from pointrend_ext.modeling.point_head.losses import mask_point_accuracy, mask_point_loss
from pointrend_ext.modeling.point_head.region_predictor import RegionPointPredictor
from pointrend_ext.modeling.point_head.registry import POINT_HEAD_REGISTRY, build_point_head
from pointrend_ext.modeling.point_head.standard import StandardPointHead

__all__ = [
    "POINT_HEAD_REGISTRY",
    "RegionPointPredictor",
    "StandardPointHead",
    "build_point_head",
    "mask_point_accuracy",
    "mask_point_loss",
]
