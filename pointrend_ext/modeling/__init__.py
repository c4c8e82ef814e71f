"""Network parts. Importing this package registers them in Detectron2's registries and in ``POINT_HEAD``."""

from pointrend_ext.modeling.point_head import POINT_HEAD_REGISTRY, StandardPointHead
from pointrend_ext.modeling.roi_heads import CoarseMaskHead, PointRendROIMaskHead

__all__ = ["POINT_HEAD_REGISTRY", "CoarseMaskHead", "PointRendROIMaskHead", "StandardPointHead"]
