"""Network parts; importing them registers them in Detectron2's registries and ``POINT_HEAD``."""

from pointrend_ext.modeling.point_head import POINT_HEAD_REGISTRY, StandardPointHead
from pointrend_ext.modeling.roi_heads import CoarseMaskHead, PointRendROIMaskHead

__all__ = ["POINT_HEAD_REGISTRY", "CoarseMaskHead", "PointRendROIMaskHead", "StandardPointHead"]
