"""Point heads: small MLPs over points, their losses, and the predictors that feed them."""

from pointrend_ext.modeling.point_head.implicit import ImplicitPointHead
from pointrend_ext.modeling.point_head.losses import (
    IGNORED_LABEL,
    mask_point_accuracy,
    mask_point_loss,
)
from pointrend_ext.modeling.point_head.map_predictor import (
    MapInputs,
    MapPointPredictor,
    extent_px,
)
from pointrend_ext.modeling.point_head.predictors import (
    can_project,
    inference_predictors,
    map_inference_predictor,
    predictor_of_planes,
    training_predictor,
)
from pointrend_ext.modeling.point_head.region_inputs import (
    ImplicitInputs,
    RegionInputs,
    Regions,
    region_index,
)
from pointrend_ext.modeling.point_head.region_predictor import (
    ImplicitPointPredictor,
    RegionPointPredictor,
)
from pointrend_ext.modeling.point_head.registry import POINT_HEAD_REGISTRY, build_point_head
from pointrend_ext.modeling.point_head.standard import StandardPointHead

__all__ = [
    "IGNORED_LABEL",
    "POINT_HEAD_REGISTRY",
    "ImplicitInputs",
    "ImplicitPointHead",
    "ImplicitPointPredictor",
    "MapInputs",
    "MapPointPredictor",
    "RegionInputs",
    "RegionPointPredictor",
    "Regions",
    "StandardPointHead",
    "build_point_head",
    "can_project",
    "extent_px",
    "inference_predictors",
    "map_inference_predictor",
    "mask_point_accuracy",
    "mask_point_loss",
    "predictor_of_planes",
    "region_index",
    "training_predictor",
]
