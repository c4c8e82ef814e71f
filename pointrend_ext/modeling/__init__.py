"""Network parts; importing them registers them in Detectron2's registries and ``POINT_HEAD``."""

from pointrend_ext.modeling.point_head import POINT_HEAD_REGISTRY, StandardPointHead
from pointrend_ext.modeling.roi_heads import CoarseMaskHead, PointRendROIMaskHead
from pointrend_ext.modeling.sem_seg import (
    DeepLabV3LogitsHead,
    DeepLabV3PlusLogitsHead,
    PointRendSemanticHead,
    PointRendSemanticSegmentor,
)

__all__ = [
    "POINT_HEAD_REGISTRY",
    "CoarseMaskHead",
    "DeepLabV3LogitsHead",
    "DeepLabV3PlusLogitsHead",
    "PointRendROIMaskHead",
    "PointRendSemanticHead",
    "PointRendSemanticSegmentor",
    "StandardPointHead",
]
