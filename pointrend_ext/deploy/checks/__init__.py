"""Does an exported file predict what its model predicts, at other sizes and numbers of regions?"""

from pointrend_ext.deploy.checks.agreement import Agreement, Figure
from pointrend_ext.deploy.checks.images import CheckImages
from pointrend_ext.deploy.checks.instances import compare_instances
from pointrend_ext.deploy.checks.masks import compare_mask_head
from pointrend_ext.deploy.checks.semantic import compare_semantic

__all__ = [
    "Agreement",
    "CheckImages",
    "Figure",
    "compare_instances",
    "compare_mask_head",
    "compare_semantic",
]
