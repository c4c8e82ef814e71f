"""Metrics, and which of them a data set is evaluated with."""

from pointrend_ext.evaluation.build import build_evaluator, check_evaluation, results_folder
from pointrend_ext.evaluation.coco import InstanceEvaluator
from pointrend_ext.evaluation.given_boxes import add_given_boxes
from pointrend_ext.evaluation.panoptic import PanopticEvaluator
from pointrend_ext.evaluation.semantic import SemanticEvaluator
from pointrend_ext.evaluation.semantic_metrics import BOUNDARY_METRICS, SemanticMetrics

__all__ = [
    "BOUNDARY_METRICS",
    "InstanceEvaluator",
    "PanopticEvaluator",
    "SemanticEvaluator",
    "SemanticMetrics",
    "add_given_boxes",
    "build_evaluator",
    "check_evaluation",
    "results_folder",
]
