"""Semantic heads: PointRend, the coarse heads it refines, and the model around them."""

from pointrend_ext.modeling.sem_seg.alignseg import AlignSegHead
from pointrend_ext.modeling.sem_seg.deeplab import DeepLabV3LogitsHead, DeepLabV3PlusLogitsHead
from pointrend_ext.modeling.sem_seg.label_map import label_map
from pointrend_ext.modeling.sem_seg.point_rend_head import PointRendSemanticHead
from pointrend_ext.modeling.sem_seg.segmentor import PointRendSemanticSegmentor
from pointrend_ext.modeling.sem_seg.sfnet import SFNetHead, SFNetLiteHead

__all__ = [
    "AlignSegHead",
    "DeepLabV3LogitsHead",
    "DeepLabV3PlusLogitsHead",
    "PointRendSemanticHead",
    "PointRendSemanticSegmentor",
    "SFNetHead",
    "SFNetLiteHead",
    "label_map",
]
