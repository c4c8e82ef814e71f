"""Network parts; importing them registers them in Detectron2's registries and our own."""

from pointrend_ext.modeling.alignment import CAB, FAM, FEATURE_ALIGNMENT_REGISTRY, GatedFAM
from pointrend_ext.modeling.panoptic import PointRendPanopticFPN
from pointrend_ext.modeling.point_head import (
    POINT_HEAD_REGISTRY,
    ImplicitPointHead,
    StandardPointHead,
)
from pointrend_ext.modeling.proposal_generator import GivenBoxes
from pointrend_ext.modeling.resnet import (
    build_resnet_alignseg_backbone,
    build_resnet_sfnet_backbone,
)
from pointrend_ext.modeling.roi_heads import (
    CoarseMaskHead,
    ImplicitPointRendROIMaskHead,
    MaskOnlyROIHeads,
    PointRendROIMaskHead,
)
from pointrend_ext.modeling.sem_seg import (
    AlignSegHead,
    DeepLabV3LogitsHead,
    DeepLabV3PlusLogitsHead,
    PointRendSemanticHead,
    PointRendSemanticSegmentor,
    SFNetHead,
    SFNetLiteHead,
)

__all__ = [
    "CAB",
    "FAM",
    "FEATURE_ALIGNMENT_REGISTRY",
    "POINT_HEAD_REGISTRY",
    "AlignSegHead",
    "CoarseMaskHead",
    "DeepLabV3LogitsHead",
    "DeepLabV3PlusLogitsHead",
    "GatedFAM",
    "GivenBoxes",
    "ImplicitPointHead",
    "ImplicitPointRendROIMaskHead",
    "MaskOnlyROIHeads",
    "PointRendPanopticFPN",
    "PointRendROIMaskHead",
    "PointRendSemanticHead",
    "PointRendSemanticSegmentor",
    "SFNetHead",
    "SFNetLiteHead",
    "StandardPointHead",
    "build_resnet_alignseg_backbone",
    "build_resnet_sfnet_backbone",
]
