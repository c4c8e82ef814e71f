"""Feature alignment: modules that register maps before they are added, and an FPN made of them."""

from pointrend_ext.modeling.alignment.cab import CAB
from pointrend_ext.modeling.alignment.flow_alignment import FAM, GatedFAM
from pointrend_ext.modeling.alignment.fpn import AlignedFPN, build_resnet_aligned_fpn_backbone
from pointrend_ext.modeling.alignment.registry import (
    FEATURE_ALIGNMENT_REGISTRY,
    RecordedFlow,
    build_feature_alignment,
    record_flows,
)

__all__ = [
    "CAB",
    "FAM",
    "FEATURE_ALIGNMENT_REGISTRY",
    "AlignedFPN",
    "GatedFAM",
    "RecordedFlow",
    "build_feature_alignment",
    "build_resnet_aligned_fpn_backbone",
    "record_flows",
]
