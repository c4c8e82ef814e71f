"""Mask heads for regions."""

from pointrend_ext.modeling.roi_heads.coarse_mask_head import CoarseMaskHead
from pointrend_ext.modeling.roi_heads.implicit_mask_head import ImplicitPointRendROIMaskHead
from pointrend_ext.modeling.roi_heads.mask_head import PointRendROIMaskHead
from pointrend_ext.modeling.roi_heads.mask_labels import sample_mask_labels
from pointrend_ext.modeling.roi_heads.mask_only import MaskOnlyROIHeads

__all__ = [
    "CoarseMaskHead",
    "ImplicitPointRendROIMaskHead",
    "MaskOnlyROIHeads",
    "PointRendROIMaskHead",
    "sample_mask_labels",
]
