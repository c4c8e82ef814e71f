"""Predictors that give the answers of the plain ones in less time and memory."""

from pointrend_ext.modeling.point_head.fast.fine_tables import FineTables
from pointrend_ext.modeling.point_head.fast.map_row_predictor import MapRowPredictor
from pointrend_ext.modeling.point_head.fast.plane_predictor import PlaneRegionPredictor
from pointrend_ext.modeling.point_head.fast.projected_predictor import ProjectedRegionPredictor
from pointrend_ext.modeling.point_head.fast.split_layers import SplitPointLayers

__all__ = [
    "FineTables",
    "MapRowPredictor",
    "PlaneRegionPredictor",
    "ProjectedRegionPredictor",
    "SplitPointLayers",
]
