"""Point heads: small MLPs over points, their losses, and the predictors that feed them."""

from pointrend_ext.modeling.point_head.losses import mask_point_accuracy, mask_point_loss
from pointrend_ext.modeling.point_head.map_predictor import (
    MapInputs,
    MapPointPredictor,
    extent_px,
)
from pointrend_ext.modeling.point_head.predictors import (
    inference_predictors,
    map_inference_predictor,
    training_predictor,
)
from pointrend_ext.modeling.point_head.region_inputs import RegionInputs, region_index
from pointrend_ext.modeling.point_head.region_predictor import RegionPointPredictor
from pointrend_ext.modeling.point_head.registry import POINT_HEAD_REGISTRY, build_point_head
from pointrend_ext.modeling.point_head.standard import StandardPointHead

__all__ = [
    "POINT_HEAD_REGISTRY",
    "MapInputs",
    "MapPointPredictor",
    "RegionInputs",
    "RegionPointPredictor",
    "StandardPointHead",
    "build_point_head",
    "extent_px",
    "inference_predictors",
    "map_inference_predictor",
    "mask_point_accuracy",
    "mask_point_loss",
    "region_index",
    "training_predictor",
]
